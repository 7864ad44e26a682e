"""FLUX.1: a transformer over the text's tokens and, behind them, the image's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.backbones.diffusion.family import Denoiser, Family, Prompt, Widths, check_widths, input_of
from whatwhere.backbones.diffusion.noise import FLOW_STEPS

#: Length of T5's text, as the pipeline of diffusers has it.
T5_TOKENS = 512
#: A token is so many latents high and wide.
PACK = 2
#: Side of the latents that it was made for: the configuration does not say, and diffusers takes this.
SIDE = 128
#: ASSUME: guidance 1, which is none, for the models that are told how much: an empty prompt guides nowhere.
GUIDANCE = 1.0


def _denoiser(_name: str, network: Any, prompt: Prompt) -> Denoiser:
    transformer, texts = network.transformer, prompt.tokens.shape[1]
    assert prompt.pooled is not None  # every prompt of this family has one
    pooled = prompt.pooled

    def read(
        latents: Float[Tensor, "image channel row column"], steps: Int[Tensor, "image"]
    ) -> Float[Tensor, "image token width"]:
        """The image's tokens as they enter the last norm."""
        images, _, rows, columns = latents.shape
        packed = rearrange(latents, "i c (row y) (column x) -> i (row column) (c y x)", y=PACK, x=PACK)
        guided = transformer.config.guidance_embeds
        return input_of(
            transformer.norm_out,
            lambda: transformer(
                packed.to(transformer.dtype),
                encoder_hidden_states=prompt.tokens.expand(images, -1, -1),
                pooled_projections=pooled.expand(images, -1),
                timestep=steps / FLOW_STEPS,
                img_ids=_places(rows // PACK, columns // PACK).to(latents.device),
                txt_ids=torch.zeros(texts, 3, device=latents.device),
                guidance=torch.full((images,), GUIDANCE, device=latents.device) if guided else None,
            ),
        )

    return Denoiser(read=read, image_tokens=lambda tokens: slice(texts, tokens), cell=PACK, side=SIDE)


def _places(rows: int, columns: int) -> Float[Tensor, "token 3"]:
    """Where each token is, from which its rotary embedding is made: (0, row, column)."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], -1).flatten(0, 1).float()


def _prompt(_network: Any, read: Callable[..., Any]) -> Prompt:
    return Prompt(read("text_encoder_2", T5_TOKENS).last_hidden_state, read("text_encoder").pooler_output)


def _check(name: str, network: Any) -> None:
    asked = network.transformer.config
    given = Widths(
        latents=PACK**2 * network.vae.config.latent_channels,
        texts=network.text_encoder_2.config.d_model,
        pooled=network.text_encoder.config.hidden_size,
    )
    widths = Widths(asked.in_channels, asked.joint_attention_dim, asked.pooled_projection_dim)
    check_widths(name, "transformer", widths, given)


FAMILY = Family(
    parts={
        "vae": "AutoencoderKL",
        "transformer": "FluxTransformer2DModel",
        "text_encoder": "CLIPTextModel",
        "text_encoder_2": "T5EncoderModel",
    },
    flow=True,
    check=_check,
    prompt=_prompt,
    denoiser=_denoiser,
)
