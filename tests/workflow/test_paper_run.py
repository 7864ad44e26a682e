"""`config/paper.yaml` as a run, on miniatures of its data sets and checkpoints in their publishers' layouts."""

import json

import numpy as np
import pytest
import torch
import yaml
from pycocotools.coco import COCO

from tests.backbones.test_groupvit import write_groupvit
from tests.backbones.test_language import write_clip
from tests.backbones.test_repositories import write_diffusion
from tests.datasets import test_coco, test_cocostuff27, test_voc
from tests.workflow.test_workflow import ROOT, Project, shipped
from whatwhere.zoo.training.words import learn_tokenizer

pytestmark = pytest.mark.slow

PAPER = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
#: Of these the weights are read from a repository; all others are transformers, drawn at random.
REPOSITORIES = {"stable-diffusion-v1-4": "diffusion", "clip-vit-b16": "clip", "groupvit": "groupvit"}
DRAWN = {"weights": "random", "options": {"embed_dim": 12, "num_heads": 3}}
#: Sides in pixels of the paper's views.
SIDES = {"short-448": 64, "short-224": 32, "square-512": 32, "square-480": 64, "crop": 64, "crop-512": 32}
#: Of every kind of backbone and solver something, and all of appendix D; all eight tables take eight minutes.
TABLES = ("table5", "table7", "table8")
FIGURES = ("figure11", "figure12", "figure13", "figure14")
BATCHES = {"batch_images": 2, "batches": 2, "steps": 2}
METHODS = {
    "gradient": {"steps": 20},
    "gradient-buffer": {"steps": 2},
    "released": {"steps": 2},
    "what-batches": BATCHES,
    "where-batches": BATCHES,
    "what-released": {"batches": 2},
}


def write_data(root):
    """Three photographs of each data set; one's own copies, so that nothing is fetched."""
    test_voc.write_voc(root / "voc/VOCdevkit/VOC2012")
    test_coco.write_coco(root / "coco", [places[0] for places in test_coco.PLACES.values()])
    test_cocostuff27.write_coco(root / "stuff", [places[0] for places in test_cocostuff27.PLACES.values()])


def write_models(root):
    tokenizer = learn_tokenizer(["a photo of a red car on a road", "a view of the sea"], vocabulary=120)
    tokenizer.model_max_length = 77
    for name in REPOSITORIES.values():
        (root / name).mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        write_clip(root / "clip", tokenizer, positions=77)
        write_groupvit(root / "groupvit", positions=77)
        write_diffusion(root / "diffusion", tokenizer)


def miniature(models):
    """What makes the paper's run small, and no other: sizes, numbers of steps and images, where weights are."""
    backbones = {name: settings for name, settings in PAPER["backbones"].items() if settings}
    return {
        "run": "miniature",
        "device": "cpu",
        "only": [*TABLES, *FIGURES],
        "views": {name: {"size_px": side, "multiple_px": 16} for name, side in SIDES.items()},
        "datasets": {
            **{name: {"limit": 3} for name in ("voc", "coco")},
            "cocostuff27": {"limit": 3, "root": "data/stuff"},
        },
        "backbones": {
            name: {"model": str(models / REPOSITORIES[settings["model"]])}
            if settings["model"] in REPOSITORIES
            else DRAWN
            for name, settings in backbones.items()
        },
        "methods": METHODS,
        "segments": {"least_px": 4, "restarts": 1},
        "bootstrap": 20,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    project = Project(folder)
    shipped(folder, "paper.yaml")
    write_data(folder / "data")
    write_models(folder / "models")
    (folder / "miniature.yaml").write_text(yaml.safe_dump(miniature(folder / "models")))
    project.run("--configfile", "config/paper.yaml", "miniature.yaml")
    return folder / "results" / "miniature"


@pytest.mark.parametrize("table", TABLES)
def test_every_row_that_the_overlay_computes_has_numbers(finished, table):
    written = json.loads((finished / "tables" / f"{table}.meta.json").read_text())["rows"]
    found = [tuple(row["labels"]) for row in written if row["numbers"]]
    computed = [tuple(row["labels"]) for row in PAPER["tables"][table]["rows"] if "backbone" in row]
    assert found == computed
    assert all(np.isfinite([number[0] for row in written for number in row["numbers"].values()]))


def test_objects_are_cocos(finished):
    truth = COCO(str(next(finished.glob("images/coco/square-512/*.instances.json"))))
    assert len(truth.loadRes(str(finished / "detections/coco/sd14/exact.json")).imgs) == 3


def test_figures_and_claims_are_shown(finished):
    for name in FIGURES:
        assert (finished / "figures" / f"{name}.png").stat().st_size > 3000
    page = (finished / "report.html").read_text("utf-8")
    told = [claim for claim in PAPER["claims"] if claim["table"] in TABLES]
    assert f"Of {len(told)} claims" in page
