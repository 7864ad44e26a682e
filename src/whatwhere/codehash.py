"""What a workflow rule's code is: the syntax trees of the modules it uses, comments and docstrings aside.

The workflow engine watches its own scripts, not this package; each rule carries this hash as a parameter,
so that changing a module reruns exactly the stages that use it.
"""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

PACKAGE = "whatwhere"
ROOT = Path(__file__).parent


def code_hash(*modules: str) -> str:
    """Hash of `modules` and of every module of this package that they import, anywhere in their code."""
    pending, seen = list(modules), set[str]()
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending.extend(_tree(name)[1])
    text = "\n".join(f"{name} {_tree(name)[0]}" for name in sorted(seen))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@lru_cache
def _tree(module: str) -> tuple[str, tuple[str, ...]]:
    """The module's tree as text, without docstrings and positions, and the package's modules it imports."""
    tree = ast.parse(_file(module).read_text("utf-8"))
    imported = [name for node in ast.walk(tree) for name in _imports(node)]
    for node in ast.walk(tree):
        _drop_docstring(node)
    return ast.dump(tree), tuple(dict.fromkeys(imported))


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [a.name for a in node.names if _is_module(a.name)]
    if isinstance(node, ast.ImportFrom) and _is_module(node.module or ""):
        inner = [f"{node.module}.{a.name}" for a in node.names]
        return [str(node.module), *(name for name in inner if _is_module(name))]
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
