"""DINO: a student learns to say of small crops what its own moving average says of large ones.

Multi-crop, centring and sharpening as in Caron et al., "Emerging Properties in Self-Supervised Vision
Transformers" (ICCV 2021), at the size of half an hour on one core. Three things are ours, because so few steps
taught the patches of a new network next to nothing. The student starts as the zoo's masked autoencoder. A scene
shows many things, so crops are of a part of it: crops of whole scenes agree on little but the light. And the
student also says of every patch what the teacher says of the patch at the same place in the other global crop,
some of them hidden from it (in the manner of Zhou et al., "iBOT", ICLR 2022, across views).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from whatwhere.zoo.training.scenes import TrainingScenes
from whatwhere.zoo.training.trainer import Trainer, move_average
from whatwhere.zoo.training.vit import MODEL_ARGS, export_timm, small_vit

#: The part of a scene that plays the image, a square of so many pixels: about one thing and what it stands on.
WINDOW_PX = (40, 80)
#: Crops of it: how many, side in shares of the window's, side shown to the network (px).
GLOBAL_CROPS = (2, (0.6, 1.0), 48)
LOCAL_CROPS = (4, (0.25, 0.5), 24)
#: Share of a global crop's patches that the student does not see.
HIDDEN = 0.4
PROTOTYPES = 1024
STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.04
CENTRE_MOMENTUM = 0.9
#: The teacher's at the start; it grows to 1 along half a cosine.
TEACHER_MOMENTUM = 0.985
PATCH = MODEL_ARGS["patch_size"]


class Head(nn.Module):
    """Tokens to prototypes: a small MLP, a unit vector, cosines to unit prototypes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, 384), nn.GELU(), nn.Linear(384, 384), nn.GELU(), nn.Linear(384, 96))
        self.prototypes = nn.Parameter(torch.randn(PROTOTYPES, 96))

    def forward(self, tokens: Float[Tensor, "... channel"]) -> Float[Tensor, "... prototype"]:
        """Cosines of tokens and prototypes."""
        return F.normalize(self.mlp(tokens).float(), dim=-1) @ F.normalize(self.prototypes, dim=-1).T


class Network(nn.Module):
    """A backbone, which is kept, and its head, which is not."""

    backbone: Any

    def __init__(self) -> None:
        super().__init__()
        self.backbone = small_vit()
        self.head = Head(MODEL_ARGS["embed_dim"])

    def forward(
        self, pixels: Float[Tensor, "image 3 y x"]
    ) -> tuple[Float[Tensor, "image prototype"], Float[Tensor, "image token prototype"]]:
        """Prototypes of the images' class tokens and of their patches."""
        answers = self.head(self.backbone.forward_features(pixels))
        return answers[:, 0], answers[:, 1:]


class Dino(Trainer):
    """Student, teacher and the teacher's running centres, of images and of patches."""

    centres: Tensor
    batch_centres: Tensor

    def __init__(self, start: nn.Module | None = None) -> None:
        super().__init__()
        self.student = Network()
        if start is not None:
            self.student.backbone.load_state_dict(start.state_dict())
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("centres", torch.zeros(2, PROTOTYPES))
        self.register_buffer("batch_centres", torch.zeros(2, PROTOTYPES))

    def trained(self) -> nn.Module:
        """See `Trainer.trained`: the student."""
        return self.student

    def losses(
        self, scenes: TrainingScenes, chosen: Int[np.ndarray, "image"], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Cross-entropy between teacher and student: `images`, over every pair of a global crop and another crop,
        and `patches`, over every pair of patches at one place. The `entropy` of the teacher's mean answer (in
        shares of the greatest possible) falls to 0 when it collapses to one prototype.
        """
        windows = scenes.boxes(len(chosen), *WINDOW_PX, generator=generator)
        large = _views(scenes, chosen, windows, *GLOBAL_CROPS, generator=generator)
        small = _views(scenes, chosen, windows, *LOCAL_CROPS, generator=generator)
        hidden = torch.rand(large.places.shape[:2], generator=generator) < HIDDEN
        with torch.no_grad():
            answers = self.teacher(large.pixels.to(self.device))
            targets, of_patches = (
                ((answer - centre) / TEACHER_TEMPERATURE).softmax(-1).unflatten(0, (GLOBAL_CROPS[0], -1))
                for answer, centre in zip(answers, self.centres, strict=True)
            )
            if self.training:
                self.batch_centres.copy_(torch.stack([answer.flatten(0, -2).mean(0) for answer in answers]))
        said, patches = self.student(hide(large.pixels, hidden).to(self.device))
        said = torch.cat([said, self.student(small.pixels.to(self.device))[0]])
        images = _agreement(targets, said.unflatten(0, (-1, len(chosen))))
        places = large.places.to(self.device).unflatten(0, (GLOBAL_CROPS[0], -1))
        local = _local_agreement(of_patches, patches.unflatten(0, (GLOBAL_CROPS[0], -1)), places)
        spread = [
            torch.special.entr(t.flatten(0, -2).mean(0)).sum() / math.log(PROTOTYPES) for t in (targets, of_patches)
        ]
        losses = {"loss": images + local, "images": images, "patches": local}
        return {**losses, "entropy": spread[0], "patch_entropy": spread[1]}

    def after_step(self, progress: float) -> None:
        """See `Trainer.after_step`: teacher and centres follow."""
        momentum = 1 - (1 - TEACHER_MOMENTUM) * 0.5 * (1 + math.cos(math.pi * progress))
        move_average(self.teacher, self.student, momentum)
        self.centres.lerp_(self.batch_centres, 1 - CENTRE_MOMENTUM)

    def export(self, folder: Path) -> None:
        """See `Trainer.export`: the teacher's backbone, in timm's layout."""
        export_timm(self.teacher.backbone, folder, tag="whatwhere_dino")


def _agreement(
    targets: Float[Tensor, "crop image prototype"], said: Float[Tensor, "view image prototype"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy of every global crop's target and every other view's answer."""
    words = (said / STUDENT_TEMPERATURE).log_softmax(-1)
    pairs = [-(targets[t] * words[s]).sum(-1).mean() for t in range(len(targets)) for s in range(len(words)) if s != t]
    return torch.stack(pairs).mean()


def _local_agreement(
    targets: Float[Tensor, "crop image token prototype"],
    said: Float[Tensor, "crop image token prototype"],
    places: Float[Tensor, "crop image token 2"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the patches of one global crop and the patches at the same places in the other."""
    words = (said / STUDENT_TEMPERATURE).log_softmax(-1)
    sums, count = [], []
    for t, s in ((0, 1), (1, 0)):
        nearest, is_there = meet(places[s], places[t])
        wanted = targets[t].gather(1, nearest[..., None].expand(-1, -1, PROTOTYPES))
        sums.append((-(wanted * words[s]).sum(-1) * is_there).sum())
        count.append(is_there.sum())
    return torch.stack(sums).sum() / torch.stack(count).sum().clamp(min=1)


def meet(
    places: Float[Tensor, "image token 2"], others: Float[Tensor, "image other 2"]
) -> tuple[Int[Tensor, "image token"], Bool[Tensor, "image token"]]:
    """For each patch the other view's patch that its centre lies in, and whether there is one."""
    apart = (places[:, :, None] - others[:, None]).abs().amax(-1)
    nearest = apart.argmin(-1)
    reach = (others[:, 1] - others[:, 0]).abs().amax(-1, keepdim=True) / 2
    return nearest, apart.amin(-1) <= reach


def hide(pixels: Float[Tensor, "view 3 y x"], hidden: Bool[Tensor, "view token"]) -> Float[Tensor, "view 3 y x"]:
    """Hidden patches in grey."""
    grid = hidden.unflatten(1, (pixels.shape[2] // PATCH, -1))[:, None]
    return pixels.masked_fill(grid.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3), 0.0)


@dataclass(frozen=True)
class Views:
    """Crops, and where the centre of each of their patches lies in its scene (row, column, px)."""

    pixels: Float[Tensor, "view 3 y x"]
    places: Float[Tensor, "view token 2"]


def _views(
    scenes: TrainingScenes,
    chosen: Int[np.ndarray, "image"],
    windows: Int[np.ndarray, "image 3"],
    count: int,
    shares: tuple[float, float],
    size_px: int,
    *,
    generator: torch.Generator,
) -> Views:
    """`count` crops of every window, the first of all windows first; every second or so is mirrored."""
    chosen, windows = np.tile(chosen, count), np.tile(windows, (count, 1))
    random = torch.rand(3, len(chosen), generator=generator).numpy()
    side = np.rint(windows[:, 2] * (shares[0] + (shares[1] - shares[0]) * random[0])).astype(int)
    corner = windows[:, :2] + (random[1:] * (windows[:, 2] - side + 1)).astype(int).T
    pixels = jitter(scenes.crops(chosen, np.column_stack([corner, side]), size_px), generator)
    mirrored = torch.rand(len(chosen), generator=generator) < 0.5
    along = (torch.arange(size_px // PATCH) + 0.5) * PATCH / size_px
    grid = torch.stack(torch.meshgrid(along, along, indexing="ij"), -1).expand(len(chosen), -1, -1, -1)
    grid = torch.where(mirrored[:, None, None, None], grid.flip(2), grid).flatten(1, 2)
    places = torch.from_numpy(corner)[:, None] + grid * torch.from_numpy(side)[:, None, None]
    return Views(torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels), places.float())


def jitter(pixels: Float[Tensor, "image 3 y x"], generator: torch.Generator) -> Float[Tensor, "image 3 y x"]:
    """Brightness, contrast and saturation each changed by up to 40 %, grey with a chance of 1 in 10."""
    brightness, contrast, saturation = 0.6 + 0.8 * torch.rand(3, len(pixels), 1, 1, 1, generator=generator)
    grey = torch.rand(len(pixels), 1, 1, 1, generator=generator) < 0.1
    pixels = ((pixels + 1) * brightness).clamp(0, 2)
    pixels = pixels.lerp(pixels.mean((1, 2, 3), keepdim=True), 1 - contrast)
    pixels = pixels.lerp(pixels.mean(1, keepdim=True), torch.where(grey, 1.0, 1 - saturation))
    return pixels.clamp(0, 2) - 1
