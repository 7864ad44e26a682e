"""What `gradient` and `released` share: Adam over backward passes, and the buffer of noise samples (appendix B.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.artifacts.progress import progress
from whatwhere.method.walk import Walks


def descend(
    parameters: Sequence[Tensor],
    loss: Callable[[Int[Tensor, "image"] | None], Float[Tensor, "image"]],
    samples: Iterator[Int[Tensor, "image"]] | None,
    *,
    steps: int,
    accumulate: int,
    learning_rate: float,
    what: str,
) -> Float[np.ndarray, "image step"]:
    """`steps` steps of Adam, each on the added gradients of `accumulate` backward passes; the mean loss of each.

    `samples` yields the noise sample of each image for a pass. Without it all passes of a step are equal: one is
    made, and its gradient counts `accumulate` times.
    """
    optimiser = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    passes, weight = (accumulate, 1) if samples else (1, accumulate)
    history = []
    for _ in progress(range(steps), what):
        optimiser.zero_grad()
        losses = []
        for _ in range(passes):
            each = loss(next(samples) if samples else None)
            (weight * each.sum()).backward()
            losses.append(each.detach())
        optimiser.step()
        history.append(torch.stack(losses).mean(0))
    return torch.stack(history, 1).cpu().numpy()


def sample_sets(
    batch: Sequence[Walks], buffer_samples: int | None, fresh_probability: float, seeds: Sequence[int]
) -> tuple[list[Sequence[Walks]], Iterator[Int[Tensor, "image"]] | None]:
    """The graph sets of each image, and which one each pass takes.

    Without a buffer, or where there is but one sample, it is one set of everything, and nothing to take.
    """
    if buffer_samples is None or len(batch[0].samples) == 1:
        return [[walks] for walks in batch], None
    streams = [
        buffered(len(walks.samples), buffer_samples, fresh_probability, seed)
        for walks, seed in zip(batch, seeds, strict=True)
    ]
    return [walks.samples for walks in batch], map(torch.tensor, zip(*streams, strict=True))


def buffered(samples: int, size: int, fresh_probability: float, seed: int) -> Iterator[int]:
    """The sample of each backward pass, without end (appendix B.2).

    With `fresh_probability`, and until there are `size`, a new sample is taken and stands in the place of the
    oldest; else one of those at hand, each as likely.

    ASSUME: new samples come from the image's own `samples`, all of them in a random order before any again; the
    paper runs the network anew.
    """
    generator = np.random.default_rng(seed)
    held: list[int] = []
    waiting: list[int] = []
    while True:
        if len(held) < size or generator.random() < fresh_probability:
            waiting = waiting or generator.permutation(samples).tolist()
            held = [*held, waiting.pop()][-size:]
            yield held[-1]
        else:
            yield held[int(generator.integers(len(held)))]
