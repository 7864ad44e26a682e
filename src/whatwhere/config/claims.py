"""The part of the configuration that says what the paper claims: an order between numbers, for the report to judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from whatwhere.config.base import Name, Strict
from whatwhere.config.faults import must_exist

#: What each kind of table gives numbers of, as in `rows` of its `.meta.json`.
QUANTITIES: dict[str, tuple[str, ...]] = {
    "oracle": ("mIoU", "mean K"),  # and the mIoU at the table's own K
    "seconds": ("seconds", "seconds, forward", "seconds, fold", "seconds, solve", "seconds, cluster"),
    "matching": ("greedy", "Hungarian", "accuracy"),
    "position": ("MSE", "MSE, unit rows", "spatial", "spatial, greedy", "spatial, accuracy"),
    "zeroshot": ("mIoU", "mIoU of names", "accuracy"),
    "instances": ("#Masks", "AP50 box", "AP box", "AR100 box", "AP50 mask", "AP mask", "AR100 mask"),
}


class Reference(Strict):
    """One number of a table: of the row with this backbone, method, decoding and data set."""

    backbone: Name
    method: Name
    naming: Name | None = None
    """Of a table of kind `zeroshot`: how regions got their names."""
    crf: bool = False
    """Of a table of kind `matching`: with a CRF."""
    chosen: bool = False
    """Of a table of kind `oracle`: of the row that has the method `among` others, the best of which it is of."""
    dataset: Name | None = None
    """One of the table's data sets. Null: of `ours` each that has the number, of the others the same as of `ours`."""
    over: Reference | None = None
    """Then the value is this number minus that one: a gain."""


class Comparison(Strict):
    """One number of ours that should be better than each of some others."""

    about: str = ""
    """What is compared, in a word: a backbone, say."""
    ours: Reference
    than: Annotated[tuple[Reference, ...], Field(min_length=1)]


class Claim(Strict):
    """What the paper says of its numbers. It holds on a run if every comparison does that the run can make."""

    says: str
    """The claim, in plain words."""
    source: str
    """Where in the paper."""
    table: Name
    """Whose numbers are compared."""
    quantity: str
    """Which of them: one of the `quantities` of the table's kind, as in `rows` of its `.meta.json`."""
    better: Literal["higher", "lower"]
    margin: Annotated[float, Field(ge=0)] = 0.0
    """Ours may be worse by so much: for what the paper calls comparable."""
    comparisons: tuple[Comparison, ...] = ()
    reason: str = ""
    """What a run must have to test it: said where there are no comparisons, or none that the run could make."""

    @model_validator(mode="after")
    def _testable_or_explained(self) -> Claim:
        if not self.comparisons and not self.reason:
            words = "expected `comparisons`, or the `reason` why there are none, got neither; add one"
            raise PydanticCustomError("row", "{words}", {"words": words})
        return self


def quantities(kind: str, clusters: int | None = None) -> tuple[str, ...]:
    """What a table of this kind gives numbers of; `clusters` is the K of a table that has one for every row."""
    return QUANTITIES[kind] + ((f"mIoU, K = {clusters}",) if clusters else ())


def references(claim: Claim) -> Iterator[tuple[str, Reference]]:
    """Where a claim asks for a number, and which; also what a gain is over."""
    for j, comparison in enumerate(claim.comparisons):
        named = [("ours", comparison.ours), *((f"than[{k}]", rival) for k, rival in enumerate(comparison.than))]
        for where, reference in named:
            asked, place = reference, f"comparisons[{j}].{where}"
            yield place, asked
            while asked.over:
                asked, place = asked.over, f"{place}.over"
                yield place, asked


def check_claims(claims: Sequence[Claim], tables: Mapping[str, Any], sections: Mapping[str, Mapping[str, Any]]) -> None:
    """That claims compare what there is in `sections`: backbones, methods, namings and datasets; a row that an overlay
    took away is for the report to say.
    """
    for i, claim in enumerate(claims):
        table = tables.get(claim.table)
        if table:
            given = quantities(table.kind, table.clusters if table.kind == "oracle" else None)
            must_exist(f"claims[{i}].quantity", claim.quantity, dict.fromkeys(given))
        for where, asked in references(claim) if table else ():
            for section, known in sections.items():
                key = section.removesuffix("s")
                if name := getattr(asked, key):
                    must_exist(f"claims[{i}].{where}.{key}", name, known)
