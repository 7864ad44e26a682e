"""What the capture needs to know of a model: how to run it, and which of its tokens are the image's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np

    from whatwhere.backbones.features import Features


@dataclass(frozen=True)
class Language:
    """What a model that was trained with texts adds: a space that texts and image tokens share (appendix D.1).

    `embed(texts)` answers rows of unit length. It raises `InputError` for a text that the model cannot read whole, and
    where its tokenizer, which the first call reads, is missing or damaged.
    `project(features)` answers the image's tokens in that space on `final_grid`, not normalised. It raises `InputError`
    where the features lack what it needs; `capture(..., joint=True)` sees to that.
    `scale` is what cosines are multiplied by before a softmax: the learned one, 100 with OpenAI's CLIP; NaN where the
    weights are not in memory.
    """

    embed: Callable[[Sequence[str]], Float[Tensor, "text channel"]]
    project: Callable[[Features], Float[Tensor, "image token channel"]]
    scale: float


@dataclass(frozen=True)
class Backbone:
    """A frozen, pre-trained vision model that the capture can read.

    `run(pixels, seeds)` takes normalised pixels `[image, 3, y, x]` and an integer for each image, from which a
    model that draws anything (a diffusion model its noise) draws it; it answers the final features
    `[image, token, channel]`, image tokens only. Without seeds every image has the model's own. It passes through
    the network `samples` times, every time through the same layers in the same order.
    `image_tokens` says which of an attention layer's tokens belong to the image. `layers` are name patterns (`*`
    matches anything) of the layers to read, none where there are no patterns; `excluded` of those never to read.
    `patch_px`: image sides must be multiples of it.
    `size_px` is the short side at which it reads photographs unless told otherwise: for a transformer twice the
    side that it was trained at, as in the paper (448 for 224). `upsample`: how many times finer, along each side,
    the grid is to which queries, keys and values are interpolated before the walk (appendix B.1: 2 for MAE).
    `weights`: where they came from, word for word in every artifact's provenance. `language`: of a model that was
    trained with texts, how they and its tokens meet.
    """

    name: str
    model: nn.Module
    run: Callable[..., Float[Tensor, "image token channel"]]
    image_tokens: Callable[[int], slice]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    patch_px: int
    weights: str
    size_px: int = 448
    samples: int = 1
    upsample: int = 1
    layers: tuple[str, ...] = ("*",)
    excluded: tuple[str, ...] = field(default=())
    language: Language | None = None

    def __repr__(self) -> str:
        numbers = sum(parameter.numel() for parameter in self.model.parameters())
        return f"Backbone({self.name}: {numbers / 1e6:.1f} M parameters, patches of {self.patch_px} px; {self.weights})"

    def prepare(self, images: UInt8[np.ndarray, "image y x 3"]) -> Float[Tensor, "image 3 y x"]:
        """Pixels 0-255 to the model's normalised input, on the model's device."""
        like = next(self.model.parameters())
        pixels = torch.from_numpy(images).to(like.device).permute(0, 3, 1, 2).to(like.dtype) / 255
        mean, std = (
            torch.tensor(v, device=like.device, dtype=like.dtype)[:, None, None] for v in (self.mean, self.std)
        )
        return (pixels - mean) / std
