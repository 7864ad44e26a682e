"""Features of a whole data set -> X of every image, solved jointly, after Eq. 8."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from whatwhere.artifacts.alone import Alone, alone
from whatwhere.artifacts.codehash import code_hash
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store, create, write_json
from whatwhere.method.joint.minibatch import Descent, start
from whatwhere.method.joint.source import Cached, Source, finest
from whatwhere.method.joint.sparsity import PRESETS, Sparsity
from whatwhere.method.joint.state import State, discard
from whatwhere.method.joint.whole import solve_whole
from whatwhere.method.joint.worker import Job, open_source, work
from whatwhere.method.orthogonalise import rotation
from whatwhere.stages.rotated import Leading, gram, write


def write_joint(
    inputs: Sequence[str],
    output: Path,
    *,
    kind: str,
    method: dict[str, Any],
    name: str,
    backbone: dict[str, Any] | None = None,
    batch_images: int = 1,
    seed: int,
    device: str,
    settings: dict[str, Any],
) -> None:
    """`vectors` `[image, token, vector]` with the coordinate `value` `[vector]` and, of a descent, `history` `[step]`
    (its loss).

    `inputs` are the manifests of the features of all shards, or of the images where a `backbone` is given, which is
    then run for every mini-batch; or that of the solve whose columns a method `of` it takes. `method` are the settings
    of a `minibatch`, `minibatch_released` or `global`. A mini-batch solve that was killed goes on where it was; its
    state lies beside `output` until that is there.

    Raises `InputError` where another process solves the same, also one that outlived whoever started it.
    """
    if method.get("of"):
        _write_columns(Store(inputs[0]), output, method, settings)
        return
    graph = method["graph"]
    sparsity = PRESETS[graph] if isinstance(graph, str) else Sparsity(**graph)
    job: Job = {
        "inputs": [str(path) for path in inputs],
        "name": name,
        "backbone": backbone,
        "batch_images": batch_images,
        "pathway": method["pathway"],
        "layers": method["layers"],
        "operator": method["operator"],
        "sparsity": asdict(sparsity),
        "seed": seed,
        "device": device,
    }
    source = open_source(job, device)
    described = {"dataset": Store(inputs[0]).attributes["dataset"], "weights": source.weights}
    described |= {"grid": finest(source.layers), "graphs": graphs_in_words(source)}
    if kind == "global":
        _write_global(source, output, method, sparsity, described, seed, settings)
    else:
        _write_batches(source, job, output, kind, method, described, settings)


def _write_global(
    source: Source,
    output: Path,
    method: dict[str, Any],
    sparsity: Sparsity,
    described: dict[str, Any],
    seed: int,
    settings: dict[str, Any],
) -> None:
    choice = {key: method[key] for key in ("vectors", "operator", "search", "tolerance", "weights")}
    found = solve_whole(
        _cached(source),
        **choice,
        sparsity=sparsity,
        grid=described["grid"],
        seed=seed_for(seed, "solve", described["dataset"]),
    )
    # diffusion maps: a column weighs as its eigenvalue after `time` steps of the walk
    X = found.vectors
    X *= np.maximum(found.values, 0) ** method["time"]
    about, along = {**described, "status": found.status}, _along(source, found.values)
    with create(output, settings, about, along) as store:
        write(store, X, np.eye(X.shape[2]))


def _write_columns(solved: Store, output: Path, method: dict[str, Any], settings: dict[str, Any]) -> None:
    """The leading columns of another solve, where they are all alike (`time: 0`), at lengths of this one's own."""
    count = method["vectors"]
    values = solved.read("value")[:count]
    X = Leading(solved, np.maximum(values, 0) ** method["time"])
    about = {key: solved.attributes[key] for key in ("dataset", "weights", "grid", "graphs", "status")}
    with create(output, settings, about, {"image": solved.ids, "value": ("vector", values)}) as store:
        write(store, X, np.eye(count))


def _cached(source: Source) -> Cached:
    if not isinstance(source, Cached):
        raise InputError("global solver: expected cached features, got a network; set features: cache")
    return source


def _write_batches(
    source: Source,
    job: Job,
    output: Path,
    kind: str,
    method: dict[str, Any],
    described: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    released = kind == "minibatch_released"
    known = {field.name for field in fields(Descent)}
    descent = Descent(**{k: v for k, v in method.items() if k in known}, loss="released" if released else "paper")
    folder = output.with_suffix(".state")
    job = {**job, "descent": asdict(descent)}
    with alone(folder) as lock:
        state = _prepared(folder, source, job, descent, method["vectors"], described)
        _run({**job, "state": str(folder)}, source, method["processes"], lock)
        _write_rotated(state, source, output, descent, method["columns"], described, settings)
        discard(folder)


def _prepared(
    folder: Path, source: Source, job: Job, descent: Descent, vectors: int, described: dict[str, Any]
) -> State:
    """The state of this very solve: of these settings, features, weights and code."""
    rows, columns = described["grid"]
    first = start(source.ids, rows * columns, vectors, deviation=descent.start, seed=job["seed"])
    about = {
        **job,
        "images": len(source.ids),
        "contents": [str(Store(path).description["content"]) for path in job["inputs"]],
        "weights": source.weights,
        "code": code_hash("whatwhere.stages.joint"),
    }
    return State.prepare(folder, first, descent.arrays, (descent.batches, descent.steps), about)


def _write_rotated(
    state: State,
    source: Source,
    output: Path,
    descent: Descent,
    columns: int | None,
    described: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """X after Eq. 8.

    ASSUME: of columns of unit length over all images, as the loss sees them; it does not know their scale.
    """
    released = descent.loss == "released"
    X = state.arrays["average" if descent.average else "x"]
    lengths, products = gram(X, released)
    cosines = torch.from_numpy(products / lengths[:, None] / lengths)
    U = rotation(cosines)[:, :columns]
    values = (U * (cosines @ U)).sum(0).numpy()
    status = f"{descent.batches} mini-batches of {descent.steps} steps, loss {state.history[-1, -1]:.4f}"
    with create(output, settings, {**described, "status": status}, _along(source, values)) as store:
        write(store, X, U.numpy() / lengths[:, None], released)
        history = np.array(state.history).ravel()
        store.array("history", history.shape, "float32", ("step",))[:] = history


def _along(source: Source, values: np.ndarray) -> dict[str, Any]:
    """What lies along the axes of X: ids, and each vector's value."""
    return {"image": source.ids, "value": ("vector", values.astype(np.float32))}


def _run(job: Job, source: Source, processes: int, lock: Alone) -> None:
    """The descent in this process, or in several that torchrun starts."""
    if processes == 1:
        work(job, source, job["device"])
        return
    file = Path(job["state"]) / "job.json"
    write_json(file, job)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    status = _waited_for([*command, "-m", "whatwhere.method.joint.worker", str(file)], lock)
    if status:
        raise InputError(
            f"mini-batch solver: expected {processes} processes to end well, got exit status {status}; "
            "see the log, then run again: what is finished stays"
        )


def _waited_for(command: list[str], lock: Alone) -> int:
    """The exit status of a command that holds the lock as long as it runs, whatever becomes of this process."""
    started = subprocess.Popen(command, stderr=sys.stderr.fileno(), pass_fds=(lock.descriptor,))
    lock.held_by(started.pid)
    try:
        return started.wait()
    except BaseException:  # interrupted, say: torchrun is given the time to stop its workers
        started.terminate()
        started.wait()
        raise


def graphs_in_words(source: Source) -> str:
    """The layers in words, as `Walks.described`."""
    grids = Counter(f"{rows}×{columns}" for rows, columns in (layer.grid for layer in source.layers))
    return ", ".join(f"{count} of {grid}" for grid, count in grids.items())
