"""Finished stores as xarray's, read when they are computed: one store, or all shards of a data set as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from whatwhere.artifacts.again import again
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store

if TYPE_CHECKING:
    import dask.array
    import xarray
    import zarr

#: The axis that shards divide.
IMAGE = "image"


def lazy_tree(sizes: Mapping[str, Sequence[Store]]) -> xarray.DataTree:
    """Stores of shards, those of one size in one list, as a tree of Dask arrays with all coordinates.

    The shards of a size follow each other along `image`; where there are several sizes each is a node of its own,
    called as in `sizes`. A Dask chunk is a file of a store. Where one shard has fewer annotators, say, than another
    there stands what the stores have where there is nothing. A damaged chunk is the store's own `InputError`.

    Raises `InputError` where shards of one size differ in what lies along another axis.
    """
    import xarray

    nodes = {}
    for size, stores in sizes.items():
        top = "/" if len(sizes) == 1 else f"/{size}/"
        for group in dict.fromkeys(["", *stores[0].groups]):
            nodes[f"{top}{group}"] = _dataset(stores, group)
    return xarray.DataTree.from_dict(nodes)


def _dataset(stores: Sequence[Store], group: str) -> xarray.Dataset:
    import xarray

    # first of all what lies along the axes: where shards differ, that says so
    beside = {name.rpartition("/")[2]: _coordinate(stores, name) for name in _names(stores, "coordinates", group)}
    arrays = {name.rpartition("/")[2]: _joined(stores, name) for name in _names(stores, "arrays", group)}
    known = [store.attributes_of(group) for store in stores]
    common = {key: value for key, value in known[0].items() if all(one.get(key) == value for one in known)}
    return xarray.Dataset(arrays, beside, common)


def _names(stores: Sequence[Store], kind: str, group: str) -> list[str]:
    """Arrays or coordinates of a group; those that no shard divides come first, for their sizes to be compared."""
    found = {name: about["dims"] for store in stores for name, about in store.description[kind].items()}
    return sorted((name for name in found if name.rpartition("/")[0] == group), key=lambda name: IMAGE in found[name])


def _coordinate(stores: Sequence[Store], name: str) -> tuple[list[str], np.ndarray]:
    first = next(store for store in stores if name in store.description["coordinates"])
    dims = first.description["coordinates"][name]["dims"]
    for store in stores:
        there = name in store.description["coordinates"]
        if not there or (IMAGE not in dims and _said(store, name) != _said(first, name)):
            raise InputError(
                f"store {store.path}: expected the same `{name}` as in {first.path}, got other; "
                f"run: rm {store.manifest} && {again(store.manifest)}"
            )
    if IMAGE not in dims:
        return dims, first.read(name)
    return dims, np.concatenate([store.read(name) for store in stores], dims.index(IMAGE))


def _said(store: Store, name: str) -> tuple[Any, ...]:
    """What the manifest says of a coordinate: its axes, and the hash of its one chunk."""
    about = store.description["coordinates"][name]
    return about, store.description["files"][f"{name}/c{'/0' * len(about['dims'])}"]


def _joined(stores: Sequence[Store], name: str) -> tuple[list[str], dask.array.Array]:
    """An array of all stores, those that have less of it, or nothing, filled up."""
    import dask.array

    there = [store for store in stores if name in store.description["arrays"]]
    dims, like = there[0].description["arrays"][name]["dims"], there[0].array(name)
    if IMAGE not in dims:
        return dims, _on_disk(there[0], name)
    axis, most = dims.index(IMAGE), np.max([store.array(name).shape for store in there], 0).tolist()
    parts = []
    for store in stores:
        most[axis] = len(store.ids)
        parts.append(_filled(_on_disk(store, name) if store in there else None, most, like))
    return dims, dask.array.concatenate(parts, axis)


def _filled(part: dask.array.Array | None, shape: Sequence[int], like: zarr.Array) -> dask.array.Array:
    """An array of this shape, or what there is of it with the rest as such a store has it where there is nothing."""
    import dask.array

    nothing = partial(dask.array.full, fill_value=like.fill_value, dtype=like.dtype, chunks=like.shards)
    if part is None:
        return nothing(tuple(shape))
    for axis, size in enumerate(shape):
        if missing := size - part.shape[axis]:
            gap = nothing((*part.shape[:axis], missing, *part.shape[axis + 1 :]))
            part = dask.array.concatenate([part, gap], axis)
    return part


def _on_disk(store: Store, name: str) -> dask.array.Array:
    import dask.array

    array = store.array(name)
    return dask.array.from_array(
        _Verified(store, name),
        chunks=array.shards,
        name=f"{store.path}/{name}-{store.description['content']}",
        meta=np.empty((0,) * array.ndim, array.dtype),
        inline_array=False,
    )


@dataclass(frozen=True, eq=False)
class _Verified:
    """An array of a store as Dask takes one: slices are read through the store, which names what is damaged."""

    store: Store
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """As the array's."""
        return tuple(self.store.array(self.name).shape)

    @property
    def ndim(self) -> int:
        """As the array's."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """As the array's."""
        return self.store.array(self.name).dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.store.read(self.name, index)
