"""Gaussian sums over all pairs of points, in time linear in the points: the permutohedral lattice as sparse matrices.

After Adams, Baek and Davis (2010). Points are splatted on the vertices of a lattice around them, the vertices blurred
along each direction of the lattice with weights ½, 1, ½, and the points cut out again with the weights they were
splatted with. A lattice is built once for its points and filters any number of channels at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int
from scipy import sparse

from whatwhere.artifacts.errors import InputError


@dataclass(frozen=True)
class GaussianFilter:
    """The kernel exp(−|fᵢ − fⱼ|² / 2) between points, times a constant, as `cut` · `blurs` · `splat`.

    Blurs along different directions do not commute where vertices are missing, so the kernel is not exactly
    symmetric; the order is that of the public implementation.
    """

    splat: sparse.csr_array
    blurs: tuple[sparse.csr_array, ...]
    cut: sparse.csr_array

    def __call__(self, values: Float32[np.ndarray, "point channel"]) -> Float32[np.ndarray, "point channel"]:
        """Σⱼ K(i, j) values[j] for every point i, the point itself with the others."""
        for matrix in (self.splat, *self.blurs, self.cut):
            values = matrix @ values
        return values

    def normalised(self, weight: float = 1.0) -> GaussianFilter:
        """`weight` · D^-½ K D^-½ where D is the diagonal of K 1."""
        degree = self(np.ones((self.cut.shape[0], 1), np.float32)).ravel()
        scale = sparse.diags_array((1 / np.sqrt(degree)).astype(np.float32))
        return GaussianFilter((self.splat @ scale).tocsr(), self.blurs, (np.float32(weight) * scale @ self.cut).tocsr())


def gaussian_filter(features: Float32[np.ndarray, "point dimension"]) -> GaussianFilter:
    """The Gaussian filter of unit variance between points, on the lattice's vertices around them.

    Raises `InputError` where the points are too far apart for the lattice's places to be numbered.
    """
    codes, weights, steps = _simplices(features)
    vertices, member = np.unique(codes, return_inverse=True)
    points, corners = codes.shape
    rows = (np.arange(points + 1) * corners).astype(np.int32)
    cut = sparse.csr_array((weights.ravel(), member.ravel().astype(np.int32), rows), shape=(points, len(vertices)))
    return GaussianFilter(cut.T.tocsr(), tuple(_blur(vertices, step) for step in steps), cut)


def _blur(vertices: Int[np.ndarray, "vertex"], step: np.integer) -> sparse.csr_array:
    """Each vertex with half of its two neighbours in one direction, where these exist."""
    count = len(vertices)
    ahead = (np.searchsorted(vertices, vertices + step) % count).astype(np.int32)
    here = np.flatnonzero(vertices[ahead] == vertices + step).astype(np.int32)
    half = sparse.csr_array((np.full(len(here), 0.5, np.float32), (here, ahead[here])), shape=(count, count))
    return (sparse.eye_array(count, dtype=np.float32) + half + half.T).tocsr()


def _simplices(
    features: Float32[np.ndarray, "point dimension"],
) -> tuple[Int[np.ndarray, "point corner"], Float32[np.ndarray, "point corner"], Int[np.ndarray, "corner"]]:
    """Codes of the vertices around each point, its barycentric weights, and what each direction adds to a code.

    The lattice is that of integer vectors which sum to 0 and whose entries are equal modulo `corners`. Its
    directions are 1 in every entry but one. The corners of a simplex are reached from the one whose entries
    are multiples of `corners` by a step in each direction, in the order of the point's remainders.
    """
    corners = features.shape[1] + 1
    lifted = _lifted(features)
    multiple = np.rint(lifted / np.float32(corners))
    # ranks of the remainders, the largest 0; they and the multiples turn around until the multiples sum to 0
    order = np.argsort(multiple * corners - lifted, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(corners) + multiple.sum(1, keepdims=True).astype(int), axis=1)
    multiple -= rank // corners
    np.put_along_axis(order, corners - 1 - rank % corners, np.arange(corners)[None], axis=1)
    remainder = (lifted - multiple * corners) / np.float32(corners)
    ascending = np.take_along_axis(remainder, order, axis=1)
    weights = np.diff(ascending, axis=1, prepend=ascending[:, -1:])
    weights[:, 0] += 1
    first, steps = _numbered(multiple.astype(int) * corners)
    walked = np.cumsum(steps[order[:, :-1]], axis=1)
    return np.hstack([first, first + walked]), weights, steps


def _lifted(features: Float32[np.ndarray, "point dimension"]) -> Float32[np.ndarray, "point corner"]:
    """Points in the plane of vectors that sum to 0, scaled so that the blurs amount to unit variance."""
    corners = features.shape[1] + 1
    number = np.arange(1, corners)
    scaled = features * (math.sqrt(2 / 3) * corners / np.sqrt(number * (number + 1))).astype(np.float32)
    lifted = np.zeros((len(features), corners), np.float32)
    lifted[:, :-1] = np.cumsum(scaled[:, ::-1], axis=1)[:, ::-1]
    lifted[:, 1:] -= number.astype(np.float32) * scaled
    return lifted


def _numbered(
    places: Int[np.ndarray, "point corner"],
) -> tuple[Int[np.ndarray, "point 1"], Int[np.ndarray, "corner"]]:
    """A code of each place, different for all within reach of a blur, and what each direction adds to it.

    A place is its entries but the last, read as digits: codes add up as places do.
    """
    corners = places.shape[1]
    digits = places[:, :-1] - places[:, :-1].min(0)
    # a corner lies less than `corners` from its simplex's first, a neighbour less than that from a corner
    base = [int(span) + 4 * corners for span in digits.max(0)]
    if math.prod(base) >= 2**62:
        raise InputError("settings: expected Gaussians wide enough for a lattice, got too narrow ones; widen px or rgb")
    place = np.array([math.prod(base[:axis]) for axis in range(corners - 1)] + [0])
    return digits @ place[:-1, None], place.sum() - corners * place
