"""Artifacts on disk: Zarr stores that are complete and intact, or an error that says which chunk is not.

A store is written under `NAME.zarr.partial`, renamed to `NAME.zarr`, and only then described by the
manifest `NAME.json`: every file with its size and hash, the arrays, the settings, the provenance. The
manifest is what the workflow tracks; whoever opens a store verifies it against the manifest first. Chunks
carry a crc32c, so a flipped bit is caught when its chunk is read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
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
    "y",
    "x",
    "step",
    "text",
)


class Writer:
    """Arrays of one unfinished store. Each is written in whole runs of images, in order, by one process."""

    def __init__(self, root: zarr.Group) -> None:
        self.root = root

    def array(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        dims: Sequence[str],
        *,
        run_images: int = 1,
        attributes: dict[str, Any] | None = None,
    ) -> zarr.Array:
        """An array with a chunk an image (and a layer), `run_images` chunks to a file (a Zarr shard)."""
        assert set(dims) <= set(AXES), dims
        chunks = tuple(1 if d in ("image", "layer") else max(1, n) for d, n in zip(dims, shape, strict=True))
        files = tuple(
            max(1, min(run_images, n)) if d == "image" else c for d, n, c in zip(dims, shape, chunks, strict=True)
        )
        return self.root.create_array(
            name,
            shape=tuple(shape),
            chunks=chunks,
            shards=files,
            dtype=dtype,
            compressors=[Crc32cCodec()],
            fill_value=np.nan if np.dtype(dtype).kind == "f" else 0,
            dimension_names=tuple(dims),
            attributes=attributes or {},
            # a chunk that happens to hold only fill values must still exist, or it would look missing
            config={"write_empty_chunks": True},
        )


@contextmanager
def create(manifest: Path, settings: dict[str, Any], attributes: dict[str, Any]) -> Iterator[Writer]:
    """A store beside `manifest` that appears only when the block ends well; nothing half-written stays.

    `settings` (what made it) and `attributes` (ids, grids …) go into the store and the manifest.
    """
    store = manifest.with_suffix(".zarr")
    partial = Path(f"{store}.partial")
    remove(manifest)
    partial.parent.mkdir(parents=True, exist_ok=True)
    described = {**attributes, "settings": settings, "provenance": provenance()}
    try:
        yield Writer(zarr.create_group(partial, attributes=described))
        os.replace(partial, store)
        write_json(manifest, _describe(store, described))
    except BaseException:
        remove(manifest)
        raise


def remove(manifest: Path) -> None:
    """Takes a store away, the manifest first, so that no manifest ever describes a missing store."""
    manifest.unlink(missing_ok=True)
    store = manifest.with_suffix(".zarr")
    for folder in (store, Path(f"{store}.partial")):
        shutil.rmtree(folder, ignore_errors=True)


class Store:
    """A finished store, verified against its manifest at opening and chunk by chunk when read."""

    def __init__(self, manifest: str | Path) -> None:
        """Raises `InputError` naming the store and the array and chunk at fault, and what to run."""
        self.manifest = Path(manifest)
        self.path = self.manifest.with_suffix(".zarr")
        self.description = _read_manifest(self.manifest)
        self._check_files()
        self.root = zarr.open_group(self.path, mode="r", use_consolidated=False)

    @property
    def attributes(self) -> dict[str, Any]:
        """Settings, provenance, ids and whatever else the stage wrote."""
        return dict(self.root.attrs)

    @property
    def ids(self) -> list[str]:
        """Image ids, in the order of the image axis."""
        return list(self.attributes["ids"])

    def read(self, name: str, index: Any = slice(None)) -> np.ndarray:
        """`array[index]` into memory. Raises `InputError` where a chunk's checksum does not match."""
        try:
            return np.asarray(self.root[name][index])
        except Exception as error:
            # zarr leaves its other reads pending, and each would be complained of when the process ends
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            bad = self._first_bad_file() or name
            raise self._fault(_place(bad), f"unreadable ({_line(error)})") from error

    def verify(self) -> None:
        """Reads and hashes every file. Raises `InputError` for the first that is not as it was written."""
        bad = self._first_bad_file()
        if bad:
            raise self._fault(_place(bad), "content that differs from what was written")

    def _check_files(self) -> None:
        if not self.path.is_dir():
            raise self._fault("the store", "no such folder (deleted, or never finished)")
        for name, (size, digest) in self.description["files"].items():
            file = self.path / name
            if not file.is_file():
                raise self._fault(_place(name), "a missing file")
            if file.stat().st_size != size:
                raise self._fault(_place(name), f"{file.stat().st_size} bytes instead of {size}")
            if file.name == "zarr.json" and _digest(file) != digest:
                raise self._fault(_place(name), "content that differs from what was written")

    def _first_bad_file(self) -> str | None:
        files = self.description["files"].items()
        return next((name for name, (_, digest) in files if _digest(self.path / name) != digest), None)

    def _fault(self, where: str, got: str) -> InputError:
        return InputError(
            f"store {self.path}, {where}: expected it as {self.manifest.name} describes it, got {got}; "
            f"run: rm {self.manifest} && snakemake --cores all"
        )


def read_json(path: Path) -> Any:
    """A JSON artifact, mostly an object. Raises `InputError` where it is missing or damaged."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected an artifact, found none; run: snakemake --cores all") from error
    except ValueError as error:
        raise InputError(
            f"{path}: expected JSON, got a damaged file ({_line(error)}); run: rm {path} && snakemake --cores all"
        ) from error


def _read_manifest(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not is_manifest(content):
        raise InputError(f"{path}: expected the manifest of a store, got other JSON; name a store or its manifest")
    return content


def is_manifest(content: Any) -> bool:
    """Whether JSON content describes a store."""
    return isinstance(content, dict) and all(isinstance(content.get(key), dict) for key in ("files", "arrays"))


def write_json(path: Path, content: dict[str, Any] | list[dict[str, Any]]) -> None:
    """A JSON artifact, whole or absent."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")


def _describe(store: Path, described: dict[str, Any]) -> dict[str, Any]:
    files = {
        str(file.relative_to(store)): (file.stat().st_size, _digest(file))
        for file in sorted(store.rglob("*"))
        if file.is_file()
    }
    opened = zarr.open_group(store, mode="r", use_consolidated=False)
    arrays = {name: _describe_array(array) for name, array in sorted(_arrays(opened))}
    # what was computed, without when or with which versions: equal content has equal hashes
    payload = json.dumps([sorted((n, d) for n, d in files.items() if not n.endswith("zarr.json")), arrays])
    content = hashlib.blake2b(payload.encode(), digest_size=16).hexdigest()
    return {"content": content, "arrays": arrays, "files": files, **described}


def _describe_array(array: zarr.Array) -> dict[str, Any]:
    names = array.metadata.to_dict().get("dimension_names")
    return {"shape": array.shape, "dtype": str(array.dtype), "dims": names}


def _arrays(group: zarr.Group) -> Iterator[tuple[str, zarr.Array]]:
    for name, member in group.members(max_depth=None):
        if isinstance(member, zarr.Array):
            yield name, member


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _place(name: str) -> str:
    array, _, chunk = name.partition("/c/")
    return f"array {array}, chunk {chunk}" if chunk else f"metadata {name}"


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().split("\n")[0][:160]
