"""A configuration to a plan of its run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from whatwhere.app.plan.calibrate import calibrated
from whatwhere.app.plan.disk import Stored, free_bytes, jobs_bytes, stored
from whatwhere.app.plan.gpus import forward_s, gpu_called
from whatwhere.app.plan.jobs import Jobs, counted
from whatwhere.app.plan.known import Known, Number, total
from whatwhere.app.plan.needs import Download, Missing, downloads, has_cuda, missing
from whatwhere.app.plan.rates import Cost, cost, logged
from whatwhere.config import Config
from whatwhere.config.pictures import Pictures

#: The paper's GPU, to reckon with where a configuration asks for one and none is here.
PAPERS_GPU = "A40"


@dataclass(frozen=True)
class Row:
    """Jobs of a stage in a place, what they take, and what they write where that is much; None: nobody knows."""

    jobs: Jobs
    cost: Cost | None
    bytes: Number | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        told = {key: getattr(self.jobs, key) for key in ("stage", "place", "jobs", "images", "passes", "flop")}
        cost = asdict(self.cost) if self.cost else dict.fromkeys(("low_s", "high_s", "source"))
        return {**told, **cost, "bytes": self.bytes}


@dataclass(frozen=True)
class Plan:
    """What a run will do. `gpu`: one that is not here, to reckon with; `free_bytes` on the disk of `results`; `unknown`
    says why something is.
    """

    run: str
    device: str
    results: str
    cores: int
    gpu: str | None
    data: dict[str, Pictures]
    rows: tuple[Row, ...]
    stored: tuple[Stored, ...]
    downloads: tuple[Download, ...]
    missing: tuple[Missing, ...]
    unknown: tuple[str, ...]
    free_bytes: Number

    @property
    def totals(self) -> dict[str, Number]:
        """Sums over what is known: seconds of all jobs here, and of the networks alone on `gpu`."""
        jobs, costs = [row.jobs for row in self.rows], [row.cost for row in self.rows if row.cost]
        on_gpu = (forward_s(self.gpu, one.flop, half=one.half) for one in jobs if self.gpu and one.flop)
        return {
            "images": total(one.images for one in self.data.values()),
            "jobs": sum(one.jobs for one in jobs),
            "passes": total(one.passes for one in jobs),
            "flop": total(one.flop for one in jobs),
            "low_s": total(one.low_s for one in costs),
            "high_s": total(one.high_s for one in costs),
            "gpu_forward_s": total(on_gpu),
            "kept_bytes": total(one.kept_bytes for one in self.stored),
            "peak_bytes": total(one.peak_bytes for one in self.stored),
            "download_bytes": total(one.bytes for one in self.downloads),
        }

    def as_dict(self) -> dict[str, Any]:
        """The plan as `json.dump` takes it."""
        plain = {
            key: getattr(self, key) for key in ("run", "device", "results", "cores", "gpu", "unknown", "free_bytes")
        }
        lists = {key: [asdict(one) for one in getattr(self, key)] for key in ("stored", "downloads", "missing")}
        told = ("kind", "images", "size", "state")
        data = {name: {key: getattr(one, key) for key in told} for name, one in self.data.items()}
        jobs = [row.as_dict() for row in self.rows]
        return {**plain, "totals": self.totals, "data": data, "jobs": jobs, **lists, "ready": not self.missing}


def make_plan(
    config: Config,
    *,
    gpu: str | None = None,
    measure_s: float = 0,
    results: Path = Path("results"),
    say: Callable[[str], None] = lambda text: None,
) -> Plan:
    """What a run of `config` will do; nothing of it is started, and nothing is downloaded.

    Seconds are those of the logs under `results`; what they do not tell is measured here, for at most `measure_s`
    seconds, which `say` is told before. Networks are reckoned on the `gpu` of this name as well (see `gpus.GPUS`).
    Raises `InputError` for a GPU of another name.
    """
    is_here = not config.device.startswith("cuda") or has_cuda()
    called = gpu_called(gpu) if gpu else None if is_here else PAPERS_GPU
    known, cores = Known(config), _cores()
    jobs = counted(known)
    curves = logged(jobs, config, results)
    unseen = {one.key for one in jobs} - curves.keys()
    if measure_s and unseen:
        say(f"measuring on a handful of images what no log tells, for at most {measure_s:.0f} s")
        device = config.device if is_here else "cpu"
        curves = {**calibrated(known, jobs, curves, device=device, seconds=measure_s, cores=cores), **curves}
    disk, free = stored(known, jobs), free_bytes(results)
    fetched = downloads(known)
    short = total(one.peak_bytes for one in disk) + total(one.room for one in fetched) - free
    return Plan(
        run=config.run,
        device=config.device,
        results=str(results / config.run),
        cores=cores,
        gpu=called,
        data=known.pictures,
        rows=tuple(Row(one, cost(one, curves), jobs_bytes(known, one)) for one in jobs),
        stored=tuple(disk),
        downloads=tuple(fetched),
        missing=tuple(missing(known, short)),
        unknown=tuple(known.unknown),
        free_bytes=free,
    )


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
