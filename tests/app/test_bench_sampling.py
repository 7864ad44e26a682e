"""Two ways to choose a sample compared: one of each kind, where most photographs are of one kind."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from whatwhere.app.bench import sampling
from whatwhere.app.discover.codebook import Codebook
from whatwhere.artifacts.errors import InputError
from whatwhere.method.joint.seen import Seen, SeenLayer

#: Grey values of three kinds, and how many photographs there are of each in either half.
KINDS, OFTEN = (10, 120, 240), (8, 1, 1)


class Planted(Codebook):
    """A codebook that knows a photograph's one class where one of its kind was in the sample, else calls it 0."""

    def __init__(self, **asked):
        self.asked, self.known = asked, set()

    @property
    def book(self):
        return self

    @property
    def backbone(self):
        return SimpleNamespace(weights="planted")

    def seen(self, image):
        kind = KINDS.index(image[0, 0, 0])
        rows = {"v": torch.eye(3)[[kind] * 4].half()}
        return Seen(str(kind), (SeenLayer("last", (2, 2), rows),))

    def fit(self, images, ids):
        assert len(images) == len(ids) == self.asked["sample"]
        self.known = {self.seen(image).id for image in images}

    def extend(self, one):
        return one

    def assign(self, one):
        return np.full((2, 2), int(one.id) if one.id in self.known else 0)


@pytest.fixture
def folder(tmp_path):
    """Photographs of one grey each, and label maps of the class that it stands for."""
    kinds = [kind for kind, often in enumerate(OFTEN) for _ in range(2 * often)]
    for name in ("photos", "labels"):
        (tmp_path / name).mkdir()
    for number, kind in enumerate(kinds):
        Image.fromarray(np.full((8, 8, 3), KINDS[kind], np.uint8)).save(tmp_path / f"photos/{number:02d}.png")
        Image.fromarray(np.full((8, 8), kind, np.uint8)).save(tmp_path / f"labels/{number:02d}.png")
    return tmp_path


def measured(folder, **changes):
    choice = {"sample": 3, "classes": 3, "draws": 4, **changes}
    return sampling.bench_sampling(folder / "photos", folder / "labels", **choice)


def test_the_farthest_are_of_every_kind_and_that_is_scored(folder, monkeypatch):
    monkeypatch.setattr(sampling, "Codebook", Planted)
    found = measured(folder)
    assert found["photographs"] == {"to choose among": 10, "sample": 3, "new": 10}
    assert found["farthest"][0] == 1
    assert found["drawn"][0] < 1
    value, low, high = found["farthest more"]
    assert value == pytest.approx(1 - found["drawn"][0])
    assert low <= value <= high


def test_no_two_halves_are_one_line(folder):
    for image in sorted((folder / "photos").iterdir())[3:]:
        image.unlink()
        (folder / "labels" / image.name).unlink()
    with pytest.raises(InputError, match="expected at least 4 photographs with label maps, got 3"):
        measured(folder)
