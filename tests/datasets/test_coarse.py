"""COCO's coarse classes from maps of them, and from COCO's panoptic annotation."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.test_datasets import noise, refused
from whatwhere.datasets import cocostuff27, sources
from whatwhere.datasets.coarse import coarse_class
from whatwhere.datasets.cocostuff27 import CLASSES, FINE
from whatwhere.datasets.labels import read_labels
from whatwhere.datasets.record import IGNORE

SHARED = Path(__file__).parents[3] / "shared/data/coco_val100"
#: What COCO calls the super-categories of its panoptic categories, of things and of stuff.
THINGS = ("electronic", "appliance", "food", "furniture", "indoor", "kitchen", "accessory", "animal", "outdoor")
THINGS = (*THINGS, "person", "sports", "vehicle")
STUFF = ("ceiling", "floor", "food-stuff", "furniture-stuff", "raw-material", "textile", "wall", "window", "building")
STUFF = (*STUFF, "ground", "plant", "sky", "solid", "structural", "water")


def labels_of(seed, size=(6, 9)):
    labels = np.random.default_rng(seed).integers(0, 28, size)
    return np.where(labels == 27, 255, labels).astype(np.uint8)


def photographs(root, names, size=(6, 9)):
    (root / "images").mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        Image.fromarray(noise(seed, *size)).save(root / "images" / f"{name}.jpg")


def panoptic(root, maps):
    """As COCO writes it: a segment for each class, its number as a colour."""
    kinds = [
        {"id": 10 + 3 * place, "supercategory": name, "isthing": int(place < len(THINGS)), "name": name}
        for place, name in enumerate([*THINGS, *STUFF])
    ]
    folder = root / "annotations/panoptic_val2017"
    folder.mkdir(parents=True)
    described = []
    for name, labels in maps.items():
        present = [int(label) for label in np.unique(labels) if label != 255]
        number = {label: 70_000 + 300 * label + 7 for label in present} | {255: 0}
        ids = np.vectorize(number.get)(labels)
        colours = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1).astype(np.uint8)
        Image.fromarray(colours).save(folder / f"{name}.png")
        segments = [{"id": number[label], "category_id": kinds[label]["id"]} for label in present]
        described.append({"image_id": int(name), "file_name": f"{name}.png", "segments_info": segments})
    file = root / "annotations/panoptic_val2017.json"
    file.write_text(json.dumps({"annotations": described[::-1], "categories": kinds}))
    return file


def test_every_super_category_of_coco_is_a_coarse_class_in_their_order():
    of_things = [coarse_class(name, is_thing=True) for name in THINGS]
    assert (*of_things, *(coarse_class(name, is_thing=False) for name in STUFF)) == CLASSES
    assert {coarse for _, coarse in FINE} == set(CLASSES)


def test_maps_of_coarse_classes_are_taken_as_they_are(tmp_path):
    names = ("000000000139", "000000000285")
    photographs(tmp_path, (*names, "000000000632"))
    (tmp_path / "labels27").mkdir()
    for seed, name in enumerate(names):
        Image.fromarray(labels_of(seed)).save(tmp_path / "labels27" / f"{name}.png")
    dataset = cocostuff27.load("any", root=tmp_path)
    assert [record.id for record in dataset.records] == list(names)
    for seed, record in enumerate(dataset.records):
        expected = labels_of(seed).astype(int)
        np.testing.assert_array_equal(record.labels()[0], np.where(expected == 255, IGNORE, expected))
    assert dataset.took == "2 photographs with maps of the 27 coarse classes in labels27"
    assert len(cocostuff27.load("any", root=tmp_path, limit=1).records) == 1
    Image.fromarray(np.full((6, 9), 100, np.uint8)).save(tmp_path / "labels27" / f"{names[0]}.png")
    refused(dataset.records[0].labels, "0 to 26", "got 100")


def test_panoptic_segments_are_of_their_super_category(tmp_path):
    maps = {f"{number:012d}": labels_of(number) for number in (9, 25, 30)}
    panoptic(tmp_path, maps)
    photographs(tmp_path, list(maps)[:2])
    dataset = cocostuff27.load("any", root=tmp_path)
    assert [record.id for record in dataset.records] == list(maps)[:2]
    for record in dataset.records:
        expected = maps[record.id].astype(int)
        np.testing.assert_array_equal(record.labels()[0], np.where(expected == 255, IGNORE, expected))
    assert "panoptic annotation, by super-category" in dataset.took


def test_what_is_damaged_is_one_line(tmp_path):
    file = panoptic(tmp_path, {"000000000009": labels_of(0)})
    photographs(tmp_path, ["000000000009"])
    (record,) = cocostuff27.load("any", root=tmp_path).records
    Image.fromarray(noise(0, 6, 9)).save(file.with_suffix("") / "000000000009.png")
    refused(record.labels, "segments that the annotation lists")
    content = json.loads(file.read_text())
    content["categories"][0]["supercategory"] = "toys"
    file.write_text(json.dumps(content))
    refused(lambda: cocostuff27.load("any", root=tmp_path), "panoptic_val2017.json", "damaged one")
    (tmp_path / "images/000000000009.jpg").unlink()
    content["categories"][0]["supercategory"] = THINGS[0]
    file.write_text(json.dumps(content))
    refused(lambda: cocostuff27.load("any", root=tmp_path), "none of 1", "check root")


@pytest.mark.parametrize("place", ["labels27", "annotations/panoptic_val2017.json"])
def test_nothing_is_downloaded_where_there_are_such_labels(place):
    assert all(place in places for places in sources.FETCHED["cocostuff27"].values())


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs COCO photographs with coarse labels in ../shared/data")
def test_real_maps_through_the_panoptic_annotation_are_themselves(tmp_path):
    files = sorted((SHARED / "labels27").glob("*.png"))[:3]
    maps = {file.stem: read_labels(file).astype(np.uint8) for file in files}
    panoptic(tmp_path, maps)
    (tmp_path / "images").symlink_to(SHARED / "images")
    own = {record.id: record for record in cocostuff27.load("own", root=SHARED).records}
    for record in cocostuff27.load("any", root=tmp_path).records:
        np.testing.assert_array_equal(record.labels()[0], own[record.id].labels()[0])
