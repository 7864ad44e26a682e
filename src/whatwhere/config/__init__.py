"""The whole configuration as frozen models. An unknown or wrong key stops everything before any job.

Interior functions never see these models: the workflow takes values out of them and passes values on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.spread import BLOCK_LOCATIONS
from whatwhere.config.base import Entries, Name, Positive, RunName, Scheduler, Strict, titled
from whatwhere.config.claims import Claim, check_claims
from whatwhere.config.data import DatasetSettings, ViewSettings
from whatwhere.config.decoding import Naming, ProposalSettings
from whatwhere.config.faults import explain, must_exist, origin
from whatwhere.config.figures import Drawing, Figure, Pages, photographs
from whatwhere.config.fitting import FITTING, SHOWING, SINGLE
from whatwhere.config.joint import Batches, Joint, SegmentSettings, check_sources
from whatwhere.config.methods import BackboneSettings, FeatureSettings, MethodSettings, RegionSettings, Tokens
from whatwhere.config.tables import NamedRun, Run, Shown, Table, partitions, runs
from whatwhere.config.zoo import Zoo
from whatwhere.datasets import class_names

_SHOWN = ("tables", "figures")


class Config(Strict):
    """Everything a run depends on."""

    run: RunName = "embedded"
    """Folder under `results`."""
    seed: Annotated[int, Field(ge=0)] = 0
    threads: Positive = 1
    """Of every job, whatever the cores: sums then always run in the same order."""
    unreadable: Literal["stop", "skip"] = "stop"
    """What a truncated or foreign image file or a damaged annotation does: stop the run, or be skipped and listed."""
    device: str = "cpu"
    """Where networks and solvers run: cpu, cuda, cuda:1 …"""
    dask: Scheduler | None = None
    """A Dask cluster's, `tcp://host:8786`, for what reduces over a whole data set; null: the job's own threads."""
    shard_images: Positive = 512
    """Images per job and store."""
    block_locations: Positive = BLOCK_LOCATIONS
    """Of all locations of a data set so many are in memory at a time: a larger set takes longer, not more."""
    views: Entries[ViewSettings]
    datasets: Entries[DatasetSettings]
    backbones: Entries[BackboneSettings]
    features: FeatureSettings = FeatureSettings()
    methods: Entries[MethodSettings]
    regions: RegionSettings = RegionSettings()
    segments: SegmentSettings = SegmentSettings()
    namings: Entries[Naming] = Field(default_factory=dict)
    """How regions get names from texts."""
    proposals: ProposalSettings = ProposalSettings()
    bootstrap: Annotated[int, Field(gt=0, le=1_000_000)] = 1000
    """Resamples of the images behind every 95 % interval."""
    only: tuple[Name, ...] | None = None
    """Of the tables and figures only these, by name; null makes all."""
    tables: Entries[Table] = Field(default_factory=dict)
    figures: Entries[Figure] = Field(default_factory=dict)
    explored: Entries[Pages] = Field(default_factory=dict)
    """By a data set, through whose eyes its images in figures get pages to point at, to which the report links."""
    claims: tuple[Claim, ...] = ()
    """What the paper says of its numbers, for the report to hold against ours."""
    zoo: Zoo = Zoo()

    @model_validator(mode="before")
    @classmethod
    def _only_these(cls, given: Any) -> Any:
        shown = {section: given.get(section) or {} for section in _SHOWN} if isinstance(given, dict) else {}
        if not shown or not all(isinstance(entries, dict) for entries in shown.values()):
            return given
        named = {
            section: {name: titled(name, entry) for name, entry in entries.items()}
            for section, entries in shown.items()
        }
        only = given.get("only")
        if not isinstance(only, list | tuple) or not all(isinstance(name, str) for name in only):
            return {**given, **named}
        known = {name: section for section, entries in shown.items() for name in entries}
        for name in only:
            must_exist("only", name, known)
        kept = {s: {name: entry for name, entry in entries.items() if name in only} for s, entries in named.items()}
        return {**given, **kept}

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        for name, settings in self.backbones.items():
            must_exist(f"backbones.{name}.view", settings.view, self.views, "views")
        if self.segments.view:
            must_exist("segments.view", self.segments.view, self.views, "views")
        self._check_uses()
        for name, table in self.tables.items():
            self._check_table(f"tables.{name}", table)
        for name, figure in self.figures.items():
            if figure.kind == "pictures" and figure.photographs:
                must_exist(f"figures.{name}.photographs", figure.photographs, self.backbones, "backbones")
            if figure.kind == "method":
                self._check_drawing(f"figures.{name}", figure)
            self._check_figure(f"figures.{name}", figure)
        for where, naming in self._namings():
            must_exist(where, naming, self.namings, "namings")
        for name, pages in self.explored.items():
            must_exist("explored", name, self.datasets, "datasets", [f"explored.{name}"])
            must_exist(f"explored.{name}.backbone", pages.backbone, self.backbones, "backbones")
        self._check_words()
        sections = ("backbones", "methods", "namings", "datasets")
        check_claims(self.claims, self.tables, {section: getattr(self, section) for section in sections})
        check_sources(self.methods)
        return self

    def _check_uses(self) -> None:
        """That what tables and figures ask for is there, by the keys that ask for it."""
        sections: dict[str, Mapping[str, Any]] = {
            "datasets": self.datasets,
            "backbones": self.backbones,
            "methods": self.methods,
        }
        asked = [(where, shown, use) for where, shown in self._all_shown() for use in shown.uses()]
        for part, (section, known) in enumerate(sections.items()):
            for where, shown, (inner, run) in asked:
                if run[part] not in known:
                    users = dict.fromkeys(other for other, _, (_, needed) in asked if needed[part] == run[part])
                    must_exist(f"{where}.{shown.key(inner, section)}", run[part], known, section, list(users))

    def _namings(self) -> list[tuple[str, str]]:
        """Where the configuration names one of `namings`, and which."""
        found = []
        for name, table in self.tables.items():
            found += [
                (f"tables.{name}.{table.key(f'rows[{i}]', 'namings')}", row.naming) for i, row in enumerate(table.rows)
            ]
        for name, figure in self.figures.items():
            if figure.kind == "pictures":
                found += [(f"figures.{name}.columns[{i}].naming", c.naming) for i, c in enumerate(figure.columns)]
                found += [(f"figures.{name}.worst.naming", figure.worst.naming)] if figure.worst else []
            if figure.kind == "classes":
                found += [(f"figures.{name}.namings.{bar}.naming", n.naming) for bar, n in figure.namings.items()]
        return [(where, naming) for where, naming in found if naming]

    def _check_words(self) -> None:
        """That every data set has the classes that its naming asks about, which else only shows when texts are made."""
        for dataset, _, _, naming in self.named():
            known = dict.fromkeys(class_names(**self.datasets[dataset].model_dump()))
            for key in ("classes", "phrases"):
                for name in getattr(self.namings[naming], key) or ():
                    must_exist(f"namings.{naming}.{key}, on {dataset}", name, known)

    def _check_table(self, where: str, table: Table) -> None:
        for key, clusters in partitions(table).items():
            if clusters not in {*self.regions.candidates, self.regions.clusters}:
                words = f"{where}.{key}: expected one of regions.candidates, got {clusters}"
                raise PydanticCustomError("values", "{words}", {"words": words})
        for where_row, (_, _, method) in table.uses():
            self._check_fit(f"{where}.{table.key(where_row, 'methods')}", method, FITTING[table.kind])

    def _check_figure(self, where: str, figure: Figure) -> None:
        shows = {"worst": "named"}
        if figure.kind == "pictures":
            shows |= {f"columns[{i}]": column.show for i, column in enumerate(figure.columns)}
        other = "curves" if figure.kind == "curves" else "named"
        for place, (_, _, method) in figure.uses() if figure.kind != "method" else ():
            self._check_fit(f"{where}.{figure.key(place, 'methods')}", method, SHOWING[shows.get(place, other)])

    def _check_fit(self, where: str, method: str, fitting: tuple[tuple[type, ...], str]) -> None:
        fit, wanted = fitting
        if not isinstance(self.methods[method], fit):
            got = f"{method}, which is {self.methods[method].kind}"
            words = f"{where}: expected {wanted}, got {got}"
            raise PydanticCustomError("values", "{words}", {"words": words})

    def _all_shown(self) -> list[tuple[str, Shown]]:
        shown: list[tuple[str, Shown]] = [(f"tables.{name}", table) for name, table in self.tables.items()]
        return [*shown, *((f"figures.{name}", figure) for name, figure in self.figures.items())]

    def _check_drawing(self, where: str, figure: Drawing) -> None:
        for role, pathway in (("what", "vv"), ("where", "qk")):
            method = self.methods[getattr(figure, role)]
            unread = figure.drawing == "diagram" and self.is_live(getattr(figure, role))  # it draws features
            if not isinstance(method, Joint) or method.pathway != pathway or unread:
                words = (
                    f"{where}.{role}: expected a solver for a data set on {pathway} (a diagram: with cached features)"
                )
                raise PydanticCustomError("values", "{words}", {"words": f"{words}, got {getattr(figure, role)}"})
        if figure.single and not isinstance(self.methods[figure.single], SINGLE):
            words = f"{where}.single: expected a method for one image, got {figure.single}"
            raise PydanticCustomError("values", "{words}", {"words": words})

    def is_joint(self, method: str) -> bool:
        """Whether a method is a solver for a whole data set."""
        return isinstance(self.methods[method], Joint)

    def is_live(self, method: str) -> bool:
        """Whether a method runs the network itself, so that its features need no store."""
        settings = self.methods[method]
        return isinstance(settings, Batches) and settings.features == "live"

    def keeps_values(self, dataset: str, backbone: str) -> bool:
        """Whether a method or a page reads V of this backbone on this data set: then its features hold it."""
        asked = [(one, m) for _, one in self._all_shown() for d, b, m in runs(one) if (d, b) == (dataset, backbone)]
        pages = dataset in self.explored and self.explored[dataset].backbone == backbone
        if asked and pages and any(photographs(self.figures.values(), dataset)):
            return True
        return any(getattr(self.methods[m], "pathway", "qk") != "qk" and not self.is_live(m) for _, m in asked)

    def keeps_joint(self, dataset: str, backbone: str) -> bool:
        """Whether texts name what is found in this backbone: then its features hold the space that both share."""
        return any((dataset, backbone) == (d, b) for d, b, *_ in self.named())

    def scored(self) -> list[Run]:
        """Every (data set, backbone, method) behind an oracle's score, once each, in order."""
        shown: list[Shown] = [table for table in self.tables.values() if table.kind == "oracle"]
        shown += [figure for figure in self.figures.values() if figure.kind == "curves"]
        return list(dict.fromkeys(run for one in shown for run in runs(one)))

    def named(self) -> list[NamedRun]:
        """Every (data set, backbone, method, naming) that a table or figure needs, once each, in order."""
        tables = [run for table in self.tables.values() if table.kind == "zeroshot" for run in table.named()]
        shown = [figure for figure in self.figures.values() if figure.kind in ("pictures", "classes")]
        return list(dict.fromkeys([*tables, *(run for figure in shown for run in figure.named())]))

    def detected(self) -> list[Run]:
        """Every (data set, backbone, method) whose masks of objects a table or figure needs, once each, in order."""
        tables = [run for table in self.tables.values() if table.kind == "instances" for run in runs(table)]
        pictures = [figure for figure in self.figures.values() if figure.kind == "pictures"]
        columns = [(figure.dataset, c) for figure in pictures for c in figure.columns if c.show == "proposals"]
        return list(
            dict.fromkeys([*tables, *((d, c.backbone, c.method) for d, c in columns if c.backbone and c.method)])
        )

    def shown(self) -> list[Run]:
        """Every (data set, backbone, method) whose regions a table or figure needs, once each, in order."""
        own = [run for run in self._pictured() if not self.is_joint(run[2])]
        asked = [*self.scored(), *own, *((d, b, m) for d, b, m, _ in self.named()), *self.detected()]
        return [run for run in dict.fromkeys(asked) if not self.is_of_tokens(run[2])]

    def is_of_tokens(self, method: str) -> bool:
        """Whether a method takes every token for a region of its own, which needs no job."""
        return isinstance(self.methods[method], Tokens)

    def joint(self) -> list[Run]:
        """Every (data set, backbone, method) that is asked about the data set as a whole, once each, in order."""
        tables = [table for table in self.tables.values() if table.kind in ("matching", "position")]
        shown = [run for run in self._pictured() if self.is_joint(run[2])]
        asked = [*(run for table in tables for run in runs(table)), *shown]
        return list(dict.fromkeys(run for one in asked for run in (*self.source(one), one)))

    def source(self, run: Run) -> list[Run]:
        """The run whose columns this one takes, if it takes another's."""
        of = getattr(self.methods[run[2]], "of", None)
        return [(*run[:2], of)] if of else []

    def _pictured(self) -> list[Run]:
        return [
            run for figure in self.figures.values() if figure.kind in ("pictures", "method") for run in runs(figure)
        ]


def parse(tree: dict[str, Any], *, layers: Mapping[str, Any] | None = None) -> Config:
    """The validated configuration. `layers`: the trees that it was merged from, by their files, the lowest first.

    Raises `InputError`: one line with the file in which the key stands, the key's path, what was expected, what was
    found, and for a misspelt name the nearest right one; of keys that are missing all.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        words = explain(error.errors(), tree, _faults)
        raise InputError(f"{origin(words, layers or {})}: {words}") from None


def _faults(tree: dict[str, Any]) -> list[Any]:
    try:
        Config.model_validate(tree)
        return []
    except ValidationError as error:
        return list(error.errors())


def check_files(config: Config, *, layers: Mapping[str, Any] | None = None) -> None:
    """Raises `InputError` for a checkpoint that the configuration names and nobody put there."""
    for name, backbone in config.backbones.items():
        try:
            backbone.local_files()
        except InputError as error:
            words = f"backbones.{name}.{error}; correct it"
            raise InputError(f"{origin(words, layers or {})}: {words}") from None
