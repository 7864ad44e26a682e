"""The data-set level as a user runs it: what reruns, what it does not depend on, and a kill in the middle."""

import csv
import json
import os
import re
import signal
import time

import pytest

from tests.workflow.test_workflow import SMALL, Project, copy_of, opens
from whatwhere.app.show import describe

pytestmark = pytest.mark.slow

BATCHES = {
    "kind": "minibatch",
    "vectors": 6,
    "batch_images": 3,
    "batches": 4,
    "steps": 3,
    "graph": {"intra": 3, "inter": 3},
}
METHODS = {
    "what": {"kind": "global", "pathway": "vv", "vectors": 6},
    "where": {"kind": "global", "pathway": "qk", "vectors": 6},
    "batches": {**BATCHES, "pathway": "vv"},
    "live": {**BATCHES, "pathway": "vv", "features": "live"},
    "released": {**BATCHES, "kind": "minibatch_released", "pathway": "qk", "columns": 4},
    "final": {"kind": "final"},
    "position": {"kind": "position"},
    "truth": {"kind": "truth"},
    "exact": {"kind": "exact", "vectors": 4},
}
ROWS = [
    {"labels": [method], "backbone": "tiny", "method": method} for method in METHODS if method not in ("truth", "exact")
]
TABLE = {"source": "paper", "datasets": ["scenes"], "columns": ["Method"]}
DRAWING = {"kind": "method", "dataset": "scenes", "backbone": "tiny", "what": "what", "where": "where"}
JOINT = {
    "datasets": {"scenes": {"kind": "scenes", "images": 6, "size_px": 128}},
    "methods": METHODS,
    "segments": {"restarts": 2, "draws": 2, "least_px": 4},
    "tables": {
        "table3": {
            **TABLE,
            "kind": "matching",
            "title": "Table 3",
            "rows": [
                {"labels": ["theirs"], "paper": {"COCO": 4.4}, "reported": "[12]"},
                {"labels": ["what + CRF"], "backbone": "tiny", "method": "what", "crf": True},
                *ROWS,
            ],
        },
        "table5": {
            **TABLE,
            "kind": "position",
            "title": "Table 5",
            "rows": [{"labels": ["truth"], "backbone": "tiny", "method": "truth"}, *ROWS],
        },
    },
    "figures": {
        "figure1": {**DRAWING, "drawing": "overview", "title": "Figure 1", "images": 4, "single": "exact"},
        "figure2": {**DRAWING, "drawing": "diagram", "title": "Figure 2", "images": 2},
        "figure5": {
            "kind": "pictures",
            "title": "Figure 5",
            "dataset": "scenes",
            "images": 3,
            "columns": [
                {"show": "image", "heading": "Image"},
                {"show": "eigenvectors", "heading": "1-3", "backbone": "tiny", "method": "what"},
                {"show": "regions", "heading": "Regions", "backbone": "tiny", "method": "what"},
            ],
        },
        "figure7": {
            "kind": "pictures",
            "title": "Figure 7",
            "dataset": "scenes",
            "images": 2,
            "photographs": "tiny",
            "columns": [{"show": "truth", "heading": "Labels"}, {"show": "halves", "heading": "Left and right"}],
        },
    },
}
#: What follows from the clusters of a data set.
JUDGED = {"refined", "matching", "table", "figure", "report"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("joint"), **JOINT)
    project.run()
    return project


@pytest.fixture
def project(finished, tmp_path):
    """A finished run that a test may change."""
    return copy_of(finished, tmp_path / "p")


def rows(project, table):
    with (project.folder / f"results/small/tables/{table}.csv").open() as file:
        return {row["Method"]: row for row in csv.DictReader(file)}


def test_everything_opens_from_python(finished):
    found = opens(finished)
    segments, refined = found["segments/scenes/tiny/what"], found["refined/scenes/tiny/what"]
    assert refined.coords["partition"] == segments.chosen[0] == segments.partition[0]
    assert found["joint/scenes/tiny/what"].value.dims == ("vector",)
    assert {"image", "target", "label"} <= {*found["matching/segments/scenes/tiny/what"].columns}


def test_everything_is_made_once(finished):
    what = rows(finished, "table3")
    assert what["theirs"]["COCO (paper)"] == "4.4"
    assert what["theirs"]["Note"] == "reported: [12]"
    assert all(0 < float(row["Hungarian mIoU"]) <= 100 for name, row in what.items() if name != "theirs")
    assert what["what"]["Images"] == "6"
    assert what["what + CRF"]["Accuracy"] != what["what"]["Accuracy"]
    where = rows(finished, "table5")
    assert float(where["position"]["MSE"]) < 1 < float(where["what"]["MSE"])
    assert where["truth"]["Hungarian mIoU"] == ""
    assert not list((finished.folder / "results").rglob("*.state"))
    assert "Nothing to be done" in finished.run()


def test_every_store_can_be_shown(finished):
    text = describe(finished.folder / "results")
    assert all(f"/{stage}/" in text for stage in ("joint", "segments", "refined"))


def test_values_are_kept_where_a_method_reads_them(finished, tmp_path):
    (manifest,) = (finished.folder / "results/small/features/scenes/tiny").glob("*.json")
    assert any(name.endswith("/v") for name in json.loads(manifest.read_text())["arrays"])
    only = {"table3": {**JOINT["tables"]["table3"], "rows": [r for r in ROWS if r["method"] in ("where", "live")]}}
    other = Project(tmp_path, **{**JOINT, "tables": only, "figures": {}})
    other.run()
    (manifest,) = (tmp_path / "results/small/features/scenes/tiny").glob("*.json")
    assert not any(name.endswith("/v") for name in json.loads(manifest.read_text())["arrays"])


def test_a_live_solve_needs_no_features_and_answers_alike(finished, tmp_path):
    live = {"table3": {**JOINT["tables"]["table3"], "rows": [r for r in ROWS if r["method"] == "live"]}}
    other = Project(tmp_path, **{**JOINT, "tables": live, "figures": {}})
    other.run()
    assert not (tmp_path / "results/small/features").exists()
    alone, beside = (rows(run, "table3")["live"] for run in (other, finished))
    assert alone.items() <= beside.items()  # but for columns that only other rows fill


def test_all_rows_are_scored_in_the_pixels_of_one_view(finished):
    views = {"views": {**SMALL["views"], "fine": {"protocol": "square", "size_px": 256, "multiple_px": 16}}}
    try:
        finished.configure(**{**JOINT, **views, "segments": {**JOINT["segments"], "view": "fine"}})
        planned = finished.planned()
        assert planned >= {"index", "matching", "refined", "table"}
        assert not planned & {"joint", "segments", "features"}
    finally:
        finished.configure(**JOINT)


CHANGES = {
    "least_px": ({"segments": {**JOINT["segments"], "least_px": 9}}, {"matching", "table", "figure", "report"}),
    "crf": ({"segments": {**JOINT["segments"], "crf": {"iterations": 2}}}, {"refined", "matching", "table", "report"}),
    "restarts": ({"segments": {**JOINT["segments"], "restarts": 3}}, {"segments"} | JUDGED),
    "a method": (
        {"methods": {**METHODS, "what": {**METHODS["what"], "time": 1}}},
        {"joint", "segments", "coordinates"} | JUDGED,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_what_follows_from_it(finished, change):
    changes, expected = CHANGES[change]
    try:
        finished.configure(**{**JOINT, **changes})
        assert finished.planned() == expected
    finally:
        finished.configure(**JOINT)


CODE = {
    "method/joint/minibatch.py": {"joint", "segments", "coordinates"} | JUDGED,
    "method/joint/search.py": {"joint", "segments", "coordinates"} | JUDGED,
    "evaluate/crf.py": {"refined", "matching", "table", "report"},
    "evaluate/position.py": {"coordinates", "table", "report"},
    "stages/joint_tables.py": {"table", "report"},
    "method/solve/gradient.py": set(),
}


@pytest.mark.parametrize("module", CODE)
def test_changing_code_reruns_the_stages_that_use_it(finished, module):
    file = finished.folder / "src" / "whatwhere" / module
    original = file.read_text()
    try:
        file.write_text(original + "\nADDED = 1\n")
        assert finished.planned() == CODE[module]
    finally:
        file.write_text(original)


def test_results_do_not_depend_on_cores_shards_files_or_on_features_that_are_kept(finished, tmp_path):
    other = Project(tmp_path, **{**JOINT, "shard_images": 4, "features": {"run_images": 1, "keep": False}})
    other.snakemake("--cores", "1")
    found, expected = other.contents(), finished.contents()
    for name in expected:
        if name.startswith(("joint/", "segments/", "coordinates/", "matching/", "tables/", "figures/")):
            assert found[name] == expected[name], name
    assert len(list((tmp_path / "results/small/images/scenes/native").glob("*-00?.json"))) == 2
    assert not list((tmp_path / "results/small/features").rglob("*.json"))
    assert other.planned() == set()


def test_a_killed_solve_goes_on_with_the_same_result(finished, tmp_path):
    long = {**METHODS, "batches": {**METHODS["batches"], "batches": 100}}
    tables = {"table3": {**JOINT["tables"]["table3"], "rows": [r for r in ROWS if r["method"] == "batches"]}}
    settings = {**JOINT, "methods": long, "tables": tables, "figures": {}}
    whole = Project(tmp_path / "whole", **settings)
    whole.run()
    project = Project(tmp_path / "killed", **settings)
    state = project.folder / "results/small/joint/scenes/tiny/batches.state"
    process = project.begun("--cores", "2")
    deadline = time.monotonic() + 600
    while not (state / "about.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)  # somewhere among its 100 batches
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for path in ("batches.json", "batches.zarr"):
        assert not state.with_name(path).exists()
    project.snakemake("--unlock")
    assert state.exists()
    project.run()
    assert re.search(r"[0-9]", rows(project, "table3")["batches"]["Hungarian mIoU"])
    assert project.contents() == whole.contents()
