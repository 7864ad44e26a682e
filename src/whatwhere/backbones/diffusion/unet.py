"""Stable Diffusion 1, 2 and XL: a UNet whose self-attention sees the image's tokens only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.diffusion.family import Denoiser, Family, Prompt, Widths, check_widths, halvings, output_of


def _denoiser(_name: str, network: Any, prompt: Prompt) -> Denoiser:
    unet = network.unet

    def read(
        latents: Float[Tensor, "image channel row column"], steps: Int[Tensor, "image"]
    ) -> Float[Tensor, "image token width"]:
        """The output of the second up block, one token a location."""
        more = {} if prompt.pooled is None else _conditions(prompt.pooled, latents, halvings(network.vae))
        texts = prompt.tokens.expand(len(latents), -1, -1)
        after = output_of(unet.up_blocks[1], lambda: unet(latents.to(unet.dtype), steps, texts, **more))
        return rearrange(after, "image width row column -> image (row column) width")

    return Denoiser(
        read=read,
        image_tokens=lambda tokens: slice(0, tokens),
        cell=halvings(unet),
        side=int(unet.config.sample_size),
        excluded=("*.attn2",),
    )


def _conditions(
    pooled: Float[Tensor, "1 width"], latents: Float[Tensor, "image channel row column"], shrink: int
) -> dict[str, Any]:
    """What XL is told beside its prompt: that the image is whole and of its own size (height, width)."""
    images, _, rows, columns = latents.shape
    size = (rows * shrink, columns * shrink)
    told = torch.tensor([(*size, 0, 0, *size)] * images, dtype=torch.float32, device=latents.device)
    return {"added_cond_kwargs": {"text_embeds": pooled.expand(images, -1), "time_ids": told}}


def _check(name: str, network: Any) -> None:
    unet, encoders = network.unet.config, _encoders(network)
    if len(unet.up_block_types) < 2:
        raise InputError(f"backbone {name}: expected a UNet of at least two up blocks, got {len(unet.up_block_types)}")
    pooled = encoders[-1].projection_dim if len(encoders) > 1 else None
    given = Widths(network.vae.config.latent_channels, sum(config.hidden_size for config in encoders), pooled)
    asked = Widths(unet.in_channels, unet.cross_attention_dim, _pooled(unet))
    check_widths(name, "UNet", asked, given)


def _pooled(unet: Any) -> int | str | None:
    """How wide a text's vector the UNet asks for; a word if it asks for something else."""
    if unet.addition_embed_type == "text_time":  # six numbers of the image's size come first
        return unet.projection_class_embeddings_input_dim - 6 * unet.addition_time_embed_dim
    return unet.addition_embed_type or unet.class_embed_type or ("class" if unet.num_class_embeds else None)


def _encoders(network: Any) -> list[Any]:
    return [getattr(network, part).config for part in ("text_encoder", "text_encoder_2") if hasattr(network, part)]


def _plain_prompt(_network: Any, read: Callable[..., Any]) -> Prompt:
    return Prompt(read("text_encoder").last_hidden_state)


def _xl_prompt(_network: Any, read: Callable[..., Any]) -> Prompt:
    one, two = read("text_encoder"), read("text_encoder_2")
    return Prompt(torch.cat([one.hidden_states[-2], two.hidden_states[-2]], -1), two.text_embeds)


PLAIN = Family(
    parts={"vae": "AutoencoderKL", "unet": "UNet2DConditionModel", "text_encoder": "CLIPTextModel"},
    flow=False,
    check=_check,
    prompt=_plain_prompt,
    denoiser=_denoiser,
)
XL = Family(
    parts={**PLAIN.parts, "text_encoder_2": "CLIPTextModelWithProjection"},
    flow=False,
    check=_check,
    prompt=_xl_prompt,
    denoiser=_denoiser,
)
