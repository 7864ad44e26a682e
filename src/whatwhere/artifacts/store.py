"""Artifacts on disk: Zarr stores that are complete and intact, or an error that says which chunk is not.

A store is written under `NAME.zarr.partial`, renamed to `NAME.zarr`, and only then described by the
manifest `NAME.json`: every file with its size and hash, the arrays, the settings, the provenance. The
manifest is what the workflow tracks; whoever opens a store verifies it against the manifest first. Chunks
carry a crc32c, so a flipped bit is caught when its chunk is read; metadata and coordinates are small, and
hashed whenever a store is opened.
"""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from whatwhere.artifacts.again import again
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.manifest import array_of, digest, is_manifest, line, place, read_json, read_manifest
from whatwhere.artifacts.manifest import write_json as write_json
from whatwhere.artifacts.writer import AXES, Writer, create, remove

__all__ = ["AXES", "Store", "Writer", "create", "is_manifest", "read_json", "remove", "write_json"]


class Store:
    """A finished store, verified against its manifest at opening and chunk by chunk when read."""

    def __init__(self, manifest: str | Path) -> None:
        """Raises `InputError` naming the store and the array and chunk at fault, and what to run."""
        self.manifest = Path(manifest)
        self.path = self.manifest.with_suffix(".zarr")
        self.description = read_manifest(self.manifest)
        self._check_files()
        # one array's metadata when it is asked for: all of them at once is what takes time
        self.root = zarr.open_group(self.path, mode="r", use_consolidated=False)
        self._arrays: dict[str, zarr.Array] = {}
        self._attributes: dict[str, dict[str, Any]] = {}
        self._coordinates: dict[str, list[Any]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Elsewhere it is opened, and verified, once more."""
        return _opened, (str(self.manifest.absolute()), self.description["content"])

    @property
    def attributes(self) -> dict[str, Any]:
        """Settings, provenance and whatever else the stage wrote of the whole store."""
        return dict(self.root.attrs)

    @property
    def ids(self) -> list[str]:
        """Image ids, in the order of the image axis."""
        return self.coordinate("image")

    @property
    def groups(self) -> list[str]:
        """Names of the groups that arrays lie in; the root's is empty."""
        return list(dict.fromkeys(name.rpartition("/")[0] for name in self.description["arrays"]))

    def attributes_of(self, group: str) -> dict[str, Any]:
        """What the stage wrote of a group."""
        if group not in self._attributes:
            self._attributes[group] = dict(self.root[group].attrs) if group else self.attributes
        return self._attributes[group]

    def coordinate(self, name: str) -> list[Any]:
        """What lies along an axis, as a list: `partition`, `16x16/layer`; of one without an axis a single entry.

        It is read once, and always the same list.
        """
        if name not in self._coordinates:
            self._coordinates[name] = np.atleast_1d(self.read(name)).tolist()
        return self._coordinates[name]

    def array(self, name: str) -> zarr.Array:
        """An array as Zarr has it, for its shape, type and chunks; `read` says what is damaged."""
        if name not in self._arrays:
            array = self.root[name]
            assert isinstance(array, zarr.Array), name
            self._arrays[name] = array
        return self._arrays[name]

    def read(self, name: str, index: Any = ...) -> np.ndarray:
        """`array[index]` into memory. Raises `InputError` where a chunk's checksum does not match."""
        try:
            return np.asarray(self.array(name)[index])
        except Exception as error:
            # zarr leaves its other reads pending, and each would be complained of when the process ends
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            bad = self._first_bad_file() or f"{name}/c"
            raise self._fault(place(bad), f"unreadable ({line(error)})") from error

    def verify(self) -> None:
        """Reads and hashes every file. Raises `InputError` for the first that is not as it was written."""
        bad = self._first_bad_file()
        if bad:
            raise self._fault(place(bad), "content that differs from what was written")

    def _check_files(self) -> None:
        if not self.path.is_dir():
            raise self._fault("the store", "no such folder (deleted, or never finished)")
        small = self.description["coordinates"]
        for name, (size, expected) in self.description["files"].items():
            file = f"{self.path}/{name}"  # a path of pathlib's takes as long as the rest
            try:
                found = os.stat(file).st_size
            except OSError as error:
                raise self._fault(place(name), "a missing file") from error
            if found != size:
                raise self._fault(place(name), f"{found} bytes instead of {size}")
            array = array_of(name)
            if (not array or array in small) and digest(file) != expected:
                raise self._fault(place(name), "content that differs from what was written")

    def _first_bad_file(self) -> str | None:
        files = self.description["files"].items()
        return next((name for name, (_, expected) in files if _found(self.path / name) != expected), None)

    def _fault(self, where: str, got: str) -> InputError:
        return InputError(
            f"store {self.path}, {where}: expected it as {self.manifest.name} describes it, got {got}; "
            f"run: rm {self.manifest} && {again(self.manifest)}"
        )


@lru_cache(maxsize=64)
def _opened(manifest: str, content: str) -> Store:
    """The store that was sent here, once for each content. Raises `InputError` where another lies at its path."""
    found = Store(manifest)
    if found.description["content"] != content:
        raise InputError(
            f"store {found.path}: expected the content {content}, got {found.description['content']} on this machine; "
            "let all machines see the same results"
        )
    return found


def _found(file: Path) -> str:
    """The digest of a file; of one that is gone or may not be read none."""
    try:
        return digest(file)
    except OSError:
        return ""
