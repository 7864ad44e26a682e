"""Backbones by name. Importing this package is cheap; torch comes with the first load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from whatwhere.artifacts.errors import HubError, InputError
from whatwhere.backbones.catalogue import PRESETS, Preset
from whatwhere.backbones.packaged import Packaged

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone

__all__ = ["PRESETS", "Packaged", "Preset", "load_backbone"]


def load_backbone(name: str, *, download: bool = True, **settings: Any) -> Backbone:
    """The backbone called `name`, or where `settings` name a `model`, that model under this name.

    A model is one of `PRESETS`, a name of timm's (no slash), or a repository - `zoo/dino`, a local folder,
    `openai/clip-vit-base-patch16` at `revision` - whose files say which library's it is: timm's vision transformers,
    transformers' CLIP, SigLIP and GroupViT, diffusers' latent diffusion. `settings` are `upsample` (see `Backbone`),
    `revision` and those of the loader (`vit.load`, `contrastive.load`, `groupvit.load`, `diffusion.load`,
    `stego.load`); one that is None counts as not given. A preset's values are the defaults, but that of a distribution
    which is not installed the hub's weights take the place; `weights` may name one in a mapping. Without `download`
    only files on this machine are read.

    Raises `InputError` as the loaders do, and `NotCachedError` where a download fails or is not wanted.
    """
    from dataclasses import replace

    settings = {key: value for key, value in settings.items() if value is not None}
    model = settings.pop("model", name)
    preset = PRESETS.get(model)
    settings = {**(preset.settings() if preset else {"model": model}), **settings}
    upsample = settings.pop("upsample", 1)
    if type(upsample) is not int or upsample < 1:
        raise InputError(f"backbone {name}: expected `upsample` as a whole number from 1, got {upsample!r}")
    try:
        backbone = _loaded(name, settings, download)
    except HubError as error:
        if preset is None or not isinstance(preset.weights, Packaged):
            raise
        raise type(error)(f"{error}; or, without the hub: {preset.weights.command()}") from error
    return replace(backbone, upsample=upsample, size_px=preset.view[1] if preset else backbone.size_px)


def _loaded(name: str, settings: dict[str, Any], download: bool) -> Backbone:
    from whatwhere.backbones import contrastive, diffusion, groupvit, stego, vit
    from whatwhere.backbones.repository import open_repository

    if isinstance(settings.get("weights"), Mapping | Packaged):
        settings = {**settings, "weights": _packaged(name, settings["model"], settings["weights"])}
    if settings["model"] == "stego":
        return stego.load(name, **settings, download=download)
    if "/" not in settings["model"]:
        return vit.load(name, **settings, download=download)
    repository = open_repository(settings.pop("model"), settings.pop("revision", "main"), download=download)
    weights = settings.get("weights", "hub")
    if weights not in ("hub", "random"):
        raise InputError(f"backbone {name}: expected weights hub or random beside {repository.name}, got {weights!r}")
    loaders = {"timm": vit.load, "transformers": contrastive.load, "diffusers": diffusion.load}
    library = repository.library()
    if library == "transformers" and repository.read_json("config.json")["model_type"] == groupvit.KIND:
        return groupvit.load(name, repository=repository, **settings)
    return loaders[library](name, repository=repository, **settings)


def _packaged(name: str, model: str, weights: Mapping[str, Any] | Packaged) -> Packaged:
    """What a mapping says, as a configuration has it. Raises `InputError` where that is no distribution's file."""
    if model == "stego" or "/" in model:
        raise InputError(
            f"backbone {name}: expected weights of a distribution for a model by timm's name, got {model}; set weights "
            "to hub, random or, for stego, a checkpoint's path"
        )
    if isinstance(weights, Packaged):
        return weights
    try:
        return Packaged(**weights)
    except TypeError as error:
        raise InputError(
            f"backbone {name}: expected weights as distribution, version, member, sha256 and size_bytes, got "
            f"{', '.join(weights) or 'nothing'}; correct it"
        ) from error
