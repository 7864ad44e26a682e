"""Vision transformers of timm, by name: the paper's DINO and MAE, and any other plain ViT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.catalogue import near
from whatwhere.backbones.repository import Repository, built, channel_numbers, moved
from whatwhere.backbones.weights import fingerprint, first_line, load_weights, read_tensors

#: Tensors of a classifier, which no backbone needs.
CLASSIFIER = ("head.", "fc_norm.", "head_dist.")


def load(
    name: str,
    *,
    model: str | None = None,
    repository: Repository | None = None,
    weights: str = "hub",
    revision: str = "main",
    seed: int = 0,
    layers: tuple[str, ...] = ("*",),
    options: dict[str, Any] | None = None,
    device: str = "cpu",
    download: bool = True,
) -> Backbone:
    """A timm vision transformer, ready to capture: by timm's name, or from a `repository` in timm's layout.

    `model` is timm's name (`vit_small_patch16_224.dino`); `weights` is `hub` (timm's own repository at
    `revision`, or `repository`'s file), `random` (initialised from `seed`) or a checkpoint's path; `options`
    go to the model's constructor. Without `download` only the hub's cache is read. Learned positions are
    interpolated bicubically to other image sizes (appendix B.1); rotary ones are computed for them.

    Raises `InputError` for an unknown name, a model without a patch grid, or weights that do not fit.
    """
    described: dict[str, Any] = repository.read_json("config.json") if repository else {"architecture": model}
    arguments = {**_section(name, described, "model_args"), **(options or {})}
    network: Any = built(name, lambda: _create(name, described["architecture"], arguments), seed=seed, device=device)
    config: dict[str, Any] = {**network.pretrained_cfg, **_section(name, described, "pretrained_cfg")}
    source = f"random (seed {seed})"
    if weights == "hub":
        found = repository or _repository(name, described["architecture"], config, revision, download)
        source = found.origin(found.fill(network, found.file("model.safetensors"), optional=CLASSIFIER))
    elif weights != "random":
        load_weights(network, read_tensors(Path(weights)), name=name, optional=CLASSIFIER)
        source = f"{Path(weights).name} (sha256 {fingerprint(Path(weights))})"
    moved(network, name, device)
    return Backbone(
        name=name,
        model=network,
        run=lambda pixels, _seeds=None: _final(network, pixels),
        image_tokens=lambda tokens: slice(prefix_tokens(network), tokens),
        mean=channel_numbers(name, config, "mean"),
        std=channel_numbers(name, config, "std"),
        patch_px=int(network.patch_embed.patch_size[0]),
        size_px=2 * int(config["input_size"][-1]),
        weights=source,
        layers=layers,
    )


def prefix_tokens(network: Any) -> int:
    """How many class and register tokens stand before the image's."""
    return int(network.num_prefix_tokens)


def _section(name: str, described: dict[str, Any], key: str) -> dict[str, Any]:
    found = described.get(key) or {}
    if not isinstance(found, dict):
        raise InputError(f"backbone {name}: expected an object as {key}, got {found!r}; config.json is damaged")
    return found


def _create(name: str, model: str, options: dict[str, Any]) -> nn.Module:
    import timm

    if not timm.is_model(model):
        known = [*near(model), *timm.list_models(f"*{model.split('.')[0][:10]}*")[:3]]
        raise InputError(
            f"backbone {name}: expected the name of a timm model or of `whatwhere backbones`, got {model!r}"
            + (f"; near it are {', '.join(known)}" if known else "; see timm.list_models()")
        )
    try:
        # fixed here, so that no configuration can name another file to load
        fixed: dict[str, Any] = {
            "pretrained": False,
            "checkpoint_path": None,
            "num_classes": 0,
            "dynamic_img_size": True,
        }
        network = timm.create_model(model, **fixed, **options)
    except Exception as error:  # timm refuses names and options with whatever its constructors raise
        raise InputError(
            f"backbone {name}: expected a plain vision transformer for images of any size, timm's {model} with "
            f"options {options} cannot be one ({first_line(error)}); see `whatwhere backbones`"
        ) from error
    if not hasattr(network, "patch_embed") or not hasattr(network, "num_prefix_tokens"):
        raise InputError(
            f"backbone {name}: expected a vision transformer with a patch grid, got timm's {model}; "
            "see `whatwhere backbones`"
        )
    return network


def _repository(name: str, model: str, config: dict[str, Any], revision: str, download: bool) -> Repository:
    """timm's own repository of a model."""
    if not config.get("hf_hub_id"):
        raise InputError(
            f"backbone {name}: timm names no hub repository for {model}; name a pre-trained variant "
            "(such as vit_small_patch16_224.dino), or give `weights: random` or a checkpoint's path"
        )
    return Repository(config["hf_hub_id"], None, revision, download)


def _final(network: Any, pixels: Tensor) -> Tensor:
    return network.forward_features(pixels)[:, prefix_tokens(network) :]
