"""What classes of one half of a labelled folder are worth in the other half, which was not solved."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from whatwhere.app.discover.codebook import Codebook
from whatwhere.artifacts.clock import machine, timed
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.datasets.folder import load
from whatwhere.datasets.record import Record
from whatwhere.evaluate.borders import to_pixels
from whatwhere.evaluate.matching import bootstrap_interval, greedy, hungarian, matching_counts, mean_iou

#: Draws of the images for an interval.
RESAMPLES = 1000


def bench_halves(
    photos: Path, labels: Path, *, classes: int, ignore_label: int = 255, most: int = 50, **asked: Any
) -> dict[str, Any]:
    """Every other photograph (`most` at most) is solved, the others are extended to; of both halves the mIoU with its
    95 % interval over photographs, the matching of each half its own, and seconds a photograph of the network, of the
    extension and of the way to pixels (`tokens`). `asked` is `Codebook`'s.

    Raises `InputError` for fewer than four photographs with label maps.
    """
    solved, new = halves_of(photos, labels, ignore_label, most)
    halves = {"solved": solved, "new": new}
    book = Codebook(classes=classes, sample=len(solved), **asked)
    weights = book.backbone.weights  # loaded before the clock runs
    fit_s, _ = timed(lambda: book.fit([one.image() for one in solved], ids=[one.id for one in solved]))
    rows = [{"half": name, **_scored(book, half, classes)} for name, half in halves.items()]
    return {
        "machine": machine("cpu"),
        "weights": weights,
        "photographs": {name: len(half) for name, half in halves.items()},
        "landmarks": book.book.landmarks.count,
        "status": book.status,
        "fit_s": fit_s,
        "halves": rows,
    }


def halves_of(photos: Path, labels: Path, ignore_label: int, most: int) -> tuple[Sequence[Record], Sequence[Record]]:
    """Every other photograph with its label map, and the others, so many at most; `InputError` for fewer than four."""
    records = load("halves", root=photos, labels_root=labels, ignore_label=ignore_label).records
    if len(records) < 4:
        raise InputError(f"{photos}: expected at least 4 photographs with label maps, got {len(records)}; name others")
    return records[::2][:most], records[1::2][:most]


def _scored(book: Codebook, half: Sequence[Record], classes: int) -> dict[str, float]:
    """Scores and mean seconds of one half."""
    counts, seconds, strangers = [], [], []
    for record in progress(half, "scoring"):
        image = record.image()
        seen_s, seen = timed(partial(book.seen, image))
        extend_s, one = timed(partial(book.extend, seen))
        pixels_s, regions = timed(partial(to_pixels, book.book.assign(one), image, "tokens"))
        counts.append(matching_counts(regions, record.labels()[0], clusters=classes, classes=classes))
        seconds.append((seen_s, extend_s, pixels_s))
        strangers.append(book.book.strangers(one))
    each = np.stack(counts)
    total = each.sum(0)
    given = hungarian(total)
    low, high = bootstrap_interval(each, given, resamples=RESAMPLES, rng=np.random.default_rng(0))
    network_s, extension_s, pixels_s = np.mean(seconds, axis=0).tolist()
    return {
        "hungarian": mean_iou(total, given),
        "low": low,
        "high": high,
        "greedy": mean_iou(total, greedy(total)),
        "hardly_connects": float(np.mean(strangers)),
        "network_s": network_s,
        "extension_s": extension_s,
        "pixels_s": pixels_s,
    }
