"""Jobs that need not import what they work with: a warm parent holds the libraries, every job is a fork of it.

Of a run's hundreds of jobs most work for a second or less, and importing torch takes four, with diffusers twelve. The
parent (`parent.py`) imports them once, and a launcher (`client.py`) that stands before a job's command asks it for a
child that runs this command: with the command's own arguments, folder, environment, streams and exit status. Where
no parent is there, or it must not serve (another environment), the launcher runs it itself.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from whatwhere.artifacts.job import POOLS

#: In the environment: where a parent that already is there listens, for several runs to share one.
SOCKET = "WHATWHERE_WARM"
#: What jobs import, in the order in which a run needs it. Nothing of this package: its code is a job's own.
LIBRARIES: tuple[str, ...] = (
    "snakemake.script",
    "numpy",
    "pydantic",
    "zarr",
    "pandas",
    "pyarrow.parquet",
    "PIL.Image",
    "einops",
)
LIBRARIES += ("jaxtyping", "tqdm", "scipy.sparse.linalg", "skimage.measure", "sklearn.cluster", "sklearn.metrics")
LIBRARIES += ("torch", "timm", "diffusers.models.unets.unet_2d_condition", "matplotlib.figure", "faiss")
LIBRARIES += ("diffusers.models.autoencoders.autoencoder_kl", "diffusers.schedulers.scheduling_ddpm")
LIBRARIES += ("transformers.models.clip.modeling_clip",)
_HERE = Path(__file__).parent


class Warm:
    """A warm parent, which lives until `stop`, and never longer than this process."""

    def __init__(self, libraries: Sequence[str] = LIBRARIES) -> None:
        self.libraries = libraries
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Where a parent listens: one that is there (`SOCKET`), or one that this starts.

        It can be asked at once: a command waits for the library that is just being imported, never for all of them.
        """
        if os.environ.get(SOCKET):
            return os.environ[SOCKET]
        path = f"{tempfile.mkdtemp(prefix='warm-')}/socket"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen(128)
            # it ends with its standard input, whose other end nobody but this process holds: also where this is killed
            self._process = subprocess.Popen(
                [sys.executable, str(_HERE / "parent.py"), path, str(listening.fileno()), *self.libraries],
                stdin=subprocess.PIPE,
                pass_fds=[listening.fileno()],
                env={**os.environ, **dict.fromkeys(POOLS, "1")},
            )
        return path

    def stop(self) -> None:
        """Ends the parent and whatever still runs as its child."""
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()
        self._process = None


def launcher(path: str) -> list[str]:
    """The words before a command that a child of the parent listening at `path` is to run."""
    return [sys.executable, "-I", "-S", str(_HERE / "client.py"), path]


def prefix(path: str) -> str:
    """The same for a shell, as Snakemake puts it before every command; Snakemake's own strictness with it."""
    return f"set -euo pipefail; {shlex.join(launcher(path))} "
