"""What `bench_dataset` measured: as Markdown for people, as JSON, and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import write_json

SOLVERS = {"minibatch": "mini-batches", "global": "global", "landmarks": "landmarks"}
PATHWAYS = {"vv": "V-V", "qk": "Q-K"}
#: What each pathway is asked for in a sentence (sections 4.2.2 and 4.2.3).
ASKED = {"vv": "what", "qk": "where"}
#: What a run is known by.
_WHICH = ("solver", "pathway", "images", "epochs")
#: Least memory above the floor that is drawn: below, it has no logarithm worth showing.
LEAST_MB = 1.0

MEMORY = (
    "Memory is anonymous memory (RssAnon): what the system cannot drop, looked at from outside every 5 ms at its "
    "highest. Resident memory (VmHWM) also counts pages of mapped files, in which X and its moments lie, and which "
    "the system may drop. The floor is a process that only imports and opens the stores."
)
PAPER = (
    "Arithmetic, not measured: the search's products (2 operations for each channel of each pair of locations) in "
    "mini-batches of 160 - an epoch, and the paper's 2,100 batches - and over the whole set, exactly, for every noise "
    "sample; their seconds at the rate that this machine had on random vectors of each layer's shape, selection of the "
    "strongest included, and nothing else of a solve. X: with Adam's moments, float32. Basis: of Lanczos, "
    "float32, in memory. Features: Q, K and V of all noise samples, float16. Stable Diffusion: 7 layers at 512 px "
    "(section 4.2). The first line is of the largest set above, in its batches, to be compared with what was measured."
)


def check_output(out: Path) -> None:
    """Raises `InputError` where `out` is no folder and cannot be made one."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for folder in missing:  # only tried: the results bring the folder with them
            folder.rmdir()
    except OSError as error:
        raise InputError(f"--out {out}: expected a folder that can be made, got {error.strerror}") from error


def write_page(measured: dict[str, Any], out: Path) -> None:
    """`bench.json`, `.md`, `.csv` and `.png` in the folder `out`. Raises `InputError` where that cannot be."""
    try:
        write_json(out / "bench.json", measured)
        with replacing(out / "bench.md") as partial:
            partial.write_text(page(measured) + "\n", "utf-8")
        with replacing(out / "bench.csv") as partial:
            _write_csv(measured, partial)
        _draw(measured, out / "bench.png")
    except OSError as error:
        raise InputError(f"--out {out}: expected to write the results there, got {error.strerror}") from error


def page(measured: dict[str, Any]) -> str:
    """Tables in Markdown: what was measured, how it grows, what solutions are worth, and arithmetic for larger sets."""
    parts = [
        f"{measured['backbone']}: {measured['layers']}; {measured['vectors']} vectors; mini-batches of "
        f"{measured['batch_images']} images, epochs: {measured['epochs']}, steps a batch: {measured['steps']}; "
        f"{measured['machine']}. {measured['images'][-1]} {measured['pictures']} were read and their features "
        f"extracted in {measured['extract_s']:.3g} s; with X they take {measured['folder_gb']:.2g} GB.",
        _measured(measured),
        MEMORY,
        _growth(measured["growth"]),
        f"Seconds grow as imagesᵖ: p by least squares, and from the last two sizes. Memory above the floor per 1,000 "
        f"images: a straight line through {len(measured['images'])} sizes.",
        _worth(measured["scores"]),
        "K-means on rows of unit length, as many clusters as labels, Hungarian matching, mIoU in per cent [95 % "
        "interval over images]; what: the classes, where: their left and right regions; beside global: how much more "
        f"than the global solver's of the same images, drawn with them. The paper's 2,100 batches "
        f"are {2100 * 160 / 2175:.0f} epochs of COCO-Stuff's validation images.",
        *_sentences(measured["scores"]),
        _paper(measured["on_paper"]),
        PAPER,
    ]
    return "\n\n".join(parts)


def _write_csv(measured: dict[str, Any], path: Path) -> None:
    """Of every run what it took and what its solution is worth, in words."""
    floors = {run["images"]: run["anonymous_mb"] for run in measured["floors"]}
    scores = {tuple(one[key] for key in _WHICH): one for one in measured["scores"]}
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        heads = ["solver", "pathway", "images", "seconds", "memory above the floor, MB"]
        table.writerow([*heads, "mIoU, what", "what, beside global", "mIoU, where", "where, beside global"])
        for run in sorted(measured["runs"], key=lambda run: (run["images"], run["pathway"] == "qk")):
            took = [run["images"], f"{run['seconds']:.3g}", f"{run['anonymous_mb'] - floors[run['images']]:.0f}"]
            table.writerow([*_who(run), *took, *_scored(scores[tuple(run[key] for key in _WHICH)])])


def _scored(one: dict[str, Any]) -> list[str]:
    return [said for name in ("what", "where") for said in (_score(one, name), _score(one, f"{name}_more", "+.1f"))]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _measured(measured: dict[str, Any]) -> str:
    floors = {run["images"]: run for run in measured["floors"]}
    rows = []
    for run in sorted(measured["runs"], key=lambda run: (list(SOLVERS).index(run["solver"]), run["pathway"] == "qk")):
        above = run["anonymous_mb"] - floors[run["images"]]["anonymous_mb"]
        memory = [f"{run['anonymous_mb']:.0f}", f"{above:.0f}", f"{1000 * run['peak_memory_gb']:.0f}"]
        sizes = [str(run["images"]), f"{run['locations']:,}", f"{run['seconds']:.3g}"]
        rows.append([*_who(run), *sizes, *memory, run["status"]])
    for images, run in floors.items():
        memory = [f"{run['anonymous_mb']:.0f}", "0", f"{1000 * run['peak_memory_gb']:.0f}"]
        rows.append(["none (floor)", "", str(images), f"{run['locations']:,}", "", *memory, run["status"]])
    sizes = ["images", "locations", "seconds"]
    return _table(["solver", "pathway", *sizes, "memory, MB", "above the floor", "resident", "status"], rows)


def _who(run: dict[str, Any]) -> list[str]:
    return [SOLVERS[run["solver"]], PATHWAYS[run["pathway"]]]


def _growth(found: Iterable[dict[str, Any]]) -> str:
    rows = [
        [*_who(one), f"{one['power']:.2f}", f"{one['last_power']:.2f}", f"{one['mb_per_1000_images']:.0f}"]
        for one in found
    ]
    return _table(["solver", "pathway", "p", "p, last two", "MB per 1,000 images"], rows)


def _worth(scores: Iterable[dict[str, Any]]) -> str:
    def order(one: dict[str, Any]) -> tuple[Any, ...]:
        """By pathway, size, solver and epochs."""
        return one["pathway"] == "qk", one["images"], list(SOLVERS).index(one["solver"]), one["epochs"]

    rows = []
    for one in sorted(scores, key=order):
        who = [PATHWAYS[one["pathway"]], str(one["images"]), SOLVERS[one["solver"]], str(one["epochs"] or "")]
        rows.append([*who, f"{one['seconds']:.3g}", *_scored(one)])
    heads = ["mIoU, what", "beside global", "mIoU, where", "beside global"]
    return _table(["pathway", "images", "solver", "epochs", "seconds", *heads], rows)


def _score(one: dict[str, Any], name: str, form: str = ".1f") -> str:
    """A score in per cent with its interval; nothing of one that there is not."""
    if name not in one:
        return ""
    value, low, high = (format(100 * one[key], form) for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value} [{low}–{high}]" if form == ".1f" else f"{value} [{low}, {high}]"


def _sentences(scores: Sequence[dict[str, Any]]) -> list[str]:
    """Of each pathway, in what it is asked for, on the set that mini-batches see most often: the global solver beside
    the best of the mini-batch solver's.
    """
    most = max(scores, key=lambda one: one["epochs"])["images"]
    found = []
    for pathway, asked in ASKED.items():
        here = [one for one in scores if one["pathway"] == pathway and one["images"] == most]
        if not here:
            continue
        ours = next(one for one in here if one["solver"] == "global")
        best = max((one for one in here if one["solver"] == "minibatch"), key=lambda one: one[asked])
        found.append(
            f"{PATHWAYS[pathway]}, {asked}, {most} images: global {100 * ours[asked]:.1f} in {ours['seconds']:.3g} s, "
            f"best of mini-batches {100 * best[asked]:.1f} in {best['seconds']:.3g} s (epochs: {best['epochs']}): "
            f"{ours['seconds'] / best['seconds']:.2g} of the time."
        )
    return found


def _paper(cases: Iterable[dict[str, Any]]) -> str:
    rows = []
    for one in cases:
        work = [_scaled(one[f"{part}_tflop"], ("TFLOP", "PFLOP", "EFLOP")) for part in ("epoch", "batches", "whole")]
        times = [_time(one[f"{part}_s"]) for part in ("epoch", "batches", "whole")]
        if one["measured"]:  # as many batches as the paper's would say nothing of it
            work[1] = times[1] = ""
        held = [_scaled(one[f"{part}_gb"] * 1000, ("MB", "GB", "TB")) for part in ("state", "basis", "features")]
        of = [one["set"], one["network"], f"{one['images']:,}", f"{one['locations']:,}", str(one["samples"])]
        both = [" / ".join(filter(None, pair)) for pair in zip(work, times, strict=True)]
        rows.append([*of, *both, *held])
    heads = ["set", "network", "images", "locations", "noise samples"]
    searches = ["products / time: an epoch", "2,100 batches", "whole set"]
    return _table([*heads, *searches, "X", "basis", "features"], rows)


def _scaled(value: float, units: Sequence[str]) -> str:
    """Two digits in the largest of `units`, each a thousand of the one before, of which there is one at least."""
    place = min(max(int(np.log10(value) // 3), 0), len(units) - 1)
    return f"{_two_digits(value / 1000**place)} {units[place]}"


def _time(seconds: float) -> str:
    """Two digits in the largest unit of which there is one at least."""
    units = {"years": 365 * 86400, "days": 86400, "h": 3600, "min": 60}
    name, size = next(((name, size) for name, size in units.items() if seconds >= size), ("s", 1))
    return f"{_two_digits(seconds / size)} {name}"


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.10g}"


def _draw(measured: dict[str, Any], output: Path) -> None:
    from whatwhere.publish.figures.growth import Growth, draw_growth

    floors = {run["images"]: run["anonymous_mb"] for run in measured["floors"]}
    seconds, memory = {}, {}
    for line in measured["growth"]:
        runs = [run for run in measured["runs"] if all(run[key] == line[key] for key in ("solver", "pathway"))]
        images = np.array([run["images"] for run in runs], float)
        above = np.array([run["anonymous_mb"] - floors[run["images"]] for run in runs])
        name = ", ".join(_who(line))
        seconds[name] = Growth(images, np.array([run["seconds"] for run in runs]))
        memory[name] = Growth(images, np.maximum(above, LEAST_MB))
    powers = "; ".join(f"{', '.join(_who(line))} p = {line['power']:.2f}" for line in measured["growth"])
    draw_growth(
        {"seconds": seconds, "anonymous memory above the floor, MB": memory},
        output,
        title="Solvers for a whole data set: time and memory",
        x_label="images (n)",
        caption=f"{measured['backbone']}, {measured['vectors']} vectors, mini-batches of {measured['batch_images']}, "
        f"epochs: {measured['epochs']}; {measured['machine']}. Seconds ∝ nᵖ: {powers}.",
    )
