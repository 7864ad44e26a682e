"""Stores -> cells: what of an image a figure may show, found by the image's id in whatever shard it lies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, read_json
from whatwhere.evaluate.names import BACKGROUND, asked, in_names
from whatwhere.publish.figures.cells import Blank, Cell, Eigenvectors, Halves, Instances, Labels, Named, Photo, Regions
from whatwhere.stages.partitions import own_partition


class Shards:
    """The stores of one data set, opened as far as they are asked for."""

    def __init__(self, manifests: Sequence[str]) -> None:
        self._manifests = manifests
        self._closed = list(manifests)
        self._places: dict[str, tuple[Store, int]] = {}

    def __len__(self) -> int:
        """Images of all shards."""
        while self._closed:
            self._open()
        return len(self._places)

    def first(self, images: int) -> list[str]:
        """The ids of the first images over all shards."""
        while len(self._places) < images and self._closed:
            self._open()
        return list(self._places)[:images]

    def find(self, name: str) -> tuple[Store, int]:
        """The store that holds the image of this id, and its place there. Raises InputError where none does."""
        while name not in self._places and self._closed:
            self._open()
        if name not in self._places:
            first = self._manifests[0] if self._manifests else "nowhere"
            got = f"none in {len(self._manifests)} stores from {first} on"
            raise InputError(f"figure: expected image {name} in every column, got {got}; use one data set for all")
        return self._places[name]

    def _open(self) -> None:
        store = Store(self._closed.pop(0))
        self._places |= {name: (store, index) for index, name in enumerate(store.ids)}


class Masks:
    """COCO results, or true instances in COCO's format, of the images of some shards."""

    def __init__(self, paths: Sequence[str], images: Shards) -> None:
        self._images = images
        self._entries: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for path in paths:
            found: Any = read_json(Path(path))
            for entry in found if isinstance(found, list) else found["annotations"]:
                if not entry.get("iscrowd"):
                    self._entries[entry["image_id"]].append(entry)

    def first(self, images: int) -> list[str]:
        """The ids of the first images."""
        return self._images.first(images)

    def find(self, name: str) -> tuple[Masks, int]:
        """Itself, and the number by which COCO's files know an image."""
        store, index = self._images.find(name)
        return self, store.coordinate("number")[index]

    def read(self, number: int, most: int | None) -> np.ndarray:
        """Masks `[mask, y, x]` of an image by decreasing score, at most so many."""
        from pycocotools.mask import decode

        entries = sorted(self._entries[number], key=lambda entry: -entry.get("score", 0))[:most]
        masks = [decode(entry["segmentation"]).astype(bool) for entry in entries]
        return np.stack(masks) if masks else np.zeros((0, 1, 1), bool)


def photo(store: Store, index: int, column: Mapping[str, Any]) -> Photo:
    """The image."""
    return Photo(store.read("rgb", index))


def eigenvectors(store: Store, index: int, column: Mapping[str, Any]) -> Eigenvectors | Blank:
    """Three eigenvectors from `first` (from 1) on; those of a joint solve on the one colour scale of all images."""
    vectors, first = on_grid(store, index), column.get("first", 1) - 1
    if first >= vectors.shape[2]:
        return Blank(f"only {vectors.shape[2]} vectors")
    return Eigenvectors(vectors, first, limits_of(store))


def on_grid(store: Store, index: int) -> np.ndarray:
    """X of an image as `[row, column, vector]`."""
    rows = store.attributes["grid"][0]
    return rearrange(store.read("vectors", index), "(row column) vector -> row column vector", row=rows)


def limits_of(store: Store) -> np.ndarray | None:
    """The ends of the colour scale of every vector, `[vector, 2]`, where X was solved for many images together."""
    limits = store.attributes.get("limits")
    return None if limits is None else np.array(limits, float)


def regions(store: Store, index: int, column: Mapping[str, Any]) -> Regions:
    """The regions of K = `clusters`, or of the partition that was chosen for the image."""
    candidates, wanted = store.coordinate("partition"), column.get("clusters")
    if wanted is not None and wanted not in candidates:
        got = ", ".join(map(str, candidates))
        raise InputError(f"{store.manifest}: expected regions with K = {wanted}, got K = {got}; name one of these")
    partition = own_partition(store, index) if wanted is None else candidates.index(wanted)
    labels = store.read("regions", (index, partition)).reshape(store.attributes["grid"])
    # what is seen: of the masks that a method was allowed, it may have found fewer
    return Regions(labels, f"K = {len(np.unique(labels))}", store.attributes.get("borders", "tokens"))


def truth(store: Store, index: int, column: Mapping[str, Any]) -> Labels | Named | Blank:
    """The true labels; with a `naming` only the classes that it asks about, in the colours of their names."""
    if not store.coordinate("annotators")[index]:
        return Blank("no ground truth")
    # ASSUME: of several people's drawings the first
    labels, classes = store.read("labels", (index, 0)), tuple(store.attributes["classes"])
    if not column.get("naming"):
        return Labels(labels, classes)
    names = asked(classes, column.get("asked"))
    return Named(in_names(labels, classes, names), (BACKGROUND, *names))


def named(store: Store, index: int, column: Mapping[str, Any]) -> Named:
    """Regions in the colours of the names that texts gave them."""
    known = store.attributes
    labels = store.read("named", index).reshape(known["grid"])
    return Named(labels, tuple(known["names"]), column.get("notes", {}).get(store.ids[index], ""))


def objects(masks: Masks, number: int, column: Mapping[str, Any]) -> Instances:
    """Masks of objects over the photograph."""
    found = masks.read(number, column.get("most"))
    return Instances(found, f"{len(found)} mask{'' if len(found) == 1 else 's'}")


def halves(store: Store, index: int, column: Mapping[str, Any]) -> Halves | Blank:
    """The true labels as `left_right` splits them, with the column's settings `halves` (Figure 7)."""
    from whatwhere.evaluate.spatial import left_right

    whole = truth(store, index, column)
    if not isinstance(whole, Labels):
        return Blank("no ground truth")
    if not whole.classes:
        return Blank("no classes")
    return Halves(left_right(whole.labels, len(whole.classes), **column["halves"]), whole.classes)


#: What a column can show: from which stores, and how an image there becomes a cell.
KINDS: dict[str, tuple[str, Callable[[Any, int, Mapping[str, Any]], Cell]]] = {
    "image": ("images", photo),
    "eigenvectors": ("vectors", eigenvectors),
    "regions": ("regions", regions),
    "truth": ("images", truth),
    "halves": ("images", halves),
    "named": ("named", named),
    "proposals": ("masks", objects),
    "objects": ("masks", objects),
}
