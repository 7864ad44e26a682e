"""Class-agnostic instance segmentation and detection by COCO's protocol (appendix D.2, Table 8).

Masks become results (`coco_results`), results are matched to the truth by pycocotools (`match_detections`), and the
matches scored. Matching is done once: files keep its rows, of which any resample of the images is scored again.

    matches = match_detections(coco_json(dataset), results, "segm")
    detection_scores(matches), bootstrap_interval(matches, resamples=1000, rng=rng)
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate.resampling import times

#: Least IoU of a match, in per cent: a column of the matches for each.
IOU_PERCENT = range(50, 100, 5)
STATES = [f"iou_{percent}" for percent in IOU_PERCENT]
#: A row for each detection, and one with the score NaN for an image without any. `truths` counts the objects to be
#: found in the row's image. In `STATES` a detection is 1 (matched), 0 (false) or -1 (matched to a crowd: not counted).
MATCHES = ["image", "truths", "score", *STATES]
#: Detections of an image that count, the best by score.
MOST = 100
#: Recalls at which precision is read.
RECALLS = np.linspace(0, 1, 101)
#: Of resamples that are scored together, so many hits and recalls are compared at a time.
NUMBERS = 2**22


def coco_results(
    number: int, masks: Bool[np.ndarray, "mask y x"], scores: Float[np.ndarray, "_mask"]
) -> list[dict[str, Any]]:
    """Entries of a COCO results file for the image with this number: category 1, masks run-length encoded.

    A mask without a pixel is no detection and has no entry. Raises `InputError` for a score that is not finite and
    where there is not one score for each mask.
    """
    from pycocotools import mask as run_lengths

    if len(scores) != len(masks) or not np.isfinite(scores).all():
        got = f"{int(np.isfinite(scores).sum())} of {len(scores)}"
        raise InputError(f"image {number}: expected {len(masks)} finite scores, one a mask, got {got}")
    shown = masks.any((1, 2))
    codes = run_lengths.encode(np.asfortranarray(masks[shown].transpose(1, 2, 0), np.uint8)) if shown.any() else []
    return [
        {
            "image_id": number,
            "category_id": 1,
            "segmentation": {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode("ascii")},
            "bbox": [float(side) for side in run_lengths.toBbox(code)],
            "score": float(score),
        }
        for code, score in zip(codes, scores[shown], strict=True)
    ]


def match_detections(
    truth: dict[str, Any], results: list[dict[str, Any]], kind: Literal["bbox", "segm"]
) -> pd.DataFrame:
    """Detections matched to the truth (a COCO dictionary) by pycocotools: rows of `MATCHES`, at least one an image.

    Boxes or masks of all categories as one, objects of any area, the best `MOST` of an image. Rows are in the order
    of images' numbers and, inside an image, of decreasing score. Neither argument is changed.

    Raises `InputError` for a truth without images or annotations, a kind other than the two, and a detection whose
    image is not in the truth or whose score is not finite.
    """
    _check(truth, results, kind)
    with redirect_stdout(io.StringIO()):  # pycocotools says what it does
        evaluation = _evaluation(truth, results, kind)
        evaluation.evaluate()
    found = [
        _image_rows(int(image), matched)
        for image, matched in zip(evaluation.params.imgIds, evaluation.evalImgs, strict=True)
    ]
    columns = {name: np.concatenate([rows[name] for rows in found]) for name in MATCHES}
    return pd.DataFrame(columns)


def detection_scores(matches: pd.DataFrame) -> dict[str, float]:
    """`AP50`, `AP` and `AR100` in per cent, as COCOeval summarises them, and `masks per image`, from `MATCHES`.

    AP is the mean over IoU thresholds and 101 recalls of the interpolated precision, AR100 that of the recall at the
    end. Equal scores count in the order of images, then of rows. Without a single object to be found the three are
    NaN (COCOeval says -1); without an image the number of masks is too.
    """
    table = _Table.of(matches)
    scores = table.scores(np.ones((1, len(table.truths)), np.int64))
    return {name: float(value) for name, [value] in scores.items()}


def bootstrap_interval(
    matches: pd.DataFrame, *, resamples: int, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """95 % interval of each of `detection_scores`: percentiles over resamples of the images with replacement.

    Resamples without an object to be found do not count; NaN where none is left.
    """
    drawn = resampled(matches, resamples=resamples, rng=rng)
    return {name: _middle(values[np.isfinite(values)]) for name, values in drawn.items()}


def resampled(
    matches: pd.DataFrame, *, resamples: int, rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "resample"]]:
    """`detection_scores` of sets drawn from the images with replacement; NaN without an object to be found."""
    table = _Table.of(matches)
    return table.scores(times(len(table.truths), resamples, rng))


def _middle(values: Float[np.ndarray, "resample"]) -> tuple[float, float]:
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class _Table:
    """Detections of all images by decreasing score, as arrays: what a resample needs, worked out once."""

    truths: Int[np.ndarray, "image"]
    detections: Int[np.ndarray, "image"]
    image: Int[np.ndarray, "detection"]
    counted: Bool[np.ndarray, "threshold detection"]
    hits: tuple[Int[np.ndarray, "_hit"], ...]

    @classmethod
    def of(cls, matches: pd.DataFrame) -> _Table:
        """The table of a frame of matches, one row a detection."""
        images, first, place = np.unique(matches.image, return_index=True, return_inverse=True)
        scores = matches.score.to_numpy(float)
        order = np.lexsort((place, -scores))  # stable: of one image in the order of rows
        order = order[np.isfinite(scores[order])]
        states = matches[STATES].to_numpy(np.int8)[order].T
        return cls(
            matches.truths.to_numpy(np.int64)[first],
            np.bincount(place[order], minlength=len(images)),
            place[order],
            states >= 0,
            tuple(np.flatnonzero(row == 1) for row in states),
        )

    def scores(self, times: Int[np.ndarray, "resample image"]) -> dict[str, Float[np.ndarray, "resample"]]:
        """`detection_scores` where each image is there so many times, for several such sets at once.

        Copies of a detection stand side by side: a hit's precision is that after its last copy, which is the best.
        (With copies of whole images one after the other, only equal scores inside an image would fall otherwise.)
        """
        objects, images = times @ self.truths, times.sum(1)
        curves = [self._curves(times[some], objects[some]) for some in self._chunks(len(times))]
        precisions, recalls = np.concatenate(curves, 1)
        precisions[objects == 0] = recalls[objects == 0] = np.nan
        with np.errstate(invalid="ignore"):
            masks = (times @ self.detections) / images
        return {
            "AP50": 100 * precisions[:, 0],
            "AP": 100 * precisions.mean(1),
            "AR100": 100 * recalls.mean(1),
            "masks per image": masks,
        }

    def _chunks(self, resamples: int) -> Iterator[slice]:
        size = max(1, NUMBERS // (len(RECALLS) * max(1, *(len(hits) for hits in self.hits))))
        return (slice(first, first + size) for first in range(0, resamples, size))

    def _curves(
        self, times: Int[np.ndarray, "resample image"], objects: Int[np.ndarray, "resample"]
    ) -> Float[np.ndarray, "2 resample threshold"]:
        """Average precision and last recall at each threshold: interpolated precision changes at hits only."""
        weights, found = times[:, self.image], []
        for counted, hits in zip(self.counted, self.hits, strict=True):
            true = np.cumsum(weights[:, hits], 1)
            precision = true / (np.cumsum(weights * counted, 1)[:, hits] + np.spacing(1))
            best_after = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
            best_after = np.concatenate([best_after, np.zeros((len(times), 1))], 1)  # 0 beyond the last recall
            reached = true / np.maximum(objects, 1)[:, None]
            places = (reached[:, :, None] < RECALLS).sum(1)
            last = reached[:, -1] if len(hits) else np.zeros(len(times))
            found.append([np.take_along_axis(best_after, places, 1).mean(1), last])
        return np.ascontiguousarray(np.moveaxis(np.array(found), 0, 2))


def _check(truth: dict[str, Any], results: list[dict[str, Any]], kind: str) -> None:
    if kind not in ("bbox", "segm"):
        raise InputError(f"kind: expected bbox or segm, got {kind}")
    missing = [key for key in ("images", "annotations") if key not in truth]
    if missing or not truth["images"]:
        raise InputError(f"truth: expected COCO's images and annotations, got no {(missing or ['images'])[0]}")
    known = {image["id"] for image in truth["images"]}
    for image, score in ((result["image_id"], result["score"]) for result in results):
        if image not in known:
            raise InputError(f"results: expected images of the truth, {len(known)}, got image {image}; same data set?")
        if not np.isfinite(score):
            raise InputError(f"results: expected finite scores, got {score} in image {image}")


def _evaluation(truth: dict[str, Any], results: list[dict[str, Any]], kind: str) -> Any:
    """COCOeval on copies, for it writes into what it reads.

    Annotations are numbered from 1, for it takes a match to number 0 for none; and every detection has a category
    that it looks at, for it passes over categories that the truth does not have even where it ignores them.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations = [{**entry, "id": number} for number, entry in enumerate(truth["annotations"], 1)]
    categories = sorted({entry["category_id"] for entry in annotations}) or [1]
    objects, detections = COCO(), COCO()
    objects.dataset = {"categories": [], **truth, "annotations": annotations}
    objects.createIndex()
    if results:
        detections = objects.loadRes([{**result, "category_id": categories[0]} for result in results])
    evaluation = COCOeval(objects, detections, kind)
    evaluation.params.catIds = categories
    evaluation.params.useCats = 0
    evaluation.params.maxDets = [MOST]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    return evaluation


def _image_rows(image: int, matched: dict[str, Any] | None) -> dict[str, np.ndarray]:
    """Columns of one image; `matched` is None where it has neither objects nor detections."""
    truths, scores, states = 0, [np.nan], np.full((len(STATES), 1), -1)
    if matched:
        truths = int((np.asarray(matched["gtIgnore"]) == 0).sum())
        if matched["dtScores"]:
            scores = matched["dtScores"]
            states = np.where(matched["dtIgnore"], -1, matched["dtMatches"] > 0)
    columns = {"image": np.full(len(scores), image), "truths": np.full(len(scores), truths, np.int32)}
    columns["score"] = np.asarray(scores, float)
    return columns | dict(zip(STATES, states.astype(np.int8), strict=True))
