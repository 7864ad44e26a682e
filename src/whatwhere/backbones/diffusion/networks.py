"""The networks of a pipeline, built from their configurations; no class is taken from a file."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.diffusion.family import Family
from whatwhere.backbones.repository import unwritten

#: Which library's folder each class is in; nothing else in a pipeline is ever looked at.
LIBRARIES = {
    "AutoencoderKL": "diffusers",
    "UNet2DConditionModel": "diffusers",
    "SD3Transformer2DModel": "diffusers",
    "FluxTransformer2DModel": "diffusers",
    "CLIPTextModel": "transformers",
    "CLIPTextModelWithProjection": "transformers",
    "T5EncoderModel": "transformers",
}


class Pipeline(nn.Module):
    """Networks under diffusers' names."""

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def check_parts(name: str, index: dict[str, Any], family: Family) -> dict[str, str]:
    """The parts of `family` that the pipeline of `index` has: name -> class.

    Raises `InputError` where one is missing or of another class.
    """
    absent = [part for part in family.optional if index.get(part) in (None, [None, None])]
    parts = {part: kind for part, kind in family.parts.items() if part not in absent}
    for part, kind in {**parts, "scheduler": None}.items():
        library = "diffusers" if kind is None else LIBRARIES[kind]
        found = index.get(part)
        if not isinstance(found, list) or len(found) != 2 or found[0] != library or kind not in (None, found[1]):
            raise InputError(
                f"backbone {name}: expected a pipeline whose {part} is {library}'s {kind or 'scheduler'}, got {found}; "
                "choose a latent diffusion model of that kind"
            )
    return parts


def create(
    name: str,
    family: Family,
    parts: dict[str, str],
    configs: dict[str, dict[str, Any]],
    precision: torch.dtype,
    *,
    blank: bool,
) -> Pipeline:
    """All networks on the CPU; `blank`: with any numbers at all as weights, because a checkpoint will follow.

    ASSUME: the autoencoder stays float32, because those of Stable Diffusion overflow in float16, and so do the text
    encoders then (T5 overflows too); they are small, or run once.

    Raises `InputError` where they do not fit each other.
    """
    exact = torch.float32
    texts = exact if precision == torch.float16 else precision
    kept = {"vae": exact, "unet": precision, "transformer": precision}
    made = {part: _create(kind, configs[part], kept.get(part, texts), blank) for part, kind in parts.items()}
    network = Pipeline(made)
    family.check(name, network)
    return network


def _create(kind: str, config: dict[str, Any], precision: torch.dtype, blank: bool) -> nn.Module:
    def make() -> nn.Module:
        """The part, with random weights."""
        return (_diffusers if LIBRARIES[kind] == "diffusers" else _transformers)(kind, config)

    return (unwritten(lambda: _as(precision, make())) if blank else None) or _as(precision, make())


def _as(precision: torch.dtype, network: nn.Module) -> nn.Module:
    return nn.Module.to(network, precision)  # diffusers' own warns of casting even where nothing is to be kept


def _diffusers(kind: str, config: dict[str, Any]) -> Any:
    import diffusers

    return getattr(diffusers, kind).from_config(config)


def _transformers(kind: str, config: dict[str, Any]) -> Any:
    import transformers

    described = (transformers.T5Config if kind == "T5EncoderModel" else transformers.CLIPTextConfig).from_dict(config)
    described._attn_implementation = "sdpa"  # not the one in the file, which may name code of the hub
    described.dtype = None  # nor its type of numbers
    return getattr(transformers, kind)(described)
