"""Images with words: whole scenes with their captions, and crops with the classes that can be seen in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from whatwhere.scenes.world import CLASSES
from whatwhere.zoo.training.scenes import TrainingScenes
from whatwhere.zoo.training.words import prompt

#: Share of images that are crops, and the sides of those (px).
CROPPED, SIDES_PX = 0.5, (56, 104)
#: A prompt names at most so many classes.
MOST_NAMED = 3


@dataclass(frozen=True)
class Pairs:
    """`pixels` -1 … 1 and a text each; `named[i]` and `present[j]` tell where a text of classes is true.

    A caption names nothing in `named` and has `is_prompt` false.
    """

    pixels: Float[Tensor, "image 3 y x"]
    texts: list[str]
    is_prompt: Bool[Tensor, "image"]
    named: Bool[Tensor, "image label"]
    present: Bool[Tensor, "image label"]


def draw(scenes: TrainingScenes, chosen: Int[np.ndarray, "image"], size_px: int, generator: torch.Generator) -> Pairs:
    """A pair of each chosen scene; captions say left and right, so nothing is mirrored."""
    width = scenes.images.shape[1]
    cropped = torch.rand(len(chosen), generator=generator) < CROPPED
    boxes = scenes.boxes(len(chosen), *SIDES_PX, generator=generator)
    boxes[~cropped.numpy()] = (0, 0, width)
    present = scenes.present(chosen, boxes)
    # the highest random scores among the classes present, one to three of them
    scores = torch.rand(present.shape, generator=generator) * present
    count = torch.randint(1, MOST_NAMED + 1, (len(chosen),), generator=generator)
    rank = scores.argsort(1, descending=True).argsort(1)
    named = present & (rank < count[:, None]) & cropped[:, None]
    texts = [
        prompt([name for name, is_named in zip(CLASSES, row, strict=True) if is_named])
        if by_class
        else scenes.captions[scene]
        for scene, row, by_class in zip(chosen, named.tolist(), cropped.tolist(), strict=True)
    ]
    return Pairs(scenes.crops(chosen, boxes, size_px), texts, cropped, named, present)
