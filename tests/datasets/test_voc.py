"""PASCAL VOC on a tree that the test draws: palette PNGs, borders, objects, and what may be wrong with them."""

import hashlib
import io
import shutil
import tarfile
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from tests.datasets.test_datasets import DatasetContract, noise, refused, write
from whatwhere.datasets import load_dataset, sources, voc
from whatwhere.datasets.record import IGNORE

NAMES = ("2008_000009", "2007_000033", "2011_000027")


def write_indices(path, indices):
    """As VOC stores them: the index of each pixel, with a palette that only colours it."""
    image = Image.fromarray(np.asarray(indices, np.uint8), mode="P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def classes_and_objects():
    """Two cats (8) and a train (19) with a border around the second cat, on background."""
    classes, objects = np.zeros((6, 9), int), np.zeros((6, 9), int)
    classes[:3, :3], objects[:3, :3] = 8, 1
    classes[1:4, 5:8], objects[1:4, 5:8] = 255, 255
    classes[2, 6], objects[2, 6] = 8, 3
    classes[5], objects[5] = 19, 2
    return classes, objects


def write_voc(folder, names=NAMES, split="val"):
    classes, objects = classes_and_objects()
    for seed, name in enumerate(names):
        Image.fromarray(noise(seed)).save(made(folder / "JPEGImages" / f"{name}.jpg"))
        write_indices(folder / "SegmentationClass" / f"{name}.png", classes)
        write_indices(folder / "SegmentationObject" / f"{name}.png", objects)
    made(folder / "ImageSets/Segmentation" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return folder


def made(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def root(tmp_path):
    return write_voc(tmp_path / "VOCdevkit/VOC2012")


class TestVoc(DatasetContract):
    @pytest.fixture
    def load(self, root):
        return partial(voc.load, "any", root=root, limit=3)

    def test_twenty_classes_after_background_in_vocs_order(self, dataset):
        names = (
            "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
            "person pottedplant sheep sofa train tvmonitor"
        )
        assert [name.replace(" ", "") for name in dataset.classes] == names.split()

    def test_records_follow_the_list(self, dataset):
        assert [record.id for record in dataset.records] == list(NAMES)

    def test_labels_are_the_stored_indices_and_borders_are_ignored(self, dataset):
        (labels,) = dataset.records[1].labels()
        classes, _ = classes_and_objects()
        np.testing.assert_array_equal(labels, np.where(classes == 255, IGNORE, classes))

    def test_instances_are_objects_with_their_class_and_without_borders(self, dataset):
        _, objects = classes_and_objects()
        instances = dataset.records[0].instances()
        assert [dataset.classes[instance.category] for instance in instances] == ["cat", "train", "cat"]
        for number, instance in zip((1, 2, 3), instances, strict=True):
            np.testing.assert_array_equal(instance.mask, objects == number)

    def test_an_object_has_the_class_of_most_of_its_pixels(self, root, load):
        classes, _ = classes_and_objects()
        classes[0, 0], classes[1:3, :3] = 12, 0  # 1 pixel of a dog, 2 of a cat, 6 of no class
        write_indices(root / "SegmentationClass" / f"{NAMES[0]}.png", classes)
        assert load().classes[load().records[0].instances()[0].category] == "cat"


@pytest.mark.parametrize("level", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_root_at_any_level(root, tmp_path, level):
    assert len(voc.load("any", root=tmp_path / level, limit=1).records) == 1


def test_limit_takes_the_first_of_the_list(root):
    assert [record.id for record in voc.load("any", root=root, limit=2).records] == list(NAMES[:2])


def test_a_part_is_a_part_and_is_said(root):
    dataset = voc.load("any", root=root)
    assert [record.id for record in dataset.records] == list(NAMES)
    assert dataset.took == "3 of the 1,449 images of val"


def test_without_objects_none_are_offered_and_labels_may_be_those_of_others(root):
    shutil.rmtree(root / "SegmentationObject")
    (root / "SegmentationClass").rename(root / "SegmentationClassAug")
    dataset = voc.load("any", root=root)
    assert all(record.instances() == () for record in dataset.records)
    expected = np.where(classes_and_objects()[0] == 255, IGNORE, classes_and_objects()[0])
    np.testing.assert_array_equal(dataset.records[0].labels()[0], expected)
    assert "without SegmentationObject (no objects), labels of SegmentationClassAug" in dataset.took


def test_files_beyond_the_limit_may_be_missing(root):
    (root / "JPEGImages" / f"{NAMES[2]}.jpg").unlink()
    assert len(voc.load("any", root=root, limit=2).records) == 2
    refused(lambda: voc.load("any", root=root, limit=3), "1 missing", f"{NAMES[2]}.jpg")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"limit": 4}, ("4 to 1,449 names", "got 3", "val.txt")),
        ({"limit": 0}, ("from 1 to 1,449", "got 0")),
        ({"limit": 1450}, ("from 1 to 1,449", "got 1450")),
        ({"split": "test"}, ("train, val, trainval", "'test'")),
        ({"split": "train"}, ("train.txt", "no such file")),
    ],
)
def test_lists_and_limits_that_do_not_fit(root, values, words):
    refused(lambda: voc.load("any", root=root, **values), *words)


@pytest.mark.parametrize(
    "names", [["2008_000009", "../../secret"], ["2008_000009"] * 2, ["2008_000009", "²008_000009"]]
)
def test_lists_with_other_names(root, names):
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(names))
    refused(lambda: voc.load("any", root=root, limit=2), "val.txt", "names such as")


def test_no_data_set_at_all(tmp_path):
    refused(lambda: voc.load("any", root=tmp_path / "gone"), "gone", "check root")


@pytest.mark.parametrize("folder", ["SegmentationClass", "SegmentationObject"])
def test_missing_label_maps_are_counted(root, folder):
    for name in NAMES[1:]:
        (root / folder / f"{name}.png").unlink()
    refused(lambda: voc.load("any", root=root, limit=3), "9 files", "2 missing", folder, NAMES[1])


def test_label_maps_that_do_not_fit(root):
    record = voc.load("any", root=root, limit=3).records[0]
    write_indices(root / "SegmentationObject" / f"{record.id}.png", np.zeros((9, 6)))
    assert record.labels()
    refused(record.instances, "SegmentationObject", "6 × 9 px", "9 × 6")
    write_indices(root / "SegmentationClass" / f"{record.id}.png", np.full((6, 9), 21))
    refused(record.labels, "SegmentationClass", "0 to 20", "got 21")
    write_indices(root / "SegmentationClass" / f"{record.id}.png", np.zeros((6, 8)))
    refused(record.labels, "6 × 9 px", "6 × 8")


def test_coloured_label_maps_are_refused(root):
    record = voc.load("any", root=root, limit=3).records[0]
    write(root / "SegmentationClass" / f"{record.id}.png", noise(0))
    refused(record.labels, "one channel")


def test_an_object_without_a_class(root):
    record = voc.load("any", root=root, limit=3).records[0]
    write_indices(root / "SegmentationClass" / f"{record.id}.png", np.where(classes_and_objects()[1] == 2, 255, 8))
    refused(record.instances, "object 2", "SegmentationObject")


# ------------------------------------------------------------------------------ as the archive comes


def vocs_archive():
    """An archive of the published layout and counts, of tiny files, with what nobody needs beside."""
    contents = {}
    trees = {"JPEGImages": "jpg", "SegmentationClass": "png", "SegmentationObject": "png"}
    tiny = {"JPEGImages": noise(0), "SegmentationClass": np.ones((6, 9)), "SegmentationObject": np.ones((6, 9))}
    names = [f"2007_{number:06d}" for number in range(voc.SPLITS["trainval"])]
    for tree, ending in trees.items():
        encoded = io.BytesIO()
        Image.fromarray(np.asarray(tiny[tree], np.uint8)).save(encoded, "JPEG" if ending == "jpg" else "PNG")
        contents |= {f"{tree}/{name}.{ending}": encoded.getvalue() for name in names}
    lists = {"trainval": names, "train": names[: voc.SPLITS["train"]], "val": names[voc.SPLITS["train"] :]}
    for split, chosen in lists.items():
        contents[f"ImageSets/Segmentation/{split}.txt"] = "\n".join(chosen).encode() + b"\n"
    contents |= {"Annotations/2007_000000.xml": b"<annotation/>", "ImageSets/Main/val.txt": b"2007_000000 1\n"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in contents.items():
            entry = tarfile.TarInfo(f"VOCdevkit/VOC2012/{path}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def test_an_archive_of_the_published_layout_is_fetched_and_loaded(tmp_path):
    packed = vocs_archive()
    checksum = f"md5:{hashlib.md5(packed).hexdigest()}"
    source = replace(sources.SOURCES["voc2012"], urls=("http://127.0.0.1:9/nobody.tar",), checksum=checksum)
    (tmp_path / "nobody.tar").write_bytes(packed)  # as someone without a network puts it there
    folder = sources.obtain(source, tmp_path)
    assert folder == tmp_path / "voc2012"
    assert not list(folder.rglob("*.xml"))
    assert not list(folder.rglob("Main"))
    dataset = voc.load("any", root=folder)
    assert len(dataset.records) == 1449
    assert dataset.records[0].id == "2007_001464"
    for root in (folder, tmp_path):
        assert len(load_dataset("any", kind="voc", root=root, limit=200).records) == 200
