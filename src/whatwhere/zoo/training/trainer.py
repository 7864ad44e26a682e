"""What the training loop asks of a family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from whatwhere.zoo.training.scenes import TrainingScenes


class Trainer(nn.Module, ABC):
    """The networks of one family and the loss that trains them; its state dict is the checkpoint.

    All randomness of a step comes from the step's own generator, so that a run that was interrupted
    ends with the same weights as one that was not.
    """

    @abstractmethod
    def trained(self) -> nn.Module:
        """The part whose parameters the optimiser changes."""

    @abstractmethod
    def losses(
        self, scenes: TrainingScenes, chosen: Int[np.ndarray, "image"], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Scalars of one batch: `loss`, which is minimised, and whatever else is worth a curve."""

    def after_step(self, progress: float) -> None:
        """What follows each step of the optimiser (moving averages); `progress` runs from 0 to 1."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Writes the checkpoint in the layout of the family's full-size siblings."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device


def move_average(average: nn.Module, current: nn.Module, momentum: float) -> None:
    """average <- momentum * average + (1 - momentum) * current, parameter by parameter."""
    with torch.no_grad():
        for mean, now in zip(average.parameters(), current.parameters(), strict=True):
            mean.lerp_(now, 1 - momentum)
