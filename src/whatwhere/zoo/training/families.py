"""From scenes to one trained network on disk: what the workflow calls, once for each family."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.backbones.repository import moved
from whatwhere.zoo.training.loop import Recipe, train
from whatwhere.zoo.training.scenes import TrainingScenes, read
from whatwhere.zoo.training.trainer import Trainer

LIBRARIES = ("torch", "timm", "transformers", "diffusers", "tokenizers", "numpy")


def train_family(
    stage: str,
    scenes: Path,
    folder: Path,
    *,
    checkpoint: Path,
    recipe: dict[str, Any],
    described: dict[str, Any],
    before: Path | None = None,
    seed: int,
    device: str = "cpu",
) -> None:
    """Trains `stage` on the scenes in a folder, going on from `checkpoint` if it is there, and writes `folder`:
    the network in its family's layout and, last, `training.json` with the history and `described`. `before` is the
    folder of the network that this one builds on: the autoencoder of diffusion, the MAE that DINO starts from.

    Raises `InputError` as `train` and `read` do, and for a device that this machine has not.
    """
    data = read(scenes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, stage))
        trainer = make(stage, data, before)
    moved(trainer, f"zoo/{stage}", device)
    held_out = described["held_out"]
    history = train(trainer, data, checkpoint, Recipe(**recipe), seed=seed, name=stage, held_out=held_out)
    trainer.export(folder)
    about = {
        **history,
        "seed": seed,
        "scenes": described,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": f"snakemake --cores all {folder / 'training.json'}",
        "machine": machine(device),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "parameters": sum(p.numel() for p in trainer.parameters() if p.requires_grad),
    }
    with replacing(folder / "training.json") as partial:
        partial.write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def make(stage: str, scenes: TrainingScenes, before: Path | None = None) -> Trainer:
    """The networks of a stage. `clip` and `diffusion` learn their tokens from the scenes' captions.

    Raises `InputError` where the network that a stage builds on is missing or damaged.
    """
    from whatwhere.zoo.training.autoencoder import Autoencoder
    from whatwhere.zoo.training.clip import Clip
    from whatwhere.zoo.training.diffusion import Diffusion, open_autoencoder
    from whatwhere.zoo.training.dino import Dino
    from whatwhere.zoo.training.mae import Mae
    from whatwhere.zoo.training.vit import open_vit
    from whatwhere.zoo.training.words import learn_tokenizer

    if stage == "diffusion":
        if before is None:
            raise InputError("zoo: expected a trained autoencoder for diffusion, got none")
        return Diffusion(learn_tokenizer(scenes.captions), open_autoencoder(before))
    if stage == "dino":
        return Dino(open_vit(before) if before else None)
    if stage == "clip":
        return Clip(learn_tokenizer(scenes.captions))
    return {"mae": Mae, "autoencoder": Autoencoder}[stage]()


def machine(device: str) -> str:
    """What a training ran on, in words."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
