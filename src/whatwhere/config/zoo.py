"""The part of the configuration that says how the small backbones of the zoo are trained."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config.base import Positive, Strict


class ZooRecipe(Strict):
    """How one network of the zoo is trained."""

    steps: Positive
    batch_images: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup_steps: Positive = 100
    bfloat16: bool = False
    """Multiply in bfloat16: faster where the processor has it."""


class ZooRecipes(Strict):
    """The four families, and the autoencoder that diffusion works in."""

    dino: ZooRecipe = ZooRecipe(
        steps=700, batch_images=32, learning_rate=4e-4, weight_decay=0.04, warmup_steps=50, bfloat16=True
    )
    mae: ZooRecipe = ZooRecipe(steps=4000, batch_images=64, learning_rate=1.2e-3, warmup_steps=150, bfloat16=True)
    clip: ZooRecipe = ZooRecipe(steps=750, batch_images=128, learning_rate=1e-3, bfloat16=True)
    autoencoder: ZooRecipe = ZooRecipe(steps=1500, batch_images=16, learning_rate=1.5e-3, weight_decay=0, bfloat16=True)
    diffusion: ZooRecipe = ZooRecipe(steps=1900, batch_images=32, learning_rate=1e-3, weight_decay=0.01)


class ZooEvidence(Strict):
    """The scenes that show what was learned; none of them is trained or evaluated on elsewhere."""

    first_seed: Annotated[int, Field(ge=0)] = 2_000_000
    train_images: Positive = 120
    """For the linear probe."""
    select_images: Positive = 40
    """To choose the layer."""
    test_images: Positive = 80


class Zoo(Strict):
    """What `snakemake zoo` trains. Not part of `all`."""

    scenes: Positive = 16_000
    first_seed: Annotated[int, Field(ge=0)] = 1_000_000
    held_out: Positive = 256
    """Of the scenes so many, the last, are for the validation losses and never trained on."""
    size_px: Annotated[int, Field(ge=64)] = 128
    device: str = "cpu"
    recipes: ZooRecipes = ZooRecipes()
    evidence: ZooEvidence = ZooEvidence()
    sample_steps: Positive = 50
    """Steps of DDIM for each picture that the page shows of what the diffusion model paints."""

    @model_validator(mode="after")
    def _seeds_apart(self) -> Zoo:
        trained = range(self.first_seed, self.first_seed + self.scenes)
        shown = self.evidence
        last = shown.first_seed + shown.train_images + shown.select_images + shown.test_images - 1
        if shown.first_seed in trained or last in trained or shown.first_seed < trained.start < last:
            raise PydanticCustomError(
                "seeds",
                "expected evidence.first_seed away from the training scenes (seeds {first}-{last}), got {got}",
                {"first": trained.start, "last": trained.stop - 1, "got": shown.first_seed},
            )
        return self
