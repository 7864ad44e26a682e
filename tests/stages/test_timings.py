"""Seconds of each phase: a solver's many steps are reckoned from a few of them."""

import numpy as np
import pytest

from whatwhere.backbones import load_backbone
from whatwhere.stages import timings
from whatwhere.stages.timings import time_methods, timed_steps

GRADIENT = {"kind": "gradient", "vectors": 3, "pathway": "qk", "operator": "walk"}


@pytest.fixture
def made(monkeypatch):
    """Solves and folds that were made, with one second for each phase and each step."""
    made = {"steps": [], "folds": []}
    real = timings.solve

    def median(action):
        result = action()
        return float(made["steps"][-1] if made["steps"] else 1), result

    def solve(walks, *, solver, **choice):
        made["steps"].append(choice.get("steps", 0))
        return real(walks, solver=solver, **choice)

    def folded(features, **of_graphs):
        made["folds"].append(of_graphs)
        return folds(features, **of_graphs)

    folds = timings.folded
    for name, stub in (("median", median), ("timed", median), ("solve", solve), ("folded", folded)):
        monkeypatch.setattr(timings, name, stub)
    return made


def test_steps_are_reckoned_and_equal_graphs_folded_once(made):
    backbone = load_backbone(
        "tiny", model="vit_tiny_patch16_224", weights="random", options={"embed_dim": 24, "depth": 2, "num_heads": 3}
    )
    methods = {
        "long": {**GRADIENT, "steps": 300},
        "short": {**GRADIENT, "steps": 15},
        "other": {**GRADIENT, "steps": 40},
    }
    methods |= {"exact": {"kind": "exact", "vectors": 3, "pathway": "qk", "operator": "normalised"}}
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    found = time_methods(backbone, image, methods, regions={"candidates": [2], "restarts": 1})["methods"]
    assert made["steps"] == [1, 0, 0, 30, 15, 20, 0]  # each kind of solver once, and one for clusters; then the methods
    assert {name: found[name]["solve"] for name in methods} == {"long": 300, "short": 15, "other": 40, "exact": 0}
    assert found["long"]["status"].startswith("300 steps, reckoned from 30 steps, ")
    assert found["short"]["status"].startswith("15 steps, ")
    assert [graphs["operator"] for graphs in made["folds"]] == ["walk", "normalised"]


@pytest.mark.parametrize(("steps", "timed"), [(1, 1), (20, 20), (50, 20), (100, 20), (1000, 100)])
def test_a_tenth_of_the_steps_is_timed(steps, timed):
    assert timed_steps(steps) == timed
