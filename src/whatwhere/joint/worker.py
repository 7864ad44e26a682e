"""A mini-batch solve as a job that one process does alone, or several share: started by torchrun, a job file each.

    torchrun --nproc-per-node 4 -m whatwhere.joint.worker job.json

The job names the folder of its `State`, which must be there, and everything that makes the graphs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whatwhere.joint.graph import Sparsity
from whatwhere.joint.minibatch import Descent, descend
from whatwhere.joint.source import Cached, Live, Source, finest
from whatwhere.joint.state import State
from whatwhere.store import Store

Job = dict[str, Any]


def open_source(job: Job, device: str) -> Source:
    """Features from their stores, or with a `backbone` from the network as they are needed."""
    stores = [Store(path) for path in job["inputs"]]
    choice = {"pathway": job["pathway"], "patterns": job["layers"], "seed": job["seed"]}
    if job["backbone"] is None:
        return Cached(stores, **choice, device=device)
    from whatwhere.backbones import load_backbone

    backbone = load_backbone(job["name"], **job["backbone"], device=device)
    return Live(backbone, stores, **choice, batch_images=job["batch_images"])


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
    on_gpu = job["device"].startswith("cuda")
    device = f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else job["device"]
    distributed.init_process_group("nccl" if on_gpu else "gloo")
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


def _barrier(device: str) -> Callable[[], None]:
    import torch
    import torch.distributed as distributed

    only = [torch.device(device).index] if device.startswith("cuda") else None

    def wait() -> None:
        distributed.barrier(device_ids=only)

    return wait


if __name__ == "__main__":
    main()
