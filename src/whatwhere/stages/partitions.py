"""Partitions in a store of regions: which of them is an image's own."""

from __future__ import annotations

from whatwhere.artifacts.store import Store


def own_partition(regions: Store, index: int) -> int:
    """The number, along the axis `partition`, of the partition that was chosen for an image."""
    return regions.coordinate("partition").index(regions.coordinate("chosen")[index])
