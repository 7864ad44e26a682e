"""A sample of images solved together, and what of it every other image is compared with: its landmarks.

The sample is solved as `whole` solves a set, by the `regularised` operator: with S the mean over layers of the walks'
symmetric parts and D the sums of its rows, each with a share of their mean, `S x = λ D x` for every column x of X.
Images may have grids of their own. Of the sample's locations some stay as landmarks, with their unit vectors in each
layer, their rows of X, and what says which location not yet seen would have been among their own connections
(`extension`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.method.joint.graph import as_matrix, random_walk, resampling, symmetric_part
from whatwhere.method.joint.search import Neighbours, Search, nearest
from whatwhere.method.joint.seen import Grid, Seen
from whatwhere.method.joint.sparsity import SIDES, Sparsity
from whatwhere.method.joint.whole import REGULARISATION, leading, regularised

#: Landmarks by default.
LANDMARKS = 2048
#: Eigenvalues below this share of the largest are no classes' but noise: to be divided by, they are too small.
LEAST_VALUE = 0.02


@dataclass(frozen=True)
class Anchor:
    """One graph's landmarks: unit vectors `source` and `target` (the same of values), in half precision.

    `floor`: the weakest cosine that a landmark kept across images, infinite where it kept none; `weight`: of a cosine
    in its row, one over the row's sum, times the locations that a landmark stands for. `level` says which of
    `Landmarks.vectors` are theirs.
    """

    layer: str
    names: tuple[str, str]
    level: int
    source: Float[Tensor, "landmark width"]
    target: Float[Tensor, "landmark width"]
    floor: Float[Tensor, "landmark"]
    weight: Float[Tensor, "landmark"]

    @cached_property
    def sides(self) -> tuple[Float[Tensor, "landmark width"], Float[Tensor, "landmark width"]]:
        """`source` and `target` as products are made with them: in single precision, once for all images."""
        source = self.source.float()
        return source, source if self.target is self.source else self.target.float()


@dataclass(frozen=True)
class Landmarks:
    """What of a solved sample is kept.

    `vectors`: of each level (layers whose grids are alike) the landmarks' rows of X, brought to its grids, and last
    those of a column of ones; `owners` which image of the sample a landmark is of, `ids` those images. `values`: the
    eigenvalues. `ridge`: what every degree has more than its row's sum.
    """

    anchors: tuple[Anchor, ...]
    vectors: tuple[Float[Tensor, "_ column"], ...]
    owners: tuple[Int[Tensor, "_"], ...]
    ids: tuple[str, ...]
    values: Float[np.ndarray, "vector"]
    ridge: float
    sparsity: Sparsity

    @property
    def count(self) -> int:
        """Landmarks of the finest level."""
        return max(len(own) for own in self.owners)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that enter, in the network's order."""
        return tuple(dict.fromkeys(anchor.layer for anchor in self.anchors))


@dataclass(frozen=True)
class SolvedSample:
    """The landmarks, X of the sample's images `[token, vector]` each on its finest grid, and how it went."""

    landmarks: Landmarks
    vectors: tuple[Float[np.ndarray, "_ vector"], ...]
    status: str


def solve_sample(
    images: Sequence[Seen],
    *,
    pathway: str,
    vectors: int = 50,
    sparsity: Sparsity | None = None,
    search: Search = "auto",
    tolerance: float = 1e-4,
    landmarks: int = LANDMARKS,
    seed: int = 0,
) -> SolvedSample:
    """X of all images of a sample, and of their locations at most so many `landmarks` (0: all), drawn image by image.

    Raises `InputError` where there are not more locations than vectors, and where nothing connects them.
    """
    sparsity = sparsity or Sparsity()
    _check(images, sparsity)
    levels = _levels(images)
    finest = [one.grid for one in images]
    locations = sum(rows * columns for rows, columns in finest)
    if vectors >= locations:
        raise InputError(
            f"vectors: expected fewer than the sample's {locations} locations, got {vectors}; take more images, or "
            "fewer vectors"
        )
    places = [_thinned(images, level, landmarks, seed) for level in levels.values()]
    graphs, anchors, recall = _graphs(images, list(levels), places, SIDES[pathway], sparsity, search)
    sides = [_resampling(finest, grids) for grids in levels.values()]
    S = _folded(graphs, sides, locations)
    M, scale = regularised(S)
    ridge = REGULARISATION * float((S @ np.ones(locations, np.float32)).mean())
    values, U, residual = leading(M, vectors, tolerance, seed)
    keep = values > LEAST_VALUE * values[0]
    X = (scale * U)[:, keep].astype(np.float32)
    known = np.concatenate([X, np.ones((locations, 1), np.float32)], 1)
    at = [np.asarray(known if side is None else side @ known)[place] for side, place in zip(sides, places, strict=True)]
    found = Landmarks(
        tuple(anchors),
        tuple(torch.from_numpy(np.ascontiguousarray(rows, np.float32)) for rows in at),
        tuple(_owners(grids)[place] for grids, place in zip(levels.values(), places, strict=True)),
        tuple(one.id for one in images),
        values[keep].astype(np.float32),
        ridge,
        sparsity,
    )
    how = "exact search" if recall == 1 else f"search by FAISS, recall at least {math.floor(1000 * recall) / 1000:.3f}"
    ends = np.cumsum([rows * columns for rows, columns in finest])[:-1]
    return SolvedSample(found, tuple(np.split(X, ends)), f"largest residual {residual:.1e}, {how}")


def without(landmarks: Landmarks, image: str) -> Landmarks:
    """The landmarks of all other images: one of the sample that is extended to is not its own neighbour across."""
    if image not in landmarks.ids or len(landmarks.ids) == 1:
        return landmarks
    own = landmarks.ids.index(image)
    keep = [owners != own for owners in landmarks.owners]

    def cut(anchor: Anchor) -> Anchor:
        """An anchor without the image's rows."""
        stays = keep[anchor.level]
        rows = {name: getattr(anchor, name)[stays] for name in ("source", "floor", "weight")}
        target = rows["source"] if anchor.target is anchor.source else anchor.target[stays]
        return replace(anchor, **rows, target=target)

    return replace(
        landmarks,
        anchors=tuple(map(cut, landmarks.anchors)),
        vectors=tuple(rows[stays] for rows, stays in zip(landmarks.vectors, keep, strict=True)),
        owners=tuple(rows[stays] for rows, stays in zip(landmarks.owners, keep, strict=True)),
    )


def places_of(image: str, size: int, count: int, seed: int) -> Int[np.ndarray, "landmark"]:
    """Which of an image's `size` locations stay, where `count` do: drawn by its id, in their order."""
    rng = np.random.default_rng(seed_for(seed, "landmarks", image, str(size)))
    return np.sort(rng.choice(size, count, replace=False))


def _check(images: Sequence[Seen], sparsity: Sparsity) -> None:
    if sparsity.symmetric or sparsity.slack:
        raise InputError("graph: expected one without symmetric and slack for landmarks, got them; leave them out")
    odd = next((one for one in images if one.names != images[0].names), None)
    if odd:
        raise InputError(
            f"sample: expected the layers {', '.join(images[0].names)} of every image, got {', '.join(odd.names)} of "
            f"{odd.id}; choose one backbone"
        )


def _levels(images: Sequence[Seen]) -> dict[tuple[int, ...], list[Grid]]:
    """Layers (by number) whose grids are the same in every image, and those grids; the finest first."""
    found: dict[tuple[Grid, ...], list[int]] = {}
    for number in range(len(images[0].layers)):
        found.setdefault(tuple(one.layers[number].grid for one in images), []).append(number)
    ordered = sorted(found, key=lambda grids: -sum(rows * columns for rows, columns in grids))
    return {tuple(found[grids]): list(grids) for grids in ordered}


def _thinned(images: Sequence[Seen], grids: Sequence[Grid], landmarks: int, seed: int) -> Int[np.ndarray, "landmark"]:
    """Locations that stay: of each image the same share, drawn by its id."""
    sizes = [rows * columns for rows, columns in grids]
    share = min(1.0, landmarks / sum(sizes)) if landmarks else 1.0
    found, first = [], 0
    for one, size in zip(images, sizes, strict=True):
        found.append(first + places_of(one.id, size, max(1, round(share * size)), seed))
        first += size
    return np.concatenate(found)


def _graphs(
    images: Sequence[Seen],
    levels: Sequence[tuple[int, ...]],
    places: Sequence[np.ndarray],
    sides: Sequence[tuple[str, str]],
    sparsity: Sparsity,
    search: Search,
) -> tuple[list[sparse.csr_array], list[Anchor], float]:
    """Of each level the sum of its walks' symmetric parts, divided by the number of all graphs; the anchors, in the
    network's order; and the least recall of a graph's neighbours.
    """
    level_of = {number: level for level, numbers in enumerate(levels) for number in numbers}
    sums: dict[int, sparse.csr_array] = {}
    anchors, recall = [], 1.0
    for number in progress(sorted(level_of), f"graphs over {len(images)} photographs"):
        level, layer = level_of[number], images[0].layers[number].name
        own = torch.cat([torch.full((one.layers[number].tokens,), i) for i, one in enumerate(images)])
        rows = {name: _padded(images, number, name) for name in dict.fromkeys(n for side in sides for n in side)}
        valid = _valid(images, number)
        kept = places[level]
        for source, target in sides:
            near = nearest(rows[source], rows[target], inside=sparsity.intra, across=sparsity.inter, search=search)
            A = as_matrix(near, sparsity.threshold)[valid][:, valid]
            M = symmetric_part(random_walk(A))
            sums[level] = sums[level] + M if level in sums else M
            floor, weight = _incoming(near, A, valid, sparsity, len(own) / len(kept))
            half = {name: rows[name].flatten(0, 1)[valid][kept].half() for name in {source, target}}
            anchors.append(
                Anchor(layer, (source, target), level, half[source], half[target], floor[kept], weight[kept])
            )
            recall = min(recall, near.recall)
    if not any(M.nnz for M in sums.values()):
        raise InputError(f"graph: expected cosines above {sparsity.threshold}, got none; lower the threshold")
    return [(1 / len(anchors) * sums[level]).tocsr() for level in range(len(levels))], anchors, recall


def _padded(images: Sequence[Seen], number: int, name: str) -> Float[Tensor, "image token width"]:
    """A layer of all images below one another: rows of zeros, which nothing connects to, where one has fewer."""
    rows = [one.layers[number].rows[name].float() for one in images]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def _valid(images: Sequence[Seen], number: int) -> Int[np.ndarray, "location"]:
    sizes = [one.layers[number].tokens for one in images]
    return np.concatenate([image * max(sizes) + np.arange(size) for image, size in enumerate(sizes)])


def _incoming(
    near: Neighbours, A: sparse.csr_array, valid: np.ndarray, sparsity: Sparsity, stands_for: float
) -> tuple[Float[Tensor, "location"], Float[Tensor, "location"]]:
    """Of every location `Anchor.floor` and `Anchor.weight`."""
    across = torch.where(near.across >= 0, near.across_values.float(), torch.nan)[valid]
    kept = torch.where(across > max(sparsity.threshold, 0.0), across, torch.inf)
    floor = kept.amin(1) if kept.shape[1] else torch.full((len(valid),), torch.inf)
    sums = torch.from_numpy(np.asarray(A.sum(1), np.float32).ravel())
    return floor, torch.where(sums > 0, stands_for / sums, 0.0)


def _resampling(finest: Sequence[Grid], grids: Sequence[Grid]) -> sparse.csr_array | None:
    """g of all images, from their finest grids to those of a level."""
    if list(finest) == list(grids):
        return None
    blocks = [
        one if (one := resampling(fine, grid)) is not None else sparse.eye_array(fine[0] * fine[1])
        for fine, grid in zip(finest, grids, strict=True)
    ]
    return sparse.csr_array(sparse.block_diag(blocks, format="csr"))


def _folded(
    graphs: Sequence[sparse.csr_array], sides: Sequence[sparse.csr_array | None], locations: int
) -> sparse.csr_array | LinearOperator:
    """`Σ gᵀ M g` over the levels."""
    if len(graphs) == 1 and sides[0] is None:
        return graphs[0]

    def apply(X: np.ndarray) -> np.ndarray:
        """The mean of all layers' graphs times X."""
        columns = X.reshape(locations, -1)
        parts = [M @ columns if g is None else g.T @ (M @ (g @ columns)) for M, g in zip(graphs, sides, strict=True)]
        return np.sum(parts, axis=0).reshape(X.shape).astype(np.float32, copy=False)

    return LinearOperator((locations, locations), matvec=apply, matmat=apply, dtype=np.float32)


def _owners(grids: Sequence[Grid]) -> Int[Tensor, "location"]:
    return torch.cat([torch.full((rows * columns,), image) for image, (rows, columns) in enumerate(grids)])
