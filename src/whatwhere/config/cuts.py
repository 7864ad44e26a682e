"""The part of the configuration about baselines that cut one graph of an image: Ncut, TokenCut and MaskCut."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config.base import Positive, Strict


class Cut(Strict):
    """What is told of the graph that a baseline cuts: of what it is made, and how."""

    source: Literal["keys", "features", "attention"] = "keys"
    """The last attention layer's keys (as published), the backbone's final features, or the last layer's attention."""
    threshold: float | None = None
    """Similarities above it count as 1, others as nothing; where nothing else is said, the published one (of attention
    none). With null and neither of the others, the similarities themselves are the weights."""
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    """A threshold that this share of all pairs of tokens does not exceed: whatever the network, so many have edges."""
    power: Annotated[float, Field(gt=0)] | None = None
    """No threshold: similarities from the lowest (0) to 1, to this power."""

    published: ClassVar[float] = 0.2

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("source") == "attention":
            return given
        said = {"threshold", "quantile", "power"} & given.keys()
        return given if said else {**given, "threshold": cls.published}

    @model_validator(mode="after")
    def _one_way(self) -> Cut:
        if sum(one is not None for one in (self.threshold, self.quantile, self.power)) > 1:
            words = "expected one of threshold, quantile and power, got several; set the others to null"
            raise PydanticCustomError("values", "{words}", {"words": words})
        return self


class Ncut(Cut):
    """Normalised cut of one graph, its eigenvectors to K-means (appendix B.3)."""

    kind: Literal["ncut"]
    vectors: Positive = 8


class TokenCut(Cut):
    """TokenCut: one object by a normalised cut of a graph, or several from further eigenvectors (published: 0.2)."""

    kind: Literal["tokencut"]
    masks: Positive = 1


class MaskCut(Cut):
    """MaskCut: `masks` objects, one after the other (published: 0.15)."""

    kind: Literal["maskcut"]
    published: ClassVar[float] = 0.15
    masks: Positive = 3
