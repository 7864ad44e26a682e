"""Images through networks: for features, live for mini-batches, and to be timed."""

from __future__ import annotations

from dataclasses import replace

from whatwhere.app.plan import asked, disk, work
from whatwhere.app.plan.lookup import Lookup
from whatwhere.app.plan.network import Network
from whatwhere.app.plan.rows import Forward
from whatwhere.app.plan.units import Number

FEATURES, TIMING = "features", "timing"
#: Passes of an image that is timed: one untimed and five more, of what takes less than a second (Table 6).
TIMED_PASSES = 6


def forward(lookup: Lookup) -> list[Forward]:
    """Every place where images go through a backbone."""
    return [*_extractions(lookup), *_live(lookup), *_timings(lookup)]


def _extractions(lookup: Lookup) -> list[Forward]:
    rows = []
    for dataset, backbone in asked.extracted(lookup.config):
        images, found = lookup.images(dataset), lookup.network(dataset, backbone)
        row = _row(lookup, (dataset, backbone), FEATURES, images, found)
        if found and images is not None:
            row = replace(row, store_bytes=store_bytes(lookup, dataset, backbone, images))
        rows.append(row)
    return rows


def store_bytes(lookup: Lookup, dataset: str, backbone: str, images: int) -> Number | None:
    """Of the features of so many images."""
    config, found = lookup.config, lookup.network(dataset, backbone)
    kept = {"values": config.keeps_values(dataset, backbone), "shared": config.keeps_joint(dataset, backbone)}
    return disk.features_bytes(found, images, **kept) if found else None


def _live(lookup: Lookup) -> list[Forward]:
    """A mini-batch solver that runs the network for every batch, with one noise sample an image."""
    rows = []
    for dataset, backbone, name in asked.jointly_solved(lookup.config):
        if lookup.config.is_live(name):
            images, found = lookup.images(dataset), lookup.network(dataset, backbone)
            passed = images and work.passed_images(images, lookup.config.methods[name])
            rows.append(_row(lookup, (dataset, backbone), name, passed, found and replace(found, samples=1)))
    return rows


def _timings(lookup: Lookup) -> list[Forward]:
    places = asked.timed(lookup.config)
    return [_row(lookup, place, TIMING, TIMED_PASSES, lookup.network(*place)) for place in places]


def _row(lookup: Lookup, place: asked.Place, purpose: str, images: Number | None, found: Network | None) -> Forward:
    dataset, backbone = place
    row = Forward(dataset, backbone, purpose, images, lookup.size(dataset, lookup.config.backbones[backbone].view))
    if not found or images is None:
        return row
    done = work.forward(found).times(images)
    return replace(
        row,
        passes=images * found.samples,
        layers=len(found.layers),
        graphs=found.samples * sum(layer.heads for layer in found.layers),
        flop=done.operations,
        gpu_s=done.seconds(lookup.gpu),
        cpu_s=done.seconds(lookup.cpu),
    )
