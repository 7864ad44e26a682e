"""X of a whole data set, by whatever it is multiplied (Eq. 8): a few images in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import softmax

from whatwhere.artifacts.spread import AHEAD, few, spread
from whatwhere.artifacts.store import Store, Writer

#: Images whose X is in memory at a time, at most, and in a file together.
BLOCK_IMAGES = 64
#: Rows of X that the limits of the colour scale are taken from, at most.
SCALE_ROWS = 50_000
#: Part of the rows beyond each end of the colour scale, in per cent.
BEYOND = 2.0


class Leading:
    """The leading columns of X of a solve, each times its length; read a few images at a time."""

    def __init__(self, solved: Store, lengths: np.ndarray) -> None:
        self._solved, self._lengths = solved, lengths
        self.shape = (*solved.description["arrays"]["vectors"]["shape"][:2], len(lengths))

    def __getitem__(self, images: slice) -> np.ndarray:
        return self._solved.read("vectors", images)[..., : len(self._lengths)] * self._lengths


def gram(X: np.memmap, released: bool) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the columns over all images, and XᵀX, in double precision."""
    X.flush()
    found = np.zeros((X.shape[2],) * 2)
    parts = ((str(X.filename), images, released) for images in _slices(X, AHEAD))
    for products in spread(_products, parts):
        for one in products:  # image by image: blocks of any size have the same sums
            found += one
    return np.sqrt(found.diagonal()), found


def _products(part: tuple[str, slice, bool]) -> np.ndarray:
    """XᵀX of each of a few images, of the file that X lies in."""
    file, images, released = part
    X = np.load(file, mmap_mode="r")[images]
    rows = _rows(X, released).reshape(X.shape)
    return rows.swapaxes(1, 2) @ rows


def _blocks(X: np.ndarray | Leading, released: bool) -> Iterator[tuple[slice, np.ndarray]]:
    """A few images at a time, as `_rows`."""
    for images in _slices(X, 1):
        yield images, _rows(X[images], released)


def _slices(X: np.ndarray | Leading, parts: int) -> Iterator[slice]:
    images, _, _ = X.shape
    for first in range(0, images, some := _most(X, parts)):
        yield slice(first, min(first + some, images))


def _most(X: np.ndarray | Leading, parts: int) -> int:
    return min(BLOCK_IMAGES, few(X.shape[1], parts=parts))


def _rows(X: np.ndarray, released: bool) -> np.ndarray:
    """Locations below one another; of the released parametrisation the softmax of each."""
    rows = X.reshape(-1, X.shape[2]).astype(np.float64)
    return softmax(rows, axis=1) if released else rows


def write(store: Writer, X: np.ndarray | Leading, U: np.ndarray, released: bool = False) -> None:
    """`X U` block by block: memory does not grow with the images."""
    signs, limits = signs_and_limits(X, U, released)
    shape = (*X.shape[:2], U.shape[1])
    array = store.array("vectors", shape, "float32", ("image", "token", "vector"), run_images=_most(X, 1))
    for images, rows in _blocks(X, released):
        array[images] = (rows @ (U * signs)).astype(np.float32).reshape(-1, *shape[1:])
    store.root.attrs["limits"] = limits


def signs_and_limits(
    X: np.ndarray | Leading, U: np.ndarray | None = None, released: bool = False
) -> tuple[np.ndarray, list[list[float]]]:
    """With which sign of each column of `X U` (U: the identity, if none is given) its largest entry is positive, and
    then both ends of its colour scale.
    """
    U = np.eye(X.shape[2]) if U is None else U
    low, high = np.full(U.shape[1], np.inf), np.full(U.shape[1], -np.inf)
    every, some = max(1, X.shape[0] * X.shape[1] // min(SCALE_ROWS, few(1, parts=1))), []
    for images, rows in _blocks(X, released):
        rotated, first = rows @ U, images.start * X.shape[1]
        low, high = np.minimum(low, rotated.min(0)), np.maximum(high, rotated.max(0))
        some.append(rotated[-first % every :: every].copy())  # a view would keep the whole block
    signs = np.where(-low > high, -1.0, 1.0)
    scale = np.concatenate(some)
    del some
    scale *= signs
    limits = np.percentile(scale, [BEYOND, 100 - BEYOND], axis=0, overwrite_input=True)
    return signs, limits.T.tolist()
