"""X of an image that was not solved: what the walk from its locations says, given X of the landmarks.

A location of the image connects, as those of the sample did, to its strongest others inside the image and across, here
to the landmarks; and a landmark connects to it where their cosine is at least the weakest that the landmark kept
across (`Anchor.floor`), as it would have, had the image been there. So with S the mean over layers of the symmetric
parts of these walks, S_i inside the image and S_s to the landmarks, and D its sums of rows with the sample's ridge,
each column k of X is the solution of

    (λ_k D − S_i) x_k = S_s X_k ,

a harmonic function (λ = 1) as Zhu, Ghahramani and Lafferty (2003) carry labels over a graph, at the sample's
eigenvalue as Nyström's extension has it. The landmarks' own rows stay as they are, so no image depends on another. For
an image of the sample, none of whose locations was thinned, these are the very equations that its own rows of X solve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.method.joint.graph import resampling
from whatwhere.method.joint.landmarks import Anchor, Landmarks
from whatwhere.method.joint.seen import Seen
from whatwhere.method.joint.sparsity import Sparsity

#: Eigenvalues, all below 1, that differ by less are the same.
SAME = 1e-7
#: Cosines that differ by less are the same, summed in another order.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Extended:
    """X of one image, on its finest grid; `connection`: of each token the part of its walk that leads to landmarks."""

    vectors: Float[np.ndarray, "token vector"]
    connection: Float[np.ndarray, "token"]
    grid: tuple[int, int]


def extend(landmarks: Landmarks, image: Seen) -> Extended:
    """Raises `InputError` where the image's layers are not the landmarks'."""
    if dict.fromkeys(image.names).keys() != dict.fromkeys(landmarks.layers).keys():
        raise InputError(
            f"codebook: expected the layers {', '.join(landmarks.layers)}, got {', '.join(image.names)}; use the "
            "backbone that the codebook was made with"
        )
    inside, across, connection = _walks(landmarks, image)
    degrees = inside.sum(1) + across[:, -1] + landmarks.ridge
    X = harmonic(inside, across[:, :-1], degrees, torch.from_numpy(landmarks.values))
    return Extended(X.numpy(), connection.numpy(), image.grid)


def harmonic(
    S: Float[Tensor, "token token"],
    B: Float[Tensor, "token vector"],
    degrees: Float[Tensor, "token"],
    values: Float[Tensor, "vector"],
) -> Float[Tensor, "token vector"]:
    """`(λ_k D − S) x_k = b_k` for every column of a symmetric S, by the eigenvectors of `D^-½ S D^-½`, which all share.
    Sweeps `x ← D⁻¹ (S x + b)/λ` would settle only for columns with λ above all eigenvalues, and take longer.

    Of several solutions (λ_k is an eigenvalue) that with the shortest `D^½ x_k`.
    """
    scale = degrees.double().rsqrt()[:, None]
    own, U = torch.linalg.eigh(scale * S.double() * scale.T)
    gaps = values.double() - own[:, None]
    inverse = torch.where(gaps.abs() > SAME, 1 / gaps, 0.0)
    return (scale * (U @ (inverse * (U.T @ (scale * B.double()))))).float()


def _walks(
    landmarks: Landmarks, image: Seen
) -> tuple[Float[Tensor, "token token"], Float[Tensor, "token column"], Float[Tensor, "token"]]:
    """On the image's finest grid: S_i; S_s times the landmarks' X and ones; and what part of a walk leads there."""
    layers = {layer.name: layer for layer in image.layers}
    tokens = image.grid[0] * image.grid[1]
    columns = landmarks.vectors[0].shape[1]
    sums: dict[tuple[int, int], Sequence[Tensor]] = {}
    for anchor in landmarks.anchors:
        layer = layers[anchor.layer]
        source, target = (layer.rows[name].float() for name in anchor.names)
        inside, across, share = _graph(anchor, source, target, landmarks.vectors[anchor.level], landmarks.sparsity)
        found = (inside, across, share)
        sums[layer.grid] = (
            [a + b for a, b in zip(sums[layer.grid], found, strict=True)] if layer.grid in sums else found
        )
    inside, across, connection = torch.zeros(tokens, tokens), torch.zeros(tokens, columns), torch.zeros(tokens)
    for grid, (own, other, share) in sums.items():
        if (g := resampling(image.grid, grid)) is None:
            inside, across, connection = inside + own, across + other, connection + share
            continue
        fine = torch.from_numpy((g.T @ (g.T @ own.numpy()).T).astype(np.float32)).T
        inside, across = inside + fine, across + torch.from_numpy((g.T @ other.numpy()).astype(np.float32))
        even = g.T / np.asarray(g.T.sum(1)).reshape(-1, 1)
        connection = connection + torch.from_numpy(np.asarray(even @ share.numpy(), np.float32))
    graphs = len(landmarks.anchors)
    return inside / graphs, across / graphs, connection / graphs


def _graph(
    anchor: Anchor,
    source: Float[Tensor, "token width"],
    target: Float[Tensor, "token width"],
    vectors: Float[Tensor, "landmark column"],
    sparsity: Sparsity,
) -> tuple[Float[Tensor, "token token"], Float[Tensor, "token column"], Float[Tensor, "token"]]:
    """One graph's S_i, its S_s times `vectors`, and the part of each row of the walk that leads to landmarks."""
    least = max(sparsity.threshold, 0.0)
    cosines = source @ target.T
    cosines.fill_diagonal_(-torch.inf)
    near, places = _strongest(cosines, sparsity.intra, least)
    of_source, of_target = anchor.sides
    out = source @ of_target.T
    far, where = _strongest(out, sparsity.inter, least)
    sums = near.sum(1) + far.sum(1)
    scale = torch.where(sums > 0, 1 / sums, 0.0)[:, None]
    P = torch.zeros_like(cosines).scatter_(1, places, scale * near)
    led = torch.einsum("tk,tkc->tc", scale * far, vectors[where])
    back = out if anchor.names[0] == anchor.names[1] else target @ of_source.T
    return 0.5 * (P + P.T), 0.5 * (led + _led_back(anchor, back, vectors, least)), (scale * far).sum(1)


def _strongest(cosines: Float[Tensor, "row column"], count: int, least: float) -> tuple[Tensor, Tensor]:
    """The largest of each row, nothing in the place of those that are not above `least`, and their columns."""
    found, places = cosines.topk(min(count, cosines.shape[1]), dim=1, sorted=False)
    return torch.where(found > least, found, 0.0), places


def _led_back(
    anchor: Anchor, cosines: Float[Tensor, "token landmark"], vectors: Float[Tensor, "landmark column"], least: float
) -> Float[Tensor, "token column"]:
    """What landmarks add that would have chosen a token among their own connections across."""
    token, landmark = torch.nonzero(cosines >= (anchor.floor - ROUNDING).clamp_min(least), as_tuple=True)
    weight = cosines[token, landmark] * anchor.weight[landmark]
    return torch.zeros(len(cosines), vectors.shape[1]).index_add_(0, token, weight[:, None] * vectors[landmark])
