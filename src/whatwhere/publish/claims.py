"""What the paper says of its numbers, held against those of a run: in the order that they have, not in their size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from whatwhere.evaluate.resampling import difference, interval, value_of
from whatwhere.publish.tables import Number

HOLDS: Final = "holds"
FAILS: Final = "does not hold"
OPEN: Final = "cannot be told"
UNTESTED: Final = "not testable on this run"
#: Of a comparison, for a sentence: `holds on DINO (…); fails on MAE (…)`.
_VERBS = {HOLDS: "holds", FAILS: "fails", OPEN: OPEN}
#: A gain that falls short of the margin by less is rounding.
_ROUNDING = 1e-9

Word = Literal["holds", "does not hold", "cannot be told", "not testable on this run"]
#: Rows as a table's `.meta.json` has them, with the `draws` of their numbers, by quantity, where there are any.
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """What a run says of a claim."""

    verdict: Word
    words: str
    """The numbers that were compared, their differences with intervals, and what was missing, in a line."""


@dataclass(frozen=True)
class _Outcome:
    """One comparison, made: ours against that of its rivals that decides it."""

    about: str
    dataset: str
    """Where the table has several."""
    verdict: Word
    numbers: str


@dataclass(frozen=True)
class _Gain:
    """How much better ours is than a rival: above 0 it is, below it is not; with the ends of its paired interval."""

    rival: str
    number: float
    """The rival's."""
    difference: Number
    """Ours less the rival's."""
    low: float
    value: float
    high: float

    def verdict(self, margin: float) -> Word:
        """Of ours being better, or worse by no more than the margin; without an interval the value decides."""
        if self.difference.low is None:
            holds = self.value > 0 or (margin > 0 and self.value >= -margin - _ROUNDING)
            return HOLDS if holds else FAILS
        if self.low > 0 or (margin > 0 and self.low >= -margin - _ROUNDING):
            return HOLDS
        return FAILS if self.high < -margin - (_ROUNDING if margin else 0) else OPEN


def judge(claim: Mapping[str, Any], tables: Mapping[str, Rows]) -> Verdict:
    """Whether a claim (`config.claims.Claim` as values) holds on the numbers of a run.

    `tables` are `rows` of each table's `.meta.json`, by its name, with their `draws`. Ours is held against each of the
    others by their difference on the same images: on each resample of them, and each draw of clusters where there are
    several. It is better where the 95 % interval of that difference lies on its side of zero (or, where said, of the
    margin), worse where it lies on the other, and else nobody can tell. A claim holds if every comparison that can be
    made does, it does not if one does not, and else cannot be told. Numbers without draws (seconds) are compared as
    they are. All numbers of a comparison are of one data set, unless it names more; where it names none, it is made on
    each of the table's that ours has the number on. What has no number is left out, and said; with nothing to compare
    the claim is not testable.
    """
    if not claim["comparisons"]:
        return Verdict(UNTESTED, claim["reason"])
    if claim["table"] not in tables:
        return Verdict(UNTESTED, _sentence([f"{claim['table']} is not among this run's tables", claim["reason"]]))
    rows, outcomes, missing = tables[claim["table"]], [], []
    for comparison in (one for each in claim["comparisons"] for one in _by_dataset(each, rows, claim["quantity"])):
        outcome, gaps = _compared(comparison, rows, claim)
        outcomes += [outcome] if outcome else []
        missing += gaps
    without = f"without a number: {', '.join(dict.fromkeys(missing))}" if missing else ""
    if not outcomes:
        return Verdict(UNTESTED, _sentence([without, claim["reason"]]))
    return Verdict(_together([outcome.verdict for outcome in outcomes]), _sentence([_said(outcomes), without]))


def _together(verdicts: Sequence[Word]) -> Word:
    """Whoever asserts needs every comparison, whoever denies only one."""
    return FAILS if FAILS in verdicts else OPEN if OPEN in verdicts else HOLDS


def _by_dataset(comparison: Mapping[str, Any], rows: Rows, quantity: str) -> list[dict[str, Any]]:
    """The comparison on each data set that ours was computed on and that has such numbers, with the set's name."""
    ours = comparison["ours"]
    several = len({row["dataset"] for row in rows}) > 1
    measured = {row["dataset"] for row in rows if quantity in row["numbers"]}
    own = dict.fromkeys(row["dataset"] for row in _fitting(ours, rows) if several and row["dataset"] in measured)
    return [
        {
            "about": comparison["about"],
            "dataset": dataset if several and dataset else "",
            "ours": _on(ours, dataset),
            "than": [_on(rival, dataset) for rival in comparison["than"]],
        }
        for dataset in own or [ours.get("dataset")]
    ]


def _on(reference: Mapping[str, Any], dataset: str | None) -> dict[str, Any]:
    """The reference, and what it is a gain over, on a data set if it does not name its own."""
    own = reference.get("dataset") or dataset
    over = reference.get("over")
    return {**reference, "dataset": own, "over": _on(over, own) if over else None}


def _compared(comparison: Mapping[str, Any], rows: Rows, claim: Mapping[str, Any]) -> tuple[_Outcome | None, list[str]]:
    """A comparison's outcome, none where it cannot be made, and what has no number."""
    sought = [comparison["ours"], *comparison["than"]]
    found = [_value(reference, rows, claim["quantity"]) for reference in sought]
    missing = [gap for reference in sought for gap in _gaps(reference, rows, claim["quantity"])]
    ours = found[0]
    rivals = [(r, n) for r, n in zip(comparison["than"], found[1:], strict=True) if n is not None]
    if ours is None or not rivals:
        return None, missing
    sign, margin = (1 if claim["better"] == "higher" else -1), claim.get("margin", 0.0)
    gains = [_gain(ours, number, reference, comparison["ours"], sign) for reference, number in rivals]
    verdict = _together([gain.verdict(margin) for gain in gains])
    # of those that say so the one that says it most (where it fails), or is the nearest to saying otherwise
    deciding = [gain for gain in gains if gain.verdict(margin) == verdict]
    nearest = min(deciding, key=lambda gain: gain.high if verdict == FAILS else gain.low)
    numbers = _numbers(ours.value, nearest, margin, among=len(gains))
    return _Outcome(comparison["about"], comparison["dataset"], verdict, numbers), missing


def _gain(ours: Number, rival: Number, reference: Mapping[str, Any], own: Mapping[str, Any], sign: int) -> _Gain:
    less = _less(ours, rival, same_clusters=_clusters(reference) == _clusters(own))
    low, high = (less.value if end is None else end for end in (less.low, less.high))
    low, high = sorted((sign * low, sign * high))
    return _Gain(_name(reference), rival.value, less, low, sign * less.value, high)


def _clusters(reference: Mapping[str, Any]) -> tuple[Any, ...]:
    """Rows with and without a CRF are of the same clusters; gains are of two rows' each."""
    return *(reference.get(key) for key in ("dataset", "backbone", "method")), bool(reference.get("over"))


def _less(one: Number, other: Number, *, same_clusters: bool) -> Number:
    """The difference of two numbers, on the same draws of images."""
    if one.draws is None or other.draws is None:
        return Number(one.value - other.value)
    draws = difference(one.draws, other.draws, same_clusters=same_clusters)
    low, high = interval(draws)
    known = np.isfinite(low)
    return Number(value_of(draws), low if known else None, high if known else None, draws)


def _value(reference: Mapping[str, Any], rows: Rows, quantity: str) -> Number | None:
    """The number that a reference means, with its draws; of a gain the difference."""
    row = _row(reference, rows, quantity)
    if row is None:
        return None
    value, low, high = row["numbers"][quantity]
    number = Number(value, low, high, row.get("draws", {}).get(quantity))
    over = reference.get("over")
    if not over:
        return number
    less, own = _value(over, rows, quantity), {**reference, "over": None}
    return None if less is None else _less(number, less, same_clusters=_clusters(over) == _clusters(own))


def _row(reference: Mapping[str, Any], rows: Rows, quantity: str) -> Mapping[str, Any] | None:
    return next((row for row in _fitting(reference, rows) if quantity in row["numbers"]), None)


def _fitting(reference: Mapping[str, Any], rows: Rows) -> list[Mapping[str, Any]]:
    """Rows that a reference may mean: one on each data set if it names none."""
    wanted = {key: reference.get(key) for key in ("backbone", "method", "naming")} | {"crf": bool(reference.get("crf"))}
    if reference.get("dataset"):
        wanted["dataset"] = reference["dataset"]
    chosen = bool(reference.get("chosen"))
    alike = (row for row in rows if all(row.get(key) == value for key, value in wanted.items()))
    return [row for row in alike if bool(row.get("chosen")) == chosen]


def _gaps(reference: Mapping[str, Any], rows: Rows, quantity: str) -> list[str]:
    """Names of the rows that a reference means and that have no such number."""
    own = [] if _row(reference, rows, quantity) else [_name(reference)]
    return own + (_gaps(reference["over"], rows, quantity) if reference.get("over") else [])


def _name(reference: Mapping[str, Any]) -> str:
    crf = "with CRF" if reference.get("crf") else None
    chosen = "(best)" if reference.get("chosen") else None
    parts = [reference["backbone"], reference["method"], chosen, reference.get("naming"), crf]
    on = f" on {reference['dataset']}" if reference.get("dataset") else ""
    return " ".join(part for part in parts if part) + on


def _said(outcomes: Sequence[_Outcome]) -> str:
    """Where it holds, where it fails and where nobody can tell, with the numbers."""
    parts = []
    for verdict, verb in _VERBS.items():
        each = [_one(outcome) for outcome in outcomes if outcome.verdict == verdict]
        parts += [f"{verb} {', '.join(each)}"] if each else []
    return "; ".join(parts)


def _one(outcome: _Outcome) -> str:
    where = f"{outcome.dataset}: " if outcome.dataset else ""
    numbers = f"({where}{outcome.numbers})"
    return f"on {outcome.about} {numbers}" if outcome.about else numbers


def _numbers(ours: float, gain: _Gain, margin: float, *, among: int) -> str:
    """`0.47 > 0.39: +0.08 [0.05, 0.11]`, the difference with its interval; of several rivals with the one's name."""
    a, b = _digits(ours, gain.number)
    relation = ">" if ours > gain.number else "<" if ours < gain.number else "="
    named = f" of {gain.rival}" if among > 1 else ""
    less = gain.difference
    words = f"{a} {relation} {b}{named}" + (f", margin {margin:g}" if margin and gain.value <= 0 else "")
    if less.low is None or less.high is None:
        return words
    digits = len(a.partition(".")[2])
    value, low, high = (f"{end:+.{digits}f}".replace("-", "−") for end in (less.value, less.low, less.high))
    return f"{words}: {value} [{low}, {high}]"


def _digits(*numbers: float) -> list[str]:
    """As many digits as tables have, or so many more that different numbers look different."""
    least = 3 if max(map(abs, numbers)) <= 1 else 1
    for digits in range(least, 10):
        shown = [f"{number:.{digits}f}".replace("-", "−") for number in numbers]
        if len(set(shown)) == len(set(numbers)):
            break
    return shown


def _sentence(parts: Sequence[str]) -> str:
    return "; ".join(part for part in parts if part)
