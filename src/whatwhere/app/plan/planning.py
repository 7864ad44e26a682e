"""A configuration to a plan of its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from whatwhere.app.plan.disk import Stored, free_bytes, stored
from whatwhere.app.plan.gpus import forward_s, gpu_called
from whatwhere.app.plan.jobs import Jobs, counted
from whatwhere.app.plan.known import Known, Number, total
from whatwhere.app.plan.needs import Download, Missing, downloads, missing
from whatwhere.app.plan.rates import Curves, calibrated, logged, told
from whatwhere.artifacts.clock import cores
from whatwhere.artifacts.errors import InputError
from whatwhere.config import Config
from whatwhere.config.needed import cautions

#: The paper's GPU, to reckon with where a configuration asks for one and none is here.
PAPERS_GPU = "A40"
#: What JSON has of jobs.
TOLD = ("stage", "place", "jobs", "images", "passes", "flop", "low_s", "high_s", "source")


@dataclass(frozen=True)
class Plan:
    """What a run will do. `data`: kind, images and state of each data set; `gpu`: one that is not here, to reckon with,
    where networks take `gpu_s` of `totals`; `supposed`: images of every folder of photographs, where it is not those
    that are there; `unknown`: why something is; `cautions`: what the results leave out, and
    whose eyes the images are new to; `free_bytes` on the disk of `results`.
    """

    run: str
    device: str
    results: str
    cores: int
    gpu: str | None
    data: Mapping[str, tuple[str, int | None, str]]
    jobs: tuple[Jobs, ...]
    stored: tuple[Stored, ...]
    downloads: tuple[Download, ...]
    missing: tuple[Missing, ...]
    unknown: tuple[str, ...]
    cautions: tuple[str, ...]
    free_bytes: Number
    supposed: int | None = None

    @property
    def totals(self) -> dict[str, Number]:
        """Sums over what is known."""
        found: dict[str, Number] = {"images": total(images for _, images, _ in self.data.values())}
        for key in ("jobs", "passes", "flop", "low_s", "high_s"):
            found[key] = total(getattr(one, key) for one in self.jobs)
        room = total(one.room for one in self.downloads)
        for key in ("kept_bytes", "peak_bytes"):
            found[key] = room + total(getattr(one, key) for one in self.stored)
        run = ((one.network, one.flop) for one in self.jobs if one.network and one.flop)
        on_gpu = total(forward_s(self.gpu, flop, half=network.half) for network, flop in run) if self.gpu else 0
        return {**found, "gpu_s": on_gpu, "download_bytes": total(one.bytes for one in self.downloads)}

    def as_dict(self) -> dict[str, Any]:
        """The plan as `json.dump` takes it."""
        jobs = [{key: getattr(one, key) for key in TOLD} for one in self.jobs]
        return {**asdict(replace(self, jobs=())), "jobs": jobs, "totals": self.totals, "ready": not self.missing}


def _in_part(known: Known) -> list[str]:
    """The figures that show fewer images than there are."""
    pictures = {name: figure for name, figure in known.config.figures.items() if figure.kind == "pictures"}
    there = {name: known.data(figure.dataset).images for name, figure in pictures.items()}
    return [
        f"figure {name}: {figure.images} of {there[name]} images of {figure.dataset}"
        for name, figure in pictures.items()
        if (there[name] or 0) > figure.images
    ]


def _curves(known: Known, results: Path, seconds: int, say: Callable[[str], None], **how: Any) -> Curves:
    """By the logs, and by trying for at most so many seconds, `how` as of `calibrated`, what these do not tell."""
    jobs = counted(known)
    curves: Curves = logged(jobs, known.config, results)
    if seconds and {one.key for one in jobs} - curves.keys():
        say(f"trying on a few images what no log tells: a minute or two, at most {seconds} s (--measure 0: not)")
        curves = {**curves, **calibrated(known, jobs, curves, seconds=seconds, **how)}
    return curves


def _supposed(config: Config, images: int) -> Known:
    """The same configuration, with so many photographs in every folder."""
    kinds = dict.fromkeys(data.kind for data in config.datasets.values())
    if "folder" not in kinds:
        raise InputError(
            f"--images: expected a data set of kind folder, got {', '.join(kinds)}; add one, or leave it out"
        )
    return Known(config, images)


def make_plan(
    config: Config,
    *,
    gpu: str | None = None,
    measure_s: int = 0,
    images: int | None = None,
    busy: bool = False,
    results: Path = Path("results"),
    say: Callable[[str], None] = lambda text: None,
) -> Plan:
    """What a run of `config` will do; nothing of it is started, and nothing is downloaded.

    Seconds are those of the logs under `results`; what they do not tell is measured here, for at most `measure_s`
    seconds, which `say` is told before, in seconds of a clock, or where this machine is `busy` with other things in
    seconds of the processors'. Networks are reckoned on the `gpu` of this name as well (see `gpus.GPUS`). With `images`
    the plan is for so many in every folder of photographs, by what those that are there take.

    Raises `InputError` for a GPU of another name, and for `images` where there is no such folder.
    """
    import torch

    is_here = not config.device.startswith("cuda") or torch.cuda.is_available()
    called = gpu_called(gpu) if gpu else None if is_here else PAPERS_GPU
    here = Known(config)
    known = _supposed(config, images) if images else here  # refused before anything is measured
    curves = _curves(here, results, measure_s, say, device=config.device if is_here else "cpu", busy=busy)
    jobs = counted(known)
    disk, fetched, free = stored(known, jobs), downloads(known), free_bytes(results)
    short = total(one.peak_bytes for one in disk) + total(one.room for one in fetched) - free
    return Plan(
        run=config.run,
        device=config.device,
        results=str(results / config.run),
        cores=cores(),
        gpu=called,
        data={name: (one.kind, one.images, one.state) for name, one in known.pictures.items()},
        jobs=tuple(told(one, curves) for one in jobs),
        stored=tuple(disk),
        downloads=tuple(fetched),
        missing=tuple(missing(known, short, has_device=is_here)),
        unknown=tuple(known.unknown),
        cautions=(*cautions(config), *_in_part(known)),
        free_bytes=free,
        supposed=images,
    )
