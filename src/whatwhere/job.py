"""What surrounds one job of the workflow: its thread count, its log, and its one-line errors."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from whatwhere.errors import InputError

_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@contextmanager
def job(log: str, threads: int) -> Iterator[None]:
    """Runs the block with exactly `threads` threads in every library, standard error going to `log`.

    The count comes from the config, not from the cores at hand: parallel sums are then the same on every
    machine, and two jobs do not fight over a core. Must be entered before numpy or torch is imported.
    An `InputError` is shown as one line, a fault with its traceback in the log; exit status 2 and 1.
    """
    os.environ.update(dict.fromkeys(_POOLS, str(threads)))
    console = sys.stderr
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file, redirect_stderr(file):
        try:
            yield
        except InputError as error:
            for stream in (file, console):
                stream.write(f"whatwhere: {error}\n")
            sys.exit(2)
        except Exception as error:
            traceback.print_exc(file=file)
            console.write(f"whatwhere: {type(error).__name__}: {error} (traceback in {log})\n")
            sys.exit(1)
