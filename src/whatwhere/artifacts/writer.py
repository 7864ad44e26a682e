"""Writing of stores: whole or not there, and arrays that say what lies along their axes."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec
from zarr.errors import ZarrUserWarning

from whatwhere.artifacts.manifest import describe, write_json
from whatwhere.artifacts.provenance import provenance

#: The axis vocabulary; every array's dimension names come from it.
AXES = (
    "image",
    "layer",
    "head",
    "token",
    "channel",
    "width",
    "vector",
    "cluster",
    "partition",
    "mask",
    "annotator",
    "landmark",
    "y",
    "x",
    "step",
    "text",
    "caption",
)
#: Axes whose entries have no other name than their number, and the first: mask 1 is region 1, 0 the background.
NUMBERED = {"head": 0, "vector": 0, "cluster": 0, "mask": 1}

#: What lies along axes: under an axis' own name its labels (one for all: no axis), under another the axes and values.
Coordinates = Mapping[str, Any]
#: The same, as it is written.
Along = tuple[tuple[str, ...], np.ndarray]


class Writer:
    """Arrays of one unfinished store. Each is written in whole runs of images, in order, by one process.

    With every array go those coordinates of its group whose axes it has: what `create` and `group` were told, the row
    and the column of each token where the group's attribute `grid` says how many there are, and numbers (`NUMBERED`).
    """

    def __init__(self, root: zarr.Group, coordinates: Coordinates) -> None:
        self.root = root
        self.coordinates: dict[str, tuple[int, ...]] = {}
        self._known = {"": _along(coordinates, root.attrs.get("grid"))}
        for name, coordinate in self._known[""].items():
            if name in AXES:  # also of a store whose arrays are all in groups
                self._coordinate(name, coordinate)

    def group(self, name: str, attributes: dict[str, Any], coordinates: Coordinates | None = None) -> None:
        """A group with coordinates of its own; those of the store hold there as well."""
        self.root.create_group(name, attributes=attributes)
        self._known[name] = self._known[""] | _along(coordinates or {}, attributes.get("grid"))

    def array(
        self, name: str, shape: Sequence[int], dtype: str, dims: Sequence[str], *, run_images: int = 1, fill: Any = None
    ) -> zarr.Array:
        """An array with a chunk an image (and a layer), `run_images` chunks to a file (a Zarr shard).

        `fill` is what stands where there is nothing: NaN for floats, else 0, if nothing is said.
        """
        assert set(dims) <= set(AXES), dims
        sizes = dict(zip(dims, shape, strict=True))
        group = name.rpartition("/")[0]
        beside = self._beside(group, sizes)
        for own, coordinate in beside.items():
            self._coordinate(f"{group}/{own}".lstrip("/"), coordinate)
            assert coordinate[1].shape == tuple(sizes[axis] for axis in coordinate[0]), (name, own, sizes)
        others = [own for own, (axes, _) in beside.items() if axes != (own,)]  # an axis' own are known by its name
        chunks = tuple(1 if axis in ("image", "layer") else max(1, n) for axis, n in sizes.items())
        files = tuple(
            max(1, min(run_images, n)) if axis == "image" else chunk
            for (axis, n), chunk in zip(sizes.items(), chunks, strict=True)
        )
        described = {"coordinates": " ".join(others)} if others else {}
        return self._create(name, shape, dtype, dims, fill=fill, chunks=chunks, shards=files, attributes=described)

    def _beside(self, group: str, sizes: Mapping[str, int]) -> dict[str, Along]:
        """The coordinates of an array in a group."""
        numbers = {
            axis: ((axis,), np.arange(first, first + sizes[axis])) for axis, first in NUMBERED.items() if axis in sizes
        }
        known = numbers | self._known.get(group, self._known[""])
        return {own: coordinate for own, coordinate in known.items() if sizes.keys() >= set(coordinate[0])}

    def _coordinate(self, path: str, coordinate: Along) -> None:
        """Writes a coordinate, once."""
        axes, values = coordinate
        if path in self.coordinates:
            assert self.coordinates[path] == values.shape, (path, values.shape)
            return
        chunks = tuple(max(1, n) for n in values.shape)
        dtype = "str" if values.dtype.kind == "T" else str(values.dtype)
        self._create(path, values.shape, dtype, axes, chunks=chunks)[...] = values
        self.coordinates[path] = values.shape

    def _create(
        self, name: str, shape: Sequence[int], dtype: str, dims: Sequence[str], *, fill: Any = None, **options: Any
    ) -> zarr.Array:
        if fill is None:
            fill = "" if dtype == "str" else np.nan if np.dtype(dtype).kind == "f" else 0
        return self.root.create_array(
            name,
            shape=tuple(shape),
            dtype=str if dtype == "str" else dtype,
            compressors=[Crc32cCodec()],
            fill_value=fill,
            dimension_names=tuple(dims),
            # a chunk that happens to hold only fill values must still exist, or it would look missing
            config={"write_empty_chunks": True},
            **options,
        )


def _along(coordinates: Coordinates, grid: Any) -> dict[str, Along]:
    """Coordinates with their axes, and the tokens' row and column where there is a grid `[rows, columns]`."""
    found: dict[str, Along] = {}
    if grid is not None:
        rows, columns = np.indices(tuple(grid), np.int32).reshape(2, -1)
        found = {"row": (("token",), rows), "column": (("token",), columns)}
    for name, said in coordinates.items():
        axes, values = ((name,) if np.ndim(said) else (), said) if name in AXES else said
        found[name] = ((axes,) if isinstance(axes, str) else tuple(axes), _values(values))
    return found


def _values(values: Any) -> np.ndarray:
    """An array; of texts one of any length, the one kind of text that Zarr's specification has."""
    array = np.asarray(values)
    return array.astype(np.dtypes.StringDType()) if array.dtype.kind in "UO" or not array.size else array


@contextmanager
def create(
    manifest: Path, settings: dict[str, Any], attributes: dict[str, Any], coordinates: Coordinates | None = None
) -> Iterator[Writer]:
    """A store beside `manifest` that appears only when the block ends well; nothing half-written stays.

    `settings` (what made it) and `attributes` (data set, grid …) go into the store and the manifest. `coordinates` say
    what lies along the axes: of an axis its labels, `{"image": ids}`, else axes and values, as in
    `{"status": ("image", words)}`.
    """
    assert "ids" not in attributes, "ids are the coordinate `image`"
    store = manifest.with_suffix(".zarr")
    partial = Path(f"{store}.partial")
    remove(manifest)
    partial.parent.mkdir(parents=True, exist_ok=True)
    described = {**attributes, "settings": settings, "provenance": provenance()}
    try:
        writer = Writer(zarr.create_group(partial, attributes=described), coordinates or {})
        yield writer
        _consolidate(partial)
        os.replace(partial, store)
        write_json(manifest, describe(store, writer.coordinates, described))
    except BaseException:
        remove(manifest)
        raise


def _consolidate(store: Path) -> None:
    """All metadata once more in the root's, where xarray looks for it first, and complains if it is not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)  # that the specification does not have it yet
        zarr.consolidate_metadata(store)


def remove(manifest: Path) -> None:
    """Takes a store away, the manifest first, so that no manifest ever describes a missing store."""
    manifest.unlink(missing_ok=True)
    store = manifest.with_suffix(".zarr")
    for folder in (store, Path(f"{store}.partial")):
        shutil.rmtree(folder, ignore_errors=True)
