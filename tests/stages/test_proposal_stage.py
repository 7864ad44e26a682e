"""X and regions to COCO results: planted objects come first, at the photograph's size, and match what they should."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from pycocotools.mask import decode

from tests.evaluate.test_instances import COCO_of, made_up, pycocotools_says, rectangle, truth_of
from tests.stages.test_drawing import write
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store
from whatwhere.baselines.maskcut_refining import refined_masks
from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate.crf import MASKCUT
from whatwhere.evaluate.instances import MATCHES, coco_results, detection_scores, match_detections
from whatwhere.evaluate.proposals import propose
from whatwhere.stages import proposals as stage
from whatwhere.stages.proposals import write_detections, write_proposals

GRID, VIEW = (12, 16), (36, 48)
#: Of the photographs, which may be of another size than what the backbone saw; and how COCO's files number them.
SIZES, NUMBERS = [(60, 80), (50, 90)], [42, 7]
OBJECTS = (np.s_[2:6, 2:8], np.s_[7:10, 9:14])
CRF = dataclasses.asdict(MASKCUT)
#: As `ProposalSettings` has them.
CHOICE = {"threshold": 0.0, "overlap": 0.7, "least_share": 0.01, "most_share": 0.9, "borders": None, "most": 100}


# ------------------------------------------------------------------------------------------- helpers


def planted_labels(objects=OBJECTS):
    """0 for the background, and a number for each object."""
    labels = np.zeros(GRID, int)
    for number, place in enumerate(objects, 1):
        labels[place] = number
    return labels


def planted_vectors(labels, seed=0):
    rng = np.random.default_rng(seed)
    return (3 * np.eye(4)[labels.ravel()] + 0.1 * rng.normal(size=(labels.size, 4))).astype(np.float32)


def planted_masks(*places):
    """Masks on tokens, `None` for one that a method left empty."""
    masks = np.zeros((len(places), *GRID), np.int16)
    for mask, place in zip(masks, places, strict=True):
        if place is not None:
            mask[place] = 1
    return masks.reshape(len(places), -1)


def image_store(path, images=None, sizes=SIZES, numbers=NUMBERS):
    images = np.zeros((len(sizes), *VIEW, 3), np.uint8) if images is None else images
    ids = [f"i{number}" for number in numbers]
    along = {"number": numbers, "height_px": [h for h, _ in sizes], "width_px": [w for _, w in sizes]}
    along = {name: ("image", values) for name, values in along.items()}
    return Store(write(path, ids, {}, along, rgb=(("y", "x", "channel"), images)))


def found_store(path, **arrays):
    """What a method found in each image: `vectors` or `masks`."""
    ((name, array),) = arrays.items()
    dims = {"vectors": ("token", "vector"), "masks": ("mask", "token")}[name]
    return Store(write(path, [f"i{number}" for number in NUMBERS], {"grid": GRID}, **{name: (dims, array)}))


def region_store(path, partitions):
    along = {"partition": list(range(2, 2 + partitions.shape[1]))}
    arrays = {"regions": (("partition", "token"), partitions.astype(np.int16))}
    return Store(write(path, [f"i{number}" for number in NUMBERS], {"grid": list(GRID)}, along, **arrays))


def entries_of(folder, found, partitions, images=None, crf=None, **choice):
    write_proposals(
        images or image_store(folder / "images.json"),
        found,
        region_store(folder / "regions.json", partitions),
        folder / "p.json",
        choice={**CHOICE, **choice},
        crf=crf,
    )
    return json.loads((folder / "p.json").read_text())


def masks_of(entries, number):
    """The masks of the image with this number, in the order of the file."""
    return [decode(entry["segmentation"]).astype(bool) for entry in entries if entry["image_id"] == number]


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.fixture
def stores(tmp_path):
    """X of two images, the second with one object, and their partitions of K = 2 (all objects together) and 3."""
    both = [planted_labels(), planted_labels(OBJECTS[:1])]
    vectors = np.stack([planted_vectors(labels) for labels in both])
    partitions = np.stack([np.stack([labels.ravel() > 0, labels.ravel()]) for labels in both])
    return found_store(tmp_path / "v.json", vectors=vectors), partitions


# ------------------------------------------------------------------------------------------ proposals


class TestProposals:
    def test_planted_objects_are_found_in_the_pixels_of_the_photograph(self, tmp_path, stores):
        entries = entries_of(tmp_path, *stores)
        for number, size, objects in zip(NUMBERS, SIZES, (OBJECTS, OBJECTS[:1]), strict=True):
            masks = masks_of(entries, number)
            assert {mask.shape for mask in masks} == {size}
            for place in objects:
                truth = tokens_to_pixels(planted_labels([place]).astype(np.int16), *size) > 0
                assert max(iou(mask, truth) for mask in masks) == 1
        assert {entry["image_id"] for entry in entries} == set(NUMBERS)
        assert {entry["category_id"] for entry in entries} == {1}

    def test_they_are_those_of_propose_by_decreasing_score(self, tmp_path, stores):
        found, partitions = stores
        entries = entries_of(tmp_path, *stores)
        for i, (number, size) in enumerate(zip(NUMBERS, SIZES, strict=True)):
            expected = propose(found.read("vectors", i), partitions[i].astype(np.int16), GRID)
            scores = [entry["score"] for entry in entries if entry["image_id"] == number]
            assert scores == expected.scores.tolist() == sorted(scores, reverse=True)
            for mask, tokens in zip(masks_of(entries, number), expected.masks, strict=True):
                np.testing.assert_array_equal(mask, tokens_to_pixels(tokens.astype(np.int16), *size) > 0)

    @pytest.mark.parametrize(("change", "left"), [({"most": 1}, 1), ({"threshold": 1.0}, 0), ({"least_share": 0.5}, 1)])
    def test_the_choice_is_heard(self, tmp_path, stores, change, left):
        entries = entries_of(tmp_path, *stores, **change)
        assert len(masks_of(entries, NUMBERS[0])) == left
        if "least_share" in change:
            assert masks_of(entries, NUMBERS[0])[0].mean() > 0.5

    def test_an_image_of_one_region_has_no_objects(self, tmp_path):
        found = found_store(tmp_path / "v.json", vectors=np.stack([planted_vectors(planted_labels())] * 2))
        assert entries_of(tmp_path, found, np.zeros((2, 1, 192), int)) == []

    def test_coco_reads_them_as_results(self, tmp_path, stores):
        entries = entries_of(tmp_path, *stores)
        images = [{"id": n, "height": h, "width": w} for n, (h, w) in zip(NUMBERS, SIZES, strict=True)]
        known = COCO_of({"images": images, "annotations": [], "categories": [{"id": 1, "name": "object"}]})
        loaded = known.loadRes(str(tmp_path / "p.json"))
        assert len(loaded.anns) == len(entries) > 0
        for entry, known in zip(entries, loaded.anns.values(), strict=True):
            np.testing.assert_array_equal(loaded.annToMask(known), decode(entry["segmentation"]))

    def test_wrong_choices_are_one_line_and_leave_nothing(self, tmp_path, stores):
        with pytest.raises(InputError) as caught:
            entries_of(tmp_path, *stores, borders=9)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("p.json*"))


class TestMasksOfAMethod:
    def test_keep_their_order_with_score_one_and_empty_ones_are_dropped(self, tmp_path):
        masks = np.stack([planted_masks(OBJECTS[1], None, OBJECTS[0]), planted_masks(None, None, None)])
        entries = entries_of(tmp_path, found_store(tmp_path / "m.json", masks=masks), np.zeros((2, 1, 192), int))
        assert [(entry["image_id"], entry["score"]) for entry in entries] == [(NUMBERS[0], 1)] * 2
        for mask, place in zip(masks_of(entries, NUMBERS[0]), reversed(OBJECTS), strict=True):
            truth = tokens_to_pixels(planted_labels([place]).astype(np.int16), *SIZES[0]) > 0
            np.testing.assert_array_equal(mask, truth)

    def test_with_a_crf_they_follow_the_image_and_those_it_changes_too_much_are_dropped(self, tmp_path):
        """A red object of which the mask lacks a margin; and a mask of 4 × 4 tokens far away where nothing is."""
        images = np.full((2, *VIEW, 3), 60, np.uint8)
        images[:, 5:19, 5:25] = (220, 30, 30)
        near, speck = planted_masks(OBJECTS[0]), planted_masks(np.s_[8:9, 12:13])
        masks = np.stack([np.concatenate([near, speck])] * 2)
        found, given = found_store(tmp_path / "m.json", masks=masks), image_store(tmp_path / "i.json", images)
        entries = entries_of(tmp_path, found, np.zeros((2, 1, 192), int), given, crf=CRF)
        refined = refined_masks(masks[0].reshape(2, *GRID) > 0, images[0], MASKCUT)
        kept = [mask for mask in refined if mask.any()]
        assert (len(kept), len(entries)) == (1, 2)
        for number, size in zip(NUMBERS, SIZES, strict=True):
            (mask,) = masks_of(entries, number)
            np.testing.assert_array_equal(mask, tokens_to_pixels(kept[0].astype(np.int16), *size) > 0)
        red = np.zeros(VIEW, bool)
        red[5:19, 5:25] = True
        tokens = masks[0, 0].reshape(GRID).repeat(3, 0).repeat(3, 1) > 0
        assert iou(kept[0], red) > iou(tokens, red)

    def test_without_a_mask_nothing_is_refined(self, tmp_path):
        masks = np.stack([planted_masks(None)] * 2)
        found = found_store(tmp_path / "m.json", masks=masks)
        assert entries_of(tmp_path, found, np.zeros((2, 1, 192), int), crf=CRF) == []


# ----------------------------------------------------------------------------------------- detections


def shards_of(folder, truth, results, parts):
    """COCO's files as the stages leave them: images by shard, annotations of each numbered from 1."""
    numbers = np.array_split([image["id"] for image in truth["images"]], parts)
    truths, proposals = [], []
    for i, here in enumerate(map(set, numbers)):
        mine = [entry for entry in truth["annotations"] if entry["image_id"] in here]
        part = {
            **truth,
            "images": [image for image in truth["images"] if image["id"] in here],
            "annotations": [{**entry, "id": place} for place, entry in enumerate(mine, 1)],
        }
        truths.append(folder / f"truth-{parts}-{i}.json")
        truths[-1].write_text(json.dumps(part))
        proposals.append(folder / f"found-{parts}-{i}.json")
        proposals[-1].write_text(json.dumps([entry for entry in results if entry["image_id"] in here]))
    return [str(path) for path in truths], [str(path) for path in proposals]


def detected(folder, truth, results, parts):
    folder.mkdir(exist_ok=True)
    write_detections(*shards_of(folder, truth, results, parts), folder / "r.json", folder / "m.parquet")
    return json.loads((folder / "r.json").read_text()), pd.read_parquet(folder / "m.parquet")


class TestDetections:
    @pytest.mark.parametrize("parts", [1, 2, 5])
    def test_shards_together_are_matched_as_one_data_set(self, tmp_path, parts):
        truth, results = made_up(3)
        entries, matches = detected(tmp_path, truth, results, parts)
        assert sorted(map(json.dumps, entries)) == sorted(map(json.dumps, results))
        assert list(matches.columns) == [*MATCHES, "kind"]
        for kind in ("bbox", "segm"):
            own = matches[matches.kind == kind].drop(columns="kind").reset_index(drop=True)
            pd.testing.assert_frame_equal(own, match_detections(truth, entries, kind))
            expected = pycocotools_says(truth, entries, kind)
            assert {name: detection_scores(own)[name] for name in expected} == pytest.approx(expected)

    def test_objects_of_every_shard_are_found(self, tmp_path):
        """Each shard numbers its annotations from 1: together none may hide another."""
        places = [(2, 3, 9, 8), (20, 15, 12, 9), (30, 2, 10, 12)]
        truth = truth_of({n: [(rectangle(*places[n]), 1, False)] for n in range(3)})
        results = [e for n in range(3) for e in coco_results(n, rectangle(*places[n])[None], np.ones(1))]
        _, matches = detected(tmp_path, truth, results, 3)
        for kind in ("bbox", "segm"):
            scores = detection_scores(matches[matches.kind == kind].drop(columns="kind"))
            assert scores == pytest.approx({"AP50": 100, "AP": 100, "AR100": 100, "masks per image": 1})
        assert (matches.truths == 1).all()

    def test_every_object_has_a_number_of_its_own(self, tmp_path, monkeypatch):
        """As COCO's format wants it, whether or not the matching looks at the numbers."""
        matched = []
        monkeypatch.setattr(
            stage, "match_detections", lambda truth, *rest: matched.append(truth) or match_detections(truth, *rest)
        )
        truth, results = made_up(2)
        detected(tmp_path, truth, results, 4)
        assert [entry["id"] for entry in matched[0]["annotations"]] == list(range(1, len(truth["annotations"]) + 1))
        assert [image["id"] for image in matched[0]["images"]] == [image["id"] for image in truth["images"]]
        assert matched[0]["categories"] == truth["categories"]

    def test_the_results_are_a_file_that_coco_loads(self, tmp_path):
        truth, results = made_up(0)
        entries, _ = detected(tmp_path, truth, results, 3)
        loaded = COCO_of(truth).loadRes(str(tmp_path / "r.json"))
        assert len(loaded.anns) == len(entries) == len(results) > 0

    def test_a_shard_without_a_mask_and_a_set_without_any(self, tmp_path):
        truth, results = made_up(1)
        first = truth["images"][0]["id"]
        some = [entry for entry in results if entry["image_id"] != first]
        _, matches = detected(tmp_path / "some", truth, some, len(truth["images"]))
        assert matches[matches.image == first].score.isna().all()
        entries, matches = detected(tmp_path / "none", truth, [], 2)
        assert entries == []
        assert set(matches.image) == {image["id"] for image in truth["images"]}
        assert detection_scores(matches[matches.kind == "segm"].drop(columns="kind"))["AR100"] == 0

    def test_what_belongs_to_no_image_is_one_line_and_leaves_nothing(self, tmp_path):
        truth, results = made_up(1)
        truths, _ = shards_of(tmp_path, truth, results, 1)
        stray = [{**results[0], "image_id": 10**6}]
        (tmp_path / "stray.json").write_text(json.dumps(stray))
        with pytest.raises(InputError) as caught:
            write_detections(truths, [str(tmp_path / "stray.json")], tmp_path / "o" / "r.json", tmp_path / "o" / "m.p")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "o").exists()

    def test_a_damaged_shard_is_one_line(self, tmp_path):
        truth, results = made_up(1)
        truths, proposals = shards_of(tmp_path, truth, results, 2)
        (tmp_path / "found-2-1.json").write_text("[{")
        with pytest.raises(InputError, match=r"found-2-1\.json: expected JSON, got a damaged file") as caught:
            write_detections(truths, proposals, tmp_path / "r.json", tmp_path / "m.parquet")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "r.json").exists()
