"""What a plan says, line by line: None is an empty cell, for what cannot be known here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from whatwhere.app.plan.needs import Download, Missing
from whatwhere.app.plan.units import Number


@dataclass(frozen=True)
class Data:
    """A data set, the views it is shown in, and where its files are: here, downloaded, missing, or made."""

    name: str
    kind: str
    images: int | None
    views: tuple[str, ...]
    state: str


@dataclass(frozen=True)
class Forward:
    """Images through a backbone, for what (`features`, a method that runs it live, `timing`).

    `size`: height and width in pixels; `passes` through the network, `flop` of them all; `layers` and `graphs` of an
    image; `store_bytes` of the features they leave.
    """

    dataset: str
    backbone: str
    purpose: str
    images: Number | None
    size: tuple[int, int] | None
    passes: Number | None = None
    layers: int | None = None
    graphs: int | None = None
    flop: Number | None = None
    gpu_s: Number | None = None
    cpu_s: Number | None = None
    store_bytes: Number | None = None


@dataclass(frozen=True)
class Solve:
    """Solvers of one image, for all images of a data set."""

    dataset: str
    backbone: str
    methods: tuple[str, ...]
    flop: Number | None
    gpu_s: Number | None
    cpu_s: Number | None


@dataclass(frozen=True)
class JointSolve:
    """A solver of a whole data set: `locations` that are searched at a time, on the finest grid."""

    dataset: str
    backbone: str
    method: str
    kind: str
    locations: Number | None = None
    flop: Number | None = None
    gpu_s: Number | None = None
    cpu_s: Number | None = None


@dataclass(frozen=True)
class Beside:
    """What runs on the processor whatever the device: `cpu_s` with all its cores busy."""

    what: str
    images: Number
    cpu_s: Number


@dataclass(frozen=True)
class Stage:
    """What a stage leaves on the disk in the end, and the least that must find room while the run goes on."""

    name: str
    kept_bytes: Number
    peak_bytes: Number
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What a run will do, by estimates. `unknown`: why cells are empty; `free_bytes` on the disk of `results`."""

    run: str
    device: str
    results: str
    gpu: str
    cpu: str
    data: tuple[Data, ...]
    forward: tuple[Forward, ...]
    solve: tuple[Solve, ...]
    joint: tuple[JointSolve, ...]
    beside: tuple[Beside, ...]
    stages: tuple[Stage, ...]
    downloads: tuple[Download, ...]
    missing: tuple[Missing, ...]
    unknown: tuple[str, ...]
    free_bytes: Number

    @property
    def totals(self) -> dict[str, Number]:
        """Sums over what is known."""
        timed: tuple[Costly, ...] = (*self.forward, *self.solve, *self.joint)
        beside_s = total(one.cpu_s for one in self.beside)
        return {
            "images": total(one.images for one in self.data),
            "passes": total(one.passes for one in self.forward),
            "flop": total(one.flop for one in timed),
            "gpu_s": total(one.gpu_s for one in timed) + beside_s,
            "cpu_s": total(one.cpu_s for one in timed) + beside_s,
            "kept_bytes": total(one.kept_bytes for one in self.stages),
            "peak_bytes": total(one.peak_bytes for one in self.stages),
            "download_bytes": total(one.bytes for one in self.downloads),
        }

    def as_dict(self) -> dict[str, Any]:
        """The plan as `json.dump` takes it."""
        return {**asdict(self), "totals": self.totals, "ready": not self.missing}


#: What has `flop`, `gpu_s` and `cpu_s`.
Costly = Forward | Solve | JointSolve


def total(values: Iterable[Number | None]) -> Number:
    """The sum of what is known."""
    return float(sum(value for value in values if value is not None))
