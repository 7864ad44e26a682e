"""The first half of latent diffusion: an autoencoder from 64 pixels to 16 x 16 latents.

Reconstruction by absolute error and a light KL term, after Rombach et al., "High-Resolution Image Synthesis
with Latent Diffusion Models" (CVPR 2022), without their perceptual and adversarial losses.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Int
from torch import Tensor, nn

from whatwhere.zoo.training.scenes import TrainingScenes, flip
from whatwhere.zoo.training.trainer import Trainer

SIZE_PX = 64
SIDES_PX = (48, 128)
NETWORK = {
    "block_out_channels": (16, 32, 48),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 8,
    "sample_size": SIZE_PX,
    "mid_block_add_attention": False,
}
#: Of the KL divergence per latent number, beside the absolute error per pixel.
KL_WEIGHT = 1e-3


class Autoencoder(Trainer):
    """diffusers' autoencoder and the deviation of its latents, by which diffusion divides them."""

    network: Any
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.network = AutoencoderKL(**NETWORK)
        self.register_buffer("deviation", torch.ones(()))

    def trained(self) -> nn.Module:
        """See `Trainer.trained`: all of it."""
        return self.network

    def losses(
        self, scenes: TrainingScenes, chosen: Int[np.ndarray, "image"], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Mean absolute error of a pixel (range 2) plus the weighted KL divergence of a latent number."""
        boxes = scenes.boxes(len(chosen), *SIDES_PX, generator=generator)
        pixels = flip(scenes.crops(chosen, boxes, SIZE_PX), generator).to(self.device)
        found = self.network.encode(pixels).latent_dist
        noise = torch.randn(found.mean.shape, generator=generator).to(self.device)
        latents = found.mean + found.std * noise
        error = (self.network.decode(latents).sample - pixels).abs().mean()
        divergence = 0.5 * (found.mean**2 + found.var - 1 - found.logvar).mean()
        if self.training:
            self.deviation.lerp_(latents.detach().float().std(), 0.01)
        return {"loss": error + KL_WEIGHT * divergence, "error": error, "divergence": divergence}

    def export(self, folder: Path) -> None:
        """diffusers' folder of an autoencoder, float16."""
        network = copy.deepcopy(self.network).half()
        network.register_to_config(scaling_factor=1 / float(self.deviation))
        network.save_pretrained(folder)
