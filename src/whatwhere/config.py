"""The whole configuration as frozen models. An unknown or wrong key stops everything before any job.

Interior functions never see these models: the workflow takes values out of them and passes values on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config_base import Name, Positive, Strict
from whatwhere.config_faults import explain, must_exist
from whatwhere.config_zoo import Zoo
from whatwhere.errors import InputError
from whatwhere.zoo import folder_of

#: Endings of what a checkpoint's folder consists of.
CHECKPOINTS = (".json", ".safetensors", ".bin", ".txt")
Patterns = Annotated[tuple[str, ...], Field(min_length=1)]


class ViewSettings(Strict):
    """How images of a data set are brought to size: the paper's three protocols, or none."""

    protocol: Literal["none", "short_side", "square", "centre_crop"]
    size_px: Positive = 448
    """Short side, or side of the square; not used by `none`."""
    multiple_px: Positive = 16
    """Both sides become multiples of it: the patch size of the backbones that look through this view."""


class Scenes(Strict):
    """Rendered scenes with exact labels, instances and captions."""

    kind: Literal["scenes"]
    images: Positive = 40
    size_px: Annotated[int, Field(ge=32)] = 128
    first_seed: Annotated[int, Field(ge=0)] = 0


class Photos(Strict):
    """The colour photographs inside the scikit-image and scikit-learn packages; no labels."""

    kind: Literal["photos"]


class Folder(Strict):
    """A directory of one's own, with label maps under `labels_root` if there are any.

    With `classes`, labels mean the same in every image; without, they are segments of one image each.
    """

    kind: Literal["folder"]
    root: Path
    labels_root: Path | None = None
    classes: tuple[str, ...] = ()
    ignore_label: int | None = 255


class Bsds500(Strict):
    """BSDS500: photographs with several human segmentations each, under `root`."""

    kind: Literal["bsds500"]
    root: Path
    split: Literal["train", "val", "test"] = "val"


class CamVid(Strict):
    """CamVid: driving frames with 11 classes, under `root`."""

    kind: Literal["camvid"]
    root: Path
    split: Literal["train", "val", "test"] = "val"


DatasetSettings = Annotated[Scenes | Photos | Folder | Bsds500 | CamVid, Field(discriminator="kind")]


class BackboneSettings(Strict):
    """A model and the view of the images that it is shown."""

    model: str
    """timm's name (vit_small_patch16_224.dino), or a repository in timm's, transformers' or diffusers' layout:
    zoo/dino, a folder, or owner/name on the hub."""
    weights: str = "hub"
    """`hub` (the repository's own), `random`, or for timm's names the path of a checkpoint."""
    revision: str = "main"
    seed: int = 0
    """Initialises `weights: random`; draws the noise of a diffusion model."""
    layers: Patterns = ("*",)
    """Name patterns of the attention layers to read."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed to the model's constructor; of a diffusion model `step`, the noise step."""
    view: Name
    """One of `views`."""

    def local_files(self) -> list[str]:
        """The checkpoint and its descriptions, where they are files of this machine.

        Raises `InputError` where the configuration names a place and nothing is there.
        """
        if "/" in self.model:
            folder = folder_of(self.model)
            files = [] if folder is None else [file for file in folder.rglob("*") if file.suffix in CHECKPOINTS]
            return sorted(map(str, files))
        if self.weights in ("hub", "random"):
            return []
        if not Path(self.weights).is_file():
            raise InputError(
                f"weights: expected hub, random or a checkpoint's path, got {self.weights!r}, which is no file"
            )
        return [self.weights]


class FeatureSettings(Strict):
    """What extraction keeps and how it runs."""

    values: bool = False
    """Store V beside Q and K (the `vv` pathway needs it)."""
    batch_images: Positive = 1
    """Images per forward pass. On a CPU more than one gains little and may change the last bit."""
    run_images: Positive = 16
    """Images per file of a store, and per write."""
    device: str = "cpu"


class Exact(Strict):
    """Leading eigenvectors of the folded operator (Eq. 3)."""

    kind: Literal["exact"]
    pathway: Literal["qk", "vv"] = "qk"
    operator: Literal["normalised", "walk"] = "normalised"
    vectors: Positive = 10


class Gradient(Strict):
    """Eq. 4 by Adam, as the paper writes it."""

    kind: Literal["gradient"]
    pathway: Literal["qk", "vv"] = "qk"
    operator: Literal["normalised", "walk"] = "walk"
    vectors: Positive = 10
    steps: Positive = 1000
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    data_weight: Annotated[float, Field(ge=0)] = 1.0
    orthogonality_weight: Annotated[float, Field(ge=0)] = 1.0
    check_every: Positive = 50
    """Steps between two checks that folding is exact."""


class Final(Strict):
    """No solver: the backbone's final features themselves (the K-means baseline)."""

    kind: Literal["final"]


MethodSettings = Annotated[Exact | Gradient | Final, Field(discriminator="kind")]


class RegionSettings(Strict):
    """K-means over the rows of X."""

    clusters: Positive | Literal["auto"] = "auto"
    candidates: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = tuple(range(2, 11))
    """The K that `auto` chooses among, by silhouette."""
    restarts: Positive = 4


class Row(Strict):
    """One row of a table. Without `backbone` it is the paper's alone, and `reason` says why ours is empty."""

    model: str
    source: str
    decoding: str
    paper: float | None = None
    backbone: Name | None = None
    method: Name | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _computed_orexplained(self) -> Row:
        if (self.backbone is None) != (self.method is None) or not (self.backbone or self.reason):
            raise PydanticCustomError("row", "expected `backbone` and `method`, or a `reason` for an empty cell")
        return self


class Table(Strict):
    """A table's data set and rows; the paper's numbers stand in the rows."""

    title: str
    dataset: Name
    source: str
    rows: tuple[Row, ...]

    def runs(self) -> list[tuple[str, str, str]]:
        """The (data set, backbone, method) behind every computed row, once each."""
        return list(dict.fromkeys((self.dataset, r.backbone, r.method) for r in self.rows if r.backbone and r.method))


class Figure(Strict):
    """Images of one data set through one backbone and method."""

    dataset: Name
    backbone: Name
    method: Name
    images: Positive = 6


class Config(Strict):
    """Everything a run depends on."""

    run: Name = "embedded"
    """Folder under `results`."""
    seed: Annotated[int, Field(ge=0)] = 0
    threads: Positive = 1
    """Of every job, whatever the cores: sums then always run in the same order."""
    unreadable: Literal["stop", "skip"] = "stop"
    """What a truncated or foreign image file does: stop the run, or be skipped and listed."""
    shard_images: Positive = 512
    """Images per job and store."""
    views: dict[Name, ViewSettings]
    datasets: dict[Name, DatasetSettings]
    backbones: dict[Name, BackboneSettings]
    features: FeatureSettings = FeatureSettings()
    methods: dict[Name, MethodSettings]
    regions: RegionSettings = RegionSettings()
    bootstrap: Positive = 1000
    """Resamples of the images behind every 95 % interval."""
    tables: dict[Name, Table] = Field(default_factory=dict)
    figures: dict[Name, Figure] = Field(default_factory=dict)
    zoo: Zoo = Zoo()

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        for name, backbone in self.backbones.items():
            must_exist(f"backbones.{name}.view", backbone.view, self.views)
        for where, used in self._uses():
            must_exist(f"{where}.dataset", used[0], self.datasets)
            must_exist(f"{where}.backbone", used[1], self.backbones)
            must_exist(f"{where}.method", used[2], self.methods)
            self._check_values(where, used[2])
        return self

    def _uses(self) -> list[tuple[str, tuple[str, str, str]]]:
        rows = [
            (f"tables.{name}.rows[{i}]", (table.dataset, row.backbone, row.method))
            for name, table in self.tables.items()
            for i, row in enumerate(table.rows)
            if row.backbone and row.method
        ]
        figures = [(f"figures.{k}", (f.dataset, f.backbone, f.method)) for k, f in self.figures.items()]
        return rows + figures

    def _check_values(self, where: str, method: str) -> None:
        if getattr(self.methods[method], "pathway", "qk") == "vv" and not self.features.values:
            raise PydanticCustomError(
                "values",
                "{where}: method {method} reads the vv pathway; expected features.values: true, got false",
                {"where": where, "method": method},
            )

    def runs(self) -> list[tuple[str, str, str]]:
        """Every (data set, backbone, method) that a table or figure needs, once each, in order."""
        return list(dict.fromkeys(used for _, used in self._uses()))


def parse(tree: dict[str, Any], *, where: str = "config.yaml") -> Config:
    """The validated configuration.

    Raises `InputError`: one line with the key's path, what was expected, what was found, and for a
    misspelt name the nearest right one.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        faults = error.errors()
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"{where}: {explain(faults[0], tree)}{more}") from None


def check_files(config: Config) -> None:
    """Raises `InputError` for a checkpoint that the configuration names and nobody put there."""
    for name, backbone in config.backbones.items():
        try:
            backbone.local_files()
        except InputError as error:
            raise InputError(f"backbones.{name}.{error}; correct it") from None


def read(path: Path) -> Config:
    """The configuration in a YAML file. Raises `InputError` as `parse` does."""
    import yaml

    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a configuration, found no such file") from error
    except OSError as error:
        raise InputError(f"{path}: expected a configuration file, got {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: expected YAML, got {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected keys and values, got {type(tree).__name__}")
    return parse(tree, where=str(path))


def schema() -> str:
    """The JSON schema of `config.yaml`, for editors."""
    return json.dumps(Config.model_json_schema(), indent=1) + "\n"
