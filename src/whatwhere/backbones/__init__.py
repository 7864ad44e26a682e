"""Backbones by name. Importing this package is cheap; torch comes with the first load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whatwhere.errors import InputError

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone

__all__ = ["PRESETS", "load_backbone"]

#: Names that need no config: the zoo, the paper's plain ViTs, and an untrained control.
PRESETS: dict[str, dict[str, Any]] = {
    "zoo-dino": {"model": "zoo/dino"},
    "zoo-mae": {"model": "zoo/mae"},
    "zoo-clip": {"model": "zoo/clip"},
    "zoo-diffusion": {"model": "zoo/diffusion"},
    "untrained-vits16": {"model": "vit_small_patch16_224", "weights": "random"},
    "dino-vits16": {"model": "vit_small_patch16_224.dino"},
    "dino-vitb8": {"model": "vit_base_patch8_224.dino"},
    "mae-vitb16": {"model": "vit_base_patch16_224.mae"},
    "clip-vitb16": {"model": "vit_base_patch16_clip_224.openai"},
}


def load_backbone(name: str, **settings: Any) -> Backbone:
    """The backbone called `name`: one of `PRESETS`, or a model by its own name.

    A name without a slash is one of timm's. With a slash it is a repository - `zoo/dino`, a local folder,
    `openai/clip-vit-base-patch16` - whose files say which library's it is: timm's vision transformers,
    transformers' CLIP, diffusers' latent diffusion. `settings` are those of the library's loader (`vit.load`,
    `clip.load`, `diffusion.load`) and override a preset's.

    Raises `InputError` as the loaders do.
    """
    from whatwhere.backbones import clip, diffusion, vit
    from whatwhere.backbones.repository import open_repository

    settings = {**PRESETS.get(name, {} if "model" in settings else {"model": name}), **settings}
    if "/" not in settings["model"]:
        return vit.load(name, **settings)
    repository = open_repository(settings.pop("model"), settings.pop("revision", "main"))
    weights = settings.get("weights", "hub")
    if weights not in ("hub", "random"):
        raise InputError(f"backbone {name}: expected weights hub or random beside {repository.name}, got {weights!r}")
    loaders = {"timm": vit.load, "transformers": clip.load, "diffusers": diffusion.load}
    return loaders[repository.library()](name, repository=repository, **settings)
