"""Linear-probe segmentation: how well a linear map tells the class of each token from its features.

Multinomial logistic regression as in Alain & Bengio, "Understanding intermediate layers using linear
classifier probes" (2016): fitted to tokens of some images, asked about every pixel of others. Scores are
counts in the form of `oracle.COUNTS`, so `oracle.mean_iou` and `oracle.bootstrap_interval` finish them.
`fit`, `predict`, `confusion` and `counts` are the probe; `compare_layers` asks all layers of a network.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from einops import rearrange
from jaxtyping import Bool, Float, Int, Int16, UInt8
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.datasets.record import IGNORE
from whatwhere.evaluate.oracle import COUNTS, bootstrap_interval, mean_iou

#: ASSUME: weight of half the squared coefficients beside the mean cross-entropy of a token; one value for
#: all features, so that nobody's probe is tuned more than another's.
L2 = 1e-3
MOST_ITERATIONS = 400
#: Images whose features are held at once.
BATCH_IMAGES = 8


@dataclass(frozen=True)
class Labelled:
    """Images of one size and the class of each pixel."""

    images: UInt8[np.ndarray, "image y x 3"]
    labels: Int16[np.ndarray, "image y x"]

    def part(self, which: slice) -> Labelled:
        """Some of the images."""
        return Labelled(self.images[which], self.labels[which])

    def batches(self, what: str) -> Iterator[Labelled]:
        """All images in batches of `BATCH_IMAGES`, with progress called `what`."""
        starts = range(0, len(self.images), BATCH_IMAGES)
        return (self.part(slice(i, i + BATCH_IMAGES)) for i in progress(starts, what))


@dataclass(frozen=True)
class Split:
    """Probes are fitted on `train`, the layer is chosen on `select`, and the score is that on `test`."""

    train: Labelled
    select: Labelled
    test: Labelled


@dataclass(frozen=True)
class Tokens:
    """Features of the tokens of some images, which form `grid` (rows, columns)."""

    features: Float[np.ndarray, "image token channel"]
    grid: tuple[int, int]


#: Images to everything of them that may be probed, by the layer's name.
Reader = Callable[[UInt8[np.ndarray, "image y x 3"]], dict[str, Tokens]]


def majority_labels(
    labels: Int[np.ndarray, "image y x"], grid: tuple[int, int], classes: int
) -> Int16[np.ndarray, "image token"]:
    """The commonest label of each token's pixels, `IGNORE` left out (and answered where nothing else is there).

    Of equally common labels the lower. Raises `InputError` where the grid does not divide the pixels evenly.
    """
    height, width = labels.shape[1:]
    if height % grid[0] or width % grid[1]:
        raise InputError(
            f"probe: expected a token grid that divides {height} × {width} px evenly, got {grid[0]} × {grid[1]}; "
            "use a view whose sides are multiples of the patch"
        )
    cells = rearrange(labels, "i (r y) (c x) -> i (r c) (y x)", r=grid[0], c=grid[1])
    votes = np.stack([(cells == label).sum(-1) for label in range(classes)], axis=-1)
    return np.where(votes.any(-1), votes.argmax(-1), IGNORE).astype(np.int16)


def sample_tokens(
    labels: Int[np.ndarray, "image token"], tokens_per_image: int, *, rng: np.random.Generator
) -> Bool[np.ndarray, "image token"]:
    """At most `tokens_per_image` labelled tokens of each image, so that finer grids cost no more."""
    order = np.where(labels == IGNORE, 1.0, rng.random(labels.shape)).argsort(axis=1)
    chosen = np.zeros(labels.shape, bool)
    np.put_along_axis(chosen, order[:, :tokens_per_image], True, axis=1)
    return chosen & (labels != IGNORE)


def fit(features: Float[np.ndarray, "token channel"], labels: Int[np.ndarray, "token"], *, l2: float = L2) -> Pipeline:
    """The probe: features standardised, then multinomial logistic regression by L-BFGS; deterministic.

    ASSUME: a fit that is not done after `MOST_ITERATIONS` counts as it is; by then the scores no longer move, and
    all features get as many.

    Raises `InputError` where the tokens are of fewer than two classes.
    """
    if len(np.unique(labels)) < 2:
        raise InputError(
            f"probe: expected tokens of two classes or more, got {len(labels)} tokens of "
            f"{np.unique(labels).tolist()}; use more images"
        )
    # sklearn's C multiplies the sum of the tokens' losses
    model = LogisticRegression(C=1 / (l2 * len(labels)), max_iter=MOST_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), model).fit(features, labels)


def predict(
    probe: Pipeline, features: Float[np.ndarray, "image token channel"], grid: tuple[int, int], size_px: tuple[int, int]
) -> Int16[np.ndarray, "image y x"]:
    """The class of every pixel of images `size_px` high and wide.

    ASSUME: logits are interpolated bilinearly (half-pixel convention) and the largest wins, on every grid and
    for every kind of features alike.
    """
    import torch
    import torch.nn.functional as F

    logits = probe.decision_function(rearrange(features, "i t c -> (i t) c"))
    if logits.ndim == 1:  # sklearn's form where there are only two classes
        logits = np.stack([-logits, logits], axis=1)
    maps = rearrange(logits, "(i r c) k -> i k r c", r=grid[0], c=grid[1]).astype(np.float32)
    fine = F.interpolate(torch.from_numpy(maps), size_px, mode="bilinear", align_corners=False)
    return probe.classes_[fine.argmax(1).numpy()].astype(np.int16)


def confusion(
    predicted: Int[np.ndarray, "y x"], labels: Int[np.ndarray, "y x"], classes: int
) -> Int[np.ndarray, "label predicted"]:
    """How many pixels of each label were given each label, ignored pixels left out."""
    valid = labels != IGNORE
    joint = labels[valid].astype(np.intp) * classes + predicted[valid]
    return np.bincount(joint, minlength=classes**2).reshape(classes, classes)


def counts(confusions: Int[np.ndarray, "image label predicted"]) -> pd.DataFrame:
    """Confusions as `COUNTS`: a row for each image and label that occurs there, in truth or in the answer."""
    images, classes = confusions.shape[:2]
    frame = pd.DataFrame(
        {
            "image": np.repeat(np.arange(images), classes),
            "annotator": 0,
            "label": np.tile(np.arange(classes), images),
            "intersection": np.diagonal(confusions, axis1=1, axis2=2).ravel(),
            "predicted": confusions.sum(1).ravel(),
            "actual": confusions.sum(2).ravel(),
        },
        columns=COUNTS,
    )
    return frame[(frame.predicted > 0) | (frame.actual > 0)].reset_index(drop=True)


def compare_layers(
    read: Reader, split: Split, *, classes: int, tokens_per_image: int, resamples: int, seed: int, what: str
) -> dict[str, Any]:
    """The mIoU of a probe on each layer, and of the `best` (chosen on `select`) with its interval on `test`.

    Readers that are compared with one seed are fitted on the same tokens where their grids are the same, and
    their intervals come from the same resamples. `what` names the progress bars.
    """
    probes = _fitted(read, split.train, classes, tokens_per_image, seed, what)
    select, test = (_counted(read, probes, images, classes, what) for images in (split.select, split.test))
    layers: list[dict[str, Any]] = [
        {
            "layer": name,
            "grid": list(grid),
            "select": mean_iou(select[name], shared_classes=True),
            "test": mean_iou(test[name], shared_classes=True),
            "iterations": int(fitted[-1].n_iter_[0]),
        }
        for name, (grid, fitted) in probes.items()
    ]
    best = max(layers, key=lambda layer: layer["select"])
    rng = np.random.default_rng(seed_for(seed, "bootstrap"))
    interval = bootstrap_interval(test[best["layer"]], shared_classes=True, resamples=resamples, rng=rng)
    return {
        "best": best["layer"],
        "grid": best["grid"],
        "miou": best["test"],
        "interval": list(interval),
        "layers": layers,
    }


def _fitted(
    read: Reader, given: Labelled, classes: int, tokens_per_image: int, seed: int, what: str
) -> dict[str, tuple[tuple[int, int], Pipeline]]:
    """A grid and a probe for each layer."""
    grids: dict[str, tuple[int, int]] = {}
    features, labels = defaultdict(list), defaultdict(list)
    for i, batch in enumerate(given.batches(f"{what}: tokens")):
        for name, tokens in read(batch.images).items():
            grids[name] = tokens.grid
            wanted = majority_labels(batch.labels, tokens.grid, classes)
            rng = np.random.default_rng(seed_for(seed, "tokens", str(i)))
            chosen = sample_tokens(wanted, tokens_per_image, rng=rng)
            features[name].append(tokens.features[chosen])
            labels[name].append(wanted[chosen])
    return {
        name: (grids[name], fit(np.concatenate(features[name]), np.concatenate(labels[name])))
        for name in progress(list(grids), f"{what}: probes")
    }


def _counted(
    read: Reader, probes: dict[str, tuple[tuple[int, int], Pipeline]], given: Labelled, classes: int, what: str
) -> dict[str, pd.DataFrame]:
    """Each layer's counts."""
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for batch in given.batches(f"{what}: scores"):
        for name, tokens in read(batch.images).items():
            grid, probe = probes[name]
            predicted = predict(probe, tokens.features, grid, batch.labels.shape[1:])
            pairs = zip(predicted, batch.labels, strict=True)
            found[name] += [confusion(answer, truth, classes) for answer, truth in pairs]
    return {name: counts(np.stack(confusions)) for name, confusions in found.items()}
