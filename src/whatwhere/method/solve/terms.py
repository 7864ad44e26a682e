"""The data term of Eq. 4 for several images at once, folded: the same value and gradient for far fewer products."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import torch
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.method.objective import Grid, Resampling, data_term, quadratic, quotients, resample
from whatwhere.method.solve.sides import Sides, sides_at
from whatwhere.method.walk import Walks

#: Numbers in all graphs of an image up to which they stand as dense matrices, unfolded: 16 MiB of float32.
DENSE = 2**22
#: For each grid `[image, graph, token, token]`.
Matrices = dict[Grid, Tensor]


class DataTerm:
    """Mean of |quotient − 1| over the graph set of each image.

    `sets[image][sample]` are graph sets with the same grids, of which every call takes one an image. The mean over
    all graphs of a resolution is one matrix (see `walk.fold`), which is exact for a column whose quotients lie on one
    side of 1. For one whose graphs are on both (an attention sink makes some exceed 1) those on the side where fewer
    are have a matrix of their own, and the two sides are taken by themselves (`sides.Sides`). Which graph is on which
    is found anew every `check_every` calls (that may cost as much as a whole unfolded step), so a call between two
    checks can be inexact; `check_every=1` leaves no such call, `folded=False` never folds. Small sets whose graphs are
    on both sides are not folded but taken as dense matrices, which are exact at every call.
    """

    def __init__(
        self, sets: Sequence[Sequence[Walks]], *, g: Resampling = resample, check_every: int = 50, folded: bool = True
    ) -> None:
        self.sets, self.g, self.check_every, self.folded = sets, g, check_every, folded
        self.grid = sets[0][0].grid
        self.calls, self.unfolded, self.signed = 0, [0] * len(sets), [0] * len(sets)
        self._dense = sum(a.heads * a.tokens**2 for a in sets[0][0].layers) <= DENSE
        self._stacks: dict[bool, tuple[list[Walks], Matrices]] = {}
        # of each image and sample the call that last found its sides
        self._sides: dict[tuple[int, int], tuple[int, Sides]] = {}

    def __call__(
        self, X: Float[Tensor, "image token vector"], sample: Int[Tensor, "image"] | None = None
    ) -> Float[Tensor, "image"]:
        """The term at X, for the `sample` of each image (the first where none is said)."""
        chosen = [0] * len(self.sets) if sample is None else sample.tolist()
        walks = [samples[index] for samples, index in zip(self.sets, chosen, strict=True)]
        sides = [self._at(X[image], image, index) if self.folded else None for image, index in enumerate(chosen)]
        self.calls += 1
        terms: list[Tensor] = [X.new_zeros(())] * len(walks)
        # small sets that do not agree are dense, and others never folded only where nothing is
        folds = [one is not None and (one.agree or not self._dense) for one in sides]
        for fold in set(folds):
            images = [i for i, own in enumerate(folds) if own == fold]
            part = X if len(images) == len(walks) else X[images]
            found = self._terms(part, [walks[i] for i in images], [sides[i] for i in images] if fold else None)
            for image, term in zip(images, found, strict=True):
                terms[image] = term
                self.unfolded[image] += not fold
        for image, one in enumerate(sides):
            self.signed[image] += folds[image] and one is not None and not one.agree
        return torch.stack(terms)

    def status(self, image: int) -> str:
        """In words, how the graphs of an image entered."""
        signed = f", {self.signed[image]} folded by sides" if self.signed[image] else ""
        return f"{self.unfolded[image]} of {self.calls} passes unfolded{signed}"

    def _at(self, X: Float[Tensor, "token vector"], image: int, sample: int) -> Sides:
        """The sides of an image's sample, found anew where the last time is `check_every` calls ago."""
        checked, sides = self._sides.get((image, sample), (-self.check_every, None))
        if sides is None or self.calls - checked >= self.check_every:
            matrices = not self._dense
            sides = sides_at(X.detach(), self.sets[image][sample], self.g, sides, matrices=matrices)
            self._sides[image, sample] = self.calls, sides
        return sides

    def _terms(
        self, X: Float[Tensor, "image token vector"], walks: list[Walks], sides: list[Sides | None] | None
    ) -> Float[Tensor, "image"]:
        if sides is None and not self._dense:
            return torch.stack([data_term(quotients(x, w, self.g)) for x, w in zip(X, walks, strict=True)])
        matrices = self._matrices(walks, sides is not None)
        parts = [quadratic(self.g(X, self.grid, grid), M) for grid, M in matrices.items()]
        if sides is None:
            return data_term(torch.cat(parts, 1))
        means = torch.stack(parts).sum(0)[:, 0]
        return torch.stack([self._by_sides(*one) for one in zip(X, means, walks, sides, strict=True)])

    def _by_sides(
        self, X: Float[Tensor, "token vector"], means: Float[Tensor, "vector"], walks: Walks, sides: Sides | None
    ) -> Float[Tensor, ""]:
        """From the mean quotient of every column, and the sum of those on the side where fewer graphs are."""
        if sides is None or sides.agree:
            return (means - 1).abs().mean()
        sums, fewer = sides.sums(X, self.grid, self.g)
        others = walks.graphs * means - sums - (walks.graphs - fewer)
        return (others.abs() + (sums - fewer).abs()).mean() / walks.graphs

    def _matrices(self, walks: list[Walks], agree: bool) -> Matrices:
        """The folds of each image, or all its graphs; kept while the graph sets stay the same."""
        known = self._stacks.get(agree)
        if known is None or any(a is not b for a, b in zip_longest(known[0], walks)):
            each = [_folds(w) if agree else _graphs(w) for w in walks]
            stacked = {
                grid: torch.stack([m[grid] for m in each]) if len(each) > 1 else one[None]
                for grid, one in each[0].items()
            }
            known = self._stacks[agree] = (walks, stacked)
        return known[1]


def _graphs(walks: Walks) -> dict[Grid, Float[Tensor, "graph token token"]]:
    found: dict[Grid, list[Tensor]] = {}
    for layer in walks.layers:
        P = torch.cat([block.clone() for block in layer.matrices()])
        P *= layer.balance[:, :, None] * layer.balance[:, None]
        found.setdefault(layer.grid, []).append((P + P.mT) / 2)  # the same quadratic form, and symmetric
    return {grid: torch.cat(blocks) for grid, blocks in found.items()}


def _folds(walks: Walks) -> dict[Grid, Float[Tensor, "1 token token"]]:
    return {fold.grid: fold.matrix[None] for fold in walks.folds}
