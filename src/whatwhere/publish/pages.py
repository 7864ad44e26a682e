"""README and docs with numbers that a run wrote: a page names a table, and the command below puts its cells in.

    python -m whatwhere.publish.pages results/embedded

copies the run's tables, verdicts and the pictures that pages show to `docs/RUN`, and fills every block

    <!-- numbers: {table: embedded/table1, columns: {Model: backbone}, rows: {Model: [zoo/mae]}} -->
    <!-- /numbers -->

of README.md and docs/*.md: `table` is a CSV under docs/; `columns` (all where there are none) gives each column of it
that is shown its heading; `rows` what a row's cells must be to be shown. A block may be a picture instead, `figure:
real/figure5` with the words that it `says`. One that is of a run which not everybody can make has `optional: true`, and
says so as long as nobody has. What stands between is nobody's to type: a test fills every page again and finds it as
it is.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whatwhere.artifacts.again import again
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.publish.tables import is_number

DOCS = Path("docs")
_BLOCK = re.compile(r"(<!-- numbers: (\{.*?\}) -->\n).*?(<!-- /numbers -->)", re.S)
#: What an optional block says of a run that nobody has made.
NOT_YET = "*Not here yet: run `config/{run}.yaml`, then `make numbers`.*"
_PICTURE = re.compile(r"!\[[^]]*\]\((?:docs/)?([\w./-]+\.png)\)")


def pages(root: Path = Path()) -> list[Path]:
    """The pages that numbers are put into."""
    return [root / "README.md", *sorted((root / DOCS).glob("*.md"))]


def fill(text: str, docs: Path = DOCS) -> str:
    """A page with every block filled from the tables under `docs`.

    Raises `InputError` for a table, column or row that there is not.
    """
    return _BLOCK.sub(lambda found: f"{found[1]}\n{_markdown(found[2], docs)}\n{found[3]}", text)


def gather(run: Path, texts: Sequence[str], docs: Path = DOCS) -> None:
    """Copies of a run's tables and `claims.csv`, and of the figures that `texts` show, to `docs/RUN`.

    Raises `InputError` where the run is not finished or has no such figure.
    """
    shown = [Path(name) for text in texts for name in _PICTURE.findall(text)]
    shown += [Path(f"{asked['figure']}.png") for asked in _asked(texts) if "figure" in asked]
    figures = [run / "figures" / name.name for name in dict.fromkeys(shown) if name.parent.name == run.name]
    wanted = [*sorted((run / "tables").glob("*.csv")), run / "claims.csv", *figures]
    for file in wanted:
        if not file.is_file():
            raise InputError(f"{run}: expected a finished run with {file.name}, found none; run: {again(file)}")
    (docs / run.name).mkdir(parents=True, exist_ok=True)
    for file in wanted:
        with replacing(docs / run.name / file.name) as partial:
            shutil.copyfile(file, partial)


def main(runs: Sequence[str]) -> None:
    """Gathers each run and fills all pages; says which changed."""
    before = {page: page.read_text("utf-8") for page in pages()}
    for run in runs:
        gather(Path(run), list(before.values()))
    for page, text in before.items():
        filled = fill(text)
        if filled != text:
            with replacing(page) as partial:
                partial.write_text(filled, "utf-8")
            sys.stdout.write(f"{page}: filled\n")


def _markdown(asked: str, docs: Path) -> str:
    """The Markdown table, or the picture, that a block asks for."""
    import pandas as pd

    block = _block(asked)
    if "figure" in block:
        return _picture(block, docs)
    path = docs / f"{block['table']}.csv"
    if not path.is_file():
        if block.get("optional"):
            return NOT_YET.format(run=path.parent.name)
        raise InputError(f"{path}: expected a table that a page shows, found none; run: make numbers")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, cells in (block.get("rows") or {}).items():
        _check(name, frame, path)
        frame = frame[frame[name].isin(cells if isinstance(cells, list) else [cells])]
    shown = [name for name in frame.columns if not is_number(name)]
    columns: Mapping[str, str | None] = block.get("columns") or dict.fromkeys(shown)
    for name in columns:
        _check(name, frame, path)
    if frame.empty:
        raise InputError(f"{path}: expected rows with {block['rows']}, found none; correct the page's block")
    rows = [[heading or name for name, heading in columns.items()], ["---"] * len(columns)]
    rows += frame[list(columns)].to_numpy().tolist()
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _picture(block: Mapping[str, Any], docs: Path) -> str:
    """The figure that a block asks for, for a page under docs/."""
    path = docs / f"{block['figure']}.png"
    if path.is_file():
        return f"![{block['says']}]({block['figure']}.png)"
    if block.get("optional"):
        return ""
    raise InputError(f"{path}: expected a figure that a page shows, found none; run: make numbers")


def _block(asked: str) -> dict[str, Any]:
    import yaml

    block: dict[str, Any] = yaml.safe_load(asked)
    return block


def _asked(texts: Sequence[str]) -> list[dict[str, Any]]:
    return [_block(found[1]) for text in texts for found in _BLOCK.findall(text)]


def _check(name: str, frame: Any, path: Path) -> None:
    if name not in frame:
        raise InputError(f"{path}: expected one of the columns {', '.join(frame)}, got {name!r}; correct the page")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"whatwhere: {error}")
