"""The part of the configuration that says what the tables of a run show: their rows are data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config.base import Name, Positive, Strict, without_nothing
from whatwhere.config.faults import must_exist

#: What is computed for a table or figure: data set, backbone, method.
Run = tuple[str, str, str]
#: The same with one of `namings`.
NamedRun = tuple[str, str, str, str]
#: Where the configuration asks for a run, and the run.
Use = tuple[str, Run]


class Row(Strict):
    """One row of a table. Without `backbone` it is the paper's alone: `reported`, or with the `reason` for a gap."""

    labels: tuple[str, ...] = ()
    """The row's name, in the table's `columns`; by default its backbone, method and naming."""
    paper: float | dict[str, float] | None = None
    """The paper's number, or several by their names."""
    of: str = ""
    """Whose number that is, where it stands beside another model of ours."""
    backbone: Name | None = None
    method: Name | None = None
    datasets: tuple[Name, ...] | None = None
    """Of the table's data sets only these."""
    among: tuple[Name, ...] = ()
    """Of `oracle`: the row is of the one of these methods that is best on `chosen_on`; `method` is one of them."""
    chosen_on: Name | None = None
    """A data set whose images the row is not scored on."""
    chosen_clusters: Positive | None = None
    """They are compared there with so many clusters; null: with each image's own."""
    crf: bool = False
    """Of `matching`: with a CRF."""
    naming: Name | None = None
    """Of `zeroshot`: one of `namings`."""
    reason: str = ""
    """Why there is no number of ours."""
    reported: str = ""
    """Whose number it is that the paper only quotes."""

    @model_validator(mode="after")
    def _chosen_elsewhere(self) -> Row:
        if bool(self.among) != bool(self.chosen_on) or (self.among and self.method not in self.among):
            words = "expected `among`, `chosen_on` and as `method` one of those, or neither of both"
            raise PydanticCustomError("row", "{words}", {"words": words})
        if self.chosen_clusters and not self.among:
            raise PydanticCustomError(
                "row", "expected `chosen_clusters` beside `among` only, got it alone; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _computed_or_explained(self) -> Row:
        if (self.backbone is None) != (self.method is None) or not (self.backbone or self.reason or self.reported):
            words = "expected `backbone` and `method`, or a `reason` for an empty cell, or whom it is `reported` by"
            raise PydanticCustomError("row", "{words}", {"words": words})
        return self


#: What heads the rows' names where a table does not say it.
_COLUMNS = {"backbone": "Backbone", "method": "Method", "naming": "Naming"}


def _rows_not_required(schema: dict[str, Any]) -> None:
    """For editors: backbones and methods may stand for rows."""
    schema["required"].remove("rows")


class _Table(Strict):
    """Rows, the data sets they are computed on, and where the paper's numbers come from.

    Either `rows`, or `backbones` and `methods` (of `zeroshot` also `namings`): a row for each with each.
    """

    model_config = ConfigDict(json_schema_extra=_rows_not_required)

    title: str = ""
    """By default the table's name."""
    source: str = ""
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    backbones: tuple[Name, ...] = ()
    methods: tuple[Name, ...] = ()
    namings: tuple[Name, ...] = ()
    columns: tuple[str, ...] = ()
    """What the rows' labels are; by default backbone and method, and of `zeroshot` the naming."""
    rows: tuple[Row, ...]
    compared: Annotated[dict[str, Name], BeforeValidator(without_nothing)] = Field(default_factory=dict)
    """Of the paper's data sets, as they are named in `paper`, against which of ours each is held."""

    @model_validator(mode="before")
    @classmethod
    def _rows_in_full(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if given.get("rows") and (given.get("backbones") or given.get("methods")):
            words = "expected `rows`, or `backbones` and `methods`, got both; leave one out (`rows: null` those below)"
            raise PydanticCustomError("row", "{words}", {"words": words})
        filled = {key: value for key, value in given.items() if key != "rows" or value is not None}
        if filled.get("backbones") and filled.get("methods"):
            filled["rows"] = _each_with_each(filled)
        named = list(_COLUMNS)[: 3 if given.get("kind") == "zeroshot" else 2]
        filled.setdefault("columns", [_COLUMNS[key] for key in named])
        if isinstance(filled.get("rows"), list | tuple):
            filled["rows"] = [_labelled(row, named) for row in filled["rows"]]
        return filled

    @model_validator(mode="after")
    def _named_in_full(self) -> _Table:
        kind = getattr(self, "kind", "")
        for paper, dataset in self.compared.items():
            must_exist(f"compared.{paper}", dataset, dict.fromkeys(self.datasets))
        for i, row in enumerate(self.rows):
            if row.among and (kind != "oracle" or row.chosen_on in self.datasets):
                words = f"rows[{i}].chosen_on: expected it in a table of kind oracle, and none of its data sets"
                raise PydanticCustomError("row", "{words}", {"words": f"{words}, got {row.chosen_on}"})
            if row.crf and kind != "matching":
                words = f"rows[{i}].crf: expected it in a table of kind matching only, got true; leave it out"
                raise PydanticCustomError("row", "{words}", {"words": words})
            if bool(row.naming) != (kind == "zeroshot" and row.backbone is not None):
                words = "expected one of namings in computed rows of a table of kind zeroshot and only there"
                words = f"{self.key(f'rows[{i}]', 'namings')}: {words}, got {row.naming or 'none'}"
                raise PydanticCustomError("row", "{words}", {"words": words})
            for dataset in row.datasets or ():
                must_exist(f"rows[{i}].datasets", dataset, dict.fromkeys(self.datasets))
            if len(row.labels) != len(self.columns):
                words = f"rows[{i}].labels: expected {len(self.columns)} ({', '.join(self.columns)}), got {row.labels}"
                raise PydanticCustomError("row", "{words}", {"words": words})
        return self

    def key(self, where: str, section: str) -> str:
        """The key by which what is computed at `where` asks for an entry of `section`."""
        return section if self.backbones or section == "datasets" else f"{where}.{section.removesuffix('s')}"

    def uses(self) -> list[Use]:
        """Every computed row on every data set."""
        rows = [(f"rows[{i}]", row) for i, row in enumerate(self.rows)]
        return [
            (where, (dataset, row.backbone, method))
            for dataset in dict.fromkeys([*self.datasets, *(row.chosen_on for row in self.rows if row.chosen_on)])
            for where, row in rows
            if row.backbone and row.method and dataset in (*(row.datasets or self.datasets), row.chosen_on)
            for method in row.among or (row.method,)
        ]


def _each_with_each(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each backbone with each method, and each naming where there are any; none where they are no lists."""
    lists = {key.removesuffix("s"): given[key] for key in ("backbones", "methods", "namings") if given.get(key)}
    if not all(isinstance(names, list | tuple) for names in lists.values()):
        return []
    return [dict(zip(lists, names, strict=True)) for names in product(*lists.values())]


def _labelled(row: Any, keys: Sequence[str]) -> Any:
    """A row with the names of what it is of for labels, where it has none."""
    if not isinstance(row, dict) or row.get("labels") or not (row.get("backbone") and row.get("method")):
        return row
    return {**row, "labels": [str(row.get(key) or "") for key in keys]}


class Oracle(_Table):
    """mIoU after oracle decoding (Tables 1, 2)."""

    kind: Literal["oracle"]
    clusters: Positive | None = None
    """Also the mIoU at this K, the same for every row."""
    graphs: bool = False
    """A column with the layers that entered."""


class Seconds(_Table):
    """Time per image (Table 6)."""

    kind: Literal["seconds"]

    @model_validator(mode="after")
    def _on_one(self) -> Seconds:
        if len(self.datasets) > 1:
            raise PydanticCustomError("row", "expected one data set for a table of seconds, got several; keep one")
        return self


class Matching(_Table):
    """Unsupervised semantic segmentation: the same clusters in every image, matched to classes (Tables 3, 4)."""

    kind: Literal["matching"]

    def refined(self) -> list[Run]:
        """Runs of rows with a CRF."""
        asked = {where for where, row in ((f"rows[{i}]", row) for i, row in enumerate(self.rows)) if row.crf}
        return list(dict.fromkeys(run for where, run in self.uses() if where in asked))


class Positions(_Table):
    """What X says of position: coordinate regression and spatial semantic segmentation (Table 5)."""

    kind: Literal["position"]


class ZeroShot(_Table):
    """Regions named by texts (Table 7)."""

    kind: Literal["zeroshot"]

    def named(self) -> list[NamedRun]:
        """Every computed row with its naming."""
        return [(*run, row.naming) for row, run in _computed(self) if row.naming]


class Objects(_Table):
    """Masks of objects, class-agnostic, by COCO's protocol (Table 8)."""

    kind: Literal["instances"]


def _computed(table: _Table) -> list[tuple[Row, Run]]:
    rows = {f"rows[{i}]": row for i, row in enumerate(table.rows)}
    return [(rows[where], run) for where, run in table.uses()]


Table = Annotated[Oracle | Seconds | Matching | Positions | ZeroShot | Objects, Field(discriminator="kind")]


@runtime_checkable
class Shown(Protocol):
    """A table or a figure."""

    def key(self, where: str, section: str) -> str:
        """The key by which what is shown at `where` asks for an entry of `section`."""
        ...

    def uses(self) -> list[Use]:
        """Where it asks for a run, and the run."""
        ...


def runs(shown: Shown) -> list[Run]:
    """What a table or figure needs, once each, in order."""
    return list(dict.fromkeys(run for _, run in shown.uses()))


def partitions(table: Table) -> dict[str, int]:
    """The numbers of clusters that a table asks for, by their keys in it."""
    asked = {"clusters": table.clusters} if table.kind == "oracle" else {}
    asked |= {f"rows[{i}].chosen_clusters": row.chosen_clusters for i, row in enumerate(table.rows)}
    return {key: clusters for key, clusters in asked.items() if clusters}
