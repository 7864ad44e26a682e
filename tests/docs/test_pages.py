"""README and docs say what the pipeline wrote: every block is as its table has it, and every room is listed."""

import re
from pathlib import Path

import pytest
import yaml

from whatwhere.artifacts.errors import InputError
from whatwhere.publish.pages import fill, gather, pages

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- numbers: .*?<!-- /numbers -->", re.S)


@pytest.mark.parametrize("page", pages(ROOT), ids=lambda page: page.name)
def test_a_page_and_its_tables_agree(page):
    text = page.read_text("utf-8")
    assert fill(text, ROOT / "docs") == text, "run: make numbers"


def test_the_results_have_no_number_that_was_typed():
    readme = (ROOT / "README.md").read_text("utf-8").partition("## Results")[2].partition("\n## ")[0]
    for text in (readme, (ROOT / "docs" / "results.md").read_text("utf-8")):
        prose = re.sub(r"`[^`]*`|\]\([^)]*\)|K = [\d ]+", "", BLOCK.sub("", text))
        assert re.findall(r"\d+\.\d+|\d+ %(?<!95 %)", prose) == []


def test_the_readme_is_read_to_its_end():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 150
    for block in BLOCK.findall(text):
        assert len([line for line in block.splitlines() if line.startswith("|")]) <= 2 + 12  # at most a dozen rows


def test_the_readme_lists_every_room():
    built = (ROOT / "README.md").read_text("utf-8").partition("## How it is built")[2]
    for path in (ROOT / "src" / "whatwhere").iterdir():
        if path.name not in ("__pycache__", "__init__.py"):
            assert re.search(rf"(^|[ /]){path.name}\b", built, re.M), path.name


def test_every_room_has_a_page_of_its_api():
    named = re.findall(
        r"^::: whatwhere\.(\w+)", "\n".join(p.read_text() for p in (ROOT / "docs/api").glob("*.md")), re.M
    )
    rooms = [path for path in (ROOT / "src" / "whatwhere").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(named) == sorted([*(room.name for room in rooms), "steps"])


def test_every_page_of_the_docs_is_in_the_site():
    listed = re.findall(r"^ +- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md"))


def test_the_pages_overlays_are_valid(tmp_path, monkeypatch):
    """Every YAML example of an overlay, as printed, as `mine.yaml`."""
    from whatwhere.config.overlay import configured

    monkeypatch.chdir(ROOT)
    examples = [code for page in pages(ROOT) for code in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)]
    assert len(examples) >= 2
    for example in examples:
        (tmp_path / "mine.yaml").write_text(example, "utf-8")
        config = configured([tmp_path / "mine.yaml"])
        assert config.run == "mine"
        assert list(config.tables) + list(config.figures) == ["mine"]


def test_the_readmes_table_of_ones_own_is_six_lines():
    readme = (ROOT / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", readme, re.S)
    assert len(example.splitlines()) <= 6
    used = yaml.safe_load(example)
    (table,) = used["tables"].values()
    assert set(used["datasets"]) == set(table["datasets"])  # whatever it defines, it uses
    assert set(used["backbones"]) == set(table["backbones"])


# --------------------------------------------------------------------------------------------- planted pages

PAGE = """Before.

<!-- numbers: {table: run/table, columns: {b: B, a: }, rows: {a: [x, z]}} -->
what was there before
<!-- /numbers -->

After.
"""


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "table.csv").write_text('a,b,c,b [low]\nx,1,p,0.9\ny,2,q,1.9\nz,"3, 4",r,\n')
    return tmp_path


def test_a_block_takes_columns_rows_and_headings(docs):
    filled = fill(PAGE, docs)
    assert "\n| B | a |\n| --- | --- |\n| 1 | x |\n| 3, 4 | z |\n" in filled
    assert "what was there" not in filled
    assert filled.startswith("Before.")
    assert filled.endswith("After.\n")
    assert fill(filled, docs) == filled
    whole = fill("<!-- numbers: {table: run/table} -->\n<!-- /numbers -->", docs)
    assert "| y | 2 | q |" in whole


def test_a_block_may_wait_for_its_run(docs):
    """A table and a picture of a run that nobody has made, and then of one."""
    page = """<!-- numbers: {table: real/t, optional: true} -->
<!-- /numbers -->
<!-- numbers: {figure: real/f, says: A picture, optional: true} -->
<!-- /numbers -->
"""
    waiting = fill(page, docs)
    assert waiting.count("Not here yet") == 1
    assert "![" not in waiting
    with pytest.raises(InputError, match=r"real/f\.png: expected a figure"):
        fill(page.replace("A picture, optional: true", "A picture"), docs)
    run = docs.parent / "results" / "real"
    for name in ("tables/t.csv", "claims.csv", "figures/f.png", "figures/other.png"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("a,b\n1,2\n")
    gather(run, [waiting], docs)
    assert {path.name for path in (docs / "real").iterdir()} == {"t.csv", "claims.csv", "f.png"}
    filled = fill(waiting, docs)
    assert "| 1 | 2 |" in filled
    assert "![A picture](real/f.png)" in filled


def test_a_changed_cell_is_seen(docs):
    filled = fill(PAGE, docs)
    assert fill(filled.replace("| 1 | x |", "| 9 | x |"), docs) == filled


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("run/table", "run/tabel", r"run/tabel\.csv: expected a table that a page shows, found none"),
        ("b: B", "d: D", r"expected one of the columns a, b, c, b \[low\], got 'd'"),
        ("{a: [x, z]}", "{e: x}", r"expected one of the columns a, b, c, b \[low\], got 'e'"),
        ("[x, z]", "[w]", r"expected rows with \{'a': \['w'\]\}, found none"),
    ],
)
def test_a_block_about_what_there_is_not_is_one_line(docs, old, new, words):
    with pytest.raises(InputError, match=words):
        fill(PAGE.replace(old, new), docs)


def test_a_run_is_gathered_with_the_figures_that_pages_show(tmp_path):
    run, docs = tmp_path / "results" / "small", tmp_path / "docs"
    for name in ("tables/t.csv", "claims.csv", "figures/shown.png", "figures/other.png"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    gather(run, ["![a](docs/small/shown.png) ![b](zoo/else.png)"], docs)
    assert {path.name for path in (docs / "small").iterdir()} == {"t.csv", "claims.csv", "shown.png"}
    (run / "figures/shown.png").unlink()
    with pytest.raises(InputError, match=r"expected a finished run with shown\.png"):
        gather(run, ["![a](small/shown.png)"], docs)
