"""What the stages of a run write, by the shapes of their arrays (`whatwhere.stages`), checksums included."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whatwhere.app.plan.jobs import Jobs
from whatwhere.app.plan.known import MASKED, Known, Number, total
from whatwhere.config.joint import Batches

#: Stages that take room; what others write is small beside them.
STORING = ("images", "features", "vectors", "regions", "joint", "extended", "segments", "refined")
#: Of each chunk of an array: its checksum, and its place in the file.
CHUNK_BYTES = 20


@dataclass(frozen=True)
class Stored:
    """What a stage leaves on the disk in the end, and the least that must find room while the run goes on."""

    stage: str
    kept_bytes: Number
    peak_bytes: Number
    note: str = ""


def stored(known: Known, jobs: Sequence[Jobs]) -> list[Stored]:
    """Every stage that takes room, in order.

    ASSUME: of features that are deleted after their last use the largest set that a joint solve reads as a whole lies
    there, or the shards that a codebook's sample is in, or else a shard of the largest; how many shards wait for it at
    once is the scheduler's, and the note says so.
    """
    sizes = {stage: [(one, jobs_bytes(known, one)) for one in jobs if one.stage == stage] for stage in STORING}
    sums = {stage: total(size for _, size in found) for stage, found in sizes.items()}
    found = {stage: Stored(stage, size, size) for stage, size in sums.items() if size}
    if "features" in found and not known.config.features.keep:
        read = {
            place: one
            for stage in ("codebook", "joint")
            for one in jobs
            if one.stage == stage
            for _, place in one.after
        }
        at_once = max(size * _at_once(one, read.get(one.place)) for one, size in sizes["features"] if size)
        words = "at least: each shard is deleted after its last use, but several may wait for it, or for names, at once"
        found["features"] = Stored("features", 0, at_once, f"{words}; all together {sums['features'] / 1e9:.3g} GB")
    if "joint" in found:
        states = max(_state_bytes(known, one) for one, _ in sizes["joint"])
        found["joint"] = Stored("joint", sums["joint"], sums["joint"] + states)
    return list(found.values())


def _at_once(features: Jobs, solve: Jobs | None) -> float:
    """The share of the features that a solve reads together: of a codebook's sample a shard an image at most."""
    if solve is None:
        return 1 / features.jobs
    return 1.0 if solve.stage == "joint" else min(features.jobs, solve.images or features.jobs) / features.jobs


def free_bytes(folder: Path) -> Number:
    """Room on the disk where `folder` is or will be."""
    there = next((one for one in (folder, *folder.absolute().parents) if one.exists()), Path("."))
    return float(shutil.disk_usage(there).free)


def jobs_bytes(known: Known, one: Jobs) -> Number | None:
    """What jobs write; None where that is not known, or little."""
    if one.stage not in STORING:
        return None
    config, (dataset, *more) = known.config, one.place
    each: Number | None = None
    if one.stage in ("images", "refined"):  # 8 bits a pixel and colour, 16 a label map or cluster
        view = more[0] if one.stage == "images" else config.segments.view or config.backbones[more[0]].view
        size, depth = known.size(dataset, view), 3 + 2 * known.data(dataset).annotators
        each = size and size[0] * size[1] * (depth if one.stage == "images" else 2)
    elif one.stage == "features":  # 16 bits: Q, K, V where asked for, final features, and those in the space of texts
        if network := known.network(dataset, more[0]):
            arrays, shared = 2 + config.keeps_values(dataset, more[0]), config.keeps_joint(dataset, more[0])
            final = network.final_tokens * (network.final_channels + shared * network.shared_channels)
            chunks = arrays * network.samples * len(network.layers)
            each = 2 * (network.numbers(arrays) + final) + CHUNK_BYTES * chunks
    elif shape := known.vectors((dataset, more[0], more[1])):
        method, asked, (tokens, width) = config.methods[more[1]], config.regions, shape
        masked = method.kind in MASKED
        tried = len({*asked.candidates, *([] if asked.clusters == "auto" else [asked.clusters])})
        clusterings = 1 if method.kind == "largest" else 2 * config.segments.draws
        partitions = {"regions": 1 if masked else tried, "segments": clusterings}
        history = 4 * getattr(method, "steps", 0) if one.stage == "vectors" else 0
        of_x = tokens * width * (2 if masked else 4) + history
        each = 2 * tokens * partitions[one.stage] if one.stage in partitions else of_x
    return None if each is None or one.images is None else one.images * (each + CHUNK_BYTES)


def _state_bytes(known: Known, one: Jobs) -> Number:
    """What a mini-batch solve keeps until it is done: X, Adam's two moments, and an average where there is one."""
    shape, method = known.vectors((one.place[0], one.place[1], one.place[2])), known.config.methods[one.place[2]]
    held = (3 + bool(method.average)) * method.vectors if isinstance(method, Batches) else 0
    return 4 * (one.images or 0) * (shape[0] if shape else 0) * held
