"""The vision transformer that DINO and MAE share: timm's own class, small, saved as timm saves to the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch import nn

from whatwhere.artifacts.atomic import replacing
from whatwhere.backbones.repository import Repository

ARCHITECTURE = "vit_tiny_patch16_224"
#: 1.9 million parameters; 8 x 8 tokens of a 64-pixel crop.
MODEL_ARGS: dict[str, Any] = {"img_size": 64, "patch_size": 8, "embed_dim": 160, "depth": 6, "num_heads": 5}
#: Pixels 0-1 to -1 … 1, as the training scenes are.
MEAN = STD = (0.5, 0.5, 0.5)


def small_vit() -> nn.Module:
    """A new, untrained member. Positions adapt to other image sizes."""
    return timm.create_model(ARCHITECTURE, num_classes=0, dynamic_img_size=True, **MODEL_ARGS)


def open_vit(folder: Path) -> nn.Module:
    """A trained member in a folder. Raises `InputError` where it is damaged or missing."""
    network = small_vit()
    repository = Repository(str(folder), folder)
    repository.fill(network, repository.file("model.safetensors"))
    return network


def export_timm(network: nn.Module, folder: Path, *, tag: str) -> None:
    """`config.json` and `model.safetensors` (float16), the layout of timm's repositories on the hub."""
    description = {
        "architecture": ARCHITECTURE,
        "num_classes": 0,
        "num_features": MODEL_ARGS["embed_dim"],
        "model_args": MODEL_ARGS,
        "pretrained_cfg": {
            "tag": tag,
            "input_size": [3, MODEL_ARGS["img_size"], MODEL_ARGS["img_size"]],
            "mean": MEAN,
            "std": STD,
            "num_classes": 0,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_half(network, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(description, indent=1) + "\n", "utf-8")


def save_half(network: nn.Module, path: Path) -> None:
    """The network's tensors as float16 safetensors."""
    tensors = {
        name: (t.half() if t.is_floating_point() else t).contiguous().cpu() for name, t in network.state_dict().items()
    }
    with replacing(path) as partial, torch.no_grad():
        save_file(tensors, partial, metadata={"format": "pt"})
