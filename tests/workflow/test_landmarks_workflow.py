"""A codebook in a run: one job makes it, one a shard extends, and what is lost of one shard is that shard's alone."""

import json
import shutil

import pytest

from tests.workflow.test_workflow import SMALL, Project, opens
from whatwhere.artifacts.store import Store

pytestmark = pytest.mark.slow

ROWS = [{"labels": ["tiny"], "backbone": "tiny", "method": "marks"}]
MARKS = {
    "shard_images": 2,
    "datasets": {"scenes": {"kind": "scenes", "images": 5, "size_px": 64}},
    "methods": {
        "marks": {"kind": "landmarks", "vectors": 3, "sample": 2, "landmarks": 8, "graph": {"intra": 3, "inter": 3}}
    },
    "segments": {"restarts": 1, "draws": 1, "least_px": 1},
    "tables": {
        "table3": {
            **{"kind": "matching", "title": "Table 3", "source": "paper", "datasets": ["scenes"], "rows": ROWS},
            "columns": ["Method"],
        }
    },
    "figures": {
        "figure5": {
            **{"kind": "pictures", "title": "Figure 5", "dataset": "scenes", "images": 5},
            "columns": [
                {"show": "image", "heading": "Image"},
                {"show": "eigenvectors", "heading": "1-3", "backbone": "tiny", "method": "marks"},
            ],
        }
    },
}


def stores(project, stage):
    folder = project.folder / f"results/small/{stage}/scenes/tiny"
    files = [file for file in folder.rglob("*.json") if file.name != "zarr.json"]
    return {file.relative_to(folder).with_suffix("").as_posix(): Store(file) for file in files}


def test_shards_are_extended_by_themselves_to_the_same_rows(tmp_path):
    """In shards of two, a job each, and all at once, of features that are gone when they were read."""
    project = Project(tmp_path / "shards", **MARKS)
    project.run()
    found = stores(project, "extended")
    assert len(found) == 3
    assert {"codebook/scenes/tiny/marks", "extended/scenes/tiny/marks"} <= opens(project).keys()

    lost = project.folder / "results/small/extended/scenes/tiny/marks/64x64-001.json"
    before = lost.read_bytes()
    lost.unlink()  # what a killed job leaves: a store without its manifest
    shutil.rmtree(lost.with_suffix(".zarr") / "vectors")
    said = project.run()
    assert said.count("rule extended:") == 1
    assert "rule codebook:" not in said
    assert json.loads(lost.read_bytes())["content"] == json.loads(before)["content"]

    few = {"shard_images": 512, "features": {**SMALL["features"], "keep": False}}
    whole = Project(tmp_path / "whole", **{**MARKS, **few})
    whole.run()
    assert not stores(whole, "features")
    (alone,) = stores(whole, "extended").values()
    rows = {name: X.tobytes() for one in found.values() for name, X in zip(one.ids, one.read("vectors"), strict=True)}
    assert rows == {name: X.tobytes() for name, X in zip(alone.ids, alone.read("vectors"), strict=True)}
    for file in ("tables/table3.csv", "figures/figure5.png"):
        assert project.contents()[file] == whole.contents()[file]
