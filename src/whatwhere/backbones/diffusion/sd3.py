"""Stable Diffusion 3 and 3.5: a transformer over the image's tokens, with the text's behind them in joint attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.diffusion.family import Denoiser, Family, Prompt, Widths, check_widths, halvings, input_of

#: Length of T5's text, as the pipeline of diffusers has it.
T5_TOKENS = 256


def _denoiser(name: str, network: Any, prompt: Prompt) -> Denoiser:
    transformer, shrink = network.transformer, halvings(network.vae)
    patch, most = transformer.config.patch_size, transformer.config.pos_embed_max_size
    of_image = 0

    def read(
        latents: Float[Tensor, "image channel row column"], steps: Int[Tensor, "image"]
    ) -> Float[Tensor, "image token width"]:
        """The image's tokens as they enter the last norm. Raises `InputError` for images larger than its positions."""
        nonlocal of_image
        images, _, rows, columns = latents.shape
        if most and max(rows, columns) // patch > most:
            raise InputError(
                f"backbone {name}: expected image sides up to {most * patch * shrink} px, got {rows * shrink} × "
                f"{columns * shrink} px; set size_px of its view to fit"
            )
        of_image = (rows // patch) * (columns // patch)
        return input_of(
            transformer.norm_out,
            lambda: transformer(
                latents.to(transformer.dtype),
                encoder_hidden_states=prompt.tokens.expand(images, -1, -1),
                pooled_projections=_expanded(prompt, images),
                timestep=steps.float(),
            ),
        )

    return Denoiser(
        read=read,
        # 3.5 also attends to the image alone (attn2), so that the text cannot be counted off the end
        image_tokens=lambda tokens: slice(0, of_image),
        cell=patch,
        side=int(transformer.config.sample_size),
    )


def _expanded(prompt: Prompt, images: int) -> Float[Tensor, "image width"]:
    assert prompt.pooled is not None  # every prompt of this family has one
    return prompt.pooled.expand(images, -1)


def _prompt(network: Any, read: Callable[..., Any]) -> Prompt:
    """Both CLIPs' tokens beside each other, filled up to T5's width, then T5's; zeros for a T5 that is not there."""
    one, two = read("text_encoder"), read("text_encoder_2")
    tokens = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], -1)
    width = network.transformer.config.joint_attention_dim
    if hasattr(network, "text_encoder_3"):
        long = read("text_encoder_3", T5_TOKENS).last_hidden_state
    else:
        long = tokens.new_zeros(1, T5_TOKENS, width)
    tokens = torch.cat([F.pad(tokens, (0, width - tokens.shape[-1])), long], 1)
    return Prompt(tokens, torch.cat([one.text_embeds, two.text_embeds], -1))


def _check(name: str, network: Any) -> None:
    asked, encoders = network.transformer.config, [network.text_encoder.config, network.text_encoder_2.config]
    long = network.text_encoder_3.config.d_model if hasattr(network, "text_encoder_3") else asked.joint_attention_dim
    given = Widths(
        latents=network.vae.config.latent_channels,
        texts=max(long, sum(config.hidden_size for config in encoders)),
        pooled=sum(config.projection_dim for config in encoders),
    )
    widths = Widths(asked.in_channels, asked.joint_attention_dim, asked.pooled_projection_dim)
    check_widths(name, "transformer", widths, given)


FAMILY = Family(
    parts={
        "vae": "AutoencoderKL",
        "transformer": "SD3Transformer2DModel",
        "text_encoder": "CLIPTextModelWithProjection",
        "text_encoder_2": "CLIPTextModelWithProjection",
        "text_encoder_3": "T5EncoderModel",
    },
    optional=("text_encoder_3",),
    flow=True,
    check=_check,
    prompt=_prompt,
    denoiser=_denoiser,
)
