"""The part of the configuration that says what the tables and figures of a run show: their rows are data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config.base import Entries, Name, Positive, Share, Strict
from whatwhere.config.faults import must_exist

#: What is computed for a table or figure: data set, backbone, method.
Run = tuple[str, str, str]
#: Where the configuration asks for a run, and the run.
Use = tuple[str, Run]


class Row(Strict):
    """One row of a table. Without `backbone` it is the paper's alone: `reported`, or with the `reason` for a gap."""

    labels: tuple[str, ...]
    """The row's name, in the table's `columns`."""
    paper: float | dict[str, float] | None = None
    """The paper's number, or several by their names."""
    backbone: Name | None = None
    method: Name | None = None
    datasets: tuple[Name, ...] | None = None
    """Of the table's data sets only these."""
    crf: bool = False
    """Of `matching`: with a CRF."""
    reason: str = ""
    """Why there is no number of ours."""
    reported: str = ""
    """Whose number it is that the paper only quotes."""

    @model_validator(mode="after")
    def _computed_or_explained(self) -> Row:
        if (self.backbone is None) != (self.method is None) or not (self.backbone or self.reason or self.reported):
            words = "expected `backbone` and `method`, or a `reason` for an empty cell, or whom it is `reported` by"
            raise PydanticCustomError("row", "{words}", {"words": words})
        return self


class _Table(Strict):
    """Rows, the data sets they are computed on, and where the paper's numbers come from."""

    title: str
    source: str
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @model_validator(mode="after")
    def _named_in_full(self) -> _Table:
        for i, row in enumerate(self.rows):
            if row.crf and getattr(self, "kind", "") != "matching":
                words = f"rows[{i}].crf: expected it in a table of kind matching only, got true; leave it out"
                raise PydanticCustomError("row", "{words}", {"words": words})
            for dataset in row.datasets or ():
                must_exist(f"rows[{i}].datasets", dataset, dict.fromkeys(self.datasets))
            if len(row.labels) != len(self.columns):
                words = f"rows[{i}].labels: expected {len(self.columns)} ({', '.join(self.columns)}), got {row.labels}"
                raise PydanticCustomError("row", "{words}", {"words": words})
        return self

    def uses(self) -> list[Use]:
        """Every computed row on every data set."""
        rows = [(f"rows[{i}]", row) for i, row in enumerate(self.rows)]
        return [
            (where, (dataset, row.backbone, row.method))
            for dataset in self.datasets
            for where, row in rows
            if row.backbone and row.method and dataset in (row.datasets or self.datasets)
        ]


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


Table = Annotated[Oracle | Seconds | Matching | Positions, Field(discriminator="kind")]


class Column(Strict):
    """One column of a figure of pictures."""

    show: Literal["image", "eigenvectors", "regions", "truth", "halves"]
    """`halves`: the true labels split into left and right regions (Figure 7)."""
    heading: str
    group: str = ""
    """A heading over several columns."""
    backbone: Name | None = None
    method: Name | None = None
    first: Positive = 1
    """The first of three eigenvectors, as red, green and blue."""
    clusters: Positive | None = None
    """Regions of this K, not the one chosen."""

    @model_validator(mode="after")
    def _of_something(self) -> Column:
        if (self.show in ("eigenvectors", "regions")) != bool(self.backbone and self.method):
            words = "expected `backbone` and `method` for eigenvectors and regions, and neither for anything else"
            raise PydanticCustomError("row", "{words}", {"words": words})
        return self


class Pictures(Strict):
    """Images of one data set, a row each, and what was found in them (Figures 3 and 5 to 10)."""

    kind: Literal["pictures"]
    title: str
    dataset: Name
    images: Positive = 6
    photographs: Name | None = None
    """The backbone whose view photographs and truth are taken from; by default the first that a column names."""
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _of_some_backbone(self) -> Pictures:
        if not self.uses() and not self.photographs:
            words = "expected a column with `backbone` and `method`, or a backbone as `photographs`, got none; add one"
            raise PydanticCustomError("row", "{words}", {"words": words})
        return self

    def uses(self) -> list[Use]:
        """Every column that shows what a backbone and method found."""
        columns = [(f"columns[{i}]", column.backbone, column.method) for i, column in enumerate(self.columns)]
        return [(where, (self.dataset, b, m)) for where, b, m in columns if b and m]


class Curves(Strict):
    """mIoU against K, a panel a backbone and a line a method (Figure 4)."""

    kind: Literal["curves"]
    title: str
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    backbones: Entries[str]
    """The panels and their titles."""
    methods: Entries[str]
    """The lines and their names."""

    def uses(self) -> list[Use]:
        """Every line of every panel."""
        pairs = [(b, m) for b in self.backbones for m in self.methods]
        return [("curves", (d, b, m)) for d in self.datasets for b, m in pairs]


class Drawing(Strict):
    """The method itself, drawn from what it found (Figures 1 and 2)."""

    kind: Literal["method"]
    title: str
    drawing: Literal["overview", "diagram"]
    """`overview`: one image, and a data set, in one look (Figure 1); `diagram`: from images to X (Figure 2)."""
    dataset: Name
    backbone: Name
    what: Name
    """A solver for a data set on the V-V graph."""
    where: Name
    """And one on the Q-K graph."""
    single: Name | None = None
    """A method for one image, which an overview begins with."""
    images: Annotated[int, Field(ge=2)] = 6
    ids: tuple[str, ...] | None = None
    """These images, not the first."""
    location: tuple[Share, Share] = (0.5, 0.5)
    """Of a diagram: whose connections are drawn, down and across the middle image."""

    @model_validator(mode="after")
    def _begins_with_one_image(self) -> Drawing:
        if (self.drawing == "overview") != bool(self.single):
            words = "expected `single`, a method for one image, for an overview and only there"
            raise PydanticCustomError("row", "{words}", {"words": words})
        return self

    def uses(self) -> list[Use]:
        """What is drawn."""
        methods = [(where, getattr(self, where)) for where in ("single", "what", "where")]
        return [(where, (self.dataset, self.backbone, method)) for where, method in methods if method]


def runs(shown: _Table | Pictures | Curves | Drawing) -> list[Run]:
    """What a table or figure needs, once each, in order."""
    return list(dict.fromkeys(run for _, run in shown.uses()))


Figure = Annotated[Pictures | Curves | Drawing, Field(discriminator="kind")]
