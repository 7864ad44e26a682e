"""What `gradient` and `released` share: Adam over backward passes, and the buffer of noise samples (appendix B.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from whatwhere.artifacts.progress import progress
from whatwhere.method.solve.adam import Adam
from whatwhere.method.walk import Walks

#: How often a descent is looked at, whether it has converged.
LOOKS = 20


def descend(
    parameters: Sequence[Tensor],
    loss: Callable[[Int[Tensor, "image"] | None], Float[Tensor, "image"]],
    samples: Iterator[Int[Tensor, "image"]] | None,
    *,
    steps: int,
    accumulate: int,
    learning_rate: float,
    what: str,
    tolerance: float | None = None,
) -> tuple[Float[np.ndarray, "image step"], list[int]]:
    """`steps` steps of Adam, each on the added gradients of `accumulate` backward passes; the mean loss of each.

    `samples` yields the noise sample of each image for a pass. Without it all passes of a step are equal: one is
    made, and its gradient counts `accumulate` times. With a `tolerance` an image stops where it has converged
    (`has_converged`): `parameters`, which have an axis of images where there are several, are then as that step left
    them, and the loss stays. The second answer is how many steps each image took.
    """
    optimiser = Adam(parameters, learning_rate=learning_rate, fused=True)
    passes, weight = (accumulate, 1) if samples else (1, accumulate)
    history: list[Tensor] = []
    stops: dict[int, tuple[int, list[Tensor]]] = {}
    for step in progress(range(steps), what):
        optimiser.zero_grad()
        losses = []
        for _ in range(passes):
            each = loss(next(samples) if samples else None)
            (weight * each.sum()).backward()
            losses.append(each.detach())
        optimiser.step()
        history.append(torch.stack(losses).mean(0))
        if tolerance is not None and not (step + 1) % max(1, steps // LOOKS):
            for image in has_converged(history, steps, tolerance).nonzero().flatten().tolist():
                one = slice(None) if len(history[0]) == 1 else image
                stops.setdefault(image, (step + 1, [parameter.detach()[one].clone() for parameter in parameters]))
        if len(stops) == len(history[0]):
            break
    found = torch.stack(history, 1)
    took = [stops[image][0] if image in stops else steps for image in range(len(found))]
    _as_they_stopped(parameters, stops)
    rows = [torch.cat([row[:end], row[end - 1].expand(steps - end)]) for row, end in zip(found, took, strict=True)]
    return torch.stack(rows).cpu().numpy(), took


def has_converged(history: Sequence[Float[Tensor, "image"]], steps: int, tolerance: float) -> Bool[Tensor, "image"]:
    """Whether an image's best loss fell, since the look before (`LOOKS` in `steps`), by less than `tolerance` of its
    fall since the first step.
    """
    window = max(1, steps // LOOKS)
    if len(history) <= window:
        return torch.zeros_like(history[0], dtype=torch.bool)
    before = torch.stack(tuple(history[:-window])).amin(0)
    best = torch.minimum(before, torch.stack(tuple(history[-window:])).amin(0))
    return before - best < tolerance * (history[0] - best)


def steps_words(took: int, steps: int) -> str:
    """How many steps an image took, for its status."""
    return f"{steps} steps" if took == steps else f"converged after {took} of {steps} steps"


def _as_they_stopped(parameters: Sequence[Tensor], stops: Mapping[int, tuple[int, list[Tensor]]]) -> None:
    with torch.no_grad():
        for image, (_, kept) in stops.items():
            for parameter, values in zip(parameters, kept, strict=True):
                (parameter if parameter.shape == values.shape else parameter[image]).copy_(values)


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
