"""Latent diffusion in diffusers' layout: an image is encoded, noise is added, and the denoising network is read.

Stable Diffusion 1, 2, XL (`unet`) and 3 (`sd3`), and FLUX (`flux`): `model_index.json` says which it is. The prompt
is empty. Cross-attention and the other networks' attention are left out, and of joint attention the text's tokens
(section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.diffusion import flux, sd3, unet
from whatwhere.backbones.diffusion.family import Denoiser, Family, halvings
from whatwhere.backbones.diffusion.files import fill
from whatwhere.backbones.diffusion.networks import check_parts, create
from whatwhere.backbones.diffusion.noise import (
    STEP,
    Noise,
    diffusion_schedule,
    flow_schedule,
    read_noise,
    read_precision,
)
from whatwhere.backbones.diffusion.prompt import empty_prompt
from whatwhere.backbones.repository import Repository, built, moved

__all__ = ["STEP", "load"]


def load(
    name: str,
    *,
    repository: Repository,
    weights: str = "hub",
    seed: int = 0,
    layers: tuple[str, ...] = ("*",),
    options: dict[str, Any] | None = None,
    device: str = "cpu",
) -> Backbone:
    """A diffusion pipeline's networks, ready to capture.

    `options`: either `step`, one noise step t for all images (default 250), or `samples`, `t_min` and `t_max`
    (defaults 1, 0 and 500): so many passes, each with noise of its own and a step from its own stratum of the range
    (section 4.1: t ~ U[0, 500]). Steps go from 0 to 999; for SD3 and FLUX t/1000 is the noise's share σ.
    `precision`, the type that the denoising network computes in: float32 (default), bfloat16 or float16.

    An image's noise is drawn from its own seed, so that its features depend on no other image; without seeds it is
    drawn from `seed`, the same for all images. The final features are those after the second up block of a UNet,
    after the last block of a transformer (before its last normalisation); ASSUME: their mean over the samples,
    as an estimate of what is expected over the noise.

    Raises `InputError` for another kind of pipeline, a damaged file, weights that do not fit, or a wrong option.
    """
    options = options or {}
    index = repository.read_json("model_index.json")
    family = _family(name, index)
    parts = check_parts(name, index, family)
    noise = read_noise(name, options, flow_schedule() if family.flow else diffusion_schedule(name, repository))
    precision = read_precision(name, options)
    configs = {part: repository.read_json(f"{part}/config.json") for part in parts}
    stored = weights != "random"
    network: Any = built(
        name, lambda: create(name, family, parts, configs, precision, blank=stored), seed=seed, device=device
    )
    source = fill(repository, network, parts) if stored else f"random (seed {seed})"
    prompt = empty_prompt(name, repository, network, family, device).to(precision)
    moved(network, name, device)
    denoiser = family.denoiser(name, network, prompt)
    shrink = halvings(network.vae)
    return Backbone(
        name=name,
        model=network,
        run=partial(_run, name, network.vae, noise, denoiser, seed),
        image_tokens=denoiser.image_tokens,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        patch_px=shrink * denoiser.cell,
        size_px=shrink * denoiser.side,
        samples=noise.samples,
        weights=source,
        layers=layers,
        excluded=("vae.*", "text_encoder*", *denoiser.excluded),
    )


def _run(
    name: str,
    vae: Any,
    noise: Noise,
    denoiser: Denoiser,
    seed: int,
    pixels: Float[Tensor, "image 3 y x"],
    seeds: Sequence[int] | None = None,
) -> Float[Tensor, "image token channel"]:
    """One pass for each noise sample; the mean of their final features."""
    seeds = [seed] * len(pixels) if seeds is None else seeds
    if len(seeds) != len(pixels):
        raise InputError(f"backbone {name}: expected a seed for each of {len(pixels)} images, got {len(seeds)}")
    total: Any = 0
    for steps, noisy in noise.draws(_encode(vae, pixels), seeds):
        total = total + denoiser.read(noisy, steps).float()
    return total / noise.samples


def _family(name: str, index: dict[str, Any]) -> Family:
    """Raises `InputError` where the transformer is none that is known here."""
    known = {family.parts["transformer"]: family for family in (sd3.FAMILY, flux.FAMILY)}
    match index.get("transformer"):
        case None | [None, None]:
            return unet.PLAIN if index.get("text_encoder_2") in (None, [None, None]) else unet.XL
        case ["diffusers", str(kind)] if kind in known:
            return known[kind]
        case found:
            raise InputError(
                f"backbone {name}: expected a pipeline whose transformer is diffusers's {' or '.join(known)}, "
                f"got {found}; choose a latent diffusion model of that kind"
            )


def _encode(vae: Any, pixels: Float[Tensor, "image 3 y x"]) -> Float[Tensor, "image channel row column"]:
    """Latents on the scale at which noise is added: (most likely latent − shift) · scale."""
    latents = vae.encode(pixels).latent_dist.mode()
    return (latents - (vae.config.shift_factor or 0)) * vae.config.scaling_factor
