"""The whole configuration as frozen models. An unknown or wrong key stops everything before any job.

Interior functions never see these models: the workflow takes values out of them and passes values on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config.base import Entries, Name, Positive, Strict
from whatwhere.config.data import DatasetSettings, ViewSettings
from whatwhere.config.faults import explain, must_exist
from whatwhere.config.methods import BackboneSettings, FeatureSettings, MethodSettings, RegionSettings, Solver
from whatwhere.config.tables import Curves, Figure, Run, Table, Use, runs
from whatwhere.config.zoo import Zoo
from whatwhere.errors import InputError


class Config(Strict):
    """Everything a run depends on."""

    run: Name = "embedded"
    """Folder under `results`."""
    seed: Annotated[int, Field(ge=0)] = 0
    threads: Positive = 1
    """Of every job, whatever the cores: sums then always run in the same order."""
    unreadable: Literal["stop", "skip"] = "stop"
    """What a truncated or foreign image file does: stop the run, or be skipped and listed."""
    device: str = "cpu"
    """Where networks and solvers run: cpu, cuda, cuda:1 …"""
    shard_images: Positive = 512
    """Images per job and store."""
    views: Entries[ViewSettings]
    datasets: Entries[DatasetSettings]
    backbones: Entries[BackboneSettings]
    features: FeatureSettings = FeatureSettings()
    methods: Entries[MethodSettings]
    regions: RegionSettings = RegionSettings()
    bootstrap: Positive = 1000
    """Resamples of the images behind every 95 % interval."""
    tables: Entries[Table] = Field(default_factory=dict)
    figures: Entries[Figure] = Field(default_factory=dict)
    zoo: Zoo = Zoo()

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        for name, settings in self.backbones.items():
            must_exist(f"backbones.{name}.view", settings.view, self.views)
        for where, (dataset, backbone, method) in self._uses():
            must_exist(f"{where}.dataset", dataset, self.datasets)
            must_exist(f"{where}.backbone", backbone, self.backbones)
            must_exist(f"{where}.method", method, self.methods)
            self._check_values(where, method)
        for name, table in self.tables.items():
            self._check_table(f"tables.{name}", table)
        for name, figure in self.figures.items():
            if figure.kind == "pictures" and figure.photographs:
                must_exist(f"figures.{name}.photographs", figure.photographs, self.backbones)
        return self

    def _check_table(self, where: str, table: Table) -> None:
        known = {*self.regions.candidates, self.regions.clusters}
        if table.kind == "oracle" and table.clusters and table.clusters not in known:
            words = f"{where}.clusters: expected one of regions.candidates, got {table.clusters}"
            raise PydanticCustomError("values", "{words}", {"words": words})
        for where_row, (_, _, method) in table.uses():
            if table.kind == "seconds" and not isinstance(self.methods[method], Solver):
                words = f"{where}.{where_row}.method: expected one with a solver, got {method}, which has none to time"
                raise PydanticCustomError("values", "{words}", {"words": words})

    def _uses(self) -> list[Use]:
        shown = [(f"tables.{name}", table.uses()) for name, table in self.tables.items()]
        shown += [(f"figures.{name}", figure.uses()) for name, figure in self.figures.items()]
        return [(f"{where}.{inner}", run) for where, uses in shown for inner, run in uses]

    def _check_values(self, where: str, method: str) -> None:
        if getattr(self.methods[method], "pathway", "qk") == "vv" and not self.features.values:
            raise PydanticCustomError(
                "values",
                "{where}: method {method} reads the vv pathway; expected features.values: true, got false",
                {"where": where, "method": method},
            )

    def scored(self) -> list[Run]:
        """Every (data set, backbone, method) behind a score, once each, in order."""
        shown: list[Table | Curves] = [table for table in self.tables.values() if table.kind == "oracle"]
        shown += [figure for figure in self.figures.values() if figure.kind == "curves"]
        return list(dict.fromkeys(run for one in shown for run in runs(one)))

    def shown(self) -> list[Run]:
        """Every (data set, backbone, method) whose regions a table or figure needs, once each, in order."""
        pictures = [figure for figure in self.figures.values() if figure.kind == "pictures"]
        return list(dict.fromkeys([*self.scored(), *(run for one in pictures for run in runs(one))]))


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
