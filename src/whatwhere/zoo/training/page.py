"""From what the trainings left on disk to `docs/zoo.md` and its pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whatwhere.zoo.training.card import TITLES, write_cards
from whatwhere.zoo.training.pictures import draw_losses, draw_reconstructions, draw_samples

#: Pictures lie here beside the page, and so they do in the repository.
PICTURES = "zoo"


def write_page(
    trainings: dict[str, Path], evidence: dict[str, Path], output: Path, *, seed: int, shown: int, steps: int
) -> None:
    """Writes `output` and, first, its pictures under `zoo` beside it.

    `trainings` and `evidence` are the JSON files of each stage and family; a training's file lies in the folder of
    its network. `shown` is the first seed of the scenes to reconstruct, none of them trained on; `steps` are those of
    each sample of the diffusion model.
    """
    histories = {stage: _read(path) for stage, path in trainings.items()}
    pictures: dict[str, list[str]] = {}
    for stage, history in histories.items():
        family = "diffusion" if stage == "autoencoder" else stage
        name = f"{PICTURES}/{stage}_losses.png"
        draw_losses(history, output.parent / name, title=TITLES.get(stage, stage.capitalize()))
        pictures.setdefault(family, []).append(name)
    folder = trainings["diffusion"].parent
    names = [f"{PICTURES}/diffusion_{what}.png" for what in ("samples", "reconstructions")]
    draw_samples(folder, output.parent / names[0], seed=seed, steps=steps)
    draw_reconstructions(folder, output.parent / names[1], first_seed=shown)
    pictures["diffusion"] += names
    write_cards(histories, {family: _read(path) for family, path in evidence.items()}, pictures, output)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))
