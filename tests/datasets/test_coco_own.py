"""Photographs of one's own with annotations in COCO's format, as other tools write it."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.datasets.test_coco import CROWD, HEIGHT, WIDTH, compressed, plain, rectangle
from tests.datasets.test_datasets import noise, refused
from whatwhere.datasets import class_names, fingerprint, load_dataset

BOX = [rectangle(3, 2, 7, 8)]


def written(folder, annotations, images=("a/one.jpg", "two.jpg", "none.jpg"), ids=(7, "x", 9), **content):
    for number, name in enumerate(images):
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(number, HEIGHT, WIDTH)).save(folder / "photos" / name)
    listed = [{"id": id_, "file_name": name} for id_, name in zip(ids, images, strict=True)]
    kinds = [{"id": 0, "name": "cup"}, {"id": "b", "name": "cup"}, {"id": 5, "name": "spoon"}]
    file = folder / "mine.json"
    file.write_text(json.dumps({"images": listed, "categories": kinds, "annotations": annotations, **content}))
    return file


def loaded(folder, file, **values):
    return load_dataset("mine", kind="coco", root=folder / "photos", annotations=file, **values)


def said():
    return [
        {"image_id": 7, "category_id": 0, "segmentation": BOX},
        {"image_id": "7", "category_id": "b", "segmentation": plain(CROWD), "iscrowd": 1},
        {"image_id": "x", "category_id": 5, "segmentation": compressed(~CROWD), "bbox": [1, 2, 3.5, 4]},
        {"image_id": "x", "category_id": 5, "segmentation": [], "bbox": [0, 0, 2, 2]},
        {"image_id": 7, "category_id": 5, "bbox": [0, 0, 2, 2]},
    ]


def test_is_read_as_it_is(tmp_path):
    """Ids that are texts or 0, no `iscrowd`, no `bbox`, run lengths, empty masks, a photograph without annotations."""
    dataset = loaded(tmp_path, written(tmp_path, said()))
    assert dataset.classes == ("cup (0)", "cup (b)", "spoon")
    one, two, none = (record.instances() for record in dataset.records)
    assert [(i.category, i.crowd, i.box) for i in one] == [(0, False, None), (1, True, None)]
    assert [(i.category, i.box) for i in two] == [(2, (1, 2, 3.5, 4))]
    np.testing.assert_array_equal(one[1].mask, CROWD)
    np.testing.assert_array_equal(two[0].mask, ~CROWD)
    assert one[0].mask.sum() == 4 * 6
    assert none == ()
    assert [record.id for record in dataset.records] == ["a_one", "two", "none"]
    assert dataset.left_out == {"annotations without a mask": 2}
    assert dataset.took == "3 photographs of mine.json, its 3 categories"


def test_categories_without_names_and_photographs_that_are_not_there(tmp_path):
    file = written(tmp_path, said(), categories=[])
    (tmp_path / "photos/two.jpg").unlink()
    dataset = loaded(tmp_path, file)
    assert dataset.classes == ("0", "b", "5")
    assert [record.id for record in dataset.records] == ["a_one", "none"]
    assert dataset.left_out["photographs that are listed and not there"] == 1
    assert [record.id for record in loaded(tmp_path, file, limit=1).records] == ["a_one"]


@pytest.mark.parametrize("change", [{"category_id": 99}, {"image_id": "other"}, {"image_id": None}])
def test_what_refers_to_nothing_is_one_line(tmp_path, change):
    file = written(tmp_path, [{**said()[0], **change}])
    refused(lambda: loaded(tmp_path, file), "mine.json", "COCO's format", "write the file again")


def test_a_damaged_mask_is_said_of_its_photograph(tmp_path):
    file = written(tmp_path, [{**said()[0], "segmentation": [[1, 2, 3, 4]]}])
    refused(loaded(tmp_path, file).records[0].instances, "one.jpg", "mine.json")


def test_no_photograph_at_all(tmp_path):
    file = written(tmp_path, said())
    refused(lambda: load_dataset("m", kind="coco", root=tmp_path, annotations=file, limit=2), "none of 3", "file_name")


def test_a_changed_file_is_noticed_and_names_are_its_own(tmp_path):
    file = written(tmp_path, said())
    values = {"kind": "coco", "root": str(tmp_path / "photos"), "annotations": str(file)}
    before = fingerprint(values)
    written(tmp_path, said()[:1])
    assert fingerprint(values) != before
    assert class_names(**values) == ()
