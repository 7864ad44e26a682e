"""The part of the configuration that says what the figures of a run show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config.base import Name, Positive, Share, Strict, Titled
from whatwhere.config.tables import NamedRun, Use


class Column(Strict):
    """One column of a figure of pictures."""

    show: Literal["image", "eigenvectors", "regions", "truth", "halves", "named", "proposals", "objects"]
    """`halves`: the true labels split into left and right regions (Figure 7); `named`: regions with the names that
    texts gave them (Figure 11); `proposals`: masks of objects, and `objects` the true ones (Figure 14)."""
    heading: str
    group: str = ""
    """A heading over several columns."""
    backbone: Name | None = None
    method: Name | None = None
    first: Positive = 1
    """The first of three eigenvectors, as red, green and blue."""
    clusters: Positive | None = None
    """Regions of this K, not the one chosen."""
    naming: Name | None = None
    """Of `named`: one of `namings`; of `truth`: only the classes that it asks about, the others as background."""
    most: Positive | None = None
    """Of `proposals`: so many masks, those of the highest scores."""

    @model_validator(mode="after")
    def _of_something(self) -> Column:
        found = self.show in ("eigenvectors", "regions", "named", "proposals")
        if found != bool(self.backbone and self.method):
            words = (
                "expected `backbone` and `method` for eigenvectors, regions, named and proposals, and neither for "
                "anything else"
            )
            raise PydanticCustomError("row", "{words}", {"words": words})
        if self.show == "named" and not self.naming:
            raise PydanticCustomError("row", "expected `naming`, one of namings, for named, got none; add it")
        if self.naming and self.show not in ("named", "truth"):
            words = f"expected `naming` for named and truth only, got it for {self.show}; leave it out"
            raise PydanticCustomError("row", "{words}", {"words": words})
        return self


class Named(Strict):
    """Regions of a backbone and method, named by one of `namings`."""

    backbone: Name
    method: Name
    naming: Name


class Pictures(Strict):
    """Images of one data set, a row each, and what was found in them (Figures 3, 5 to 11, 13 and 14)."""

    kind: Literal["pictures"]
    title: str = ""
    """By default the figure's name."""
    dataset: Name
    images: Positive = 6
    photographs: Name | None = None
    """The backbone whose view photographs and truth are taken from; by default the first that a column names."""
    worst: Named | None = None
    """Not the first images, but those whose names agree least with the truth (Figure 13)."""
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _of_some_backbone(self) -> Pictures:
        if not self.uses() and not self.photographs:
            words = "expected a column with `backbone` and `method`, or a backbone as `photographs`, got none; add one"
            raise PydanticCustomError("row", "{words}", {"words": words})
        return self

    def key(self, where: str, section: str) -> str:
        """The key by which what is shown at `where` asks for an entry of `section`."""
        return "dataset" if section == "datasets" else f"{where}.{section.removesuffix('s')}"

    def uses(self) -> list[Use]:
        """Every column that shows what a backbone and method found."""
        columns = [(f"columns[{i}]", column.backbone, column.method) for i, column in enumerate(self.columns)]
        columns += [("worst", self.worst.backbone, self.worst.method)] if self.worst else []
        return [(where, (self.dataset, b, m)) for where, b, m in columns if b and m]

    def named(self) -> list[NamedRun]:
        """Every naming that is shown, and the one by which images are chosen."""
        shown = [c for c in self.columns if c.show == "named"] + ([self.worst] if self.worst else [])
        return [(self.dataset, c.backbone, c.method, c.naming) for c in shown if c.backbone and c.method and c.naming]


class Line(Strict):
    """Whose scores a line shows."""

    backbone: Name
    method: Name


class Curves(Strict):
    """mIoU against K, a panel a model and a line a method (Figure 4)."""

    kind: Literal["curves"]
    title: str = ""
    """By default the figure's name."""
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)]
    panels: Titled[Titled[Line]]
    """By their titles, the lines of each by their names; lines of one name look alike in all."""

    def key(self, where: str, section: str) -> str:
        """The key by which what is shown at `where` asks for an entry of `section`."""
        return section if section == "datasets" else f"{where}.{section.removesuffix('s')}"

    def uses(self) -> list[Use]:
        """Every line of every panel."""
        lines = [(f"panels.{title}.{name}", line) for title, of in self.panels.items() for name, line in of.items()]
        return [(where, (d, line.backbone, line.method)) for d in self.datasets for where, line in lines]


class Classes(Strict):
    """IoU of every class, a bar a naming (Figure 12)."""

    kind: Literal["classes"]
    title: str = ""
    """By default the figure's name."""
    dataset: Name
    namings: Annotated[dict[str, Named], Field(min_length=1)]
    """By the name of the bars."""

    def key(self, where: str, section: str) -> str:
        """The key by which what is shown at `where` asks for an entry of `section`."""
        return "dataset" if section == "datasets" else f"{where}.{section.removesuffix('s')}"

    def uses(self) -> list[Use]:
        """What gets names."""
        return [(f"namings.{name}", (self.dataset, n.backbone, n.method)) for name, n in self.namings.items()]

    def named(self) -> list[NamedRun]:
        """Every naming."""
        return [(self.dataset, n.backbone, n.method, n.naming) for n in self.namings.values()]


class Drawing(Strict):
    """The method itself, drawn from what it found (Figures 1 and 2)."""

    kind: Literal["method"]
    title: str = ""
    """By default the figure's name."""
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
    first: Positive = 1
    """The first of three vectors of the data set that are shown; 2 leaves out a leading one that is constant."""
    location: tuple[Share, Share] = (0.5, 0.5)
    """Of a diagram: whose connections are drawn, down and across the middle image."""

    @model_validator(mode="after")
    def _begins_with_one_image(self) -> Drawing:
        if (self.drawing == "overview") != bool(self.single):
            words = "expected `single`, a method for one image, for an overview and only there"
            raise PydanticCustomError("row", "{words}", {"words": words})
        return self

    def key(self, where: str, section: str) -> str:
        """The key by which what is shown at `where` asks for an entry of `section`."""
        return where if section == "methods" else section.removesuffix("s")

    def uses(self) -> list[Use]:
        """What is drawn."""
        methods = [(where, getattr(self, where)) for where in ("single", "what", "where")]
        return [(where, (self.dataset, self.backbone, method)) for where, method in methods if method]


Figure = Annotated[Pictures | Curves | Classes | Drawing, Field(discriminator="kind")]


class Pages(Strict):
    """Pages to point at, one for each image that figures show of a data set."""

    backbone: Name
    """Through whose eyes; where the run has no features of it, there are no pages."""
    images: Positive | None = None
    """So many pages at most; null makes one for each image."""


def photographs(figures: Iterable[Figure], dataset: str) -> tuple[int, tuple[str, ...]]:
    """What figures show of a data set: its first so many images, and those that they name. Which one `worst` chooses
    is known once there are scores, and is not counted.
    """
    first, ids = 0, dict[str, None]()
    for one in figures:
        if not isinstance(one, Pictures | Drawing) or one.dataset != dataset:
            continue
        if isinstance(one, Drawing) and one.ids:
            ids |= dict.fromkeys(one.ids)
        elif isinstance(one, Drawing) or not one.worst:
            first = max(first, one.images)
    return first, tuple(ids)
