"""What a family learned, in numbers: linear probes on every layer, beside controls; for CLIP also words.

The probe reads the values V of a self-attention layer, heads concatenated. V is a linear map of the
layer's normalised input, so a linear probe on it is a probe on that layer's features.
"""

from __future__ import annotations

import hashlib
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import nn

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.backbones import load_backbone
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.capture import capture
from whatwhere.backbones.diffusion import STEP
from whatwhere.datasets.images import View, view_image
from whatwhere.evaluate import presence, probe
from whatwhere.evaluate.probe import Labelled, Reader, Split, Tokens
from whatwhere.scenes.render import render
from whatwhere.scenes.world import CLASSES
from whatwhere.zoo.training.scenes import PRESENT_SHARE
from whatwhere.zoo.training.words import prompt

FAMILIES = ("dino", "mae", "clip", "diffusion")
#: Scenes that the embedded run evaluates on, and those that a folder without a record was trained on.
EVALUATION_SEEDS = range(0, 40)
TRAINING_SEEDS = range(1_000_000, 2_000_000)
TOKENS_PER_IMAGE = 64
RESAMPLES = 1000
#: Name of the last features among the layers.
FINAL = "final features"


def measure(
    family: str,
    folder: Path,
    *,
    first_seed: int,
    train_images: int,
    select_images: int,
    test_images: int,
    size_px: int,
    seed: int,
    tokens_per_image: int = TOKENS_PER_IMAGE,
) -> dict[str, Any]:
    """The evidence of one family's weights in `folder`, ready for JSON.

    The scenes are those of `first_seed` on: first the probes' training images, then those that choose the
    layer, then those of the score. mIoU and AUC are between 0 and 1; `ratio` is the trained network's mIoU over
    each other's, every one at its own best layer (raw pixels: on the grid of the trained network's).

    Raises `InputError` for an unknown family, scenes that were trained or are evaluated on, or weights that
    cannot be loaded.
    """
    began = time.monotonic()
    if family not in FAMILIES:
        raise InputError(f"evidence: expected a family among {', '.join(FAMILIES)}, got {family!r}")
    refuse_overlap(range(first_seed, first_seed + train_images + select_images + test_images), _trained_on(folder))
    split = _rendered(first_seed, train_images, select_images, test_images, size_px)
    networks = _networks(family, folder)
    probes = _probes(networks, split, tokens_per_image, seed)
    settings = {"seed": seed, "tokens_per_image": tokens_per_image, "l2": probe.L2, "resamples": RESAMPLES}
    found = {
        "family": family,
        "architecture": _architecture(family, folder),
        **_weights(networks["trained"], folder),
        "scenes": {
            "first_seed": first_seed,
            "train": train_images,
            "select": select_images,
            "test": test_images,
            "size_px": size_px,
        },
        "settings": {**settings, **({"noise_step": STEP} if family == "diffusion" else {})},
        "probe": probes,
        "ratio": {name: probes["trained"]["miou"] / one["miou"] for name, one in probes.items() if name != "trained"},
    }
    if family == "clip":
        found["presence"] = {name: _presence(network, folder, split.test, seed) for name, network in networks.items()}
    return {**found, "seconds": time.monotonic() - began}


def refuse_overlap(seeds: range, trained_on: range) -> None:
    """Raises `InputError` where evidence would be measured on scenes of the training or the evaluation."""
    for what, taken in {"training": trained_on, "evaluation": EVALUATION_SEEDS}.items():
        if seeds.start < taken.stop and taken.start < seeds.stop:
            raise InputError(
                f"evidence: expected scenes apart from the {what}'s (seeds {taken.start} to {taken.stop - 1}), got "
                f"seeds {seeds.start} to {seeds.stop - 1}; change first_seed"
            )


# ----------------------------------------------------------------------------------------------- inputs


def _trained_on(folder: Path) -> range:
    """The seeds of the training as the folder itself records them, if it does."""
    path = folder / "training.json"
    scenes = json.loads(path.read_text("utf-8")).get("scenes") if path.is_file() else None
    return range(scenes["first_seed"], scenes["first_seed"] + scenes["scenes"]) if scenes else TRAINING_SEEDS


def _rendered(first_seed: int, train: int, select: int, test: int, size_px: int) -> Split:
    seeds = progress(range(first_seed, first_seed + train + select + test), "scenes")
    scenes = [render(seed, size_px=size_px) for seed in seeds]
    whole = Labelled(np.stack([scene.image for scene in scenes]), np.stack([scene.labels for scene in scenes]))
    chosen = train + select
    return Split(whole.part(slice(train)), whole.part(slice(train, chosen)), whole.part(slice(chosen, None)))


def _networks(family: str, folder: Path) -> dict[str, Backbone]:
    """The trained network and its controls.

    Diffusion's control `untrained` keeps the trained autoencoder, so that only what UNet and text encoder
    learned counts; `all_untrained` has nothing trained at all.
    """
    where = str(folder.resolve())
    trained, untrained = load_backbone(where), load_backbone(where, weights="random")
    networks = {"trained": trained, "untrained": untrained}
    if family == "diffusion":
        to, of = (_part(network, "vae") for network in (untrained, trained))
        to.load_state_dict(of.state_dict())
        networks["all_untrained"] = load_backbone(where, weights="random")
    return networks


def _part(backbone: Backbone, name: str) -> nn.Module:
    return backbone.model.get_submodule(name)


def _probes(networks: dict[str, Backbone], split: Split, tokens_per_image: int, seed: int) -> dict[str, dict[str, Any]]:
    """What each network's layers answer to the probe, and `raw_pixels` on the grid of the trained one's best."""

    def ask(read: Reader, what: str) -> dict[str, Any]:
        """The probe's answer for one reader of tokens."""
        return probe.compare_layers(
            read,
            split,
            classes=len(CLASSES),
            tokens_per_image=tokens_per_image,
            resamples=RESAMPLES,
            seed=seed,
            what=what,
        )

    found = {name: ask(partial(read_values, network), name) for name, network in networks.items()}
    grid = tuple(found["trained"]["grid"])
    return {**found, "raw_pixels": ask(lambda images: {"pixels": patches(images, grid)}, "raw pixels")}


def read_values(backbone: Backbone, images: UInt8[np.ndarray, "image y x 3"]) -> dict[str, Tokens]:
    """The values of every self-attention layer, and the final features."""
    found = capture(backbone, images, values=True)
    layers = {a.name: Tokens(_joined(a.value), a.grid) for a in found.layers}
    return {**layers, FINAL: Tokens(found.final.numpy(), found.final_grid)}


def _joined(values: torch.Tensor | None) -> Float[np.ndarray, "image token channel"]:
    assert values is not None  # asked for
    return rearrange(values, "i h t c -> i t (h c)").numpy()


def patches(images: UInt8[np.ndarray, "image y x 3"], grid: tuple[int, ...]) -> Tokens:
    """The pixels of each token's patch as its features, 0 to 1."""
    rows, columns = grid
    pixels = rearrange(images, "i (r y) (c x) k -> i (r c) (y x k)", r=rows, c=columns)
    return Tokens(pixels.astype(np.float32) / 255, (rows, columns))


def _architecture(family: str, folder: Path) -> str:
    """The network in words, from the configuration files beside its weights."""
    parts = ("vae", "text_encoder", "unet") if family == "diffusion" else (".",)
    config, *others = (json.loads((folder / part / "config.json").read_text("utf-8")) for part in parts)
    if family == "clip":
        vision, text = config["vision_config"], config["text_config"]
        return (
            f"transformers' CLIPModel, {_transformer(vision)} on patches of {vision['patch_size']} px of images of "
            f"{vision['image_size']} px, {_transformer(text)} for text, {config['projection_dim']} channels shared."
        )
    if family == "diffusion":
        text, unet = others
        return (
            f"diffusers' AutoencoderKL ({config['block_out_channels']} channels, {config['latent_channels']} in a "
            f"latent), transformers' CLIPTextModel ({_transformer(text)}) and diffusers' UNet2DConditionModel "
            f"({unet['block_out_channels']} channels) on {unet['sample_size']} × {unet['sample_size']} latents."
        )
    found = config["model_args"]
    return (
        f"timm's {config['architecture']} with {found['depth']} layers of {found['embed_dim']} channels and "
        f"{found['num_heads']} heads on patches of {found['patch_size']} px of images of {found['img_size']} px."
    )


def _transformer(config: dict[str, Any]) -> str:
    return (
        f"{config['num_hidden_layers']} layers of {config['hidden_size']} channels and "
        f"{config['num_attention_heads']} heads"
    )


def _weights(backbone: Backbone, folder: Path) -> dict[str, Any]:
    files = sorted(folder.rglob("*.safetensors"))
    return {
        "parameters": sum(p.numel() for p in backbone.model.parameters()),
        "bytes": sum(file.stat().st_size for file in files),
        "sha256": {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
    }


# ----------------------------------------------------------------------------------------------- words


def _presence(backbone: Backbone, folder: Path, scenes: Labelled, seed: int) -> dict[str, Any]:
    """Zero-shot presence of every class in whole scenes, at the size that CLIP was trained with."""
    table = presence.presence_table(scenes.labels, len(CLASSES), least_share=PRESENT_SHARE)
    cosines = _cosines(backbone, folder, scenes)
    rng = np.random.default_rng(seed_for(seed, "bootstrap"))
    each = presence.class_auc(cosines, table)
    return {
        "auc": presence.mean_auc(cosines, table),
        "interval": list(presence.bootstrap_interval(cosines, table, resamples=RESAMPLES, rng=rng)),
        "images": len(table),
        "classes": [
            {
                "label": name,
                "auc": float(each[i]) if np.isfinite(each[i]) else None,
                "present": int((table[:, i] == presence.PRESENT).sum()),
                "absent": int((table[:, i] == presence.ABSENT).sum()),
            }
            for i, name in enumerate(CLASSES)
        ],
    }


def _cosines(backbone: Backbone, folder: Path, scenes: Labelled) -> Float[np.ndarray, "image label"]:
    from transformers import CLIPTokenizer

    model: Any = backbone.model
    tokenizer = CLIPTokenizer.from_pretrained(str(folder))
    words = tokenizer([prompt([name]) for name in CLASSES], padding=True, return_tensors="pt")
    view = View("square", model.config.vision_config.image_size)
    found = []
    for batch in scenes.batches("cosines"):
        pixels = backbone.prepare(np.stack([view_image(image, view) for image in batch.images]))
        with torch.no_grad():
            answer = model(**words, pixel_values=pixels)
        found.append((answer.image_embeds @ answer.text_embeds.T).numpy())
    return np.concatenate(found)
