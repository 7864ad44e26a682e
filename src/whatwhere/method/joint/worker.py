"""A mini-batch solve as a job that one process does alone, or several share: started by torchrun, a job file each.

    torchrun --nproc-per-node 4 -m whatwhere.method.joint.worker job.json

The job names the folder of its `State`, which must be there, and everything that makes the graphs.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from whatwhere.artifacts.store import Store
from whatwhere.method.joint.minibatch import Descent, descend
from whatwhere.method.joint.source import Cached, Live, Source, finest
from whatwhere.method.joint.sparsity import Sparsity
from whatwhere.method.joint.state import State

Job = dict[str, Any]
#: How long processes wait for one another: a network may need hours for one batch.
PATIENCE = timedelta(hours=24)
#: Seconds between two looks whether torchrun is still there.
WATCH_S = 1.0


def open_source(job: Job, device: str) -> Source:
    """Features from their stores, or with a `backbone` from the network as they are needed."""
    stores = [Store(path) for path in job["inputs"]]
    choice = {"pathway": job["pathway"], "patterns": job["layers"], "seed": job["seed"]}
    if job["backbone"] is None:
        return Cached(stores, **choice, device=device)
    from whatwhere.backbones import load_backbone

    backbone = load_backbone(job["name"], **_of_one_sample(job["name"], job["backbone"]), device=device)
    return Live(backbone, stores, **choice, batch_images=job["batch_images"])


def _of_one_sample(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a backbone, of several noise samples one: its step comes from the whole range anew every epoch."""
    from whatwhere.backbones import PRESETS

    preset = PRESETS.get(settings.get("model") or name)
    options = settings.get("options")
    if options is None:
        options = preset.options if preset else {}
    return {**settings, "options": {**options, "samples": 1}} if "samples" in options else settings


def work(
    job: Job, source: Source, device: str, rank: int = 0, ranks: int = 1, wait: Callable[[], None] = lambda: None
) -> None:
    """This process's share of the batches that are still to do."""
    state = State(Path(job["state"]))
    descend(
        source,
        state,
        Descent(**job["descent"]),
        sparsity=Sparsity(**job["sparsity"]),
        operator=job["operator"],
        grid=finest(source.layers),
        seed=job["seed"],
        device=device,
        rank=rank,
        ranks=ranks,
        wait=wait,
    )


def main() -> None:
    """One of the processes that torchrun started; they wait for one another at the end of every epoch."""
    import torch.distributed as distributed

    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    device = _join(job["device"])
    try:
        work(
            job,
            open_source(job, device),
            device,
            distributed.get_rank(),
            distributed.get_world_size(),
            _barrier(device),
        )
    finally:
        distributed.destroy_process_group()


def _join(device: str) -> str:
    """The device of this process, one of several from now on."""
    import torch
    import torch.distributed as distributed

    if not device.startswith("cuda"):
        distributed.init_process_group("gloo", timeout=PATIENCE)
        return device
    own = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(own)
    distributed.init_process_group("nccl", timeout=PATIENCE)
    return f"cuda:{own}"


def _end_with(parent: int) -> None:
    """Ends this process when torchrun is gone, killed, say: with it went the lock on the state."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)  # at any point: nothing that is finished is lost


def _barrier(device: str) -> Callable[[], None]:
    import torch
    import torch.distributed as distributed

    only = [torch.device(device).index] if device.startswith("cuda") else None

    def wait() -> None:
        """Blocks until every process has come so far."""
        distributed.barrier(device_ids=only)

    return wait


if __name__ == "__main__":
    main()
