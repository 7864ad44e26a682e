"""Coordinate regression (section 4.2.3, appendix C.3, Table 5): how linearly features say where they are.

Images are given one after the other and nothing of them is kept but sums of products, of the cells that are
fitted and of those that are tested; weights and test errors both come from these:

    regression = CoordinateRegression()
    for features, grid in images:
        regression.add(features, grid, rng)
    regression.error().mse, regression.bootstrap_interval(resamples=1000, rng=rng)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import View, view_labels
from whatwhere.datasets.record import IGNORE
from whatwhere.evaluate.resampling import times

#: ASSUME: a direction of the standardised features with less of their variance than this, relative to the largest,
#: is rounding (float32 leaves 1e-14) and gets no weight: one-hot labels always have one.
LEAST_VARIANCE = 1e-10
#: A channel whose deviation is smaller than this, relative to its size, is constant.
LEAST_SPREAD = 1e-10
#: Sums of test cells are kept by image while they fit in so many bytes, and by groups of images from then on ...
GROUP_BYTES = 2**28
#: ... of which there are never fewer, or an interval would say little.
LEAST_GROUPS = 20


@dataclass(frozen=True)
class CoordinateError:
    """Mean squared errors of the cells that were not fitted, in grid units squared; `mse` is the mean of both."""

    mse: float
    mse_column: float
    mse_row: float
    cells_fitted: int
    cells_tested: int


def chance(side: int = 32) -> float:
    """The error of features that know nothing: the variance of a coordinate, 85.25 on the paper's grid."""
    return (side**2 - 1) / 12


class CoordinateRegression:
    """Least squares with an intercept from features to the column and row of their cell, over all images.

    The grid has `side` × `side` cells; `train_share` of them are fitted, the others tested.

    ASSUME: the share is drawn in each image (819 of 1,024 cells), not over the whole set, so that an image needs
    to be seen once; and of weights that fit equally well (collinear channels, fewer cells than channels) the
    smallest are taken, of standardised channels, so that no channel's scale matters.
    Raises `InputError` where the share leaves nothing to fit or to test.
    """

    def __init__(self, *, side: int = 32, train_share: float = 0.8) -> None:
        self.side = side
        self._fitted_cells = round(train_share * side**2)
        if not 0 < self._fitted_cells < side**2:
            got = f"{self._fitted_cells} of {side**2} cells (train_share {train_share}, side {side})"
            raise InputError(f"coordinate regression: expected cells to fit and cells to test, got {got} to fit")
        row, column = np.divmod(np.arange(side**2), side)
        self._targets = np.stack([column, row], axis=1) - (side - 1) / 2
        self._shift: Float64[np.ndarray, "channel"] | None = None
        self._fit: np.ndarray | None = None
        self._tests: list[np.ndarray] = []
        self._images = 0

    def add(
        self, features: Float[np.ndarray, "token channel"], grid: tuple[int, int], rng: np.random.Generator
    ) -> None:
        """One image: features of its tokens, which form `grid` (rows, columns); `rng` draws its cells to be fitted.

        Features on another grid than the regression's are interpolated bilinearly to it (half-pixel convention, no
        smoothing where the grid shrinks). Raises `InputError` for another number of tokens or channels than
        expected and for values that are not finite; nothing of such an image counts.
        """
        self.take(self.sums(features, grid, rng))

    def sums(
        self, features: Float[np.ndarray, "token channel"], grid: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Float64[np.ndarray, "entry entry"], Float64[np.ndarray, "entry entry"]]:
        """Of an image what `take` adds: sums of products, of the cells that are fitted and of the others. As `add`."""
        self._check(features, grid)
        cells = resize(features.astype(np.float64), grid, self.side)
        if self._shift is None:  # moments about a typical value lose no digits to a large mean
            self._shift = cells.mean(0)
        rows = np.concatenate([np.ones((len(cells), 1)), cells - self._shift, self._targets], axis=1)
        fitted = rng.permutation(len(rows)) < self._fitted_cells
        return _moments(rows[fitted]), _moments(rows[~fitted])

    def take(self, sums: tuple[Float64[np.ndarray, "entry entry"], Float64[np.ndarray, "entry entry"]]) -> None:
        """Adds an image by its `sums`, which came from this regression or one of its `part`s; in the images' order."""
        self._keep(*sums)

    def part(self, images: int) -> CoordinateRegression:
        """One that makes the same `sums`, of the image after so many, once this one has seen the first; without any."""
        other = CoordinateRegression(side=self.side)
        other._fitted_cells, other._shift, other._images = self._fitted_cells, self._shift, images
        return other

    def error(self) -> CoordinateError:
        """Errors of the cells not fitted, over all images. Raises `InputError` where no image was added."""
        squares, cells = self._test_squares()
        column, row = (float(value) for value in squares.sum(0) / cells.sum())
        return CoordinateError((column + row) / 2, column, row, self._images * self._fitted_cells, int(cells.sum()))

    def bootstrap_interval(self, *, resamples: int, rng: np.random.Generator) -> tuple[float, float]:
        """95 % interval of `error().mse`: percentiles over resamples of the images with replacement.

        Of what is tested only: the weights stay those of all images. Once the images' sums no longer fit in
        `GROUP_BYTES` (12,000 images of 50 channels, 56 of 768) groups of images are drawn instead of images.
        Raises `InputError` where no image was added.
        """
        low, high = np.percentile(resampled_errors(*self.tested(), resamples=resamples, rng=rng), [2.5, 97.5])
        return float(low), float(high)

    def tested(self) -> tuple[Float64[np.ndarray, "group"], Float64[np.ndarray, "group"]]:
        """Summed squared errors, the mean of both coordinates, and test cells of each image; see `bootstrap_interval`.

        Raises `InputError` where no image was added.
        """
        squares, cells = self._test_squares()
        return squares.mean(1), cells

    def _check(self, features: np.ndarray, grid: tuple[int, int]) -> None:
        where = f"coordinate regression, image {self._images + 1}"
        if len(features) != grid[0] * grid[1]:
            wanted = f"{grid[0] * grid[1]} tokens of a grid of {grid[0]} × {grid[1]}"
            raise InputError(f"{where}: expected {wanted}, got {len(features)}; cut prefix tokens")
        if self._shift is not None and features.shape[1] != len(self._shift):
            wanted = f"{len(self._shift)} channels as in the images before it"
            raise InputError(f"{where}: expected {wanted}, got {features.shape[1]}; use one layer of one model")
        if not np.isfinite(features).all():
            raise InputError(f"{where}: expected finite features, got NaN or infinity; compute them again in float32")

    def _keep(self, fit: np.ndarray, test: np.ndarray) -> None:
        self._fit = fit if self._fit is None else self._fit + fit
        groups = max(LEAST_GROUPS, GROUP_BYTES // test.nbytes)
        if self._images < groups:
            self._tests.append(test)
        else:
            self._tests[self._images % groups] += test
        self._images += 1

    def _test_squares(self) -> tuple[Float64[np.ndarray, "group coordinate"], Float64[np.ndarray, "group"]]:
        """Summed squared errors and test cells of each image, or group of images."""
        if self._fit is None or self._shift is None:
            raise InputError("coordinate regression: expected at least one image, got none; add one first")
        residual = _residual_weights(self._fit, np.abs(self._shift))
        squares = np.stack([(residual * (moments @ residual)).sum(0) for moments in self._tests])
        # a perfect fit may round to a little below 0
        return squares.clip(min=0), np.array([moments[0, 0] for moments in self._tests])


def resampled_errors(
    squares: Float64[np.ndarray, "group"],
    cells: Float64[np.ndarray, "group"],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "resample"]:
    """Mean squared errors of sets drawn, with replacement, from the images that `CoordinateRegression.tested` tells."""
    often = times(len(cells), resamples, rng)
    errors: Float64[np.ndarray, "resample"] = often @ squares / (often @ cells)
    return errors


def label_features(
    labels: Int[np.ndarray, "y x"], classes: int, side: int = 32
) -> Float32[np.ndarray, "{side}*{side} label"]:
    """Ground truth as features (Table 5, 72.0): one-hot of the label at each cell's centre, zeros where ignored.

    Raises `InputError` for a label outside 0 … `classes` − 1.
    """
    given = view_labels(labels, View("square", side)).ravel()
    scored = given[given != IGNORE]
    if scored.size and not 0 <= scored.min() <= scored.max() < classes:
        raise InputError(f"labels: expected 0 to {classes - 1}, got {scored.min()} to {scored.max()}")
    return (given[:, None] == np.arange(classes)).astype(np.float32)


def resize(
    features: Float64[np.ndarray, "token channel"], grid: tuple[int, int], side: int
) -> Float64[np.ndarray, "cell channel"]:
    """Features of a `grid` (rows, columns) on `side` × `side` cells, bilinearly; themselves where the grids agree."""
    if grid == (side, side):
        return features
    down, across = (_interpolation(tokens, side) for tokens in grid)
    planes = features.reshape(*grid, -1)
    return np.einsum("yr,xc,rck->yxk", down, across, planes, optimize=True).reshape(side**2, -1)


def _interpolation(tokens: int, cells: int) -> Float64[np.ndarray, "cell token"]:
    """Weights of linear interpolation from tokens to cells along one side, the outermost tokens continued."""
    centres = (np.arange(cells) + 0.5) * tokens / cells - 0.5
    return np.stack([np.interp(centres, np.arange(tokens), one) for one in np.eye(tokens)], axis=1)


def _moments(rows: Float64[np.ndarray, "cell entry"]) -> Float64[np.ndarray, "entry entry"]:
    """Sums of products; with a leading 1 in each row also the sums and the count. Sets of cells add up."""
    return rows.T @ rows


def _residual_weights(
    moments: Float64[np.ndarray, "entry entry"], size: Float64[np.ndarray, "channel"]
) -> Float64[np.ndarray, "entry coordinate"]:
    """What turns `[1, features, targets]` into the residuals of least squares fitted to `moments`.

    `size` is how large each channel is: one that varies by less than the rounding of that has no weight.
    """
    cells, sums = moments[0, 0], moments[0]
    covariance = (moments - np.outer(sums, sums) / cells)[1:, 1:] / cells
    spread = np.sqrt(covariance.diagonal()[:-2].clip(min=0))
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > LEAST_SPREAD * size)
    correlation = scale[:, None] * covariance[:-2, :-2] * scale
    variances, directions = np.linalg.eigh(correlation)
    kept = variances > LEAST_VARIANCE * variances.max(initial=0)
    directions = scale[:, None] * directions[:, kept]
    weights = directions @ (directions.T @ covariance[:-2, -2:] / variances[kept, None])
    intercept = (sums[-2:] - sums[1:-2] @ weights) / cells
    return np.concatenate([-intercept[None], -weights, np.eye(2)])
