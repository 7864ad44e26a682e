"""Whether a picture shows anything: white, black or evenly noisy ones have one region and no objects.

The network itself is asked, so the rule holds for every backbone: how far its tokens for the picture depart from those
for a flat picture of the same mean colour, beside how far they do for the picture's own patches in an order drawn by
chance. To an evenly noisy picture that order does nothing, so it departs as far; a photograph's things are gone from
it. What a network says of places, blank or not, is in all three and falls out. Departures are averaged over each token
and those around it, for things are larger than a token and noise is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone

#: Standard deviation of the largest noise that 8 bits can hold: half of the pixels black, half white.
LARGEST_NOISE = 127.5
#: Times that noise, averaged over a patch: a coarser look at the picture that varies more is no even noise, and the
#: network need not be asked. The margin is for noise whose pixels are not independent, as after JPEG.
MARGIN = 1.5
#: A picture that departs less than so many times as far as its own patches in another order shows nothing.
TIMES = 1.4
#: Departures up to this share of what the tokens hold are a network's rounding.
ROUNDING = 1e-6


def shows_nothing(
    backbone: Backbone, shown: UInt8[np.ndarray, "y x 3"], final: Float[np.ndarray, "row column channel"]
) -> bool:
    """`shown`: the picture as the backbone sees it, `final` what it answered. Two passes through the network, but only
    for a picture whose patches' mean colours hardly differ (`varies`).
    """
    return not varies(shown, backbone.patch_px) and departure(backbone, shown, final) < TIMES


def varies(shown: UInt8[np.ndarray, "y x 3"], patch_px: int) -> bool:
    """Whether the patches' mean colours differ more than those of the largest even noise could."""
    rows, columns = (max(1, side // patch_px) for side in shown.shape[:2])
    height, width = shown.shape[0] // rows, shown.shape[1] // columns
    whole = shown[: rows * height, : columns * width].reshape(rows, height, columns, width, 3)
    spread = whole.mean((1, 3)).std((0, 1)).max()
    return bool(spread > MARGIN * LARGEST_NOISE / (height * width) ** 0.5)


def departure(
    backbone: Backbone, shown: UInt8[np.ndarray, "y x 3"], final: Float[np.ndarray, "row column channel"]
) -> float:
    """How many times as far the picture's tokens depart from a flat picture's as those of its patches
    in another order.

    As mean squared distances, each field of departures less its mean, which is the colour's. 0 where nothing departs.
    """
    import torch

    flat = np.broadcast_to(np.rint(shown.mean((0, 1))).astype(np.uint8), shown.shape)
    mixed = _mixed(shown, backbone.patch_px)
    with torch.inference_mode():
        answers = backbone.run(backbone.prepare(np.stack([flat, mixed]))).float().cpu().numpy()
    blank, noisy = answers.reshape(2, *final.shape)
    held = np.square(blank).sum(2).mean()
    picture, chance = (max(0.0, _spread(tokens - blank) / held - ROUNDING) for tokens in (final, noisy))
    return float(picture / max(chance, ROUNDING))


def _mixed(shown: UInt8[np.ndarray, "y x 3"], patch_px: int) -> UInt8[np.ndarray, "y x 3"]:
    """The patches in an order drawn by chance; what is left over at two sides stays."""
    rows, columns = (side // patch_px for side in shown.shape[:2])
    whole = shown[: rows * patch_px, : columns * patch_px]
    patches = rearrange(whole, "(row y) (column x) colour -> (row column) y x colour", y=patch_px, x=patch_px)
    drawn = np.random.default_rng(0).permutation(patches)
    mixed = shown.copy()
    mixed[: whole.shape[0], : whole.shape[1]] = rearrange(
        drawn, "(row column) y x colour -> (row y) (column x) colour", row=rows
    )
    return mixed


def _spread(departures: Float[np.ndarray, "row column channel"]) -> float:
    from scipy.ndimage import uniform_filter

    around = uniform_filter(departures, (3, 3, 1), mode="nearest")
    return float(np.square(around - around.mean((0, 1))).sum(2).mean())
