"""`snakemake zoo` as a user runs it, at a size of minutes: every network, what was measured of it, and the page."""

import json
import re
import shutil

import pytest

from tests.workflow.test_workflow import SMALL, Project

pytestmark = pytest.mark.slow

BRIEF = {"steps": 2, "batch_images": 4, "learning_rate": 1e-3}
ZOO = {
    "scenes": 22,
    "held_out": 8,
    "sample_steps": 2,
    "recipes": dict.fromkeys(("dino", "mae", "clip", "autoencoder", "diffusion"), BRIEF),
    "evidence": {"train_images": 6, "select_images": 3, "test_images": 4},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("zoo"), zoo=ZOO)
    project.run("zoo")
    return project


def test_the_zoo_is_trained_measured_and_described(trained):
    zoo = trained.folder / "results/zoo"
    for stage in ZOO["recipes"]:
        history = json.loads((zoo / stage / "training.json").read_text())
        assert history["recipe"]["steps"] == 2
        assert [step for step, _ in history["validation"]["loss"]] == [2]
    page = (zoo / "docs/zoo.md").read_text()
    for title in ("DINO", "MAE", "CLIP", "Latent diffusion"):
        assert title in page
    pictures = re.findall(r"\]\(([^)]+\.png)\)", page)
    assert len(pictures) == 7
    assert all((zoo / "docs" / picture).stat().st_size > 1000 for picture in pictures)


def test_nothing_is_trained_twice_or_with_all(trained):
    assert trained.planned("zoo") <= {"zoo"}
    assert not {rule for rule in trained.planned() if rule.startswith("zoo")}


def test_what_was_trained_is_a_backbone(trained):
    sizes = {"view": "native", "model": ""}
    backbones = {f"own-{f}": {**sizes, "model": f"results/zoo/{f}"} for f in ("dino", "mae", "clip", "diffusion")}
    rows = [{"labels": [name, "exact"], "backbone": name, "method": "exact"} for name in backbones]
    table = {**SMALL["tables"]["table1"], "rows": rows}
    trained.configure(zoo=ZOO, backbones=backbones, tables={"table1": table}, figures={})
    trained.run()
    assert (trained.folder / "results/small/tables/table1.md").read_text().count("own-") == 4
    changed = trained.folder / "results/zoo/mae/model.safetensors"
    shutil.copy(trained.folder / "results/zoo/dino/model.safetensors", changed)
    features = [line for line in trained.snakemake("-n").splitlines() if re.search(r"output: .*/features/", line)]
    assert len(features) == 1
    assert "own-mae" in features[0]


def test_a_recipe_that_changed_asks_before_it_forgets_a_training(trained):
    trained.configure(zoo={**ZOO, "recipes": {**ZOO["recipes"], "mae": {**BRIEF, "steps": 3}}})
    text = trained.snakemake("--cores", "1", "results/zoo/mae/training.json", status=1)
    assert "expected this recipe, got steps 2 instead of 3; remove" in text
