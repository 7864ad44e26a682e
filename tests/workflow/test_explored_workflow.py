"""Pages to point at, as a run makes them: one for each photograph that its figures show, from its stores."""

import re

import pytest

from tests.workflow.test_workflow import SMALL, Project
from whatwhere.artifacts.store import Store, read_json

pytestmark = pytest.mark.slow

FIGURE = SMALL["figures"]["figure3"]
PAGES = {"scenes": {"backbone": "tiny", "images": 3}}


def links(root):
    """By the name of a figure the pages that the report leads to below it."""
    articles = re.findall(
        r'<article id="figure-(\w+)">(.*?)</article>', (root / "report.html").read_text("utf-8"), re.S
    )
    return {name: re.findall(r'href="(explored/[^"]*)"', text) for name, text in articles}


def test_the_report_leads_to_one_page_of_each_photograph_from_every_figure_that_shows_it(tmp_path):
    figures = {"few": FIGURE, "many": {**FIGURE, "images": 4}}
    project = Project(tmp_path / "p", figures=figures, tables={}, explored=PAGES, shard_images=2)
    project.run()
    root = project.folder / "results/small"
    ids = [name for shard in read_json(root / "images/scenes/native/index.json")["shards"].values() for name in shard]
    pages = [f"explored/scenes/{number}-{name}.html" for number, name in enumerate(ids[:3], 1)]
    assert links(root) == {"few": pages[:2], "many": pages}  # the fourth has none
    assert sorted(str(path.relative_to(root)) for path in (root / "explored/scenes").iterdir()) == pages
    (features, *_) = sorted((root / "features").rglob("*.json"))
    assert "4x4/v" in Store(features).description["arrays"]  # which no method of this run reads
    assert project.planned() == set()
    other = {"few": {**FIGURE, "title": "Another", "columns": FIGURE["columns"][:2]}, "many": figures["many"]}
    project.configure(figures=other, tables={}, explored=PAGES, shard_images=2)
    assert project.planned() == {"figure", "report"}
    project.configure(figures=figures, tables={}, shard_images=2)
    assert "explored" not in project.planned()
