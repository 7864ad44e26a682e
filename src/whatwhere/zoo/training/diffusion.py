"""The second half of latent diffusion: a text encoder and a UNet learn to name the noise in latents.

After Rombach et al. (CVPR 2022) with the noise schedule of Stable Diffusion 1.4, trained together.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from jaxtyping import Int
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from whatwhere.backbones.repository import Repository, built
from whatwhere.zoo.training import pairs
from whatwhere.zoo.training.clip import text_ids
from whatwhere.zoo.training.scenes import TrainingScenes
from whatwhere.zoo.training.trainer import Trainer, move_average
from whatwhere.zoo.training.words import LONGEST_TOKENS

SIZE_PX = 64
WIDTHS = (48, 80)
TEXT_WIDTH = 96
#: Self-attention on 16 x 16 latents and on 8 x 8, on the way down, in the middle and on the way up.
UNET = {
    "sample_size": SIZE_PX // 4,
    "block_out_channels": WIDTHS,
    "down_block_types": ("CrossAttnDownBlock2D",) * len(WIDTHS),
    "up_block_types": ("CrossAttnUpBlock2D",) * len(WIDTHS),
    "layers_per_block": 1,
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 4,
    "norm_num_groups": 8,
    "time_embedding_dim": 128,
}
TEXT: dict[str, Any] = {
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 4 * TEXT_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": LONGEST_TOKENS,
}
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
#: Share of texts replaced by the empty prompt.
EMPTY_PROMPTS = 0.15
#: Of the weights that are kept; the early steps have a shorter memory.
MOMENTUM = 0.997


def open_autoencoder(folder: Path) -> Any:
    """The trained autoencoder in a folder. Raises `InputError` where it is damaged or missing."""
    repository = Repository(str(folder), folder)
    config = repository.read_json("config.json")
    network: Any = built(str(folder), lambda: AutoencoderKL.from_config(config), seed=0, device="cpu")
    repository.fill(network, repository.file("diffusion_pytorch_model.safetensors"))
    return network


class Denoiser(nn.Module):
    """Noisy latents, their steps and a text's tokens to the noise; both networks are trained together."""

    unet: Any

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text = CLIPTextModel(CLIPTextConfig(**TEXT, **text_ids(tokenizer)))
        self.unet = UNet2DConditionModel(**UNET)

    def forward(self, latents: Tensor, steps: Tensor, ids: Tensor) -> Tensor:
        """The noise that the network sees in `latents` at `steps`, told the texts `ids`."""
        return self.unet(latents, steps, self.text(ids).last_hidden_state).sample


class Diffusion(Trainer):
    """A frozen autoencoder, the networks in training, and their moving average, which is kept."""

    autoencoder: Any
    current: Denoiser
    average: Denoiser

    def __init__(self, tokenizer: CLIPTokenizer, autoencoder: Any) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.schedule: Any = DDIMScheduler(**SCHEDULE)
        self.current = Denoiser(tokenizer).train()
        self.average = copy.deepcopy(self.current).requires_grad_(False)

    def trained(self) -> nn.Module:
        """See `Trainer.trained`: the network whose average is kept."""
        return self.current

    def losses(
        self, scenes: TrainingScenes, chosen: Int[np.ndarray, "image"], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Squared error of the predicted noise; steps are stratified over the batch. Validation asks the average."""
        batch = pairs.draw(scenes, chosen, SIZE_PX, generator)
        empty = (torch.rand(len(chosen), generator=generator) < EMPTY_PROMPTS).tolist()
        texts = ["" if without else text for text, without in zip(batch.texts, empty, strict=True)]
        ids = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        strata = (torch.arange(len(chosen)) + torch.rand(len(chosen), generator=generator)) / len(chosen)
        steps = (strata * self.schedule.config.num_train_timesteps).long().to(self.device)
        with torch.no_grad():
            found = self.autoencoder.encode(batch.pixels.to(self.device)).latent_dist
            latents = found.mode() * self.autoencoder.config.scaling_factor
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        network = self.current if self.training else self.average
        predicted = network(self.schedule.add_noise(latents, noise, steps), steps, ids.to(self.device))
        return {"loss": ((predicted.float() - noise) ** 2).mean()}

    def after_step(self, progress: float) -> None:
        """See `Trainer.after_step`: the average follows."""
        # ASSUME: over the first tenth the average follows closely, so that the random start is forgotten
        move_average(self.average, self.current, MOMENTUM if progress > 0.1 else 0.97)

    def export(self, folder: Path) -> None:
        """A pipeline's folder as diffusers writes it, float16, readable by `StableDiffusionPipeline`."""
        network = copy.deepcopy(self.average)
        pipeline: Any = StableDiffusionPipeline(
            vae=copy.deepcopy(self.autoencoder),
            text_encoder=network.text,
            tokenizer=self.tokenizer,
            unet=network.unet,
            scheduler=self.schedule,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.to(torch.float16).save_pretrained(folder)
