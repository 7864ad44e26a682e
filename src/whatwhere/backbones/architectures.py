"""Public numbers of the hub's models whose configuration may not be on this machine: enough to build them untrained.

What their published `config.json` files say of shapes, in their libraries' words; nothing here is a weight. The
tokenizer is the zoo's: a prompt of no words is as long with any of them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.catalogue import PRESETS
from whatwhere.zoo import ZOO

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone

_CROSS, _PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
_CROSS_UP, _PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"
_SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
_UNET = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": [_CROSS, _CROSS, _CROSS, _PLAIN],
    "up_block_types": [_PLAIN_UP, _CROSS_UP, _CROSS_UP, _CROSS_UP],
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
_UNET_2 = {
    **_UNET,
    "sample_size": 96,
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
_UNET_XL = {
    **_UNET,
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": [_PLAIN, _CROSS, _CROSS],
    "up_block_types": [_CROSS_UP, _CROSS_UP, _PLAIN_UP],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def _text(width: int, depth: int, heads: int, projection: int, activation: str = "quick_gelu") -> dict[str, Any]:
    """A CLIP text tower: width, layers, heads, width of the shared space."""
    return {
        "model_type": "clip_text_model",
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "projection_dim": projection,
        "hidden_act": activation,
        "max_position_embeddings": 77,
        "vocab_size": 49408,
    }


def _diffusion(unet: dict[str, Any], *texts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A pipeline of diffusers': a UNet, its autoencoder, one text encoder or two."""
    kinds = ("CLIPTextModel", "CLIPTextModelWithProjection")
    names = ("text_encoder", "text_encoder_2")[: len(texts)]
    parts = {name: ["transformers", kind] for name, kind in zip(names, kinds, strict=False)}
    networks = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    return {
        "model_index.json": {**networks, **parts, "scheduler": ["diffusers", "DDIMScheduler"]},
        "scheduler/scheduler_config.json": _SCHEDULE,
        "unet/config.json": unet,
        "vae/config.json": _VAE,
        **{f"{name}/config.json": text for name, text in zip(names, texts, strict=True)},
    }


_CLIP: dict[str, dict[str, Any]] = {
    "config.json": {
        "model_type": "clip",
        "projection_dim": 512,
        "text_config": _text(512, 12, 8, 512),
        "vision_config": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "patch_size": 16,
            "image_size": 224,
            "projection_dim": 512,
        },
    },
    "preprocessor_config.json": {
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    },
}
_GROUPVIT: dict[str, dict[str, Any]] = {
    "config.json": {
        "model_type": "groupvit",
        "projection_dim": 256,
        "projection_intermediate_dim": 4096,
        "text_config": {**_text(256, 12, 4, 256), "model_type": "groupvit_text_model"},
        "vision_config": {
            "model_type": "groupvit_vision_model",
            "hidden_size": 384,
            "intermediate_size": 1536,
            "depths": [6, 3, 3],
            "num_hidden_layers": 12,
            "num_group_tokens": [64, 8, 0],
            "num_output_groups": [64, 8, 8],
            "num_attention_heads": 6,
            "patch_size": 16,
            "image_size": 224,
        },
    },
    "preprocessor_config.json": {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
}
_SD_1 = _diffusion(_UNET, _text(768, 12, 12, 768))

#: The files of a repository of the hub that describe its networks, by owner/name.
ARCHITECTURES: dict[str, dict[str, dict[str, Any]]] = {
    PRESETS["stable-diffusion-v1-4"].model: _SD_1,
    PRESETS["stable-diffusion-v1-5"].model: _SD_1,
    PRESETS["stable-diffusion-v2-1"].model: _diffusion(_UNET_2, _text(1024, 23, 16, 512, "gelu")),
    PRESETS["sdxl"].model: _diffusion(_UNET_XL, _text(768, 12, 12, 768), _text(1280, 32, 20, 1280, "gelu")),
    PRESETS["clip-vit-b16"].model: _CLIP,
    "nvidia/groupvit-gcc-yfcc": _GROUPVIT,
    "nvidia/groupvit-gcc-redcaps": _GROUPVIT,
}


def load_untrained(model: str, *, device: str, **settings: Any) -> Backbone:
    """The backbone that `load_backbone` makes of `model` with random weights, without asking the hub for anything.

    Where this machine has no configuration of the model, `ARCHITECTURES` stand for it. On torch's `meta` device it
    takes no memory. Raises `InputError` for a model of neither, and as the loaders do.
    """
    from whatwhere.backbones import load_backbone
    from whatwhere.backbones.weights import NotCachedError

    preset = PRESETS.get(model)
    own = {key: value for key, value in settings.items() if value is not None}
    chosen = {**(preset.settings() if preset else {"model": model}), **own}
    chosen |= {"weights": "random", "device": device, "download": False}
    where = chosen["model"]
    try:
        return load_backbone(model, **chosen)
    except NotCachedError as error:
        if where not in ARCHITECTURES:
            raise InputError(
                f"model {where}: expected its configuration on this machine, got none, and no numbers of it are known "
                "here; load the model once, or give a local folder"
            ) from error
    with _described(where) as folder:
        return load_backbone(model, **{**chosen, "model": str(folder), "revision": None})


@contextmanager
def _described(model: str) -> Iterator[Path]:
    """A temporary folder with the files of `ARCHITECTURES[model]` and the zoo's tokenizers: no weights."""
    with TemporaryDirectory(prefix="whatwhere-model-") as made:
        folder = Path(made)
        for name, content in ARCHITECTURES[model].items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(json.dumps(content), "utf-8")
        for part in ("tokenizer", "tokenizer_2"):
            shutil.copytree(ZOO / "diffusion" / "tokenizer", folder / part)
        for file in (ZOO / "clip").glob("tokenizer*.json"):
            shutil.copy(file, folder)
        yield folder
