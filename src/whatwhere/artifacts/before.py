"""What must hold before a run begins, and would else be found after hours, or said by a traceback of Snakemake.

`python -m whatwhere.artifacts.before OVERLAY …` asks before Snakemake itself is started, as `make run` does: it imports
little.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.reading import read_yaml

#: Where Snakemake keeps what it knows of jobs, in the working directory.
_STATE = Path(".snakemake")


def hindrance(run: str, device: str) -> str:
    """What hinders a run of this name on this device here, in a line; empty where nothing does."""
    return _unwritable(Path("results") / run) or _without_device(device)


def hindrance_of_start(overlays: list[Path]) -> str:
    """What hinders Snakemake itself: a folder or a home that is not to be written to, overlays that are none."""
    try:
        for overlay in overlays:
            read_yaml(overlay)
    except InputError as error:
        return str(error)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache")
    if not _is_writable(cache):
        return f"{cache}: expected a folder to write to, for Snakemake's cache, got none; set XDG_CACHE_HOME to one"
    return _unwritable(_STATE) or _unwritable(Path("results"))


def without_blank(interpreter: str) -> str:
    """The interpreter by a path without blanks: where it has some, through a link to its environment."""
    if not re.search(r"\s", interpreter):
        return interpreter
    place = hashlib.blake2b(interpreter.encode(), digest_size=6).hexdigest()
    link = Path(tempfile.gettempdir()) / f"whatwhere-{os.getuid()}-{place}"
    environment = Path(interpreter).parent.parent
    with suppress(FileExistsError):
        link.symlink_to(environment)
    ours = link.is_symlink() and link.lstat().st_uid == os.getuid() and os.readlink(link) == str(environment)
    return str(link / Path(interpreter).relative_to(environment)) if ours else interpreter


def _unwritable(folder: Path) -> str:
    if _is_writable(folder):
        return ""
    return (
        f"{folder.absolute()}: expected a folder to write to, got one that is read-only or another's; change its "
        "permissions, or run in a copy of the project"
    )


def _is_writable(folder: Path) -> bool:
    """Whether a folder can be written to, or made where it is not there; nothing is."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK) and not str(nearest).startswith("/proc")


def _without_device(device: str) -> str:
    """Of a graphics card that is asked for, whether this machine has it; a cluster's head need not."""
    if not device.startswith("cuda") or "--profile" in sys.argv or "--executor" in sys.argv or "-e" in sys.argv:
        return ""
    import torch

    count, number = torch.cuda.device_count(), device.partition(":")[2] or "0"
    if number.isdigit() and int(number) < count:
        return ""
    got = f"{count} of them" if count else "none on this machine"
    return f"device: expected a graphics card for {device}, got {got}; set device: cpu, or run where there is one"


if __name__ == "__main__":
    if words := hindrance_of_start([Path(one) for one in sys.argv[1:]]):
        sys.stderr.write(f"whatwhere: {words}\n")
        sys.exit(2)
