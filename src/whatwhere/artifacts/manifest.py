"""Manifests: what a store holds, file by file, and the JSON that artifacts are written as."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatwhere.artifacts.again import again
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError, line

if TYPE_CHECKING:
    import zarr

#: Of stores: 2 since arrays have coordinates, 3 since manifests guard themselves. A store of another one is not read.
FORMAT = 3
#: A manifest's hash of all else in it.
GUARD = "guard"


def read_json(path: Path) -> Any:
    """A JSON artifact, mostly an object. Raises `InputError` where it is missing or damaged."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected an artifact, found none; run: {again(path)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: expected JSON, got a damaged file ({line(error)}); run: rm {path} && {again(path)}"
        ) from error


def write_json(path: Path, content: dict[str, Any] | list[dict[str, Any]]) -> None:
    """A JSON artifact, whole or absent."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")


def read_manifest(path: Path) -> dict[str, Any]:
    """What a manifest says. Raises `InputError` for JSON that is none, and for a store of another format."""
    content = read_json(path)
    if not is_manifest(content):
        raise InputError(f"{path}: expected the manifest of a store, got other JSON; name a store or its manifest")
    if (got := content.get("format", 1)) != FORMAT:
        whose = "a later" if isinstance(got, int) and got > FORMAT else "an earlier"
        raise InputError(
            f"store {path.with_suffix('.zarr')}: expected format {FORMAT}, got {got}, of {whose} version of whatwhere; "
            f"make it anew, run: rm {path} && {again(path)}"
        )
    if content.get(GUARD) != _guard(content):
        raise InputError(
            f"manifest {path}: expected it as it was written with the store, got it changed since (edited or damaged); "
            f"run: rm {path} && {again(path)}"
        )
    return content


def is_manifest(content: Any) -> bool:
    """Whether JSON content describes a store."""
    return isinstance(content, dict) and all(isinstance(content.get(key), dict) for key in ("files", "arrays"))


def describe(store: Path, coordinates: Iterable[str], described: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a store that is whole: its files with sizes and hashes, its arrays and its coordinates.

    `content` is a hash of what is in them, without when it was computed or with which versions: equal content has
    equal hashes. `coordinates` are the names of the arrays that say what lies along the axes of the others.
    """
    files = {
        str(file.relative_to(store)): (file.stat().st_size, digest(file))
        for file in sorted(store.rglob("*"))
        if file.is_file()
    }
    import zarr

    opened = zarr.open_group(store, mode="r", use_consolidated=True)
    members = sorted((name, one) for name, one in opened.members(max_depth=None) if isinstance(one, zarr.Array))
    arrays = {name: _array(array) for name, array in members}
    payload = json.dumps([sorted((n, d) for n, d in files.items() if not n.endswith("zarr.json")), arrays])
    beside = {name: arrays.pop(name) for name in sorted(coordinates)}
    manifest = {
        "format": FORMAT,
        "content": hashlib.blake2b(payload.encode(), digest_size=16).hexdigest(),
        "arrays": arrays,
        "coordinates": beside,
        "files": files,
        **described,
    }
    return {**manifest, GUARD: _guard(manifest)}


def _guard(manifest: dict[str, Any]) -> str:
    """A hash of what a manifest says, as JSON has it: what describes a store must itself be what was written."""
    plain = json.loads(json.dumps({key: value for key, value in manifest.items() if key != GUARD}))
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=16).hexdigest()


def _array(array: zarr.Array) -> dict[str, Any]:
    names = array.metadata.to_dict().get("dimension_names") or ()
    kind = "str" if array.dtype.kind == "T" else str(array.dtype)
    return {"shape": array.shape, "dtype": kind, "dims": names}


def digest(file: Path | str) -> str:
    """Hash of a file's bytes."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def array_of(file: str) -> str:
    """The array that a chunk's file is of, by its path in the store; empty for metadata."""
    array, _, chunk = f"{file}/".partition("/c/")
    return array if chunk or file.endswith("/c") else ""


def place(file: str) -> str:
    """A file of a store in words: array and chunk, or which metadata."""
    array = array_of(file)
    return f"array {array}, chunk {file.removeprefix(f'{array}/c').lstrip('/') or 0}" if array else f"metadata {file}"
