"""Pages to point at, as a run makes them: of a figure's photographs, from the stores that it has."""

import re

import pytest

from tests.workflow.test_workflow import SMALL, Project
from whatwhere.artifacts.store import Store, read_json

pytestmark = pytest.mark.slow


def test_the_report_links_to_pages_of_its_figures_photographs(tmp_path):
    figure = {**SMALL["figures"]["figure3"], "explore": "tiny"}
    project = Project(tmp_path / "p", figures={"figure3": figure}, tables={}, shard_images=2)
    project.run()
    root = project.folder / "results/small"
    links = re.findall(r'href="(explored/[^"]*)"', (root / "report.html").read_text("utf-8"))
    ids = [name for shard in read_json(root / "images/scenes/native/index.json")["shards"].values() for name in shard]
    assert links == [f"explored/figure3/{number}-{name}.html" for number, name in enumerate(ids[:2], 1)]
    assert all((root / link).is_file() for link in links)
    (features, *_) = sorted((root / "features").rglob("*.json"))
    assert "4x4/v" in Store(features).description["arrays"]  # which no method of this run reads
    assert project.planned() == set()
    project.configure(figures={"figure3": {**figure, "explore": None}}, tables={}, shard_images=2)
    assert "explored" not in project.planned()
