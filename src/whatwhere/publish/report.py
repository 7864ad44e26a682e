"""One HTML file that shows a run: the paper's claims, its tables and figures, and what they were made from.

Nothing is fetched when it is opened: style and pictures are inside. The page itself is `report.html.j2`.
"""

from __future__ import annotations

import csv
import json
import re
import struct
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.publish.claims import FAILS, HOLDS, OPEN, UNTESTED, Verdict
from whatwhere.publish.tables import LESS_PAPER, MODEL_OF_PAPER, OF_PAPER, is_number

if TYPE_CHECKING:
    from jinja2 import Template

#: A number, with whatever scores are written with: signs, per cent, ±, intervals, footnote marks.
_NUMBER = re.compile(r"(?=.*\d)[\d\s.,:%±+\-−–×e()\[\]<>≤≥~*†‡]+|[+-]?(nan|inf)", re.IGNORECASE)
_PNG = b"\x89PNG\r\n\x1a\n"
#: What the page marks a verdict with; whoever sees no colours has the sign and the words.
_MARKS = {HOLDS: ("yes", "✓"), FAILS: ("no", "✗"), OPEN: ("open", "≈"), UNTESTED: ("open", "?")}


@dataclass(frozen=True)
class Judged:
    """A claim of the paper, the table that it is about, by name, and what this run says of it."""

    says: str
    source: str
    table: str
    verdict: Verdict


@dataclass(frozen=True)
class Facts:
    """A part of the provenance: lines of as many cells as the header, if it has one; the first says of what."""

    title: str
    rows: Sequence[Sequence[str]]
    header: Sequence[str] = ()


@dataclass(frozen=True)
class _Table:
    """A table as the page needs it; `kinds` has CSS classes for each column, `opening` whether a row opens a group."""

    anchor: str
    title: str
    source: str
    notes: tuple[str, ...]
    header: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    opening: tuple[bool, ...]


@dataclass(frozen=True)
class _Figure:
    """A picture, ready to embed; `pages` are ids of images that it shows, and the places of their pages."""

    anchor: str
    title: str
    caption: str
    base64: str
    width_px: int
    height_px: int
    pages: tuple[tuple[str, str], ...] = ()


def write_report(
    output: Path,
    *,
    title: str,
    summary: Sequence[tuple[str, str]],
    claims: Sequence[Judged] = (),
    tables: Sequence[Path],
    figures: Sequence[tuple[Path, str]],
    pages: Mapping[str, Mapping[str, str]] | None = None,
    provenance: Sequence[Facts],
    settings: str,
) -> None:
    """Writes a self-contained HTML page; the same input gives the same bytes.

    `summary` are (label, value) pairs on what was run on what; `tables` CSV files whose first line is the
    header, each with an optional `NAME.meta.json` beside it (`title`, `source`, `notes`); `figures` PNG
    files with their titles, which the files' own captions follow, and of which the first opens the page; `pages`, by a
    figure's file name without its suffix and by the ids of images, where their pages lie beside `output`: a figure
    leads to those of the images that it shows; `settings` the resolved configuration as YAML. Written beside `output`
    and renamed.

    Raises InputError for a table or picture that is missing or damaged.
    """
    anchored = _anchored("table", tables)
    shown = [_read_table(path, anchor) for path, anchor in anchored]
    page = _template().render(
        title=title,
        summary=summary,
        claims=claims,
        marks=_MARKS,
        tally=_tally(claims),
        places={path.stem: table for (path, _), table in zip(anchored, shown, strict=True)},
        tables=shown,
        figures=_read_figures(figures, pages or {}),
        provenance=provenance,
        settings=settings,
    )
    with replacing(output) as partial:
        partial.write_text(page, "utf-8", newline="\n")


def _tally(claims: Sequence[Judged]) -> Mapping[str, int]:
    """How often each verdict was given."""
    given: Counter[str] = Counter(claim.verdict.verdict for claim in claims)
    return {verdict: given[verdict] for verdict in _MARKS if given[verdict]}


def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.from_string((resources.files("whatwhere.publish") / "report.html.j2").read_text("utf-8"))


def _anchored(kind: str, paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Each file with the id of its place in the page, by its name, so that links outlive new tables."""
    taken: Counter[str] = Counter()
    anchored = []
    for path in map(Path, paths):
        anchor = f"{kind}-{re.sub(r'[^a-z0-9]+', '-', path.stem.lower()).strip('-')}"
        taken[anchor] += 1
        anchored.append((path, anchor if taken[anchor] == 1 else f"{anchor}--{taken[anchor]}"))
    return anchored


def _read_table(path: Path, anchor: str) -> _Table:
    lines = _read_csv(path)
    header, *rows = [tuple(cell.strip() for cell in line) for line in lines]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            got = f"{len(row)} in row {number}"
            raise InputError(f"{path}: expected {len(header)} columns, got {got}; write the table again")
    meta = _read_meta(path.with_suffix(".meta.json"))
    kinds = tuple(_kind(name, [row[i] for row in rows]) for i, name in enumerate(header))
    keep = [i for i, kind in enumerate(kinds) if kind != "note" or any(row[i] for row in rows)]
    keep = [i for i in keep if not is_number(header[i])]
    first = [row[0] for row in rows]
    changes = [cell != before for cell, before in zip(first, ["", *first], strict=False)]
    return _Table(
        anchor,
        title=meta.get("title") or path.stem,
        source=meta.get("source") or "",
        notes=tuple(meta.get("notes") or ()),
        header=tuple(header[i] for i in keep),
        kinds=tuple(kinds[i] for i in keep),
        rows=tuple(tuple(row[i] for i in keep) for row in rows),
        # where every row is of another, none of them opens a group
        opening=tuple(change and sum(changes) < len(rows) for change in changes),
    )


def _read_csv(path: Path) -> list[list[str]]:
    expected = "a table (CSV, the first line its header)"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except OSError as error:
        raise _refusal(path, expected, error.strerror or "nothing") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refusal(path, expected, f"a damaged file ({error})") from error
    if not lines:
        raise _refusal(path, expected, "an empty file")
    return lines


def _read_meta(path: Path) -> dict[str, Any]:
    expected = "a JSON object with title, source and notes"
    try:
        meta = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _refusal(path, expected, f"a damaged file ({error})") from error
    if not isinstance(meta, dict) or not isinstance(meta.get("notes") or [], list):
        raise _refusal(path, expected, "something else")
    return meta


def _kind(name: str, cells: Sequence[str]) -> str:
    if name.lower() in ("note", "notes"):
        return "note"
    # a column that nobody has filled yet waits for numbers
    kind = "number" if all(_NUMBER.fullmatch(cell) for cell in cells if cell) else "text"
    if name == MODEL_OF_PAPER or name.endswith(OF_PAPER):
        return f"{kind} paper"
    return f"{kind} difference" if name.endswith(LESS_PAPER) else kind


def _read_figures(figures: Sequence[tuple[Path, str]], pages: Mapping[str, Mapping[str, str]]) -> list[_Figure]:
    """Two at a time, for the report is a run's last job: pictures are brought to the screen by code that lets go of
    Python meanwhile.
    """
    anchored = _anchored("figure", [path for path, _ in figures])
    with ThreadPoolExecutor(2) as pool:
        reading = [
            pool.submit(_read_figure, path, anchor, caption, pages.get(path.stem, {}))
            for (path, anchor), (_, caption) in zip(anchored, figures, strict=True)
        ]
        return [one.result() for one in reading]


def _read_figure(path: Path, anchor: str, caption: str, pages: Mapping[str, str]) -> _Figure:
    expected = "a picture (PNG)"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _refusal(path, expected, error.strerror or "nothing") from error
    if not content.startswith(_PNG) or len(content) < 24:
        raise _refusal(path, expected, "another format or a damaged file")
    from whatwhere.publish.figures import caption_of, for_screen, images_of

    width_px, height_px = struct.unpack(">II", content[16:24])
    picture, said = b64encode(for_screen(path)).decode(), caption_of(path)
    words = f"{caption.rstrip('.')}. {said}" if caption and said else caption or said
    shown = tuple((name, pages[name]) for name in images_of(path) if name in pages)
    return _Figure(anchor, caption or path.stem, words, picture, width_px, height_px, shown)


def _refusal(path: Path, expected: str, got: str) -> InputError:
    return InputError(f"{path}: expected {expected}, got {' '.join(got.split())}; run the rule that makes it")
