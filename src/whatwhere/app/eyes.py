"""Whose eyes see one's own photographs where no backbone is named, and whose should not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone

#: For regions and objects; for regions with names; and what works at once, as it comes with the package.
SEEING, SPEAKING, SHIPPED = "dinov2-vits14", "zoo-clip", "zoo-dino"
#: For regions with names, what has seen photographs.
WELL_READ = "clip-vit-b16"


def caution(backbone: str) -> str:
    """What to know of one that knows rendered scenes only, before photographs are shown to it; nothing of others."""
    from whatwhere.backbones import PRESETS

    model = PRESETS[backbone].model if backbone in PRESETS else backbone
    if not model.startswith("zoo/"):
        return ""
    other = WELL_READ if model == "zoo/clip" else SEEING
    return f"{backbone} knows rendered scenes only and sees little in photographs; for them: --backbone {other}"


def opened(backbone: str, settings: Mapping[str, Any], *, warn: Callable[[str], None]) -> Backbone:
    """The loaded backbone of a command over photographs; `warn` is told what to know of it.

    Raises `InputError` as `load_backbone` does.
    """
    from whatwhere.backbones import load_backbone

    model = load_backbone(backbone, **settings)
    if line := caution(backbone):
        warn(line)
    return model
