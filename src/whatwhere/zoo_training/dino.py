"""DINO: a student learns to say of small crops what its own moving average says of large ones.

Multi-crop, centring and sharpening as in Caron et al., "Emerging Properties in Self-Supervised Vision
Transformers" (ICCV 2021), at the size of a few hours on two cores.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from whatwhere.zoo_training.scenes import TrainingScenes
from whatwhere.zoo_training.trainer import Trainer, move_average
from whatwhere.zoo_training.vit import MODEL_ARGS, export_timm, small_vit

#: Crops of an image: how many, side in the scene (px), side shown to the network (px).
GLOBAL_CROPS = (2, (52, 96), 64)
LOCAL_CROPS = (4, (20, 48), 32)
PROTOTYPES = 1024
STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.04
CENTRE_MOMENTUM = 0.9
#: The teacher's at the start; it grows to 1 along half a cosine.
TEACHER_MOMENTUM = 0.99


class Head(nn.Module):
    """Class token to prototypes: a small MLP, a unit vector, cosines to unit prototypes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, 384), nn.GELU(), nn.Linear(384, 384), nn.GELU(), nn.Linear(384, 96))
        self.prototypes = nn.Parameter(torch.randn(PROTOTYPES, 96))

    def forward(self, tokens: Float[Tensor, "image channel"]) -> Float[Tensor, "image prototype"]:
        return F.normalize(self.mlp(tokens).float(), dim=-1) @ F.normalize(self.prototypes, dim=-1).T


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = small_vit()
        self.head = Head(MODEL_ARGS["embed_dim"])

    def forward(self, pixels: Float[Tensor, "image 3 y x"]) -> Float[Tensor, "image prototype"]:
        return self.head(self.backbone(pixels))


class Dino(Trainer):
    """Student, teacher and the teacher's running centre."""

    centre: Tensor
    batch_centre: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.student = Network()
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(PROTOTYPES))
        self.register_buffer("batch_centre", torch.zeros(PROTOTYPES))

    def trained(self) -> nn.Module:
        return self.student

    def losses(
        self, scenes: TrainingScenes, chosen: Int[np.ndarray, "image"], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Cross-entropy between every global crop's teacher and every other crop's student; `entropy` of the
        teacher's mean answer (in shares of the greatest possible) falls to 0 when it collapses to one prototype.
        """
        large, small = (_views(scenes, chosen, *kind, generator=generator).to(self.device) for kind in _KINDS)
        images = len(chosen)
        with torch.no_grad():
            answers = self.teacher(large)
            targets = ((answers - self.centre) / TEACHER_TEMPERATURE).softmax(-1).unflatten(0, (-1, images))
            if self.training:
                self.batch_centre.copy_(answers.mean(0))
        said = torch.cat([self.student(large), self.student(small)]) / STUDENT_TEMPERATURE
        words = said.log_softmax(-1).unflatten(0, (-1, images))
        pairs = [
            -(targets[t] * words[s]).sum(-1).mean() for t in range(len(targets)) for s in range(len(words)) if s != t
        ]
        mean = targets.mean((0, 1))
        entropy = torch.special.entr(mean).sum() / math.log(PROTOTYPES)
        return {"loss": torch.stack(pairs).mean(), "entropy": entropy}

    def after_step(self, progress: float) -> None:
        momentum = 1 - (1 - TEACHER_MOMENTUM) * 0.5 * (1 + math.cos(math.pi * progress))
        move_average(self.teacher, self.student, momentum)
        self.centre.lerp_(self.batch_centre, 1 - CENTRE_MOMENTUM)

    def export(self, folder: Path) -> None:
        export_timm(self.teacher.backbone, folder, tag="whatwhere_dino")


_KINDS = (GLOBAL_CROPS, LOCAL_CROPS)


def _views(
    scenes: TrainingScenes,
    chosen: Int[np.ndarray, "image"],
    count: int,
    sides_px: tuple[int, int],
    size_px: int,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "view 3 y x"]:
    """`count` crops of every image, the first of all images first."""
    repeated = np.tile(chosen, count)
    crops = scenes.crops(repeated, scenes.boxes(len(repeated), *sides_px, generator=generator), size_px)
    return flip(jitter(crops, generator), generator)


def jitter(pixels: Float[Tensor, "image 3 y x"], generator: torch.Generator) -> Float[Tensor, "image 3 y x"]:
    """Brightness, contrast and saturation each changed by up to 40 %, grey with a chance of 1 in 10."""
    brightness, contrast, saturation = 0.6 + 0.8 * torch.rand(3, len(pixels), 1, 1, 1, generator=generator)
    grey = torch.rand(len(pixels), 1, 1, 1, generator=generator) < 0.1
    pixels = ((pixels + 1) * brightness).clamp(0, 2)
    pixels = pixels.lerp(pixels.mean((1, 2, 3), keepdim=True), 1 - contrast)
    pixels = pixels.lerp(pixels.mean(1, keepdim=True), torch.where(grey, 1.0, 1 - saturation))
    return pixels.clamp(0, 2) - 1


def flip(pixels: Float[Tensor, "image 3 y x"], generator: torch.Generator) -> Float[Tensor, "image 3 y x"]:
    """Mirrors every second image or so."""
    mirrored = torch.rand(len(pixels), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, pixels.flip(-1), pixels)
