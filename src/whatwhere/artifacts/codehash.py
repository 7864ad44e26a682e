"""What a workflow rule's code is: the syntax trees of the modules it uses, comments and docstrings aside.

The workflow engine watches its own scripts, not this package; each rule carries this hash as a parameter,
so that changing a module reruns exactly the stages that use it. The versions of the libraries that compute
numbers, and files that belong to a module (`report.html.j2` to `report.py`, all in `page_files` to `page.py`), count as
its code.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from whatwhere.artifacts.atomic import replacing

PACKAGE = "whatwhere"
#: Libraries whose version may change a result: import name to distribution.
COMPUTING = {name: name for name in ("torch", "timm", "diffusers", "transformers", "numpy", "scipy", "pandas")}
COMPUTING |= {"sklearn": "scikit-learn", "skimage": "scikit-image", "PIL": "pillow", "faiss": "faiss-cpu"}
COMPUTING |= {"pycocotools": "pycocotools", "pillow_heif": "pillow-heif"}
ROOT = Path(__file__).parents[1]
#: What files of code came to, in the working directory: parsing all of the package again is a wait before each run.
KEPT = Path(".snakemake") / "whatwhere-code.json"


def code_hash(*modules: str) -> str:
    """Hash of `modules` and of every module of this package that they import, anywhere in their code."""
    pending, seen = list(modules), set[str]()
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending.extend(_tree(name)[1])
    return _hash("\n".join(f"{name} {_tree(name)[0]}" for name in sorted(seen)))


def file_hash(script: Path) -> str:
    """Hash of a script's own code, comments and docstrings aside."""
    return _parsed(script.read_text("utf-8"))[0]


def keep() -> None:
    """Writes down what the files asked about came to, for whoever asks next here; where it cannot, it does without."""
    known = {text: list(found) for text, found in _asked.items()}
    if known != _kept():
        said = json.dumps(known)
        with suppress(OSError), replacing(KEPT) as partial:
            partial.write_text(f"{_hash(said)}\n{said}", "utf-8")


#: Of texts, by their hash, that were asked about: the hash of their code, and the names that they import.
_asked: dict[str, tuple[str, list[str]]] = {}


def _parsed(text: str) -> tuple[str, list[str]]:
    """Hash of a text's syntax tree, without docstrings and positions, and what it imports; parsed once if kept."""
    key = _hash(f"{_reader()} {text}")
    if key not in _asked:
        hash_, imported = _kept().get(key) or _parse(text)
        _asked[key] = hash_, imported
    return _asked[key]


def _parse(text: str) -> tuple[str, list[str]]:
    tree = ast.parse(text)
    imported = dict.fromkeys(name for node in _statements(tree) for name in _imports(node))
    for node in _statements(tree):
        _drop_docstring(node)
    return _hash(ast.dump(tree)), list(imported)


@cache
def _kept() -> dict[str, list[Any]]:
    """What was written down here before; nothing where it is not what was written."""
    with suppress(OSError, ValueError):
        digest, _, said = KEPT.read_text("utf-8").partition("\n")
        if digest == _hash(said):
            return dict(json.loads(said))
    return {}


@cache
def _reader() -> str:
    """What a text's hash depends on beside it: this file, and Python's grammar."""
    return _hash(f"{sys.version} {Path(__file__).read_text('utf-8')}")


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@cache
def _tree(module: str) -> tuple[str, tuple[str, ...]]:
    """Hash of the module - its tree without docstrings and positions, its libraries' versions, its files - and the
    package's modules that it imports.
    """
    file = _file(module)
    own, imported = _parsed(file.read_text("utf-8"))
    libraries = {name.partition(".")[0] for name in imported} & set(COMPUTING)
    versions = [f"{name} {_version(COMPUTING[name])}" for name in sorted(libraries)]
    others = (*sorted(file.parent.glob(f"{file.stem}.*.j2")), *sorted(file.parent.glob(f"{file.stem}_files/*.*")))
    beside = [other.read_text("utf-8") for other in others]
    return _hash("\n".join([own, *versions, *beside])), tuple(filter(_is_module, imported))


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The module and all its statements: what imports, or has a docstring. Of a tree they are the smaller part."""
    pending: list[ast.AST] = [tree]
    while pending:
        yield (node := pending.pop())
        for inner in ("body", "orelse", "finalbody", "handlers", "cases"):
            found = getattr(node, inner, None)
            pending += found if isinstance(found, list) else ()


@cache
def _version(distribution: str) -> str:
    return version(distribution)


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
    return []


def _is_module(name: str) -> bool:
    return name.startswith(f"{PACKAGE}.") and _file(name).is_file()


def _file(module: str) -> Path:
    place = ROOT.joinpath(*module.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = node.body[1:]
