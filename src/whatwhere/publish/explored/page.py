"""One HTML file of a photograph, with all that it needs inside; and the list of those in a folder.

Style, modules and numbers lie in the file, which asks nothing of any server. The modules in `page_files/` are joined
to one, in the order of their imports; names at their top level differ.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.provenance import VERSION
from whatwhere.publish.explored.numbers import Numbers, as_jpeg, small
from whatwhere.publish.figures.colours import PALETTE

#: What a page says of each pathway.
WORDS = (("qk", "where (queries and keys)"), ("vv", "what (values)"), ("both", "both in one"))
#: The first bytes of a page hold who it is of, and its thumbnail of so many pixels.
HEAD_BYTES, THUMBNAIL_PX = 2**16, 160
#: Regions that a page has colours for.
COLOURS = 10
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.M)
_META = re.compile(r'<meta name="whatwhere-(\w+)" content="([^"]*)">')
_OURS = re.compile(r'<meta name="generator" content="whatwhere ')
_ICON = re.compile(r'<link rel="icon" href="(data:image/jpeg;base64,[^"]+)">')


def page(numbers: Numbers, image: UInt8[np.ndarray, "y x 3"], *, title: str, photo: str = "") -> str:
    """The HTML of one photograph. `photo` says which it is to whoever finds the file again."""
    facts = {**numbers.facts, "viridis": _viridis(), "palette": PALETTE[:COLOURS].tobytes().hex()}
    ramp = ", ".join(f"#{facts['viridis'][place * 6 : place * 6 + 6]}" for place in range(0, 256, 51))
    return template("page").render(
        title=title,
        photo=photo,
        facts=facts,
        pathways=WORDS,
        version=VERSION,
        thumbnail=_base64(as_jpeg(small(image, THUMBNAIL_PX), quality=70)),
        picture=_base64(as_jpeg(small(image))),
        style=as_safe(page_file("style.css").replace("{{ ramp }}", ramp)),
        json=as_safe(json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c")),
        code=as_safe(joined("main")),
        blocks={name: as_safe(text) for name, text in numbers.blocks.items()},
    )


def write_page(file: Path, text: str) -> None:
    """The file, whole or not at all."""
    with replacing(file) as partial:
        partial.write_text(text, "utf-8", newline="\n")


def write_index(folder: Path) -> Path | None:
    """`index.html` of the pages in a folder where they are several, else none; answers where it is."""
    found = [(file, about(file)) for file in sorted(folder.glob("*.html")) if file.name != "index.html"]
    pages = [{"file": file.name, **said} for file, said in found if "photo" in said]
    if len(pages) < 2:
        return None
    text = template("index").render(pages=pages, version=VERSION, style=as_safe(page_file("style.css")))
    write_page(folder / "index.html", text)
    return folder / "index.html"


def check_index(folder: Path) -> None:
    """That `index.html` may be written. Raises `InputError` where one is there that no page of ours was."""
    file = folder / "index.html"
    if file.is_dir() or (file.exists() and not _OURS.search(_head(file))):
        raise InputError(
            f"--out {folder}: expected no index.html but whatwhere's own, got another; choose another folder"
        )


def about(file: Path) -> dict[str, str]:
    """What a page says of itself: its `photo`, `title` and `icon`; nothing of another file."""
    head = _head(file)
    said = {name: html.unescape(value) for name, value in _META.findall(head)}
    icon = _ICON.search(head)
    return said | ({"icon": icon[1]} if icon else {})


def joined(name: str) -> str:
    """A module of the page with all that it imports before it, as one."""
    done: dict[str, str] = {}

    def add(one: str) -> None:
        """The modules that one imports, then itself."""
        if one in done:
            return
        text = page_file(f"{one}.js")
        done[one] = ""
        for other in _IMPORT.findall(text):
            add(other)
        del done[one]
        done[one] = re.sub(r"^export ", "", _IMPORT.sub("", text), flags=re.M)

    add(name)
    return "\n".join(done.values())


def page_file(name: str) -> str:
    """The text of a file under `page_files/`."""
    return (resources.files("whatwhere.publish.explored") / "page_files" / name).read_text("utf-8")


def template(name: str) -> Any:
    """The frame of a page, which escapes what is put into it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(page_file(f"{name}.html.j2"))


def as_safe(text: str) -> Any:
    """Text that is none of a stranger's and goes into the page as it is."""
    from markupsafe import Markup

    return Markup(text)


def _head(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(HEAD_BYTES).decode("utf-8", "replace")


def _viridis() -> str:
    from matplotlib import colormaps

    return (colormaps["viridis"](np.arange(256), bytes=True)[:, :3]).astype(np.uint8).tobytes().hex()


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
