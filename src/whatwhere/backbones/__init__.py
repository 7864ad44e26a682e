"""Backbones by name. Importing this package is cheap; torch comes with the first load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone

__all__ = ["PRESETS", "load_backbone"]

#: Names that need no config: the paper's plain ViTs and their untrained control.
PRESETS: dict[str, dict[str, Any]] = {
    "untrained-vits16": {"model": "vit_small_patch16_224", "weights": "random"},
    "dino-vits16": {"model": "vit_small_patch16_224.dino"},
    "dino-vitb8": {"model": "vit_base_patch8_224.dino"},
    "mae-vitb16": {"model": "vit_base_patch16_224.mae"},
    "clip-vitb16": {"model": "vit_base_patch16_clip_224.openai"},
}


def load_backbone(name: str, **settings: Any) -> Backbone:
    """The backbone called `name`: one of `PRESETS`, or any timm vision transformer by timm's name.

    `settings` are those of `whatwhere.backbones.vit.load` and override a preset's.

    Raises `InputError` as `vit.load` does.
    """
    from whatwhere.backbones import vit

    if "model" not in settings and name not in PRESETS:
        settings["model"] = name
    return vit.load(name, **{**PRESETS.get(name, {}), **settings})
