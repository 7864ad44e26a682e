"""COCO's instance metrics: pycocotools itself on made-up data, planted answers, and resamples spelled out."""

import copy
import json
import time

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate.instances import (
    MATCHES,
    STATES,
    bootstrap_interval,
    coco_results,
    detection_scores,
    match_detections,
)

SIZE = (40, 50)
#: Our numbers and their places among COCOeval's.
SUMMARY = {"AP": 0, "AP50": 1, "AR100": 8}


def rectangle(x, y, width, height):
    mask = np.zeros(SIZE, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def random_rectangle(rng):
    x, y = rng.integers(0, 35, 2) * [1, 0.8]
    return rectangle(int(x), int(y), *(int(n) for n in rng.integers(3, 18, 2)))


def annotation(number, image, mask, category=1, crowd=False):
    code = run_lengths.encode(np.asfortranarray(mask, np.uint8))
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": {"size": list(SIZE), "counts": code["counts"].decode()},
        "area": float(run_lengths.area(code)),
        "bbox": [float(side) for side in run_lengths.toBbox(code)],
        "iscrowd": int(crowd),
    }


def truth_of(objects, categories=(1, 2, 3)):
    """COCO's dictionary of `objects`: for each image number a list of (mask, category, crowd)."""
    annotations = [(image, *entry) for image, entries in objects.items() for entry in entries]
    return {
        "images": [{"id": image, "height": SIZE[0], "width": SIZE[1]} for image in objects],
        "annotations": [annotation(number, *entry) for number, entry in enumerate(annotations, 1)],
        "categories": [{"id": number, "name": str(number)} for number in categories],
    }


def made_up(seed, images=12, crowd_share=0.2, levels=6, most=9):
    """Objects, crowds among them, and detections near some of them, with few different scores; both may be missing."""
    rng = np.random.default_rng(seed)
    objects, results = {}, []
    for image in (rng.permutation(images) * 7 + 3).tolist():
        present = int(rng.integers(0, 6))
        objects[image] = [
            (random_rectangle(rng), int(rng.integers(1, 4)), bool(rng.random() < crowd_share)) for _ in range(present)
        ]
        near = [np.roll(m, rng.integers(-2, 3, 2), (0, 1)) for m, *_ in objects[image] for _ in range(2)]
        masks = [m for m in near if rng.random() < 0.7] + [random_rectangle(rng) for _ in range(rng.integers(0, most))]
        masks = np.array(masks if rng.random() < 0.8 else [], bool).reshape(-1, *SIZE)
        results += coco_results(image, masks, rng.integers(1, levels, len(masks)) / levels)
    return truth_of(objects), results


def pycocotools_says(truth, results, kind):
    """The three numbers in per cent, by COCOeval as everybody runs it, without categories."""
    truth = COCO_of(copy.deepcopy(truth))
    evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), kind)
    evaluation.params.useCats = 0
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {name: 100 * evaluation.stats[place] for name, place in SUMMARY.items()}


def COCO_of(content):  # noqa: N802 (it is that class)
    made = COCO()
    made.dataset = content
    made.createIndex()
    return made


def three_numbers(matches):
    return {name: detection_scores(matches)[name] for name in SUMMARY}


def resampled(matches, times):
    """Images as often as `times` says, each copy an image of its own, beside the original by number."""
    copies = []
    for (_, rows), count in zip(matches.groupby("image", sort=True), times, strict=True):
        copies += [rows.assign(image=1000 * rows.image + n) for n in range(count)]
    return pd.concat(copies, ignore_index=True)


class TestResults:
    def test_coco_reads_them_and_has_the_masks_again(self):
        rng = np.random.default_rng(0)
        masks = np.stack([random_rectangle(rng) for _ in range(4)])
        masks[3] ^= rng.random(SIZE) < 0.1
        results = coco_results(8, masks, np.array([0.5, 0.25, 1.0, -0.5]))
        read = COCO_of(truth_of({8: []})).loadRes(json.loads(json.dumps(results)))
        np.testing.assert_array_equal([read.annToMask(entry) for entry in read.loadAnns(read.getAnnIds())], masks)
        assert [entry["score"] for entry in results] == [0.5, 0.25, 1.0, -0.5]
        assert {(entry["image_id"], entry["category_id"]) for entry in results} == {(8, 1)}
        assert coco_results(8, rectangle(3, 5, 7, 9)[None], np.ones(1))[0]["bbox"] == [3.0, 5.0, 7.0, 9.0]

    def test_empty_masks_are_no_detections(self):
        masks = np.stack([np.zeros(SIZE, bool), rectangle(1, 1, 5, 5)])
        assert [entry["score"] for entry in coco_results(1, masks, np.array([0.9, 0.4]))] == [0.4]
        assert coco_results(1, masks[:0], np.zeros(0)) == []
        assert coco_results(1, masks[:1], np.ones(1)) == []

    @pytest.mark.parametrize("scores", [np.array([0.1, np.nan]), np.ones(3)])
    def test_wrong_scores_are_one_line(self, scores):
        with pytest.raises(InputError, match="image 5: expected 2 finite scores, one a mask, got"):
            coco_results(5, np.ones((2, *SIZE), bool), scores)


class TestAgainstPycocotools:
    @pytest.mark.parametrize("kind", ["bbox", "segm"])
    @pytest.mark.parametrize("seed", range(6))
    def test_the_same_numbers(self, seed, kind):
        truth, results = made_up(seed)
        found = three_numbers(match_detections(truth, results, kind))
        expected = pycocotools_says(truth, results, kind)
        assert found == pytest.approx(expected, abs=1e-10)
        assert 0 < found["AP"] < found["AP50"] < 100

    def test_only_the_best_hundred_of_an_image_count(self):
        truth, results = made_up(3, images=2, most=200)
        rng = np.random.default_rng(0)
        more = coco_results(truth["images"][0]["id"], np.stack([random_rectangle(rng)] * 130), rng.random(130))
        matches = match_detections(truth, results + more, "segm")
        assert matches.groupby("image").size().max() == 100
        assert three_numbers(matches) == pytest.approx(pycocotools_says(truth, results + more, "segm"), abs=1e-10)

    def test_nothing_but_crowds_beside_a_detection(self):
        objects = {1: [(rectangle(0, 0, 30, 30), 1, True)], 2: [(rectangle(5, 5, 10, 10), 1, False)]}
        inside, hit = rectangle(3, 3, 6, 6), rectangle(5, 5, 10, 10)
        results = coco_results(1, inside[None], np.ones(1)) + coco_results(2, hit[None], np.full(1, 0.5))
        matches = match_detections(truth_of(objects), results, "segm")
        assert (matches[STATES].to_numpy()[matches.image == 1] == -1).all()
        assert three_numbers(matches) == pytest.approx({"AP": 100, "AP50": 100, "AR100": 100}, abs=1e-10)
        assert pycocotools_says(truth_of(objects), results, "segm")["AP"] == pytest.approx(100)


class TestMatching:
    def test_layout_and_a_way_through_parquet(self, tmp_path):
        truth, results = made_up(1)
        matches = match_detections(truth, results, "segm")
        assert list(matches.columns) == MATCHES
        assert len(STATES) == 10
        assert sorted(matches.image.unique()) == sorted(image["id"] for image in truth["images"])
        assert matches.image.is_monotonic_increasing
        matches.to_parquet(tmp_path / "matches.parquet", index=False)
        again = pd.read_parquet(tmp_path / "matches.parquet")
        pd.testing.assert_frame_equal(again, matches)
        assert detection_scores(again) == detection_scores(matches)

    def test_rows_say_what_was_matched(self):
        objects = {4: [(rectangle(0, 0, 10, 10), 2, False)], 9: [], 2: []}
        half = rectangle(0, 0, 10, 6)  # IoU 0.6
        results = coco_results(4, np.stack([half, rectangle(30, 20, 5, 5)]), np.array([0.2, 0.8]))
        results += coco_results(2, rectangle(1, 1, 9, 9)[None], np.array([0.5]))
        matches = match_detections(truth_of(objects), results, "bbox")
        assert matches.image.tolist() == [2, 4, 4, 9]
        assert matches.truths.tolist() == [0, 1, 1, 0]
        np.testing.assert_array_equal(matches.score, [0.5, 0.8, 0.2, np.nan])
        hit = [1, 1, 1] + [0] * 7  # 0.5, 0.55, 0.6
        np.testing.assert_array_equal(matches[STATES], [[0] * 10, [0] * 10, hit, [-1] * 10])
        scores = detection_scores(matches)
        assert scores["AP50"] == pytest.approx(100 / 3)  # two false ones before the hit
        assert scores["AR100"] == pytest.approx(30)
        assert scores["masks per image"] == pytest.approx(1)

    def test_perfect_detections(self):
        truth, _ = made_up(2, crowd_share=0)
        everything = [
            {key: entry[key] for key in ("image_id", "category_id", "segmentation", "bbox")} | {"score": 1.0}
            for entry in truth["annotations"]
        ]
        for kind in ("bbox", "segm"):
            assert three_numbers(match_detections(truth, everything, kind)) == pytest.approx(
                dict.fromkeys(SUMMARY, 100)
            )

    def test_nothing_is_printed_and_nothing_is_changed(self, capsys):
        truth, results = made_up(4)
        before = copy.deepcopy((truth, results))
        match_detections(truth, results, "segm")
        assert capsys.readouterr().out == ""
        assert (truth, results) == before

    def test_numbers_and_categories_do_not_matter(self):
        truth, results = made_up(5)
        expected = match_detections(truth, results, "segm")
        moved = copy.deepcopy(truth)
        for entry in moved["annotations"]:
            entry["category_id"] += 10  # no category 1, that of the detections, any more
            entry["id"] -= 1  # 0 is no match to pycocotools
        moved["categories"] = []
        pd.testing.assert_frame_equal(match_detections(moved, results, "segm"), expected)

    def test_polygons_and_uncompressed_crowds_as_in_cocos_files(self):
        truth = truth_of({1: [(rectangle(2, 3, 10, 8), 1, False), (rectangle(20, 5, 20, 20), 1, True)]})
        truth["annotations"][0]["segmentation"] = [[2, 3, 12, 3, 12, 11, 2, 11]]
        truth["annotations"][1]["segmentation"] = {"size": list(SIZE), "counts": [20 * 40 + 5, 20, SIZE[0] * 29 + 15]}
        results = coco_results(1, np.stack([rectangle(2, 3, 10, 8), rectangle(20, 5, 1, 20)]), np.array([0.5, 0.9]))
        matches = match_detections(truth, results, "segm")
        np.testing.assert_array_equal(matches[STATES], [[-1] * 10, [1] * 10])

    @pytest.mark.parametrize(
        ("truth", "results", "kind", "line"),
        [
            (truth_of({1: []}), [], "keypoints", "kind: expected bbox or segm, got keypoints"),
            ({"images": [{"id": 1}]}, [], "bbox", "truth: expected COCO's images and annotations, got no annotations"),
            (truth_of({}), [], "bbox", "truth: .* got no images"),
            (truth_of({1: []}), [{"image_id": 7, "score": 1.0}], "bbox", "results: .* got image 7; same data set"),
            (truth_of({1: []}), [{"image_id": 1, "score": np.inf}], "bbox", "results: .* got inf in image 1"),
        ],
    )
    def test_wrong_requests_are_one_line(self, truth, results, kind, line):
        with pytest.raises(InputError, match=line) as caught:
            unchecked(match_detections)(truth, results, kind)
        assert "\n" not in str(caught.value)


def unchecked(function):
    """The function without the type check that tests put around it."""
    return getattr(function, "__wrapped__", function)


class TestEmpty:
    def test_no_detection_at_all_is_zero(self):
        truth, _ = made_up(0)
        scores = detection_scores(match_detections(truth, [], "segm"))
        assert scores == {"AP50": 0, "AP": 0, "AR100": 0, "masks per image": 0}

    def test_no_object_at_all_has_no_score(self):
        _, results = made_up(0)
        truth = truth_of({entry["image_id"]: [] for entry in results} | {999: []})
        matches = match_detections(truth, results, "bbox")
        scores = detection_scores(matches)
        assert all(np.isnan(scores[name]) for name in SUMMARY)
        assert scores["masks per image"] == pytest.approx(len(results) / len(truth["images"]))
        intervals = bootstrap_interval(matches, resamples=20, rng=np.random.default_rng(0))
        assert all(np.isnan(intervals[name]).all() for name in SUMMARY)
        low, high = intervals["masks per image"]
        assert low < scores["masks per image"] < high

    def test_no_image_at_all(self):
        nothing = match_detections(*made_up(0), "bbox")[:0]
        assert all(np.isnan(value) for value in detection_scores(nothing).values())
        intervals = bootstrap_interval(nothing, resamples=5, rng=np.random.default_rng(0))
        assert all(np.isnan(interval).all() for interval in intervals.values())


class TestBootstrap:
    def test_is_the_percentiles_over_resamples_spelled_out(self):
        truth, results = made_up(7, images=9, levels=10**6)  # without equal scores but those of copies
        matches = match_detections(truth, results, "segm")
        times = np.random.default_rng(3).multinomial(9, np.full(9, 1 / 9), size=25)
        drawn = pd.DataFrame([detection_scores(resampled(matches, row)) for row in times])
        found = bootstrap_interval(matches, resamples=25, rng=np.random.default_rng(3))
        assert list(found) == ["AP50", "AP", "AR100", "masks per image"]
        for name, interval in found.items():
            assert interval == pytest.approx(np.percentile(drawn[name], [2.5, 97.5]), abs=1e-10)

    def test_copies_of_an_image_as_pycocotools_counts_them(self):
        truth, results = made_up(8, images=6, levels=10**6)
        twice = copy.deepcopy(truth)
        for key, name in (("images", "id"), ("annotations", "image_id")):
            twice[key] += [entry | {name: 1000 + entry[name]} for entry in copy.deepcopy(truth[key])]
        for number, entry in enumerate(twice["annotations"], 1):
            entry["id"] = number
        more = results + [entry | {"image_id": 1000 + entry["image_id"]} for entry in copy.deepcopy(results)]
        matches = match_detections(truth, results, "segm")
        both = resampled(matches, [2] * 6)
        assert three_numbers(both) == pytest.approx(pycocotools_says(twice, more, "segm"), abs=1e-10)

    def test_rows_of_shards_in_any_order_of_images(self):
        matches = match_detections(*made_up(9), "segm")
        parts = [rows for _, rows in matches.groupby("image")]
        shuffled = pd.concat(parts[::-1], ignore_index=True)
        assert detection_scores(shuffled) == detection_scores(matches)
        a, b = (bootstrap_interval(m, resamples=30, rng=np.random.default_rng(1)) for m in (matches, shuffled))
        assert a == b

    def test_one_image_has_no_spread(self):
        matches = match_detections(*made_up(11, images=1, crowd_share=0), "segm")
        scores = detection_scores(matches)
        for name, (low, high) in bootstrap_interval(matches, resamples=9, rng=np.random.default_rng(0)).items():
            np.testing.assert_array_equal([low, high], scores[name])

    def test_a_thousand_resamples_of_forty_images_take_seconds_at_most(self):
        matches = match_detections(*made_up(10, images=40), "segm")
        start = time.process_time()
        bootstrap_interval(matches, resamples=1000, rng=np.random.default_rng(0))
        assert time.process_time() - start < 6
