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
    captions = {name: figure["title"] for name, figure in settings["figures"].items()}
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
    models = (f"{b['model']}{' (untrained)' * (b['weights'] == 'random')}" for b in settings["backbones"].values())
    return [
        ("Data sets", ", ".join(settings["datasets"])),
        ("Backbones", ", ".join(dict.fromkeys(models))),
        ("Methods", ", ".join(dict.fromkeys(method["kind"] for method in settings["methods"].values()))),
        ("Regions", f"K-means, K = {settings['regions']['clusters']}"),
    ]
