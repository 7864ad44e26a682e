"""Rendered scenes: their ground truth is exact, their composition obeys perspective, their bytes repeat."""

import json
import re

import numpy as np
import pytest
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from scipy import ndimage

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.coco_json import coco_json
from whatwhere.datasets.record import Dataset, Instance, Record
from whatwhere.datasets.scenes import load
from whatwhere.scenes.caption import NOUNS, STUFF_SHARE, THING_SHARE, caption
from whatwhere.scenes.render import majority, render
from whatwhere.scenes.world import CLASSES, THINGS, Visible

SEEDS = range(100)
WATER = CLASSES.index("water")


@pytest.fixture(scope="module")
def scenes():
    return [render(seed) for seed in SEEDS]


def _instances(scenes, name):
    return [(scene, one) for scene in scenes for one in scene.instances if one.category == CLASSES.index(name)]


def test_the_same_seed_gives_the_same_bytes(scenes):
    for seed in (0, 7, 42):
        again, first = render(seed), scenes[seed]
        assert again.image.tobytes() == first.image.tobytes()
        assert again.labels.tobytes() == first.labels.tobytes()
        assert again.caption == first.caption
        pairs = zip(again.instances, first.instances, strict=True)
        assert all(a.category == b.category and (a.mask == b.mask).all() for a, b in pairs)


def test_rendering_leaves_the_global_random_state_alone():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    render(5)
    assert np.random.random() == expected


def test_different_seeds_give_different_scenes(scenes):
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)


def test_every_pixel_is_labelled(scenes):
    for scene in scenes:
        assert scene.image.shape == (128, 128, 3)
        assert scene.image.dtype == np.uint8
        assert scene.labels.shape == (128, 128)
        assert scene.labels.dtype == np.int16
        assert scene.labels.min() >= 0
        assert scene.labels.max() < len(CLASSES)


def test_instances_partition_the_pixels_of_their_classes(scenes):
    """Masks are disjoint, and the union of a class's masks is exactly where the labels name that class."""
    for scene in scenes:
        owners = np.zeros((128, 128), int)
        union = np.full((128, 128), -1)
        for one in scene.instances:
            owners += one.mask
            union[one.mask] = one.category
        assert owners.max() <= 1
        thing = np.isin(scene.labels, [CLASSES.index(name) for name in THINGS])
        assert (np.where(thing, scene.labels, -1) == union).all()


def test_a_pixel_takes_the_commonest_code_and_in_a_tie_the_nearer():
    rng = np.random.default_rng(0)
    code = rng.integers(0, 4, (128, 128)).astype(np.int16)
    found = majority(code)
    for y, x in np.ndindex(64, 64):
        counts = np.bincount(code[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel(), minlength=4)
        assert found[y, x] == np.nonzero(counts == counts.max())[0][-1]


def test_what_is_drawn_can_be_seen(scenes):
    assert min(one.mask.sum() for scene in scenes for one in scene.instances) >= 20


def test_every_class_is_common(scenes):
    shares = np.array([np.bincount(scene.labels.ravel(), minlength=len(CLASSES)) for scene in scenes])
    often = dict(zip(CLASSES, ((shares / 128**2) > 0.002).mean(0), strict=True))
    assert len(CLASSES) >= 12
    assert min(often.values()) >= 0.1, often


def test_things_stand_left_and_right_and_several_at_a_time(scenes):
    for name in THINGS:
        found = _instances(scenes, name)
        left = np.mean([np.nonzero(one.mask)[1].mean() < 64 for _, one in found])
        assert 0.3 < left < 0.7, name
        several = sum(sum(one.category == CLASSES.index(name) for one in s.instances) > 1 for s in scenes)
        assert several >= 5, name


@pytest.mark.parametrize("name", ["person", "car", "tree"])
def test_what_stands_lower_is_nearer_and_larger(scenes, name):
    """Height over the foot's distance from the horizon is constant in perspective; so they correlate."""
    feet, heights = [], []
    for _, one in _instances(scenes, name):
        rows = np.nonzero(one.mask.any(1))[0]
        if rows[0] > 0 and rows[-1] < 127:
            feet.append(rows[-1])
            heights.append(rows[-1] - rows[0])
    assert len(feet) > 30
    assert np.corrcoef(feet, heights)[0, 1] > 0.3


def test_the_nearer_hides_the_farther():
    """Instances are listed from far to near, so a foot further down comes later."""
    for seed in range(20):
        feet = [np.nonzero(one.mask.any(1))[0][-1] for one in render(seed).instances]
        assert np.mean(np.diff(feet) >= -6) > 0.7 if len(feet) > 3 else True


def test_boats_lie_on_water(scenes):
    """Below a boat's lowest pixels is water, unless something nearer stands there."""
    things = [CLASSES.index(name) for name in THINGS]
    found = _instances(scenes, "boat")
    assert len(found) > 20
    for scene, one in found:
        row = np.nonzero(one.mask.any(1))[0][-1]
        below = scene.labels[min(row + 1, 127), one.mask[row]]
        assert np.isin(below, [WATER, *things]).all()
        near = ndimage.binary_dilation(one.mask, iterations=2)
        assert (scene.labels[near] == WATER).any()


def test_nothing_but_sky_and_what_rises_into_it_is_above_the_highest_ground(scenes):
    """Ground never shows above the horizon: grass, road, sand and water begin below one common row."""
    ground = [CLASSES.index(name) for name in ("grass", "road", "sand", "water")]
    above = [CLASSES.index(name) for name in ("sky", "cloud", "mountain")]
    for scene in scenes:
        top = np.nonzero(np.isin(scene.labels, ground).any(1))[0][0]
        sky = np.nonzero(np.isin(scene.labels, above).any(1))[0]
        assert len(sky) == 0 or sky[-1] <= top + 1


@pytest.mark.parametrize("seed", [1, 12, 33, 58])
def test_the_composition_does_not_depend_on_the_size(scenes, seed):
    small, large = render(seed, size_px=64), scenes[seed]
    assert (small.labels == large.labels[::2, ::2]).mean() > 0.88
    assert [one.category for one in small.instances] == [one.category for one in large.instances]
    blurred = large.image.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(blurred - small.image).mean() < 12


def test_labels_lie_exactly_on_the_image(scenes):
    """The image changes most where the labels do, and less where they would if moved by one pixel."""
    change = {-1: 0.0, 0: 0.0, 1: 0.0}
    elsewhere = 0.0
    for scene in scenes[:30]:
        step = np.abs(np.diff(scene.image.mean(2), axis=1))
        border = np.diff(scene.labels, axis=1) != 0
        for shift in change:
            change[shift] += step[np.roll(border, shift, 1)].mean()
        elsewhere += step[~border].mean()
    assert change[0] > 1.3 * max(change[-1], change[1])
    assert change[0] > 3.0 * elsewhere


def _named(words):
    """Classes that a caption names; a tree line is not a tree."""
    found = {"tree line"} if "tree line" in words else set()
    words = words.replace("tree line", "")
    found |= {"cloud"} if "cloudy" in words else set()
    for name, forms in NOUNS.items():
        nouns = {form.removeprefix("a ").removeprefix("an ") for form in forms}
        if any(re.search(rf"\b{noun}\b", words) for noun in nouns):
            found.add(name)
    return found


def test_captions_name_only_what_is_visible(scenes):
    for scene in scenes:
        named = _named(scene.caption)
        assert named
        for name in named:
            least = THING_SHARE if name in THINGS else STUFF_SHARE
            assert (scene.labels == CLASSES.index(name)).mean() >= least, scene.caption
    assert set().union(*(_named(scene.caption) for scene in scenes)) == set(CLASSES)


def test_captions_tell_left_from_right(scenes):
    sided = 0
    for scene in scenes:
        for noun, side in re.findall(r"(\w+) on the (left|right)\b", scene.caption):
            name = next(name for name, forms in NOUNS.items() if any(form.split()[-1] == noun for form in forms))
            masks = [one.mask for one in scene.instances if one.category == CLASSES.index(name)]
            middles = [np.nonzero(mask)[1].mean() for mask in masks if mask.mean() >= THING_SHARE]
            assert all((x < 64) == (side == "left") for x in middles), scene.caption
            sided += 1
    assert sided > 30


def test_a_caption_counts_what_is_large_enough():
    labels = np.full((100, 100), CLASSES.index("grass"), np.int16)
    masks = np.zeros((3, 100, 100), bool)
    masks[0, 40:60, 5:15], masks[1, 40:60, 20:30], masks[2, 0:2, 0:2] = True, True, True
    cars = tuple(Visible(CLASSES.index("car"), mask) for mask in masks)
    words = caption(labels, cars, "at dusk", rng=np.random.default_rng(0))
    assert "two cars" in words
    assert "on the grass" in words
    assert words.endswith("at dusk")


def test_coco_json_decodes_to_the_instances(tmp_path):
    dataset = load("scenes", images=6, size_px=64, first_seed=20)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco_json(dataset)))
    coco = COCO(str(path))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    for image_id, record in enumerate(dataset.records, 1):
        assert coco.loadImgs(image_id)[0]["file_name"] == record.id
        found = coco.loadAnns(coco.getAnnIds(imgIds=image_id))
        for annotation, one in zip(found, record.instances(), strict=True):
            assert annotation["category_id"] == one.category + 1
            assert (coco.annToMask(annotation).astype(bool) == one.mask).all()
            assert annotation["area"] == one.mask.sum()
            rows, columns = np.nonzero(one.mask)
            left, top, width, height = annotation["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
    assert sum(len(record.instances()) for record in dataset.records) == len(coco.getAnnIds())


def test_coco_json_takes_any_data_set():
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    image = np.zeros((4, 6, 3), np.uint8)
    full = Record("a", image=lambda: image, instances=lambda: (Instance(1, mask),))
    answer = coco_json(Dataset("two", (full, Record("b", image=lambda: image)), ("x", "y")))
    assert [(i["id"], i["width"], i["height"]) for i in answer["images"]] == [(1, 6, 4), (2, 6, 4)]
    (annotation,) = answer["annotations"]
    assert annotation["category_id"] == 2
    assert annotation["bbox"] == [2.0, 1.0, 3.0, 2.0]
    assert (run_lengths.decode(annotation["segmentation"]).astype(bool) == mask).all()


def test_the_records_of_a_data_set_are_the_seeds():
    dataset = load("scenes", images=3, size_px=128, first_seed=121)
    record = dataset.records[2]
    assert (record.id, len(dataset.records), dataset.classes) == ("scene-000123", 3, CLASSES)
    scene = render(123)
    assert (record.image() == scene.image).all()
    assert (record.labels()[0] == scene.labels).all()
    assert len(record.instances()) == len(scene.instances)
    assert record.captions() == (scene.caption,)


def test_what_a_record_hands_out_may_be_changed():
    record = load("scenes", images=1, size_px=32, first_seed=4).records[0]
    before = record.image()
    record.image()[:] = 0
    record.labels()[0][:] = -1
    assert (record.image() == before).all()
    assert record.labels()[0].min() >= 0


def test_bad_requests_say_what_was_expected():
    with pytest.raises(InputError, match="size_px >= 16"):
        render(0, size_px=8)
    with pytest.raises(InputError, match="seed >= 0"):
        render(-1)
    with pytest.raises(InputError, match="images >= 0"):
        load("scenes", images=-1, size_px=64, first_seed=0)
