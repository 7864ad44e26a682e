"""Names from texts and masks of objects as a user runs them: what is made, what reruns, features that go away."""

import csv
import json

import pytest
from pycocotools.coco import COCO

from tests.workflow.test_workflow import SMALL, Project, opens
from whatwhere.app.show import describe

pytestmark = pytest.mark.slow

NAMED = {"backbone": "clip", "method": "exact", "naming": "things"}
TOKENS = {**NAMED, "method": "tokens"}
NAMINGS = {"things": {"classes": ["car", "tree", "house"], "threshold": 0.4}}
TABLE = {"source": "paper", "datasets": ["scenes"], "columns": ["Method"]}
DECODED = {
    "datasets": {"scenes": {"kind": "scenes", "images": 5, "size_px": 128}},
    "backbones": {"clip": {"model": "zoo/clip", "view": "native"}},
    "shard_images": 3,
    "methods": {
        "exact": {"kind": "exact", "vectors": 4},
        "tokens": {"kind": "tokens"},
        "tokencut": {"kind": "tokencut", "masks": 2},
    },
    "namings": NAMINGS,
    "tables": {
        "table7": {
            **TABLE,
            "kind": "zeroshot",
            "title": "Table 7",
            "rows": [
                {"labels": ["GroupViT"], "paper": 0.53, "reason": "needs its weights"},
                {"labels": ["MaskCLIP"], "paper": 0.25, "of": "ViT-B/16", **TOKENS},
                {"labels": ["Ours"], "paper": 0.50, "of": "ViT-B/16", **NAMED},
            ],
        },
        "table8": {
            **TABLE,
            "kind": "instances",
            "title": "Table 8",
            "rows": [
                {"labels": ["TokenCut"], "paper": {"AP box": 1.7}, "backbone": "clip", "method": "tokencut"},
                {"labels": ["Ours"], "paper": {"#Masks": 13}, "backbone": "clip", "method": "exact"},
            ],
        },
    },
    "figures": {
        "figure11": {
            "kind": "pictures",
            "title": "Figure 11",
            "dataset": "scenes",
            "images": 2,
            "worst": NAMED,
            "columns": [
                {"show": "image", "heading": "Image"},
                {"show": "truth", "heading": "Truth", "naming": "things"},
                {"show": "named", "heading": "Ours", **NAMED},
                {"show": "proposals", "heading": "Objects", "backbone": "clip", "method": "exact", "most": 5},
                {"show": "objects", "heading": "True objects"},
            ],
        },
        "figure12": {
            "kind": "classes",
            "title": "Figure 12",
            "dataset": "scenes",
            "namings": {"a": NAMED, "b": TOKENS},
        },
    },
    "claims": [
        {
            "says": "Regions beat tokens",
            "source": "Table 7",
            "table": "table7",
            "quantity": "mIoU",
            "better": "higher",
            "comparisons": [{"ours": NAMED, "than": [TOKENS]}],
        }
    ],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("decoding"), **DECODED)
    project.run()
    return project


def rows(project, table):
    with (project.folder / f"results/small/tables/{table}.csv").open() as file:
        return {row["Method"]: row for row in csv.DictReader(file)}


def test_everything_opens_from_python(finished):
    found = opens(finished)
    assert found["texts/scenes/clip/things"].text.values.tolist() == NAMINGS["things"]["classes"]
    ids = [f"scene-00000{i}" for i in range(5)]  # in two shards
    for name in ("named/scenes/clip/exact/things", "features/scenes/clip", "images/scenes/native"):
        assert found[name].image.values.tolist() == ids
    assert found["images/scenes/native"].number.sel(image=ids[4]) == 5
    assert {*found["confusion/scenes/clip/exact/things"].image} == {*ids}


def test_everything_is_made_once(finished):
    names = rows(finished, "table7")
    assert names["GroupViT"]["Note"] == "needs its weights"
    for method, paper in (("MaskCLIP", 0.25), ("Ours", 0.5)):
        ours, difference = float(names[method]["mIoU (ours)"]), names[method]["mIoU (ours − paper)"]
        assert 0 < ours < 1
        assert float(difference.replace("−", "-")) == pytest.approx(ours - paper, abs=0.006)
    objects = rows(finished, "table8")
    assert float(objects["TokenCut"]["#Masks (ours)"].split()[0]) <= 2
    assert float(objects["Ours"]["#Masks (ours)"].split()[0]) > 2
    report = (finished.folder / "results/small/report.html").read_text()
    assert "Regions beat tokens" in report
    assert "the 95 % interval of the" in " ".join(report.split())
    assert "Nothing to be done" in finished.run()


def test_every_store_can_be_shown(finished):
    text = describe(finished.folder / "results")
    assert all(f"/{stage}/" in text for stage in ("texts", "named", "features"))


def test_predictions_load_beside_the_truth_of_all_shards(finished):
    root = finished.folder / "results/small"
    results = json.loads((root / "detections/scenes/clip/exact.json").read_text())
    numbers = set()
    for path in sorted((root / "images/scenes/native").glob("*.instances.json")):
        truth = COCO(str(path))
        own = [entry for entry in results if entry["image_id"] in truth.imgs]
        assert len(truth.loadRes(own).anns) == len(own) > 0
        numbers |= {*truth.imgs}
    assert numbers == {1, 2, 3, 4, 5} == {entry["image_id"] for entry in results}


def test_features_can_be_deleted_once_names_are_given(finished, tmp_path):
    brief = Project(tmp_path, **{**DECODED, "features": {**SMALL["features"], "keep": False}})
    brief.run()
    assert not list((tmp_path / "results/small/features").rglob("*.json"))
    kept = {name: content for name, content in finished.contents().items() if not name.startswith("features")}
    assert brief.contents() == kept
    assert brief.planned() == set()


def test_results_do_not_depend_on_shards(finished, tmp_path):
    whole = Project(tmp_path, **{**DECODED, "shard_images": 5, "figures": {}, "claims": []})
    whole.run()
    for table in DECODED["tables"]:
        name = f"results/small/tables/{table}.csv"
        assert (whole.folder / name).read_bytes() == (finished.folder / name).read_bytes()


SHOWN = {"table", "figure", "report"}
CHANGES = {
    "threshold": ({"namings": {"things": {**NAMINGS["things"], "threshold": 0.2}}}, {"named", "confusion"} | SHOWN),
    "prompts": (
        {"namings": {"things": {**NAMINGS["things"], "templates": ["{}"]}}},
        {"texts", "named", "confusion"} | SHOWN,
    ),
    "overlap": ({"proposals": {"overlap": 0.5}}, {"proposals", "detections"} | SHOWN),
    "claims": ({"claims": []}, {"report"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_what_follows_from_it(finished, change):
    changes, expected = CHANGES[change]
    try:
        finished.configure(**{**DECODED, **changes})
        assert finished.planned() == expected
    finally:
        finished.configure(**DECODED)


CODE = {
    "evaluate/zeroshot.py": {"texts", "named", "confusion"} | SHOWN,
    "evaluate/silhouette.py": {"proposals", "detections"} | SHOWN,
    "evaluate/instances.py": {"proposals", "detections"} | SHOWN,
    "publish/figures/bars.py": {"figure", "report"},
    "publish/claims.py": {"report"},
}


@pytest.mark.parametrize("module", CODE)
def test_changing_code_reruns_the_stages_that_use_it(finished, module):
    file = finished.folder / "src" / "whatwhere" / module
    original = file.read_text()
    try:
        file.write_text(original + "\nADDED = 1\n")
        planned = finished.planned()
        assert planned >= CODE[module]
        assert not planned & {"features", "images", "vectors", "regions"}
    finally:
        file.write_text(original)
