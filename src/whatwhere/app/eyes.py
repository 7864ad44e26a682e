"""Whose eyes see one's own photographs where no backbone is named, and whose should not."""

from __future__ import annotations

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
