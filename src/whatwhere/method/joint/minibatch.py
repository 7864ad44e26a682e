"""The paper's solver for a data set: Eq. 4 by Adam, mini-batch after mini-batch (section 3.3, appendix C.2).

The graphs of a batch reach over its images only; by and by every image meets every other. Each image keeps its own
X and its own moments, so a batch touches nothing else, and batches of one epoch, which share no image, may run in
one process or in many: the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.method.joint.graph import Operator, affinity, operator_of
from whatwhere.method.joint.loss import Graphs, paper_loss, released_loss, stacked
from whatwhere.method.joint.source import Source
from whatwhere.method.joint.sparsity import Sparsity
from whatwhere.method.joint.state import Rows, State
from whatwhere.method.solve.adam import Adam

Grid = tuple[int, int]
LOSSES = {"paper": paper_loss, "released": released_loss}


@dataclass(frozen=True)
class Descent:
    """Settings of the descent: `batches` mini-batches in all, `steps` steps of Adam on each.

    X starts normal, with the standard deviation `start`. `average` is the decay of a moving average of X, which is
    then the answer (the released code's); 0 for none.
    """

    batch_images: int = 160
    batches: int = 2100
    steps: int = 5
    start: float = 1.0
    learning_rate: float = 1e-2
    weight_decay: float = 0.0
    data_weight: float = 1.0
    orthogonality_weight: float = 1.0
    average: float = 0.0
    loss: Literal["paper", "released"] = "paper"

    @property
    def arrays(self) -> tuple[str, ...]:
        """What is kept of each image: X, Adam's two moments, and the average if there is one."""
        return ("x", "exp_avg", "exp_avg_sq", *(["average"] if self.average else []))


def schedule(images: int, batch_images: int, epoch: int, seed: int) -> list[Int[np.ndarray, "image"]]:
    """The batches of an epoch: every image once, in an order of its own, in batches of nearly the same size."""
    order = np.random.default_rng(seed_for(seed, "epoch", str(epoch))).permutation(images)
    return [np.sort(batch) for batch in np.array_split(order, max(1, -(-images // batch_images)))]


def start(
    ids: Sequence[str], tokens: int, vectors: int, *, deviation: float, seed: int
) -> Iterator[Float[np.ndarray, "token vector"]]:
    """X of every image before the first step: normal, from the seed and the image's id."""
    for name in ids:
        rng = np.random.default_rng(seed_for(seed, "start", name))
        yield deviation * rng.standard_normal((tokens, vectors), np.float32)


def descend(
    source: Source,
    state: State,
    settings: Descent,
    *,
    sparsity: Sparsity,
    operator: Operator,
    grid: Grid,
    seed: int,
    device: str = "cpu",
    rank: int = 0,
    ranks: int = 1,
    wait: Callable[[], None] = lambda: None,
) -> None:
    """Runs the batches that `state` has not had yet; process `rank` of `ranks` those of its share.

    `wait` lets every process come to the end of an epoch. Each batch is finished on disk before the next begins.
    """
    images = len(source.ids)
    each = len(schedule(images, settings.batch_images, 0, seed))
    bar = progress(range(settings.batches), f"mini-batches of {settings.batch_images} images")
    for number in bar:
        epoch, place = divmod(number, each)
        batch = schedule(images, settings.batch_images, epoch, seed)[place]
        if place % ranks == rank and state.counts[batch[0]] <= epoch:
            graphs = batch_graphs(source, batch.tolist(), epoch, sparsity, operator, device)
            rows, losses = _steps(state.rows(batch), graphs, grid, settings, epoch, device)
            state.finish(number, batch, rows, losses)
        if place == each - 1:
            wait()
    wait()


def batch_graphs(
    source: Source, images: Sequence[int], epoch: int, sparsity: Sparsity, operator: Operator, device: str = "cpu"
) -> list[Graphs]:
    """The graphs of one mini-batch, those of one grid stacked."""
    by_grid: dict[Grid, list[Any]] = {}
    for pair in source.batch(images, epoch):
        A = affinity(pair.source, pair.target, sparsity)
        by_grid.setdefault(pair.layer.grid, []).append(operator_of(A, operator, sparsity.slack))
    return [stacked(grid, operators, device) for grid, operators in by_grid.items()]


def _steps(
    rows: Rows, graphs: Sequence[Graphs], grid: Grid, settings: Descent, epoch: int, device: str
) -> tuple[Rows, Float[np.ndarray, "step"]]:
    """`steps` steps of Adam on the rows of one batch, from where their images' moments stand."""
    tensors = {name: torch.from_numpy(array).to(device) for name, array in rows.items()}
    X = tensors["x"].requires_grad_(True)
    optimiser = Adam(
        [X],
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        moments={name: [tensors[name]] for name in ("exp_avg", "exp_avg_sq")},
        taken=epoch * settings.steps,  # every image of a batch has been in one batch of each epoch before
    )
    weights = {"data_weight": settings.data_weight, "orthogonality_weight": settings.orthogonality_weight}
    losses = []
    for step in range(settings.steps):
        optimiser.zero_grad()
        loss: Tensor = LOSSES[settings.loss](X, graphs, grid, **weights)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if settings.average:
            first = epoch == 0 and step == 0
            tensors["average"].lerp_(X.detach(), 1.0 if first else 1 - settings.average)
    found = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    return found, np.array(losses, np.float32)
