"""A configuration to a plan of its run."""

from __future__ import annotations

from pathlib import Path

from whatwhere.app.plan import asked, disk, needs
from whatwhere.app.plan.lookup import Lookup
from whatwhere.app.plan.machine import Rate, cpu_rate, gpu_rate
from whatwhere.app.plan.passes import forward
from whatwhere.app.plan.rows import Data, Plan
from whatwhere.app.plan.solves import beside, joint_solves, solves
from whatwhere.app.plan.stages import stages
from whatwhere.config import Config


def make_plan(config: Config, *, gpu: str = "A40", results: Path = Path("results"), cpu: Rate | None = None) -> Plan:
    """What a run of `config` will do: images, passes, hours on the GPU of this name (see `machine.GPUS`) and on this
    machine's processor (`cpu`: its rate, else measured for half a second), disk, downloads, and what is missing.

    Nothing is downloaded, and no weights are read. Raises `InputError` for a GPU of another name.
    """
    lookup = Lookup(config, gpu_rate(gpu), cpu or cpu_rate())
    networks = lookup.networks()
    data, weights = needs.data_downloads(lookup.pictures), needs.weight_downloads(config, networks)
    found, free = stages(lookup, data, weights), disk.free_bytes(results)
    short = sum(stage.peak_bytes for stage in found) - free
    return Plan(
        run=config.run,
        device=config.device,
        results=str(results / config.run),
        gpu=lookup.gpu.name,
        cpu=lookup.cpu.name,
        data=tuple(_data(lookup)),
        forward=tuple(forward(lookup)),
        solve=tuple(solves(lookup)),
        joint=tuple(joint_solves(lookup)),
        beside=tuple(beside(lookup)),
        stages=tuple(found),
        downloads=(*data, *weights),
        missing=tuple(needs.missing(config, lookup.pictures, networks, short)),
        unknown=tuple(lookup.unknown),
        free_bytes=free,
    )


def _data(lookup: Lookup) -> list[Data]:
    shown = asked.views(lookup.config)
    return [
        Data(name, one.kind, one.images, tuple(view for dataset, view in shown if dataset == name), one.state)
        for name, one in lookup.pictures.items()
    ]
