"""The one training loop: AdamW, warm-up and cosine, checkpoints from which a killed run goes on."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.backbones.weights import first_line
from whatwhere.zoo.training.scenes import TrainingScenes
from whatwhere.zoo.training.trainer import Trainer

#: Scenes at the end of the cache that are never trained on, for the validation losses, if nothing else is said.
HELD_OUT = 256


@dataclass(frozen=True)
class Recipe:
    """How long and how fast: `steps` of `batch_images`, the learning rate's peak, AdamW's weight decay."""

    steps: int
    batch_images: int
    learning_rate: float
    weight_decay: float = 0.05
    warmup_steps: int = 100
    bfloat16: bool = False
    report_every: int = 50
    validate_every: int = 250


def train(
    trainer: Trainer,
    scenes: TrainingScenes,
    checkpoint: Path,
    recipe: Recipe,
    *,
    seed: int,
    name: str,
    held_out: int = HELD_OUT,
    save_seconds: float = 60.0,
) -> dict[str, Any]:
    """Trains to the recipe's last step, going on from `checkpoint` if it is there; answers the history.

    The history holds the recipe, the seconds spent, and the curves: `training` and `validation`, each a
    mapping from a loss's name to `[step, value]` pairs. The last `held_out` scenes are for the latter alone.

    Raises `InputError` for too few scenes, a checkpoint of another recipe, seed or network, or a loss that is
    no number.
    """
    if len(scenes) <= held_out:
        raise InputError(
            f"training {name}: expected more than the {held_out} scenes held out, got {len(scenes)}; draw more"
        )
    optimiser = torch.optim.AdamW(_groups(trainer.trained(), recipe.weight_decay), betas=(0.9, 0.95))
    start, history = _resume(trainer, optimiser, checkpoint, {**asdict(recipe), "seed": seed})
    validating = scenes.subset(slice(len(scenes) - held_out, None))
    scenes = scenes.subset(slice(0, len(scenes) - held_out))
    recent: dict[str, list[float]] = defaultdict(list)
    saved = began = time.monotonic()
    spent = history["seconds"]
    for step in progress(range(start, recipe.steps), name):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, recipe)
        chosen = _shuffled(step, recipe.batch_images, len(scenes), seed)
        losses = _losses(trainer, scenes, chosen, seed_for(seed, name, str(step)), recipe.bfloat16)
        _check(losses, name, step)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(trainer.trained().parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        trainer.after_step((step + 1) / recipe.steps)
        for key, value in losses.items():
            recent[key].append(float(value.detach()))
        last = step + 1 == recipe.steps
        if (step + 1) % recipe.report_every == 0 or last:
            _report(history["training"], step + 1, {k: float(np.mean(v)) for k, v in recent.items()})
            recent.clear()
        if (step + 1) % recipe.validate_every == 0 or last:
            _report(history["validation"], step + 1, _validate(trainer, validating, recipe, seed))
        if (time.monotonic() - saved > save_seconds and not recent) or last:
            history["seconds"] = spent + time.monotonic() - began
            _save(trainer, optimiser, checkpoint, step + 1, history)
            saved = time.monotonic()
    return history


def _schedule(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    rest = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * rest))


def _shuffled(step: int, batch: int, scenes: int, seed: int) -> np.ndarray:
    """The scenes of a step: every epoch has its own order, known without the steps before."""
    at = np.arange(step * batch, (step + 1) * batch)
    return np.concatenate(
        [
            np.random.default_rng([seed, epoch]).permutation(scenes)[at[at // scenes == epoch] % scenes]
            for epoch in np.unique(at // scenes).tolist()
        ]
    )


def _losses(
    trainer: Trainer, scenes: TrainingScenes, chosen: np.ndarray, seed: int, bfloat16: bool
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    with torch.autocast(trainer.device.type, torch.bfloat16, enabled=bfloat16):
        return trainer.losses(scenes, chosen, generator)


def _validate(trainer: Trainer, held_out: TrainingScenes, recipe: Recipe, seed: int) -> dict[str, float]:
    """The mean losses of the held-out scenes, with the same crops, masks and noise every time."""
    found: dict[str, list[float]] = defaultdict(list)
    trainer.eval()
    with torch.no_grad():
        for i, chosen in enumerate(np.array_split(np.arange(len(held_out)), max(1, len(held_out) // 64))):
            losses = _losses(trainer, held_out, chosen, seed_for(seed, "validation", str(i)), recipe.bfloat16)
            for key, value in losses.items():
                found[key].append(float(value))
    trainer.train()
    return {key: float(np.mean(values)) for key, values in found.items()}


def _report(curves: dict[str, list[list[int | float]]], step: int, values: dict[str, float]) -> None:
    for key, value in values.items():
        curves.setdefault(key, []).append([step, round(value, 5)])


def _check(losses: dict[str, torch.Tensor], name: str, step: int) -> None:
    if not losses["loss"].isfinite():
        raise InputError(
            f"training {name}: expected a finite loss, got {float(losses['loss'].detach())} at step {step}; "
            "lower its learning_rate (the last checkpoint is kept)"
        )


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay, vectors (biases, normalisations) do not."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _save(
    trainer: Trainer, optimiser: torch.optim.Optimizer, checkpoint: Path, step: int, history: dict[str, Any]
) -> None:
    state = {"trainer": trainer.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "history": history}
    with replacing(checkpoint) as partial:
        torch.save(state, partial)


def _resume(
    trainer: Trainer, optimiser: torch.optim.Optimizer, checkpoint: Path, recipe: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    if not checkpoint.exists():
        return 0, {"recipe": recipe, "seconds": 0.0, "training": {}, "validation": {}}
    again = f"remove {checkpoint} to train from the start"
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        found, step = dict(state["history"]["recipe"]), int(state["step"])
        if found == recipe:
            trainer.load_state_dict(state["trainer"])
            optimiser.load_state_dict(state["optimiser"])
    except Exception as error:  # torch reports damage and mismatch with many types
        text = f"{type(error).__name__} ({first_line(error)})"
        raise InputError(
            f"checkpoint {checkpoint}: expected the state of this training, got {text}; {again}"
        ) from error
    if found != recipe:
        different = [f"{k} {found.get(k)} instead of {v}" for k, v in recipe.items() if found.get(k) != v]
        raise InputError(f"checkpoint {checkpoint}: expected this recipe, got {', '.join(different)}; {again}")
    return step, state["history"]
