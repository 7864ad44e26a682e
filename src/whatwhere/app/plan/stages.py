"""What the stages of a run leave on the disk, and the least room that they need together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from whatwhere.app.plan import asked, disk
from whatwhere.app.plan.lookup import Lookup
from whatwhere.app.plan.needs import Download
from whatwhere.app.plan.network import Network
from whatwhere.app.plan.passes import store_bytes
from whatwhere.app.plan.rows import Stage, total
from whatwhere.app.plan.units import Number, bytes_words
from whatwhere.config import Run


def stages(lookup: Lookup, data: Sequence[Download], weights: Sequence[Download]) -> list[Stage]:
    """All stages that take room, in their order; what others write is small beside them."""
    config = lookup.config
    number = disk.candidates(config)
    images = [_images(lookup, *one) for one in asked.views(config)]
    joint = [_of_run(lookup, run, disk.joint_bytes) for run in asked.jointly_solved(config)]
    vectors = [_of_run(lookup, run, disk.vectors_bytes) for run in asked.solved(config)]
    regions = [
        _of_run(lookup, run, lambda found, count, method: disk.regions_bytes(found, count, method, number))
        for run in config.shown()
    ]
    clustered = [*(_segments(lookup, run) for run in asked.clustered(config)), *_refined(lookup)]
    states = [state for one in joint if one for state in one[1:]]
    found = [
        _downloaded("data sets", data),
        _downloaded("weights", weights),
        _kept("images and labels", images),
        _features(lookup),
        _kept("vectors of images", vectors),
        _kept("regions", regions),
        _kept("vectors of data sets", [one and one[0] for one in joint], beside=max(states, default=0)),
        _kept("clusters of data sets", clustered),
    ]
    return [stage for stage in found if stage.peak_bytes]


def _features(lookup: Lookup) -> Stage:
    """Kept, or deleted after their last use.

    ASSUME: then the largest set that a joint solve reads as a whole lies there, or else a shard of the largest; how
    many shards wait for their last use at once is the scheduler's, and the page says so.
    """
    config, sizes = lookup.config, {}
    whole = asked.read_whole(config)
    for dataset, backbone in asked.extracted(config):
        images = lookup.images(dataset)
        size = images and store_bytes(lookup, dataset, backbone, images)
        if images and size:
            is_whole = (dataset, backbone) in whole
            sizes[dataset, backbone] = size, size if is_whole else size * min(1, config.shard_images / images)
    everything = total(size for size, _ in sizes.values())
    if config.features.keep:
        return Stage("features", everything, everything)
    at_once = max((least for _, least in sizes.values()), default=0.0)
    words = "at least: each shard is deleted after its last use, but several may wait for it, or for names, at once; "
    words += f"all together {bytes_words(everything)}"
    return Stage("features", 0.0, at_once, words)


def _images(lookup: Lookup, dataset: str, view: str) -> Number | None:
    found, size = lookup.pictures[dataset], lookup.size(dataset, view)
    return disk.images_bytes(found.images, *size, found.annotators) if size and found.images else None


def _segments(lookup: Lookup, run: Run) -> Number | None:
    is_joint = lookup.config.is_joint(run[2])
    return _of_run(lookup, run, lambda found, images, method: disk.segments_bytes(found, images, method, is_joint))


def _refined(lookup: Lookup) -> Iterable[Number | None]:
    """A cluster for each pixel, 16 bits."""
    for dataset, backbone, _ in asked.refined(lookup.config):
        view = lookup.config.segments.view or lookup.config.backbones[backbone].view
        images, size = lookup.images(dataset), lookup.size(dataset, view)
        yield 2.0 * images * size[0] * size[1] if images and size else None


def _of_run(lookup: Lookup, run: Run, find: Callable[[Network, int, Any], Any]) -> Any:
    images, method = lookup.images(run[0]), lookup.config.methods[run[2]]
    return images and lookup.of_run(run, lambda found: find(found, images, method))


def _kept(name: str, sizes: Iterable[Number | None], beside: Number = 0.0) -> Stage:
    """What stays, and `beside` it what is there for a time."""
    kept = total(sizes)
    return Stage(name, kept, kept + beside)


def _downloaded(name: str, found: Sequence[Download]) -> Stage:
    room = total(one.room for one in found)
    unsaid = sum(one.bytes is None for one in found)
    words = f"{unsaid} of {len(found)} of a size that nobody says" if unsaid else ""
    return Stage(f"downloads: {name}", room, room, words)
