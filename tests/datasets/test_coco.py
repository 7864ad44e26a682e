"""COCO on a folder that the test draws: outlines of every kind, crowds, captions, and what may be wrong with them."""

import json
import re
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from tests.datasets.test_datasets import DatasetContract, noise, refused
from tests.serving import sha256, zip_of
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, read_json
from whatwhere.config.data import Coco
from whatwhere.datasets import Instance, coco, cocostuff27, load_dataset, sources
from whatwhere.datasets.coco import CAPTIONS, CATEGORIES, CLASSES, PLACES
from whatwhere.datasets.images import View
from whatwhere.stages.images import write_images, write_index

NUMBERS = (139, 285, 632)
HEIGHT, WIDTH = 12, 16
FETCHED = tuple(places[-1] for places in PLACES.values())
PERSON, TOOTHBRUSH = 1, 90
CROWD = np.zeros((HEIGHT, WIDTH), bool)
CROWD[2:9, 3:15] = np.random.default_rng(1).random((7, 12)) < 0.5


def rectangle(top, left, bottom, right):
    """The corners of a rectangle as COCO lists them: x, y, x, y, ..."""
    return [left, top, right, top, right, bottom, left, bottom]


def plain(mask):
    """Run lengths down the columns, the first of zeros, as COCO writes crowds."""
    pixels = mask.T.ravel()
    changes = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff([0, *changes, pixels.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if pixels[0] else runs}


def compressed(mask):
    code = run_lengths.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": code["counts"].decode()}


def outlined(number, category, segmentation, crowd=0):
    box = [1.25, 2.5, 3.75, 4.0]  # COCO's own, which no mask says
    outline = {"segmentation": segmentation, "bbox": box, "iscrowd": crowd}
    return {"image_id": number, "category_id": category, **outline}


def objects():
    """A person, a toothbrush in two parts, two groups; another photograph has one object and the third none."""
    return [
        outlined(139, PERSON, [rectangle(3, 2, 7, 8)]),
        outlined(285, 17, [[1.5, 1.5, 9.25, 2.0, 4.0, 10.75]]),
        outlined(139, TOOTHBRUSH, [rectangle(0, 0, 2, 3), rectangle(9, 10, 12, 16)]),
        outlined(139, PERSON, plain(CROWD), crowd=1),
        outlined(139, PERSON, compressed(~CROWD), crowd=1),
    ]


def said():
    return [{"image_id": 285, "caption": "A cat\n on a mat. "}, {"image_id": 139, "caption": "Two people."}] + [
        {"image_id": 139, "caption": words} for words in ("A group.", " \n")
    ]


def write_coco(root, places=FETCHED, numbers=NUMBERS):
    photographs, instances = (root / place for place in places)
    photographs.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.fromarray(noise(number, HEIGHT, WIDTH)).save(photographs / f"{number:012d}.jpg")
    listed = [{"id": number, "height": HEIGHT, "width": WIDTH} for number in numbers[::-1]]
    categories = [{"id": id_, "name": CLASSES[index]} for id_, index in CATEGORIES.items()]
    here = [{**one, "id": id_} for id_, one in enumerate(objects(), 1) if one["image_id"] in numbers]
    instances.parent.mkdir(parents=True, exist_ok=True)
    instances.write_text(json.dumps({"images": listed, "annotations": here, "categories": categories}))
    instances.with_name(CAPTIONS).write_text(json.dumps({"images": listed, "annotations": said()}))
    return root


def changed(path, change):
    """The file of annotations after `change` of its content in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path):
    return write_coco(tmp_path / "coco")


@pytest.fixture
def instances(root):
    return root / FETCHED[1]


@pytest.fixture
def three(monkeypatch):
    """The published set has 5,000 photographs; this one three."""
    monkeypatch.setattr(coco, "IMAGES", 3)


class TestCoco(DatasetContract):
    @pytest.fixture
    def load(self, root):
        return partial(coco.load, "any", root=root, limit=3)

    def test_labels_score_something(self, dataset):
        """Here instances do: they overlap, and most pixels have none."""
        assert all(record.labels() == () for record in dataset.records)
        assert any(record.instances() for record in dataset.records)

    def test_ids_are_the_files_stems_by_number(self, dataset):
        assert [record.id for record in dataset.records] == ["000000000139", "000000000285", "000000000632"]

    def test_polygons_run_lengths_and_crowds(self, dataset):
        person, toothbrush, crowd, others = dataset.records[0].instances()
        assert dataset.classes[person.category] == dataset.classes[crowd.category] == "person"
        assert dataset.classes[toothbrush.category] == "toothbrush"
        assert [one.crowd for one in (person, toothbrush, crowd, others)] == [False, False, True, True]
        drawn = np.zeros((2, HEIGHT, WIDTH), bool)
        drawn[0, 3:7, 2:8] = drawn[1, 0:2, 0:3] = drawn[1, 9:12, 10:16] = True
        np.testing.assert_array_equal([person.mask, toothbrush.mask], drawn)
        np.testing.assert_array_equal(crowd.mask, CROWD)
        np.testing.assert_array_equal(others.mask, ~CROWD)

    def test_masks_are_those_of_the_reference(self, dataset, instances):
        reference = COCO(str(instances))
        for record in dataset.records:
            expected = [reference.annToMask(one) for one in reference.loadAnns(reference.getAnnIds(int(record.id)))]
            assert len(expected) == len(record.instances())
            for one, mask in zip(record.instances(), expected, strict=True):
                np.testing.assert_array_equal(one.mask, mask)

    def test_captions_without_their_white_space(self, dataset):
        captions = [record.captions() for record in dataset.records]
        assert captions == [("Two people.", "A group."), ("A cat on a mat.",), ()]


# ------------------------------------------------------------------------------------------- the table


def test_eighty_classes_by_their_published_ids():
    """COCO-Stuff's table, which another test compares with others', names the same ids and more."""
    assert len(CLASSES) == len(set(CLASSES)) == len(CATEGORIES) == 80
    for id_, index in CATEGORIES.items():
        assert cocostuff27.FINE[id_ - 1][0] == CLASSES[index]


def test_an_instance_is_of_one_object_unless_it_says_otherwise():
    assert not Instance(0, CROWD).crowd


# ------------------------------------------------------------------------------------------ where it lies


@pytest.mark.parametrize(
    "places",
    [
        ("val2017", "annotations/instances_val2017.json"),
        ("images/val2017", "annotations/instances_val2017.json"),
        ("val2017", FETCHED[1]),
        FETCHED,
    ],
)
def test_ones_own_copy_and_what_was_fetched(tmp_path, three, places):
    (record, *_) = coco.load("any", root=write_coco(tmp_path, places)).records
    assert (len(record.instances()), len(record.captions())) == (4, 2)


def test_label_maps_of_another_data_set_are_no_annotations(root, three):
    (root / "annotations/val2017").mkdir(parents=True)
    assert coco.load("any", root=root).records[0].instances()


def test_the_places_are_those_of_the_sources():
    for name, places in PLACES.items():
        assert name in sources.SOURCES
        assert places[-1].startswith(f"{name}/")
    assert (str(Path(FETCHED[1]).relative_to("coco-annotations2017")), 1) in sources.SOURCES[
        "coco-annotations2017"
    ].counts


def test_what_the_sources_fetch_is_loaded(tmp_path, three):
    """Archives of the published layout, put there by hand, with what nobody needs beside."""
    made, root = write_coco(tmp_path / "made"), tmp_path / "data"
    root.mkdir()
    photographs, instances = (made / place for place in FETCHED)
    archives = {
        "coco-val2017": [(f"val2017/{file.name}", file.read_bytes()) for file in photographs.iterdir()],
        "coco-annotations2017": [
            (f"annotations/{file.name.replace('val', split)}", file.read_bytes())
            for file in instances.parent.iterdir()
            for split in ("train", "val")
        ],
    }
    for name, members in archives.items():
        source = sources.SOURCES[name]
        packed = zip_of(root / source.file, members).read_bytes()
        counts = tuple((pattern, 3 if pattern.endswith(".jpg") else 1) for pattern, _ in source.counts)
        sources.obtain(replace(source, size_bytes=None, checksum=sha256(packed), counts=counts), root)
    assert not list(root.rglob("*train2017.json"))
    (record, *_) = load_dataset("any", kind="coco", root=root).records
    assert (len(record.instances()), len(record.captions())) == (4, 2)


def test_its_settings_are_what_load_takes():
    taken = set(signature(coco.load).parameters) - {"name"}
    assert set(Coco.model_fields) == taken | {"kind", "skip"}
    assert Coco(kind="coco").model_dump() == {
        "kind": "coco",
        "root": Path("data/coco"),
        "annotations": None,
        "limit": None,
        "skip": 0,
    }


# ------------------------------------------------------------------------------------- read once, and late


def test_annotations_are_read_once_and_only_when_asked_for(root, instances):
    content = instances.read_text()
    instances.write_text("not yet")
    records = coco.load("any", root=root, limit=3).records
    assert records[0].image().shape == (HEIGHT, WIDTH, 3)
    instances.write_text(content)
    first = records[0].instances()
    instances.write_text("no more")
    assert len(records[0].instances()) == len(first)
    assert len(records[1].instances()) == 1
    assert records[0].instances()[0].mask is not first[0].mask


def test_what_limit_leaves_out_may_be_missing(root):
    (root / FETCHED[0] / f"{NUMBERS[2]:012d}.jpg").unlink()
    records = coco.load("any", root=root, limit=2).records
    assert [int(record.id) for record in records] == list(NUMBERS[:2])
    assert [len(record.instances()) for record in records] == [4, 1]


def test_other_files_do_not_count(root, three):
    for name in ("thumbnail.jpg", "0000000139.jpg", "000000000139 (1).jpg", "000000000001.png"):
        (root / FETCHED[0] / name).write_bytes(b"")
    assert len(coco.load("any", root=root).records) == 3


# ------------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"limit": 4}, ("4 to 5,000 photographs", "got 3", "coco-val2017")),
        ({"limit": 0}, ("from 1 to 5,000", "got 0")),
        ({"limit": 5001}, ("from 1 to 5,000", "got 5001")),
    ],
)
def test_folders_and_limits_that_do_not_fit(root, values, words):
    refused(lambda: coco.load("any", root=root, **values), *words)


def test_no_data_set_at_all(tmp_path):
    refused(
        lambda: coco.load("any", root=tmp_path / "gone"), "gone", "no such folder", "fetch coco-val2017", "put val2017/"
    )


def test_no_annotations(root, instances):
    instances.unlink()
    refused(
        lambda: coco.load("any", root=root, limit=1), instances.name, "fetch coco-annotations2017", "put annotations/"
    )


@pytest.mark.parametrize("content", ["", '{"images": [', "[]", '{"images": 3}', '{"images": [{"id": 1}]}', "[" * 10**5])
def test_damaged_annotations(root, instances, content):
    record = coco.load("any", root=root, limit=1).records[0]
    for path, read in ((instances, record.instances), (instances.with_name(CAPTIONS), record.captions)):
        path.write_text(content)
        refused(read, path.name, "damaged", "fetch coco-annotations2017 again")


def test_a_part_is_a_part_and_is_said(root, instances):
    (root / FETCHED[0] / "000000000285.jpg").unlink()
    instances.with_name(CAPTIONS).unlink()
    dataset = coco.load("any", root=root)
    assert [len(record.instances()) for record in dataset.records] == [4, 0]
    assert all(record.captions() == () for record in dataset.records)
    assert dataset.took == "2 of the 5,000 photographs of val2017, without captions"


def test_a_photograph_that_nobody_lists(root, instances):
    changed(instances, lambda content: content["images"].pop())
    refused(coco.load("any", root=root, limit=3).records[2].instances, "none for 1", "000000000139.jpg")


def test_a_photograph_of_another_size(root, instances):
    changed(instances, lambda content: content["images"][2].update(height=11))
    record = coco.load("any", root=root, limit=3).records[0]
    refused(record.instances, "000000000139.jpg", "11 × 16 px", "12 × 16")


@pytest.mark.parametrize(
    "change",
    [
        {"category_id": 12},
        {"category_id": "person"},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, float("nan"), 4]},
        {"bbox": None},
        {"segmentation": []},
        {"segmentation": None},
        {"segmentation": [[1, 1, 5, 5]]},
        {"segmentation": [[1, 1, 5, 5, 3]]},
        {"segmentation": [[[1, 1], [5, 5], [5, 1], [1, 5], [3, 3], [2, 2]]]},
        {"segmentation": [[1, 1, 5, 5, 1e12, 3]]},
        {"segmentation": [[1, 1, 5, 5, float("nan"), 3]]},
        {"segmentation": {"size": [HEIGHT, WIDTH]}},
        {"segmentation": plain(CROWD.T)},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [10, 20]}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [10, 500]}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [10, -10, 192]}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [10.5, 181.5]}},
        {"segmentation": compressed(CROWD.T)},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": ""}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": "~~~~"}},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": compressed(CROWD)["counts"][:-3]}},
    ],
    ids=lambda change: re.sub(r"\W+", "-", str(change))[:60],
)
def test_annotations_that_mean_nothing(root, instances, change):
    changed(instances, lambda content: content["annotations"][0].update(change))
    refused(coco.load("any", root=root, limit=3).records[0].instances, instances.name, "000000000139", "damaged")


def test_outlines_without_a_pixel_are_left_out(root, instances):
    thin = outlined(139, PERSON, [[1, 1, 1.2, 1, 1.1, 1.1]])
    changed(instances, lambda content: content["annotations"].append(thin))
    assert len(coco.load("any", root=root, limit=3).records[0].instances()) == 4


# -------------------------------------------------------------------------------------- as the stages see it


def indexed(root, path, unreadable):
    dataset, view = coco.load("any", root=root, limit=3), View("short_side", 32, 8)
    write_index(dataset, path, view=view, shard_images=9, unreadable=unreadable, settings={})
    return read_json(path)


def test_an_image_with_a_damaged_annotation_stops_or_is_skipped_and_listed(root, instances, tmp_path):
    changed(instances, lambda content: content["annotations"][0].update(category_id=12))
    with pytest.raises(InputError, match=r"000000000139.*damaged.*unreadable: skip"):
        indexed(root, tmp_path / "i.json", "stop")
    assert not (tmp_path / "i.json").exists()
    written = indexed(root, tmp_path / "i.json", "skip")
    assert [(one["id"], "damaged" in one["reason"]) for one in written["skipped"]] == [("000000000139", True)]
    assert [id_ for ids in written["shards"].values() for id_ in ids] == ["000000000285", "000000000632"]


def test_annotations_damaged_as_a_whole_are_named_also_where_images_may_be_skipped(root, instances, tmp_path):
    instances.write_text("{")
    with pytest.raises(InputError, match=r"none of 3; the first: .*instances_val2017.json.*damaged"):
        indexed(root, tmp_path / "i.json", "skip")


def test_the_stage_states_what_coco_states(root, instances, tmp_path):
    """Through a view that scales, the written instances are COCO's own: ids, sizes, crowds, pixels."""
    dataset, view = coco.load("any", root=root, limit=3), View("short_side", 32, 8)
    write_index(dataset, tmp_path / "index.json", view=view, shard_images=9, unreadable="stop", settings={})
    index = read_json(tmp_path / "index.json")
    ((shard, ids),) = index["shards"].items()
    assert shard == "32x40-000"
    given = {"numbers": index["numbers"], "view": view, "run_images": 2, "settings": {}}
    write_images(dataset, ids, tmp_path / "i.json", tmp_path / "c.json", **given)
    store, written, reference = Store(tmp_path / "i.json"), COCO(str(tmp_path / "c.json")), COCO(str(instances))
    assert store.coordinate("number") == list(NUMBERS)
    assert (store.coordinate("height_px"), store.coordinate("width_px")) == ([HEIGHT] * 3, [WIDTH] * 3)
    assert store.read("captions")[1:].tolist() == [["A cat on a mat.", ""], ["", ""]]
    assert "labels" not in store.description["arrays"]
    assert sorted(written.getImgIds()) == sorted(reference.getImgIds())
    for number in NUMBERS:
        pairs = zip(written.imgToAnns[number], reference.imgToAnns[number], strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(written.annToMask(one), reference.annToMask(other))
            assert one["iscrowd"] == other["iscrowd"]
            assert one["bbox"] == other["bbox"]  # as annotated, not of the pixels
            assert written.cats[one["category_id"]]["name"] == reference.cats[other["category_id"]]["name"]
