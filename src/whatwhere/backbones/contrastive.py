"""CLIP and SigLIP in transformers' layout: the vision tower is read; the text tower is for those who ask in words."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.repository import Repository, built, channel_numbers, moved
from whatwhere.errors import InputError

#: By the type in config.json: the stem of transformers' class names, and the tokens before the image's.
KINDS = {"siglip": ("Siglip", 0), "clip": ("CLIP", 1)}
#: Buffers that older checkpoints carry and newer networks compute.
OPTIONAL = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")


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
    """A `CLIPModel` or `SiglipModel`, ready to capture; positions are interpolated bicubically to other image sizes.

    `options` override keys of the vision tower's configuration. The final features are the tower's last tokens.

    Raises `InputError` for another kind of model, a damaged file, or weights that do not fit.
    """
    config = repository.read_json("config.json")
    if config["model_type"] not in KINDS:
        kinds = " or ".join(f"of type {kind}" for kind in KINDS)
        raise InputError(f"backbone {name}: expected a model {kinds}, got {config['model_type']!r}")
    stem, before = KINDS[config["model_type"]]
    network: Any = built(name, lambda: _create(name, stem, config, options or {}), seed=seed, device=device)
    source = f"random (seed {seed})"
    if weights != "random":
        path = repository.file("model.safetensors", "pytorch_model.bin")
        source = repository.origin(repository.fill(network, path, optional=OPTIONAL))
    moved(network, name, device)
    preprocessing = repository.read_json("preprocessor_config.json")
    vision = network.vision_model

    def run(pixels: Tensor, _seeds: Any = None) -> Tensor:
        return vision(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[:, before:]

    return Backbone(
        name=name,
        model=network,
        run=run,
        image_tokens=lambda tokens: slice(before, tokens),
        mean=channel_numbers(name, preprocessing, "image_mean"),
        std=channel_numbers(name, preprocessing, "image_std"),
        patch_px=int(network.config.vision_config.patch_size),
        size_px=2 * int(network.config.vision_config.image_size),
        weights=source,
        layers=layers,
    )


def _create(name: str, stem: str, config: dict[str, Any], options: dict[str, Any]) -> Any:
    import transformers

    vision: Any = getattr(transformers, f"{stem}VisionConfig")
    unknown = [key for key in options if key not in vision().to_dict()]
    if unknown:
        raise InputError(
            f"backbone {name}: expected options of transformers' {vision.__name__}, got {', '.join(unknown)}; "
            "correct `options`"
        )
    described: Any = getattr(transformers, f"{stem}Config").from_dict(
        {**config, "vision_config": {**config["vision_config"], **options}}
    )
    described._attn_implementation = "sdpa"  # not the one in the file, which may name code of the hub
    return getattr(transformers, f"{stem}Model")(described)
