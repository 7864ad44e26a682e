"""The training images: rendered scenes, drawn once and then read through a memory map."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from joblib import Parallel, delayed
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.scenes.render import Scene, render
from whatwhere.scenes.world import CLASSES

#: Share of a crop that a class must fill to count as present.
PRESENT_SHARE = 0.01


@dataclass(frozen=True)
class TrainingScenes:
    """Images `[scene, y, x, 3]` and class labels `[scene, y, x]`, both on disk, and a caption each."""

    images: UInt8[np.ndarray, "scene y x 3"]
    labels: UInt8[np.ndarray, "scene y x"]
    captions: list[str]

    def __len__(self) -> int:
        return len(self.captions)

    def subset(self, which: slice) -> TrainingScenes:
        """Some of the scenes."""
        return TrainingScenes(self.images[which], self.labels[which], self.captions[which])

    def boxes(
        self, images: int, smallest_px: int, largest_px: int, *, generator: torch.Generator
    ) -> Int[np.ndarray, "image 3"]:
        """Random squares inside the scenes: top, left, side; sides uniform.

        Raises `InputError` for scenes smaller than the largest square.
        """
        width = self.images.shape[1]
        if width < largest_px:
            raise InputError(
                f"training scenes: expected sides of {largest_px} px or more, got {width}; draw them larger"
            )
        side = torch.randint(smallest_px, largest_px + 1, (images,), generator=generator)
        corner = torch.rand(images, 2, generator=generator) * (width - side + 1)[:, None]
        return torch.cat([corner.long(), side[:, None]], 1).numpy()

    def crops(
        self, chosen: Int[np.ndarray, "image"], boxes: Int[np.ndarray, "image 3"], size_px: int
    ) -> Float[Tensor, "image 3 y x"]:
        """Squares of the chosen scenes brought to `size_px`, values -1 to 1."""
        cut = []
        for scene, (top, left, side) in zip(chosen, boxes, strict=True):
            piece = torch.from_numpy(self.images[scene, top : top + side, left : left + side].copy())
            piece = piece.permute(2, 0, 1)[None].float()
            if side != size_px:
                piece = F.interpolate(piece, (size_px, size_px), mode="bilinear", antialias=True)
            cut.append(piece)
        return torch.cat(cut) / 127.5 - 1

    def present(
        self, chosen: Int[np.ndarray, "image"], boxes: Int[np.ndarray, "image 3"]
    ) -> Bool[Tensor, "image label"]:
        """Which classes fill at least `PRESENT_SHARE` of each square."""
        shares = [
            np.bincount(self.labels[scene, top : top + side, left : left + side].ravel(), minlength=len(CLASSES))
            / side**2
            for scene, (top, left, side) in zip(chosen, boxes, strict=True)
        ]
        return torch.from_numpy(np.stack(shares) >= PRESENT_SHARE)


def flip(pixels: Float[Tensor, "image 3 y x"], generator: torch.Generator) -> Float[Tensor, "image 3 y x"]:
    """Mirrors every second image or so."""
    mirrored = torch.rand(len(pixels), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, pixels.flip(-1), pixels)


def write(folder: Path, *, scenes: int, first_seed: int, size_px: int, processes: int = 1) -> None:
    """Renders the scenes of `first_seed` on (13 ms each at 128 px) into `images.npy`, `labels.npy` and, last,
    `captions.json`: without the last the folder does not count as whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "captions.json").unlink(missing_ok=True)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (scenes, size_px, size_px, 3))
    labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.uint8, (scenes, size_px, size_px))
    captions = []
    seeds = range(first_seed, first_seed + scenes)
    # joblib's workers do not run the calling script again, which workflow scripts would not survive
    pool = Parallel(processes, return_as="generator", batch_size=32)
    rendered: Iterable[Scene] = pool(delayed(render)(seed, size_px=size_px) for seed in seeds)
    for i, scene in enumerate(progress(rendered, "scenes", total=scenes)):
        images[i], labels[i] = scene.image, scene.labels
        captions.append(scene.caption)
    images.flush()
    labels.flush()
    (folder / "captions.json").write_text(json.dumps(captions), "utf-8")


def read(folder: Path) -> TrainingScenes:
    """The scenes that `write` left in `folder`. Raises `InputError` where they are not all there."""
    try:
        captions = json.loads((folder / "captions.json").read_text("utf-8"))
        images, labels = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "labels"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"training scenes {folder}: expected images.npy, labels.npy and captions.json, got {error}; "
            "draw them again: snakemake zoo_scenes --force"
        ) from error
    lengths = {"images": len(images), "labels": len(labels), "captions": len(captions)}
    if len(set(lengths.values())) != 1:
        raise InputError(
            f"training scenes {folder}: expected as many images and labels as captions, got {lengths}; "
            "draw them again: snakemake zoo_scenes --force"
        )
    return TrainingScenes(images, labels, captions)
