"""The authors' released parametrisation: X is the softmax of a small network's answer to noise that is learned.

Where it differs from the paper's text (`gradient`): the parametrisation, g (`objective.pooled`), the form and
weight of the orthogonality term, the optimiser's steps, and unit columns at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from whatwhere.method.objective import folded_quotients, pooled
from whatwhere.method.solve.descent import descend, sample_sets, steps_words
from whatwhere.method.solve.solution import Solution
from whatwhere.method.solve.terms import DataTerm
from whatwhere.method.walk import Walks

NOISE_CHANNELS = 128


class Painter(nn.Module):
    """128 channels of learnable noise at X's size, three 3×3 convolutions, a softmax over channels.

    The two batch normalisations always use the image's own statistics.

    ASSUME: ReLU after each normalisation, 128 channels between the convolutions, noise that starts at N(0, 1).
    """

    def __init__(self, grid: tuple[int, int], vectors: int) -> None:
        super().__init__()
        self.noise = nn.Parameter(torch.randn(1, NOISE_CHANNELS, *grid))
        width = NOISE_CHANNELS
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width, track_running_stats=False),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width, track_running_stats=False),
            nn.ReLU(),
            nn.Conv2d(width, vectors, 3, padding=1),
        )

    def forward(self) -> Float[Tensor, "1 token vector"]:
        """X, every row positive and of sum 1."""
        return F.softmax(self.layers(self.noise), dim=1).flatten(2).mT


def solve_released(
    batch: Sequence[Walks],
    *,
    vectors: int,
    seeds: Sequence[int],
    steps: int = 100,
    learning_rate: float = 2e-3,
    data_weight: float = 2.0,
    orthogonality_weight: float = 2.0,
    buffer_samples: int | None = 7,
    fresh_probability: float = 0.25,
    accumulate: int = 20,
    check_every: int = 50,
    folded: bool = True,
    tolerance: float | None = None,
) -> list[Solution]:
    """X of the released code, its columns of unit length (so that Eq. 8 is its singular value decomposition).

    100 steps of `accumulate` = 20 backward passes are its 2,001 passes. `check_every` and `folded` as in `DataTerm`,
    `tolerance` as in `gradient`.
    """
    found = []
    for walks, seed in zip(batch, seeds, strict=True):
        sets, samples = sample_sets([walks], buffer_samples, fresh_probability, [seed])
        term = DataTerm(sets, g=pooled, check_every=check_every, folded=folded)
        painter = _painter(walks, vectors, seed)
        history, took = descend(
            list(painter.parameters()),
            partial(_loss, painter, term, walks, data_weight, orthogonality_weight),
            samples,
            steps=steps,
            accumulate=accumulate,
            learning_rate=learning_rate,
            what="released steps",
            tolerance=tolerance,
        )
        with torch.no_grad():
            X = F.normalize(painter()[0], dim=0)
            values = folded_quotients(X, walks.folds, walks.grid, pooled)
        status = f"{steps_words(took[0], steps)}, {term.status(0)}"
        found.append(Solution(X.cpu(), values.cpu(), walks.grid, status, history[0]))
    return found


def _loss(
    painter: Painter, term: DataTerm, walks: Walks, data_weight: float, other_weight: float, sample: Tensor | None
) -> Float[Tensor, "image"]:
    X = painter()
    return data_weight * term(X, sample) + other_weight * overlap(X, walks)


def overlap(X: Float[Tensor, "image token vector"], walks: Walks) -> Float[Tensor, "image"]:
    """Mean of the squared cosines between different columns.

    ASSUME: over all resolutions of the graphs alike, as the data term.
    """
    return cosines(X, walks).square().mean((1, 2))


def cosines(X: Float[Tensor, "image token vector"], walks: Walks) -> Float[Tensor, "image grid pair"]:
    """The cosines between different columns at each resolution, row by row without the diagonal."""
    grids = dict.fromkeys(layer.grid for layer in walks.layers)
    off = ~torch.eye(X.shape[-1], dtype=torch.bool, device=X.device)
    resampled = (pooled(X, walks.grid, grid) for grid in grids)
    return torch.stack([(Y.mT @ Y)[:, off] for Y in resampled], 1)


def _painter(walks: Walks, vectors: int, seed: int) -> Painter:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        painter = Painter(walks.grid, vectors)
    return painter.to(walks.layers[0].source.device)
