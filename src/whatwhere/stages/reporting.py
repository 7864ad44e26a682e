"""Tables and figures -> the report of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from whatwhere.report import write_report
from whatwhere.store import provenance


def write_run_report(output: Path, tables: Sequence[str], figures: Sequence[str], settings: dict[str, Any]) -> None:
    """One HTML file with what was run on what, every table, every figure, versions and settings."""
    captions = {name: _caption(figure) for name, figure in settings["figures"].items()}
    write_report(
        output,
        title=f"whatwhere: run {settings['run']}",
        summary=_summary(settings),
        tables=[Path(table) for table in tables],
        figures=[(Path(path), captions[Path(path).stem]) for path in figures],
        provenance=provenance() | {"seed": str(settings["seed"]), "threads": str(settings["threads"])},
        settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
    )


def _summary(settings: dict[str, Any]) -> list[tuple[str, str]]:
    backbones = (f"{name} ({b['model']}, weights: {b['weights']})" for name, b in settings["backbones"].items())
    return [
        ("Data sets", ", ".join(settings["datasets"])),
        ("Backbones", "; ".join(backbones)),
        ("Methods", ", ".join(settings["methods"])),
        ("Regions", f"K-means, K = {settings['regions']['clusters']}"),
    ]


def _caption(figure: dict[str, Any]) -> str:
    return (
        f"Figure 3 on {figure['dataset']}: {figure['backbone']}, {figure['method']}. Photo; eigenvectors three at "
        "a time as RGB, by decreasing eigenvalue; regions; ground truth if any."
    )
