"""The data term of Eq. 4 for several images at once, folded where that is exact."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import torch
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.method.objective import Grid, Resampling, data_term, quadratic, quotients, resample, sides_agree
from whatwhere.method.walk import Walks

#: Numbers in all graphs of an image up to which they stand as dense matrices, unfolded: 16 MiB of float32.
DENSE = 2**22
#: For each grid `[image, graph, token, token]`.
Matrices = dict[Grid, Tensor]


class DataTerm:
    """Mean of |quotient − 1| over the graph set of each image.

    `sets[image][sample]` are graph sets with the same grids, of which every call takes one an image. The mean over
    all graphs of a resolution is one matrix where that is exact (see `walk.fold`). That is checked every
    `check_every` calls (a comparison may cost as much as a whole unfolded step), and the calls up to the next check
    follow its outcome: folded, or every graph by itself - small sets as dense matrices, others matrix-free. So a
    folded call between two checks can be inexact (with a buffer also because its sample is another);
    `check_every=1` leaves no such call, `folded=False` never folds.
    """

    def __init__(
        self, sets: Sequence[Sequence[Walks]], *, g: Resampling = resample, check_every: int = 50, folded: bool = True
    ) -> None:
        self.sets, self.g, self.check_every, self.folded = sets, g, check_every, folded
        self.grid = sets[0][0].grid
        self.calls, self.unfolded = 0, [0] * len(sets)
        self._agree = [False] * len(sets)
        self._dense = sum(a.heads * a.tokens**2 for a in sets[0][0].layers) <= DENSE
        self._stacks: dict[bool, tuple[list[Walks], Matrices]] = {}

    def __call__(
        self, X: Float[Tensor, "image token vector"], sample: Int[Tensor, "image"] | None = None
    ) -> Float[Tensor, "image"]:
        """The term at X, for the `sample` of each image (the first where none is said)."""
        chosen = [0] * len(self.sets) if sample is None else sample.tolist()
        walks = [samples[index] for samples, index in zip(self.sets, chosen, strict=True)]
        if self.folded and self.calls % self.check_every == 0:
            self._agree = [sides_agree(x, w, self.g) for x, w in zip(X, walks, strict=True)]
        self.calls += 1
        self.unfolded = [n + (not agree) for n, agree in zip(self.unfolded, self._agree, strict=True)]
        terms: list[Tensor] = [X.new_zeros(())] * len(walks)
        for agree in set(self._agree):
            images = [i for i, own in enumerate(self._agree) if own == agree]
            part = X if len(images) == len(walks) else X[images]
            for image, term in zip(images, self._terms(part, [walks[i] for i in images], agree), strict=True):
                terms[image] = term
        return torch.stack(terms)

    def status(self, image: int) -> str:
        """In words, how the graphs of an image entered."""
        return f"{self.unfolded[image]} of {self.calls} passes unfolded"

    def _terms(self, X: Float[Tensor, "image token vector"], walks: list[Walks], agree: bool) -> Float[Tensor, "image"]:
        if not agree and not self._dense:
            return torch.stack([data_term(quotients(x, w, self.g)) for x, w in zip(X, walks, strict=True)])
        parts = [quadratic(self.g(X, self.grid, grid), M) for grid, M in self._matrices(walks, agree).items()]
        return data_term(torch.stack(parts).sum(0) if agree else torch.cat(parts, 1))

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
