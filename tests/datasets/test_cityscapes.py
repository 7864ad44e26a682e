"""Cityscapes on a tree that the test draws: ids to classes, where the archives may lie, and what may be missing."""

import shutil
from functools import partial
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.test_datasets import DatasetContract, noise, refused, write
from whatwhere.config.data import Cityscapes
from whatwhere.datasets import cityscapes, load_dataset
from whatwhere.datasets.record import IGNORE

IDS = ("frankfurt_000000_000294", "frankfurt_000001_005898", "lindau_000000_000019")


def label_ids():
    """Every id of the release, and the licence plates' as a byte."""
    return np.concatenate([np.arange(34), np.full(20, 255)]).reshape(6, 9).astype(np.uint8)


def write_cityscapes(root, split="val", ids=IDS):
    for seed, id_ in enumerate(ids):
        city = id_.partition("_")[0]
        write(root / "leftImg8bit" / split / city / f"{id_}_leftImg8bit.png", noise(seed))
        write(root / "gtFine" / split / city / f"{id_}_gtFine_labelIds.png", label_ids())
        write(root / "gtFine" / split / city / f"{id_}_gtFine_color.png", noise(seed))
    return root


@pytest.fixture
def root(tmp_path):
    return write_cityscapes(tmp_path / "cityscapes")


@pytest.fixture
def short(monkeypatch):
    """The published splits have 2,975 and 500 photographs; these three."""
    monkeypatch.setattr(cityscapes, "SPLITS", {"train": 3, "val": 3})


class TestCityscapes(DatasetContract):
    @pytest.fixture
    def load(self, root):
        return partial(cityscapes.load, "any", root=root, limit=3)

    def test_classes_in_the_order_of_their_ids(self, dataset):
        names = (
            "road, sidewalk, parking, rail track, building, wall, fence, guard rail, bridge, tunnel, pole, polegroup, "
            "traffic light, traffic sign, vegetation, terrain, sky, person, rider, car, truck, bus, caravan, trailer, "
            "train, motorcycle, bicycle"
        )
        assert [name.replace("pole group", "polegroup") for name in dataset.classes] == names.split(", ")
        assert len(dataset.classes) == 27

    def test_records_by_city_and_name(self, dataset):
        assert [record.id for record in dataset.records] == list(IDS)

    def test_ids_7_to_33_are_the_classes_and_all_others_ignored(self, dataset):
        (labels,) = dataset.records[0].labels()
        np.testing.assert_array_equal(labels.ravel(), [IGNORE] * 7 + list(range(27)) + [IGNORE] * 20)


def test_each_photograph_has_its_own_label_map(root):
    write(root / f"gtFine/val/lindau/{IDS[2]}_gtFine_labelIds.png", np.full((6, 9), 23, np.uint8))
    dataset = cityscapes.load("any", root=root, limit=3)
    assert (dataset.records[2].labels()[0] == dataset.classes.index("sky")).all()
    np.testing.assert_array_equal(dataset.records[2].image(), noise(2))


@pytest.mark.parametrize("split", ["train", "val"])
def test_splits_and_the_published_counts(tmp_path, short, split):
    root = write_cityscapes(tmp_path, split)
    assert len(load_dataset("any", kind="cityscapes", root=root, split=split).records) == 3


def test_the_published_counts():
    assert cityscapes.SPLITS == {"train": 2975, "val": 500}


def test_the_parent_folder_is_accepted(root, short):
    (root.parent / "voc").mkdir()
    assert len(cityscapes.load("any", root=root.parent).records) == 3


def test_each_archive_in_its_own_folder(root, short):
    (root.parent / "gtFine_trainvaltest").mkdir()
    shutil.move(root / "gtFine", root.parent / "gtFine_trainvaltest/gtFine")
    assert len(cityscapes.load("any", root=root.parent).records) == 3


def test_two_folders_are_not_chosen_among(root, short):
    write_cityscapes(root.parent / "foggy")
    refused(lambda: cityscapes.load("any", root=root.parent), "one folder leftImg8bit/val", "cityscapes and foggy")
    assert len(cityscapes.load("any", root=root).records) == 3


def test_what_is_no_photograph_does_not_count(root, short):
    city = root / "leftImg8bit/val/lindau"
    for name in (f"._{IDS[2]}_leftImg8bit.png", "copy of lindau.png", f"{IDS[0]}_leftImg8bit.png"):
        write(city / name, noise(0))
    (city / "notes.txt").touch()
    assert [record.id for record in cityscapes.load("any", root=root).records] == list(IDS)


def test_its_settings_are_what_load_takes():
    taken = set(signature(cityscapes.load).parameters) - {"name"}
    assert set(Cityscapes.model_fields) == taken | {"kind", "skip"}
    settings = Cityscapes(kind="cityscapes", root="/data").model_dump()
    assert settings == {"kind": "cityscapes", "root": Path("/data"), "split": "val", "limit": None, "skip": 0}


TO_DO = ("log in", "gtFine_trainvaltest.zip", "leftImg8bit_trainvaltest.zip", "https://www.cityscapes-dataset.com")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ("500 photographs", "got 3", *TO_DO)),
        ({"limit": 4}, ("at least 4", "got 3", *TO_DO)),
        ({"split": "train"}, ("2,975 photographs", "leftImg8bit/train", "got 0", *TO_DO)),
        ({"limit": 0}, ("from 1 to 500", "got 0")),
        ({"limit": 501}, ("from 1 to 500", "got 501")),
        ({"split": "test"}, ("train, val", "'test'")),
    ],
)
def test_splits_and_limits_that_do_not_fit(root, values, words):
    refused(lambda: cityscapes.load("any", root=root, **values), *words)


@pytest.mark.parametrize("there", [True, False])
def test_without_the_archives_the_line_says_what_to_put_where(tmp_path, there):
    root = tmp_path / "cityscapes"
    if there:
        root.mkdir()
    lie = "leftImg8bit/val and gtFine/val lie then"
    refused(lambda: cityscapes.load("any", root=root), *TO_DO, f"into {str(root)!r}", lie, "got 0")


def test_missing_label_maps_are_counted(root, short):
    for id_ in IDS[1:]:
        (root / f"gtFine/val/{id_.partition('_')[0]}/{id_}_gtFine_labelIds.png").unlink()
    # the parent is root, but the archive belongs where the other one lies
    load = partial(cityscapes.load, "any", root=root.parent)
    refused(load, "3 label maps", "2 missing", IDS[1], f"into {str(root)!r}", *TO_DO)
    assert len(load(limit=1).records) == 1


def test_the_photographs_alone_are_not_enough(root, short):
    shutil.rmtree(root / "gtFine")
    refused(lambda: cityscapes.load("any", root=root), "3 label maps", "3 missing", *TO_DO)


def test_label_maps_that_do_not_fit(root):
    record = cityscapes.load("any", root=root, limit=1).records[0]
    path = root / f"gtFine/val/frankfurt/{record.id}_gtFine_labelIds.png"
    write(path, np.zeros((9, 6), np.uint8))
    refused(record.labels, path.name, "6 × 9 px", "9 × 6")
    write(path, noise(0))
    refused(record.labels, "one channel")
