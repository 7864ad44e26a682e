"""The part of the configuration that says what is solved and clustered: backbones, methods, regions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.catalogue import PRESETS, preset_of
from whatwhere.backbones.packaged import Packaged
from whatwhere.config.base import Name, Patterns, Positive, Share, Strict
from whatwhere.config.cuts import MaskCut, Ncut, TokenCut
from whatwhere.config.joint import Global, Landmarks, MiniBatch, ReleasedMiniBatch
from whatwhere.datasets.sources import SOURCES
from whatwhere.method.rules import Rule
from whatwhere.zoo import folder_of

#: Endings of what a checkpoint's folder consists of.
CHECKPOINTS = (".json", ".safetensors", ".bin", ".txt")


def _weights(given: Any) -> Any:
    """A mapping as the distribution's file that it says; its faults in one line, not one for each kind of weights."""
    if given is None or isinstance(given, str | Packaged):
        return given
    try:
        return TypeAdapter(Packaged).validate_python(given)
    except ValidationError as error:
        fault = error.errors()[0]
        at = ".".join(map(str, fault["loc"])) or "it"
        words = (
            "expected hub, random, a path, or distribution, version, member, sha256 and size_bytes, got "
            f"{given!r:.60} ({at}: {fault['msg']})"
        )
        raise PydanticCustomError("values", "{words}", {"words": words}) from error


class BackboneSettings(Strict):
    """A model and the view of the images that it is shown. What is not said here is as the catalogue has it."""

    model: str
    """A name of `whatwhere backbones`, timm's name (vit_small_patch16_224.dino), or a repository in timm's,
    transformers' or diffusers' layout: zoo/dino, a folder, or owner/name on the hub."""
    weights: Annotated[str | Packaged | None, BeforeValidator(_weights)] = None
    """`hub` (the repository's own, the default where the catalogue has nothing else), `random`, for `stego` and timm's
    names the path of a checkpoint, or for timm's names a file in an installed distribution of the package index."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    seed: int = 0
    """Initialises `weights: random`."""
    layers: Patterns | None = None
    """Name patterns of the attention layers to read; all by default."""
    options: dict[str, Any] | None = None
    """Passed to the model's constructor; of a diffusion model how its noise is drawn: `step`, or `t_min`, `t_max`
    and `samples`."""
    upsample: Positive | None = None
    """How many times finer, along each side, queries, keys and values are interpolated before the walk."""
    view: Name
    """One of `views`."""

    def weights_here(self) -> str | Packaged:
        """What is loaded on this machine: of a preset's distribution that is not installed, the hub's."""
        return preset_of(self.model, self.weights, self.revision).weights

    def knows_scenes_only(self) -> bool:
        """Whether it is one of the zoo with what it learned from rendered scenes."""
        found = preset_of(self.model, self.weights, self.revision)
        return found.model.startswith("zoo/") and found.weights != "random"

    def draws(self) -> bool:
        """Whether what it answers depends on chance: a diffusion model's noise. Of an unknown repository it may."""
        found = preset_of(self.model, self.weights, self.revision)
        if "/" not in found.model:
            return False
        folder = folder_of(found.model)
        return (
            (folder / "model_index.json").is_file()
            if folder
            else self.model not in PRESETS or "samples" in found.options
        )

    def local_files(self) -> list[str]:
        """The checkpoint and its descriptions, where they are files of this machine.

        For a checkpoint where `fetch` puts it (`ROOT/SOURCE/FILE`) the manifest of its source, which says that it came.
        Raises `InputError` where the configuration names a place and nothing is there, and for a distribution's file
        that is not as it was pinned.
        """
        found = preset_of(self.model, self.weights, self.revision)
        model, weights = found.model, found.weights
        if "/" in model:
            folder = folder_of(model)
            files = [] if folder is None else [file for file in folder.rglob("*") if file.suffix in CHECKPOINTS]
            return sorted(map(str, files))
        if isinstance(weights, Packaged):
            weights.file()
            return []
        if weights in ("hub", "random"):
            return []
        if Path(weights).parent.name in SOURCES:
            return [f"{Path(weights).parent}.json"]
        if not Path(weights).is_file():
            raise InputError(f"weights: expected hub, random or a checkpoint's path, got {weights!r}, which is no file")
        return [weights]


class FeatureSettings(Strict):
    """What extraction keeps and how it runs."""

    keep: bool = True
    """Keep the stores; false deletes each as soon as all that reads it is done (a large set fills a disk)."""
    batch_images: Positive = 1
    """Images per forward pass. On a CPU more than one gains little and may change the last bit."""
    run_images: Positive = 16
    """Images per file of a store, and per write: no pass crosses a file."""

    @model_validator(mode="after")
    def _passes_fit(self) -> FeatureSettings:
        if self.batch_images > self.run_images:
            words = f"batch_images: expected at most run_images, {self.run_images}, got {self.batch_images}; raise both"
            raise PydanticCustomError("values", "{words}", {"words": words})
        return self


class Solver(Strict):
    """What every solver is told of the graph set 𝒜 and of X."""

    pathway: Literal["qk", "vv", "both"] = "qk"
    """Graphs of queries and keys, of values, or of both together."""
    operator: Literal["normalised", "walk"] = "walk"
    vectors: Positive = 10
    layers: Patterns = ("*",)
    """The layers that enter: name patterns, `stage:encoder`, `stage:mid`, `stage:decoder`, or `grid:32x32` (the
    nearest that the backbone has)."""


class Descent(Solver):
    """What the two solvers that descend by Adam share."""

    buffer_samples: Positive | None = None
    """Noise samples at hand, of which each backward pass takes one; null takes the mean over all of them."""
    fresh_probability: Share = 0.25
    """Chance that a backward pass takes a new sample, in the place of the oldest."""
    accumulate: Positive = 1
    """Backward passes, gradients added, before each step of the optimiser."""
    check_every: Positive = 50
    """Backward passes between two checks that folding is exact."""
    tolerance: Share | None = None
    """Ends an image's steps where its objective fell, over the last twentieth of `steps`, by less than this part of its
    whole fall; null takes them all."""


class Exact(Solver):
    """Leading eigenvectors of the folded operator (Eq. 3)."""

    kind: Literal["exact"]
    operator: Literal["normalised", "walk"] = "normalised"
    weights: Literal["equal", "trace", "agreement", "auto"] = "equal"
    """Of the layers' graphs: all alike, as the paper, or found from the graphs, by the trace of each at the vectors
    that all have in common or by how much of its own vectors those hold; `auto` is the former."""
    time: Annotated[float, Field(ge=0)] = 0
    """Columns of X have the length of their eigenvalue to this power, as in diffusion maps; 0 leaves them alike."""


class Gradient(Descent):
    """Eq. 4 by Adam, as the paper writes it."""

    kind: Literal["gradient"]
    steps: Positive = 1000
    """As Table 6 has it. Section 4.1 says about 2,000, appendix B.2 1,000 for CLIP, and that 1,000 are enough."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    data_weight: Annotated[float, Field(ge=0)] = 1.0
    orthogonality_weight: Annotated[float, Field(ge=0)] = 1.0


class Released(Descent):
    """The objective and the parametrisation of the authors' released code."""

    kind: Literal["released"]
    vectors: Positive = 15
    steps: Positive = 100
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    data_weight: Annotated[float, Field(ge=0)] = 2.0
    orthogonality_weight: Annotated[float, Field(ge=0)] = 2.0
    buffer_samples: Positive | None = 7
    accumulate: Positive = 20


class Truth(Strict):
    """No solver: the true labels as features (a row of Table 5)."""

    kind: Literal["truth"]


class Largest(Strict):
    """No solver: the final features are scores of clusters, and each token takes the largest (STEGO itself)."""

    kind: Literal["largest"]


class Final(Strict):
    """No solver: the backbone's final features themselves (the K-means baseline)."""

    kind: Literal["final"]


class Position(Strict):
    """No solver and no backbone: the tokens' own coordinates (a control: regions that know nothing)."""

    kind: Literal["position"]


class Tokens(Strict):
    """No solver and no clustering: every token is a region of its own, for names from texts (MaskCLIP, GroupViT)."""

    kind: Literal["tokens"]


MethodSettings = Annotated[
    Exact
    | Gradient
    | Released
    | MiniBatch
    | ReleasedMiniBatch
    | Global
    | Landmarks
    | Final
    | Largest
    | Truth
    | Position
    | Tokens
    | Ncut
    | TokenCut
    | MaskCut,
    Field(discriminator="kind"),
]


class RegionSettings(Strict):
    """K-means over the rows of X, for every candidate K."""

    clusters: Positive | Literal["auto"] = "auto"
    """The K of the regions that are shown and scored first: a number, or by the rule `choose` among `candidates`."""
    choose: Rule = "silhouette"
    """How `auto` chooses: by the paper's silhouette, by that of diffusion maps (which then are clustered instead of
    X), by modularity, the eigengap or silhouettes beside those of shuffled columns. All but the first and `eigengap`
    may say 1; `modularity` and `eigengap` need methods of kind `exact`."""
    candidates: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = tuple(range(2, 11))
    borders: Literal["tokens", "image"] = "tokens"
    """Where regions end in scores and figures: between tokens as the paper has it, or at the image's own edges."""
    restarts: Positive = 4
