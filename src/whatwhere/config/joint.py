"""The part of the configuration about data sets as a whole: their solvers, and the clusters that are scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config.base import Name, Patterns, Positive, Share, Strict
from whatwhere.config.faults import must_exist


class GraphSettings(Strict):
    """How many connections a location of a graph across images keeps (section 3.3)."""

    intra: Annotated[int, Field(ge=0)] = 10
    """To other locations of its own image, the strongest."""
    inter: Annotated[int, Field(ge=0)] = 10
    """To locations of all other images together."""
    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Cosines that are not above it are dropped."""
    symmetric: bool = False
    """Take the mean of A and its transpose before rows are scaled."""
    slack: Annotated[float, Field(ge=0)] = 0.0
    """Added to each 1/Σ of D⁻¹."""


class Joint(Strict):
    """What every solver for a whole data set is told of the graphs and of X (sections 3.3 and 4.2)."""

    pathway: Literal["qk", "vv", "both"] = "vv"
    vectors: Positive = 50
    layers: Patterns = ("*",)
    """As of a solver for one image; the paper takes `block:mid` and `up:6`."""
    graph: Literal["paper", "released"] | GraphSettings = "paper"
    """`paper`: 10 + 10; `released`: 50 + 50, symmetric, cosines above 0.1; or numbers of one's own."""
    unit_rows: bool | None = None
    """Bring rows of X to unit length before K-means; null: as `segments` says."""

    def together(self, images: int) -> int | float:
        """Images that are compared at a time, of a data set of so many."""
        return images


class Batches(Joint):
    """What the two solvers that go mini-batch after mini-batch share."""

    operator: Literal["normalised", "walk"] = "walk"
    batch_images: Positive = 160
    batches: Positive = 2100
    """Mini-batches in all. ASSUME: these are the paper's 2100 iterations."""
    steps: Positive = 5
    """Steps of Adam on each batch. ASSUME: as in the released code; the paper says a small number."""
    start: Annotated[float, Field(gt=0)] = 1.0
    """Standard deviation of X before the first step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    data_weight: Annotated[float, Field(ge=0)] = 1.0
    orthogonality_weight: Annotated[float, Field(ge=0)] = 1.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of a moving average of X, which is then the answer; 0 for none."""
    features: Literal["cache", "live"] = "cache"
    """Read them from their store, or run the network for each batch: for sets whose store would fill the disk."""
    columns: Positive | None = None
    """Of X after Eq. 8 only so many, those of the largest eigenvalues; null keeps all."""
    processes: Positive = 1
    """Processes that share the batches of an epoch; on GPUs one each."""

    def together(self, images: int) -> int | float:
        """Those of a batch: an epoch is cut into nearly equal ones."""
        return images / max(1, math.ceil(images / self.batch_images))


class MiniBatch(Batches):
    """Eq. 4 by Adam, as the paper writes it."""

    kind: Literal["minibatch"]


class ReleasedMiniBatch(Batches):
    """Eq. 4 with the loss, the parametrisation and the settings of the authors' released code."""

    kind: Literal["minibatch_released"]
    vectors: Positive = 100
    graph: Literal["paper", "released"] | GraphSettings = "released"
    batch_images: Positive = 40
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    average: Annotated[float, Field(ge=0, lt=1)] = 0.99
    columns: Positive | None = 27


class Global(Joint):
    """Eq. 3 over the whole set at once: leading eigenvectors of one sparse operator."""

    kind: Literal["global"]
    operator: Literal["normalised", "walk", "regularised"] = "walk"
    """`regularised` normalises the mean of all layers' walks as one graph, its degrees regularised."""
    search: Literal["auto", "exact", "faiss"] = "auto"
    """How neighbours in other images are found; `auto` is exact on a GPU, and below 10,000 locations."""
    time: Annotated[float, Field(ge=0)] = 2
    """Columns of X have the length of their eigenvalue to this power, as in diffusion maps; 0 leaves them alike."""
    tolerance: Annotated[float, Field(gt=0)] = 1e-4
    """Of Lanczos, relative to the eigenvalues."""
    weights: Literal["equal", "trace", "agreement", "auto"] = "equal"
    """Of the graphs, all alike or found from them, as of a solver for one image."""
    of: Name | None = None
    """Another `global` method of the same graphs, with `time: 0`, whose leading columns are taken, not solved again."""

    def shares(self, other: Global) -> bool:
        """Whether the other's columns can be taken: it is of the same graphs, all alike, and has as many at least."""
        own = {"vectors", "time", "of", "unit_rows"}
        alike = self.model_dump(exclude=own) == other.model_dump(exclude=own)
        return (
            alike and other.of is None and other.time == 0 and self.weights == "equal" and self.vectors <= other.vectors
        )


class Landmarks(Joint):
    """Eq. 3 over a sample of the set, by the operator `regularised`; every other image is extended to by itself."""

    kind: Literal["landmarks"]
    operator: Literal["regularised"] = "regularised"
    sample: Positive = 50
    """Images that are solved together, drawn by their ids."""
    landmarks: Annotated[int, Field(ge=0)] = 2048
    """Of the sample's locations so many stay for the others to be compared with, the price of each; 0: all."""
    search: Literal["auto", "exact", "faiss"] = "auto"
    """As of `global`, in the sample."""
    time: Annotated[float, Field(ge=0)] = 2
    """As of `global`."""
    tolerance: Annotated[float, Field(gt=0)] = 1e-4
    """Of Lanczos, relative to the eigenvalues."""

    @model_validator(mode="after")
    def _can_be_extended(self) -> Landmarks:
        own = isinstance(self.graph, GraphSettings) and not self.graph.symmetric and not self.graph.slack
        if self.graph != "paper" and not own:
            words = "graph: expected `paper`, or intra, inter and threshold alone, for landmarks; leave the rest out"
            raise PydanticCustomError("values", "{words}", {"words": words})
        return self

    def together(self, images: int) -> int | float:
        """Those of the sample."""
        return min(images, self.sample)


class CrfSettings(Strict):
    """A dense CRF over the pixels of an image; by default with STEGO's numbers."""

    iterations: Positive = 10
    gaussian_px: Annotated[float, Field(gt=0)] = 1
    gaussian_weight: Annotated[float, Field(ge=0)] = 3
    bilateral_px: Annotated[float, Field(gt=0)] = 67
    bilateral_rgb: Annotated[float, Field(gt=0)] = 3
    bilateral_weight: Annotated[float, Field(ge=0)] = 4
    library: Literal["own", "pydensecrf"] = "own"
    """Ours, or the package pydensecrf2, which needs a compiler to install."""


def check_sources(methods: Mapping[str, Any]) -> None:
    """That whatever takes another's columns can."""
    for name, method in methods.items():
        if not isinstance(method, Global) or method.of is None:
            continue
        must_exist(f"methods.{name}.of", method.of, methods, "methods")
        other = methods[method.of]
        if not isinstance(other, Global) or not method.shares(other):
            words = (
                "expected a method of kind global of the same graphs, weights equal, with time: 0 and as many vectors"
            )
            words = f"methods.{name}.of: {words}, got {method.of}; correct it, or leave `of` out"
            raise PydanticCustomError("values", "{words}", {"words": words})


class SegmentSettings(Strict):
    """K-means over the rows of X of a whole data set, with as many clusters as there are classes, and its scores."""

    clusters: Positive = 8
    """Of a data set whose classes have no names: there is nothing to score, but regions to look at."""
    view: Name | None = None
    """Labels and clusters meet in the pixels of this view, the same for all rows; null: of each backbone's own.

    ASSUME: it shows the same part of the images as the backbones' views."""
    unit_rows: bool = True
    """Bring the rows of X (and of every feature they are compared with) to unit length first."""
    draws: Positive = 5
    """Of clusters, by K-means' seed: a score is the mean over them, and its interval is over them too."""
    restarts: Positive = 2
    """Of K-means, in each draw: the best counts."""
    fitted_locations: Positive = 100_000
    """Of a larger set so many are drawn to find the centres."""
    least_px: Annotated[int, Field(ge=0)] = 50
    """Smaller regions are left out of spatial semantic segmentation (section 4.2.3)."""
    ambiguous: Share = 0.1
    """As are regions whose mean column is nearer to the centre than this part of the width."""
    crf: CrfSettings = CrfSettings()
