"""The command that makes a run, for whoever reads what to do about one of its files: noted in the run's folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from whatwhere.artifacts.atomic import replacing

#: Where it is noted, in a run's folder.
NOTE = Path("logs") / "command"
#: Where nothing is noted.
PLAIN = "snakemake --cores all"
_LONGEST = 1000


def again(path: Path) -> str:
    """The command that makes the run in whose folder a file lies."""
    for folder in Path(path).absolute().parents:
        with suppress(OSError, UnicodeDecodeError):
            return (folder / NOTE).read_text("utf-8")[:_LONGEST].strip() or PLAIN
    return PLAIN


def note(run: Path, configfiles: Sequence[Path], settings: Mapping[str, Any]) -> None:
    """Notes the command of a run with these overlays and single settings; one that nobody may write is not noted."""
    words = [PLAIN]
    if configfiles:
        words += ["--configfile", *(shlex.quote(_shown(Path(file))) for file in configfiles)]
    if settings:
        words += ["--config", *(shlex.quote(f"{key}={value}") for key, value in settings.items())]
    with suppress(OSError), replacing(run / NOTE) as partial:
        partial.write_text(" ".join(words) + "\n", "utf-8")


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
