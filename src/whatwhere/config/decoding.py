"""The part of the configuration about what regions are good for: names for them, and objects (appendix D)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config.base import Positive, Share, Strict
from whatwhere.config.joint import CrfSettings


class Naming(Strict):
    """How regions get names from texts (appendix D.1)."""

    classes: tuple[str, ...] | None = None
    """Classes of the data set that are asked about; the others count as background. Null: all but `background`."""
    phrases: dict[str, str] = Field(default_factory=dict)
    """What a class is called in a prompt, where that is not its name: `tv monitor: television`."""
    templates: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Prompts with {} for the class, whose embeddings are averaged; null takes those of the package."""
    measure: Literal["probability", "cosine"] = "probability"
    """What `threshold` is compared with: the softmax over classes of the model's scale times the cosine, or the cosine.

    ASSUME: the paper's 0.7 is a probability: cosines between images and texts lie around 0.2 to 0.3 with CLIP."""
    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.7
    """A region whose best class is not above it is background."""
    most: Annotated[int, Field(ge=2)] | None = None
    """As GroupViT's authors decide, who take 5: only so many classes compete in an image, the most probable of it as a
    whole, times the probability among all; and the best region of an image always has a name."""

    @model_validator(mode="after")
    def _with_a_place(self) -> Naming:
        wrong = [template for template in self.templates or () if "{}" not in template]
        if wrong:
            words = f"templates: expected {{}} in each, where the class goes, got {wrong[0]!r}"
            raise PydanticCustomError("values", "{words}", {"words": words})
        return self


class ProposalSettings(Strict):
    """How regions of every candidate K become ranked masks of objects (appendix D.2)."""

    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Masks whose balanced silhouette is not above it are dropped."""
    overlap: Share = 0.7
    """Of two masks with a larger IoU the one with the lower score is dropped."""
    least_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Of the image; smaller masks are dropped."""
    most_share: Share = 0.9
    """And larger ones."""
    borders: Annotated[int, Field(ge=1, le=4)] | None = None
    """Masks that touch so many of the image's four borders are dropped; the released code has 2, the paper none."""
    most: Positive = 100
    """Masks of an image."""
    crf: CrfSettings | None = CrfSettings(
        gaussian_px=3, gaussian_weight=7, bilateral_px=50, bilateral_rgb=5, bilateral_weight=10
    )
    """Of the masks that a method answers itself (TokenCut, MaskCut); by default as MaskCut's authors have it. Null
    leaves them on tokens."""

    @model_validator(mode="after")
    def _in_order(self) -> ProposalSettings:
        if self.least_share > self.most_share:
            words = f"most_share: expected at least least_share, {self.least_share}, got {self.most_share}"
            raise PydanticCustomError("values", "{words}", {"words": words})
        return self
