"""One joint solve alone in a fresh process, so that seconds and memory are its own.

    python -m whatwhere.app.bench.alone job.json

answers a line of JSON. Whoever starts it watches its anonymous memory from outside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.memory import memory_mb
from whatwhere.artifacts.store import write_json

#: What limits the threads of torch and of the libraries below NumPy and SciPy.
POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: Seconds between two looks at the memory of a process.
LOOK_S = 0.005
#: Kind of a job that opens the stores and solves nothing: what is there before a solve.
FLOOR = "floor"

Job = dict[str, Any]


def run_alone(job: Job, folder: Path, threads: int) -> dict[str, Any]:
    """What `job` (see `measure`) took in a process of its own with so many `threads`; `folder` for its files.

    Beside what `measure` answers `anonymous_mb`: the most anonymous memory that it had when looked at every `LOOK_S`
    seconds. That is what the system cannot drop. Pages of mapped files, where X and its moments lie, are not in it.
    Raises `InputError` where the process fails.
    """
    file, errors = folder / "job.json", folder / "errors.txt"
    write_json(file, job)
    environment = {**os.environ, **dict.fromkeys(POOLS, str(threads))}
    command = [sys.executable, "-m", "whatwhere.app.bench.alone", str(file)]
    with (
        errors.open("w") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=environment, text=True) as process,
    ):
        try:
            anonymous_mb = _watch(process)
            answer, _ = process.communicate()
        finally:  # also where somebody interrupts
            process.kill()
    if process.returncode:
        raise InputError(
            f"{job['kind']} solve of {job['images']} images: expected its process to end well, got "
            f"{_fault(process.returncode, errors)}"
        )
    return {**json.loads(answer), "anonymous_mb": anonymous_mb}


def _watch(process: subprocess.Popen[str]) -> float:
    """The highest anonymous memory until the process ends."""
    highest = 0.0
    while process.poll() is None:  # one that has just ended is there until it is polled
        highest = max(highest, memory_mb(process.pid, "RssAnon"))
        time.sleep(LOOK_S)
    return highest


def _fault(status: int, errors: Path) -> str:
    lines = errors.read_text(errors="replace").strip().splitlines()
    if status < 0:
        return f"signal {-status} (9 is what ends it where memory runs out); take fewer images"
    return lines[-1] if lines else f"exit status {status}"


def measure(job: Job) -> dict[str, Any]:
    """`seconds` of the solve with its Eq. 8 and its store, imports left out, `locations`, `status`, `threads`, and
    `peak_memory_gb`: the most that was resident in this process.

    `job` has the number of `images`, `busy` as of `clock.timed`, and what `stages.joint.write_joint` takes, but for
    `settings` (of landmarks those that `write_codebook` takes); of the kind `FLOOR` it only opens the stores.
    """
    import torch

    from whatwhere.artifacts.clock import timed
    from whatwhere.artifacts.progress import progress
    from whatwhere.artifacts.store import Store

    list(progress((), ""))  # its library is imported at the first use
    import_module("whatwhere.stages.joint_landmarks")
    given = {key: job[key] for key in ("inputs", "name", "seed", "device")}
    if job["kind"] == FLOOR:
        seconds, grid = timed(lambda: _opened(given, job["method"]), busy=job["busy"])
        status = "nothing solved"
    else:
        seconds, _ = timed(lambda: _solved(job), busy=job["busy"])
        solved = Store(vectors_of(job)[0]).attributes
        grid, status = solved["grid"], solved["status"]
    found = {"seconds": seconds, "locations": job["images"] * grid[0] * grid[1], "status": status}
    return {**found, "threads": torch.get_num_threads(), "peak_memory_gb": memory_mb("self", "VmHWM") / 1e3}


def vectors_of(job: Job) -> list[Path]:
    """Manifests of X that a job leaves: of landmarks one for each shard."""
    output = Path(job["output"])
    if job["kind"] != "landmarks":
        return [output]
    return [output.with_name(f"{output.stem}-{number}.json") for number in range(len(job["inputs"]))]


def _solved(job: Job) -> None:
    """By the stages of a run, one after the other."""
    from whatwhere.artifacts.store import Store
    from whatwhere.stages.joint import write_joint
    from whatwhere.stages.joint_landmarks import write_codebook, write_extended

    output, method = Path(job["output"]), job["method"]
    given = {key: job[key] for key in ("seed", "device")}
    if job["kind"] != "landmarks":
        write_joint(job["inputs"], output, kind=job["kind"], method=method, name=job["name"], **given, settings={})
        return
    write_codebook(job["inputs"], output, method=method, **given, settings={})
    for features, own in zip(job["inputs"], vectors_of(job), strict=True):
        write_extended(Store(features), Store(output), own, method=method, settings={})


def _opened(given: Job, method: dict[str, Any]) -> tuple[int, int]:
    """The grid of X, once all stores are open."""
    from whatwhere.method.joint.source import finest
    from whatwhere.method.joint.worker import open_source

    choice = {key: method[key] for key in ("pathway", "layers")}
    return finest(open_source({**given, **choice, "backbone": None}, given["device"]).layers)


def main() -> None:
    """A line of JSON, or a line that says what is wrong and exit status 2."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    try:
        found = measure(job)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
