"""Vision transformers of timm, by name: the paper's DINO, MAE and CLIP, and any other plain ViT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.weights import fingerprint, hub_file, load_weights, read_tensors
from whatwhere.errors import InputError

#: Tensors of a classifier, which no backbone needs.
CLASSIFIER = ("head.", "fc_norm.", "head_dist.")


def load(
    name: str,
    *,
    model: str,
    weights: str = "hub",
    revision: str = "main",
    seed: int = 0,
    layers: tuple[str, ...] = ("*",),
    options: dict[str, Any] | None = None,
    device: str = "cpu",
) -> Backbone:
    """A timm vision transformer, ready to capture.

    `model` is timm's name (`vit_small_patch16_224.dino`); `weights` is `hub` (timm's own repository at
    `revision`), `random` (initialised from `seed`) or a checkpoint's path; `options` go to the model's
    constructor. Positional embeddings are interpolated bicubically to other image sizes (appendix B.1).

    Raises `InputError` for an unknown name, a model without a patch grid, or weights that do not fit.
    """
    # on the meta device a model has shapes but no memory: enough to ask which layers it has
    with torch.random.fork_rng(devices=[]), torch.device("meta" if device == "meta" else "cpu"):
        torch.manual_seed(seed)
        network: Any = _create(name, model, options or {})
    config: dict[str, Any] = network.pretrained_cfg
    source = _load(network, name, model, weights, revision, seed, config)
    _move(network.eval().requires_grad_(False), name, device)
    return Backbone(
        name=name,
        model=network,
        run=lambda pixels: _final(network, pixels),
        image_tokens=lambda tokens: slice(prefix_tokens(network), tokens),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        patch_px=int(network.patch_embed.patch_size[0]),
        weights=source,
        layers=layers,
    )


def prefix_tokens(network: Any) -> int:
    """How many class and register tokens stand before the image's."""
    return int(network.num_prefix_tokens)


def _create(name: str, model: str, options: dict[str, Any]) -> nn.Module:
    import timm

    if not timm.is_model(model):
        near = timm.list_models(f"*{model.split('.')[0][:10]}*")[:3]
        raise InputError(
            f"backbone {name}: expected the name of a timm model, got {model!r}"
            + (f"; near it are {', '.join(near)}" if near else "; see timm.list_models()")
        )
    try:
        network = timm.create_model(model, pretrained=False, num_classes=0, dynamic_img_size=True, **options)
    except Exception as error:  # timm refuses names and options with whatever its constructors raise
        text = (str(error) or type(error).__name__).split("\n")[0]
        raise InputError(
            f"backbone {name}: expected a plain vision transformer for images of any size, timm's {model} with "
            f"options {options} cannot be one ({text}); see `whatwhere backbones`"
        ) from error
    if not hasattr(network, "patch_embed") or not hasattr(network, "num_prefix_tokens"):
        raise InputError(
            f"backbone {name}: expected a vision transformer with a patch grid, got timm's {model}; "
            "see `whatwhere backbones`"
        )
    return network


def _move(network: nn.Module, name: str, device: str) -> None:
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:
        line = str(error).split("\n")[0]
        raise InputError(f"backbone {name}: expected a device of this machine, got {device!r} ({line})") from error


def _load(
    network: nn.Module, name: str, model: str, weights: str, revision: str, seed: int, config: dict[str, Any]
) -> str:
    if weights == "random":
        return f"random (seed {seed})"
    path = Path(weights) if weights != "hub" else _from_hub(name, model, revision, config)
    load_weights(network, read_tensors(path), name=name, optional=CLASSIFIER)
    origin = f"{config['hf_hub_id']}@{revision}" if weights == "hub" else path.name
    return f"{origin} (sha256 {fingerprint(path)})"


def _from_hub(name: str, model: str, revision: str, config: dict[str, Any]) -> Path:
    if not config.get("hf_hub_id"):
        raise InputError(
            f"backbone {name}: timm names no hub repository for {model}; name a pre-trained variant "
            "(such as vit_small_patch16_224.dino), or give `weights: random` or a checkpoint's path"
        )
    return hub_file(config["hf_hub_id"], "model.safetensors", revision=revision)


def _final(network: Any, pixels: Tensor) -> Tensor:
    return network.forward_features(pixels)[:, prefix_tokens(network) :]
