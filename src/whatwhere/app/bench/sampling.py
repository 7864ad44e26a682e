"""Which photographs a codebook is made of: drawn, or each the farthest from those before it. What both are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whatwhere.app.bench.halves import halves_of
from whatwhere.app.discover.codebook import Codebook
from whatwhere.artifacts.clock import machine
from whatwhere.artifacts.progress import progress
from whatwhere.datasets.record import Record
from whatwhere.evaluate.borders import to_pixels
from whatwhere.evaluate.matching import hungarian, matching_counts, mean_iou, resampled
from whatwhere.evaluate.resampling import difference, drawn, generator, interval, value_of
from whatwhere.method.joint.sample import drawn as drawn_by_id
from whatwhere.method.joint.sample import farthest
from whatwhere.method.joint.seen import Seen

#: Draws of the images for an interval.
RESAMPLES = 1000


def bench_sampling(
    photos: Path,
    labels: Path,
    *,
    sample: int,
    classes: int,
    draws: int = 2,
    ignore_label: int = 255,
    most: int = 50,
    **asked: Any,
) -> dict[str, Any]:
    """`sample` of every other photograph are solved, so often drawn and so often the farthest, and the others of the
    folder are extended to; the mIoU there, its mean over the draws, and how much more it is for the farthest, with 95 %
    intervals over draws and photographs. `asked` is `Codebook`'s. Raises `InputError` as `bench_halves`.
    """
    pool, new = halves_of(photos, labels, ignore_label, most)
    book = Codebook(classes=classes, sample=sample, **asked)
    known = [book.seen(one.image()) for one in progress(pool, "photographs to choose among")]
    asked_for = [book.seen(one.image()) for one in progress(new, "photographs to label")]
    features, ids = np.stack([_feature(one) for one in known]), [one.id for one in pool]
    scores: dict[str, list[np.ndarray]] = {"drawn": [], "farthest": []}
    for seed in progress(range(draws), "draws"):
        chosen = {"drawn": drawn_by_id(ids, sample, seed=seed), "farthest": farthest(features, ids, sample, seed=seed)}
        for way, places in chosen.items():
            book.fit([pool[place].image() for place in places], ids=[ids[place] for place in places])
            scores[way].append(_score(book, new, asked_for, classes))
    both = {way: np.concatenate(each) for way, each in scores.items()}
    more = difference(both["farthest"], both["drawn"], same_clusters=True)
    return {
        "machine": machine("cpu"),
        "weights": book.backbone.weights,
        "photographs": {"to choose among": len(pool), "sample": sample, "new": len(new)},
        **{way: [value_of(each), *interval(each)] for way, each in both.items()},
        "farthest more": [value_of(more), *interval(more)],
    }


def _feature(one: Seen) -> np.ndarray:
    """Of an image: the mean of its last layer's rows."""
    (rows, *_) = one.layers[-1].rows.values()
    return rows.float().mean(0).numpy()


def _score(book: Codebook, new: Sequence[Record], seen: Sequence[Seen], classes: int) -> np.ndarray:
    """The mIoU of the new photographs, and of resamples of them, the same for every codebook."""
    counts = []
    for record, one in zip(progress(new, "scoring"), seen, strict=True):
        image = record.image()
        regions = to_pixels(book.book.assign(book.extend(one)), image, "tokens")
        counts.append(matching_counts(regions, record.labels()[0], clusters=classes, classes=classes))
    each = np.stack(counts)
    given = hungarian(each.sum(0))
    rng = generator(0, [record.id for record in new])
    return drawn(mean_iou(each.sum(0), given), resampled(each, given, resamples=RESAMPLES, rng=rng))
