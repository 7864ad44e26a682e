"""COCO-Stuff-27 on a tree that the test draws: the fine classes, the curated list, and what may be wrong with them."""

import hashlib
import json
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.test_datasets import DatasetContract, noise, refused, write
from tests.serving import sha256, zip_of
from whatwhere.config.data import CocoStuff27
from whatwhere.datasets import cocostuff27, load_dataset, sources
from whatwhere.datasets.cocostuff27 import CLASSES, FINE, LIST, PLACES
from whatwhere.datasets.record import IGNORE

NAMES = ("000000000632", "000000000139", "000000581781")
FETCHED = tuple(places[-1] for places in PLACES.values())


def fine_labels(seed):
    """Things, stuff and what nobody annotated; the last and the first of each among them."""
    labels = np.random.default_rng(seed).integers(0, 182, (6, 9)).astype(np.uint8)
    labels[0, :5] = (0, 90, 91, 181, 255)
    return labels


def write_coco(root, places=FETCHED, names=NAMES):
    images, maps, listed = (root / place for place in places)
    for seed, name in enumerate(names):
        images.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(seed)).save(images / f"{name}.jpg")
        write(maps / f"{name}.png", fine_labels(seed))
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("\n".join(names) + "\n")
    return root


@pytest.fixture
def root(tmp_path):
    return write_coco(tmp_path / "coco")


@pytest.fixture
def short(monkeypatch):
    """The published list has 2,175 names; this one three."""
    monkeypatch.setattr(cocostuff27, "IMAGES", 3)


class TestCocoStuff27(DatasetContract):
    @pytest.fixture
    def load(self, root):
        return partial(cocostuff27.load, "any", root=root, limit=3)

    def test_records_follow_the_list(self, dataset):
        assert [record.id for record in dataset.records] == list(NAMES)

    def test_labels_are_the_super_categories_of_the_fine_classes(self, dataset):
        (labels,) = dataset.records[1].labels()
        for fine, coarse in zip(fine_labels(1).ravel(), labels.ravel(), strict=True):
            assert coarse == (IGNORE if fine == 255 else CLASSES.index(FINE[fine][1]))

    def test_the_first_and_last_things_and_stuff(self, dataset):
        (labels,) = dataset.records[0].labels()
        names = [CLASSES[label] for label in labels[0, :4]]
        assert names == ["person", "indoor", "textile", "solid"]  # person, hair brush, banner, wood
        assert labels[0, 4] == IGNORE


# ------------------------------------------------------------------------------------------- the table


def test_twelve_coarse_classes_of_things_and_fifteen_of_stuff_in_the_published_order():
    names = (
        "electronic appliance food-thing furniture-thing indoor kitchen accessory animal outdoor person sports vehicle "
        "ceiling floor food-stuff furniture-stuff rawmaterial textile wall window building ground plant sky solid "
        "structural water"
    )
    assert [name.replace(" ", "") for name in CLASSES] == names.split()
    coarse = [CLASSES.index(of) for _, of in FINE]
    assert set(coarse[:91]) == set(range(12))
    assert set(coarse[91:]) == set(range(12, 27))


#: Labels of the published list, less one: label maps count from 0.
PUBLISHED = {
    0: "person",
    1: "bicycle",
    11: "street sign",
    22: "bear",
    43: "bottle",
    63: "potted plant",
    71: "tv",
    90: "hair brush",
    91: "banner",
    95: "building-other",
    105: "clouds",
    118: "flower",
    123: "grass",
    141: "plant-other",
    142: "plastic",
    156: "sky-other",
    157: "skyscraper",
    168: "tree",
    177: "water-other",
    178: "waterdrops",
    181: "wood",
}


def test_fine_classes_have_the_published_labels():
    assert len(FINE) == len({fine for fine, _ in FINE}) == 182
    assert {label: FINE[label][0] for label in PUBLISHED} == PUBLISHED


def test_the_table_is_the_one_that_others_score_with():
    """The digest is of the 182 coarse labels as two public implementations have them, each from 0 to 26."""
    coarse = bytes(CLASSES.index(of) for _, of in FINE)
    assert hashlib.sha256(coarse).hexdigest() == "5b6c6ce82fb97a8c2d29cc61a451953c867c5aa043372a5286bbf668351e7129"


# ------------------------------------------------------------------------------------------ where it lies


@pytest.mark.parametrize(
    "places",
    [
        ("val2017", "annotations/val2017", LIST),
        ("val2017", "stuffthingmaps/val2017", LIST),
        ("images/val2017", "annotations/val2017", f"curated/val2017/{LIST}"),
        ("val2017", FETCHED[1], FETCHED[2]),
        FETCHED,
    ],
)
def test_ones_own_copy_and_what_was_fetched(tmp_path, short, places):
    assert len(cocostuff27.load("any", root=write_coco(tmp_path, places)).records) == 3


def test_ones_own_copy_comes_before_what_was_fetched(root, short):
    write_coco(root, ("val2017", "annotations/val2017", LIST), NAMES[::-1])
    assert [record.id for record in cocostuff27.load("any", root=root).records] == list(NAMES[::-1])


def test_the_places_are_those_of_the_sources():
    for name, places in PLACES.items():
        assert name in sources.SOURCES
        assert places[-1].startswith(f"{name}/")


def archived(root, name, file, contents, **changes):
    """Fetches source `name` from a file put there by hand, as someone without a network does."""
    source = sources.SOURCES[name]
    (root / file).write_bytes(contents)
    own = {"size_bytes": None} | ({"checksum": sha256(contents)} if source.checksum else {})
    sources.obtain(replace(source, **own, **changes), root)
    (root / file).unlink()


def test_what_the_sources_fetch_is_loaded(tmp_path, short):
    """Archives of the published layout, with what nobody needs beside."""
    write_coco(tmp_path / "made")
    images, maps, listed = (tmp_path / "made" / place for place in FETCHED)
    packed = zip_of(tmp_path / "a.zip", [(f"val2017/{file.name}", file.read_bytes()) for file in images.iterdir()])
    maps_of = [(f"{split}2017/{m.name}", m.read_bytes()) for m in maps.iterdir() for split in ("train", "val")]
    packed_maps = zip_of(tmp_path / "b.zip", maps_of)
    root = tmp_path / "data"
    root.mkdir()
    archived(root, "coco-val2017", "val2017.zip", packed.read_bytes(), counts=(("val2017/*.jpg", 3),))
    archived(
        root,
        "coco-stuffthingmaps2017",
        "stuffthingmaps_trainval2017.zip",
        packed_maps.read_bytes(),
        counts=(("val2017/*.png", 3),),
    )
    archived(root, "coco-stuff27-list", LIST, listed.read_bytes(), lists=(sources.NameList(LIST, 3),))
    assert not list(root.rglob("train2017"))
    written = json.loads((root / "coco-stuffthingmaps2017.json").read_text())
    assert written["checksum"] == sha256(packed_maps.read_bytes())
    assert len(load_dataset("any", kind="cocostuff27", root=root).records) == 3


def test_its_settings_are_what_load_takes():
    taken = set(signature(cocostuff27.load).parameters) - {"name"}
    assert set(CocoStuff27.model_fields) == taken | {"kind", "skip"}
    settings = CocoStuff27(kind="cocostuff27").model_dump()
    assert settings == {"kind": "cocostuff27", "root": Path("data/coco"), "limit": None, "skip": 0}


# ------------------------------------------------------------------------------------------ what is wrong


def test_limit_takes_the_first_of_the_list_and_needs_no_more(root):
    (root / FETCHED[0] / f"{NAMES[2]}.jpg").unlink()
    assert [record.id for record in cocostuff27.load("any", root=root, limit=2).records] == list(NAMES[:2])
    refused(lambda: cocostuff27.load("any", root=root, limit=3), "6 files", "1 missing", f"{NAMES[2]}.jpg", "fetch")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ("2,175 names", "got 3", LIST)),
        ({"limit": 4}, ("at least 4", "got 3")),
        ({"limit": 0}, ("from 1 to 2,175", "got 0")),
        ({"limit": 2176}, ("from 1 to 2,175", "got 2176")),
    ],
)
def test_lists_and_limits_that_do_not_fit(root, values, words):
    refused(lambda: cocostuff27.load("any", root=root, **values), *words)


@pytest.mark.parametrize("names", [[NAMES[0], "../../../secret"], [NAMES[0]] * 2, [NAMES[0], "²00000000139"]])
def test_lists_with_other_names(root, names):
    (root / FETCHED[2]).write_text("\n".join(names))
    refused(lambda: cocostuff27.load("any", root=root, limit=2), LIST, "names such as")


def test_no_data_set_at_all(tmp_path):
    refused(lambda: cocostuff27.load("any", root=tmp_path / "gone"), "gone", LIST, "root")


@pytest.mark.parametrize("place", FETCHED[:2])
def test_missing_files_are_counted(root, place):
    for file in sorted((root / place).iterdir())[1:]:
        file.unlink()
    refused(lambda: cocostuff27.load("any", root=root, limit=3), "6 files", "2 missing", place)


def test_label_maps_that_do_not_fit(root):
    record = cocostuff27.load("any", root=root, limit=3).records[0]
    path = root / FETCHED[1] / f"{record.id}.png"
    for strange in (182, 254):
        write(path, np.full((6, 9), strange, np.uint8))
        refused(record.labels, path.name, "0 to 181", f"got {strange}")
    write(path, np.full((6, 9), 256, np.uint16))
    refused(record.labels, "0 to 181", "got 256")
    write(path, np.zeros((6, 8), np.uint8))
    refused(record.labels, path.name, "6 × 9 px", "6 × 8")
    write(path, noise(0))
    refused(record.labels, "one channel")
