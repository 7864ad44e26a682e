"""What the paper says of its numbers, held against those of a run: in the order that they have, not in their size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from whatwhere.publish.tables import Number

REPRODUCED: Final = "reproduced here"
NOT_REPRODUCED: Final = "not reproduced here"
UNTESTED: Final = "not testable on this run"
CLEAR: Final = "clear"
UNCLEAR: Final = "within the intervals"
#: A gain that falls short of the margin by less is rounding.
_ROUNDING = 1e-9

#: Rows as a table's `.meta.json` has them.
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Verdict:
    """What a run says of a claim."""

    verdict: Literal["reproduced here", "not reproduced here", "not testable on this run"]
    words: str
    """The numbers that were compared, and what was missing, in a line."""
    intervals: Literal["clear", "within the intervals", ""]
    """Whether what decided it lies outside the 95 % intervals; nothing where numbers have none."""


@dataclass(frozen=True)
class _Outcome:
    """One comparison, made: ours against those of its rivals that have a number."""

    about: str
    dataset: str
    """Where the table has several."""
    holds: bool
    numbers: str
    clear: bool | None


def judge(claim: Mapping[str, Any], tables: Mapping[str, Rows]) -> Verdict:
    """Whether a claim (`config.claims.Claim` as values) holds on the numbers of a run.

    `tables` are `rows` of each table's `.meta.json`, by its name. A claim is reproduced if every comparison that can
    be made holds: ours is better than each of the others, or worse by no more than the margin. All numbers of a
    comparison are of one data set, unless it names more; where it names none, it is made on each of the table's that
    ours has the number on. What has no number is left out, and said; with nothing to compare the claim is not
    testable. A difference is clear where intervals do not overlap, which is stricter than a test of the difference;
    that of a gain (`over`) is as wide as its two numbers' together (ASSUME: the resamples of two rows are not paired,
    so nothing narrower is known).
    """
    if not claim["comparisons"]:
        return Verdict(UNTESTED, claim["reason"], "")
    if claim["table"] not in tables:
        return Verdict(UNTESTED, _sentence([f"{claim['table']} is not among this run's tables", claim["reason"]]), "")
    rows, outcomes, missing = tables[claim["table"]], [], []
    for comparison in (one for each in claim["comparisons"] for one in _by_dataset(each, rows, claim["quantity"])):
        outcome, gaps = _compared(comparison, rows, claim)
        outcomes += [outcome] if outcome else []
        missing += gaps
    without = f"without a number: {', '.join(dict.fromkeys(missing))}" if missing else ""
    if not outcomes:
        return Verdict(UNTESTED, _sentence([without, claim["reason"]]), "")
    # whoever asserts needs every comparison, whoever denies only one
    holds = all(outcome.holds for outcome in outcomes)
    decisive = [outcome.clear for outcome in outcomes if outcome.holds == holds]
    words = _sentence([_said(outcomes), without])
    return Verdict(REPRODUCED if holds else NOT_REPRODUCED, words, _certainty(decisive, every=holds))


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
    ours, rivals = found[0], [number for number in found[1:] if number is not None]
    if ours is None or not rivals:
        return None, missing
    sign, margin = (1 if claim["better"] == "higher" else -1), claim.get("margin", 0.0)
    strongest = max(rivals, key=lambda rival: sign * rival.value)
    gain = sign * (ours.value - strongest.value)
    holds = gain > 0 or (margin > 0 and gain >= -margin - _ROUNDING)
    numbers = _numbers(ours.value, strongest.value, sign, margin, among=len(rivals))
    clear = _is_clear(ours, rivals, sign, margin, holds)
    return _Outcome(comparison["about"], comparison["dataset"], holds, numbers, clear), missing


def _value(reference: Mapping[str, Any], rows: Rows, quantity: str) -> Number | None:
    """The number that a reference means; of a gain the difference, its interval from end to end."""
    row = _row(reference, rows, quantity)
    number = Number(*row["numbers"][quantity]) if row else None
    if number is None or not reference.get("over"):
        return number
    less = _value(reference["over"], rows, quantity)
    if less is None:
        return None
    ends = (_difference(number.low, less.high), _difference(number.high, less.low))
    return Number(number.value - less.value, *ends)


def _difference(end: float | None, other: float | None) -> float | None:
    return None if end is None or other is None else end - other


def _row(reference: Mapping[str, Any], rows: Rows, quantity: str) -> Mapping[str, Any] | None:
    return next((row for row in _fitting(reference, rows) if quantity in row["numbers"]), None)


def _fitting(reference: Mapping[str, Any], rows: Rows) -> list[Mapping[str, Any]]:
    """Rows that a reference may mean: one on each data set if it names none."""
    wanted = {key: reference.get(key) for key in ("backbone", "method", "naming")} | {"crf": bool(reference.get("crf"))}
    if reference.get("dataset"):
        wanted["dataset"] = reference["dataset"]
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def _gaps(reference: Mapping[str, Any], rows: Rows, quantity: str) -> list[str]:
    """Names of the rows that a reference means and that have no such number."""
    own = [] if _row(reference, rows, quantity) else [_name(reference)]
    return own + (_gaps(reference["over"], rows, quantity) if reference.get("over") else [])


def _name(reference: Mapping[str, Any]) -> str:
    crf = "with CRF" if reference.get("crf") else None
    parts = [reference["backbone"], reference["method"], reference.get("naming"), crf]
    on = f" on {reference['dataset']}" if reference.get("dataset") else ""
    return " ".join(part for part in parts if part) + on


def _is_clear(ours: Number, rivals: Sequence[Number], sign: int, margin: float, holds: bool) -> bool | None:
    """Whether intervals lie apart: from all rivals where ours is better, from one where it is not."""
    apart = []
    for rival in rivals:
        if ours.low is None or ours.high is None or rival.low is None or rival.high is None:
            return None
        worst, best = sorted((sign * (ours.low - rival.high), sign * (ours.high - rival.low)))
        apart.append(worst + margin > 0 if holds else best + margin < 0)
    return all(apart) if holds else any(apart)


def _certainty(clear: Sequence[bool | None], *, every: bool) -> Literal["clear", "within the intervals", ""]:
    known = [one for one in clear if one is not None]
    if not known:
        return ""
    # what has no interval may be within it
    enough = all(known) and len(known) == len(clear) if every else any(known)
    return CLEAR if enough else UNCLEAR


def _said(outcomes: Sequence[_Outcome]) -> str:
    """Where it holds and where it fails, with the numbers."""
    parts = []
    for holds, verb in ((True, "holds"), (False, "fails")):
        each = [_one(outcome) for outcome in outcomes if outcome.holds == holds]
        parts += [f"{verb} {', '.join(each)}"] if each else []
    return "; ".join(parts)


def _one(outcome: _Outcome) -> str:
    unclear = f", {UNCLEAR}" if outcome.clear is False else ""
    where = f"{outcome.dataset}: " if outcome.dataset else ""
    numbers = f"({where}{outcome.numbers}{unclear})"
    return f"on {outcome.about} {numbers}" if outcome.about else numbers


def _numbers(ours: float, rival: float, sign: int, margin: float, *, among: int) -> str:
    """`0.47 > 0.39`; against the strongest of several, `0.47 against at most 0.39`."""
    a, b = _digits(ours, rival)
    relation = ">" if ours > rival else "<" if ours < rival else "="
    if sign * (ours - rival) > 0 and among > 1:
        return f"{a} against {'at most' if sign > 0 else 'at least'} {b}"
    return f"{a} {relation} {b}" + (f", margin {margin:g}" if margin and sign * (ours - rival) <= 0 else "")


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
