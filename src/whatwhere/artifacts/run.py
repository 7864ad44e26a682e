"""A finished run from Python: everything that it holds by name, opened when it is asked for."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from whatwhere.artifacts.again import again
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.manifest import is_manifest, line, read_json
from whatwhere.artifacts.store import Store

if TYPE_CHECKING:
    import pandas as pd
    import xarray

Kind: TypeAlias = Literal["store", "table", "JSON", "file"]
#: What files are, by their suffix.
_KIND: dict[str, Kind] = {".parquet": "table", ".csv": "table", ".json": "JSON"}
#: Folders that a run may have, by which one is recognised.
KINDS = ("images", "features", "vectors", "regions", "scores", "joint", "segments", "tables")
#: Name of a shard: height and width of its images in pixels, and its number.
_SHARD = re.compile(r"(\d+)x(\d+)-(\d+)")
#: What is still being written, or for the machine alone.
_PASSING = (".partial", ".lock", ".state")


@dataclass(frozen=True)
class Entry:
    """What lies under a name: the manifests of stores, files of a table, or one other file."""

    kind: Kind
    files: tuple[Path, ...]


class Artifacts(Mapping[str, Any]):
    """Artifacts by name. A name is looked up, its files are verified and opened, when it is asked for, every time anew.

    Stores are an `xarray.DataTree` of Dask arrays, tables a `pandas.DataFrame`, JSON what it says, other files their
    path. Shards are one: see `open_run`.
    """

    __hash__ = object.__hash__
    __eq__ = object.__eq__  # a mapping's own would open everything

    def __init__(self, path: Path, found: Mapping[str, Entry], prefix: str = "") -> None:
        self.path = path
        self._found, self._prefix = found, prefix

    def __getitem__(self, name: str) -> Any:
        """Raises `KeyError` for a name that is not there, `InputError` for what is damaged or not finished."""
        entry = self._found[f"{self._prefix}{name}"]
        if entry.kind == "store":
            return _stores(self.path, entry.files)
        if entry.kind == "table":
            return _table(entry.files)
        return _json(entry.files[0]) if entry.kind == "JSON" else entry.files[0]

    def __contains__(self, name: object) -> bool:
        return f"{self._prefix}{name}" in self._found  # a mapping's own would open it

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._found if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return "\n".join([f"{self.path / self._prefix}", *(f"  {name}" for name in self)])


class Run(Artifacts):
    """A run: `run["features/scenes/zoo-dino"]`, or by kind, `run.features["scenes/zoo-dino"]`, `run.tables["table1"]`.

    `run` by itself says which kinds there are, `run.features` what there is of one.
    """

    def __getattr__(self, kind: str) -> Artifacts:
        if kind.startswith("_"):  # asked for by copy and pickle, before there is anything to look it up in
            raise AttributeError(kind)
        if kind not in self._kinds():
            raise AttributeError(f"run {self.path}: expected one of {', '.join(self._kinds())}, got {kind!r}")
        return Artifacts(self.path, self._found, f"{kind}/")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._kinds()]

    def __repr__(self) -> str:
        lines = [f"run {self.path}"]
        for kind in self._kinds():
            counts = Counter(entry.kind for name, entry in self._found.items() if name.startswith(f"{kind}/"))
            said = ", ".join(f"{n} {what}{'s' * (n > 1 and what != 'JSON')}" for what, n in sorted(counts.items()))
            lines.append(f"  {kind:<12} {said}")
        return "\n".join([*lines, *(f"  {name}" for name in self._found if "/" not in name)])

    def _kinds(self) -> list[str]:
        return list(dict.fromkeys(name.partition("/")[0] for name in self._found if "/" in name))


def open_run(path: str | Path) -> Run:
    """Everything that a run holds, by name and lazily: nothing is opened before it is asked for.

    A name is the path in the run, of what is divided into shards without the shard: `features/scenes/zoo-dino` is one
    `xarray.DataTree` in which the shards follow each other along `image`, with a node for each grid of tokens. Images
    of different sizes cannot be in one array: where there are several sizes, each is a node (`448x336`). Arrays are
    Dask's, a chunk a file of a store, verified as it is read. Tables (`tables/table1`, `scores/scenes/zoo-dino/exact`)
    are a `pandas.DataFrame` of all shards.

    Features are float16, in which Dask's means overflow: say `.astype("float32")` first.

    A copy with other chunks, a layer of all images in each, say, with checksums as the stores have them:

        from zarr.codecs import Crc32cCodec

        layers = whatwhere.open_run("results/embedded")["features/scenes/zoo-dino"]["16x16"].to_dataset()
        copy = layers.chunk(image=-1, layer=1)
        checked = {name: {"compressors": [Crc32cCodec()]} for name in copy.data_vars}
        copy.to_zarr("by-layer.zarr", encoding=checked, consolidated=False)

    Raises `InputError` for what is no run; what is asked of it raises `InputError` where a store is damaged, not
    finished or of an earlier version.
    """
    folder = Path(path)
    if not any((folder / kind).is_dir() for kind in KINDS):
        runs = sorted({place.parent.name for kind in KINDS for place in folder.glob(f"*/{kind}")})
        got = f"one of runs ({', '.join(runs)})" if runs else "another" if folder.is_dir() else "none"
        raise InputError(f"{path}: expected the folder of a run, such as results/embedded, got {got}; name a run's")
    return Run(folder, _found(folder))


def _found(folder: Path) -> dict[str, Entry]:
    """What a run's folder holds, by name. Stores are known by their folders: what was not finished has no manifest."""
    found: dict[str, list[tuple[Kind, Path]]] = defaultdict(list)
    for place, folders, files in os.walk(folder):
        here = Path(place)
        stores = {name.partition(".zarr")[0] for name in folders if ".zarr" in name}
        folders[:] = [name for name in folders if not (".zarr" in name or name.endswith(_PASSING))]
        if here == folder:
            folders[:] = [name for name in folders if name != "logs"]
        if stores:  # the others are shards of the same data set, of which one may have been deleted
            stores |= {name.removesuffix(".json") for name in files if _SHARD.fullmatch(name.removesuffix(".json"))}
        for name in stores:
            _add(found, folder, "store", here / f"{name}.json")
        for name in {*files} - {f"{name}.json" for name in stores}:
            if not (name.startswith(".") or name.endswith(_PASSING)):
                _add(found, folder, _KIND.get(Path(name).suffix, "file"), here / name)
    return {name: _entry(found[name]) for name in sorted(found)}


def _entry(files: Sequence[tuple[Kind, Path]]) -> Entry:
    return Entry(files[0][0], tuple(sorted((path for _, path in files), key=_order)))


def _add(found: dict[str, list[tuple[Kind, Path]]], folder: Path, kind: Kind, path: Path) -> None:
    """Under its path in the run: with its suffix where that says what it is, without the shard where it is one of."""
    name = path.relative_to(folder)
    if kind in ("store", "table"):
        name = name.parent if _SHARD.fullmatch(name.stem) else name.with_suffix("")
    found[name.as_posix()].append((kind, path))


def _order(path: Path) -> tuple[Any, ...]:
    """Shards by size and number, whatever the count of their digits."""
    shard = _SHARD.fullmatch(path.stem)
    return (*map(int, shard.groups()), "") if shard else (0, 0, 0, path.name)


def _stores(run: Path, manifests: Sequence[Path]) -> xarray.DataTree:
    from whatwhere.artifacts.lazy import lazy_tree

    sizes = defaultdict(list)
    for manifest in manifests:
        sizes[manifest.stem.partition("-")[0]].append(Store(manifest))
    _check_shards(run, manifests)
    return lazy_tree(sizes)


def _check_shards(run: Path, manifests: Sequence[Path]) -> None:
    """All shards of the data set must be there, of one of the views that it is indexed in."""
    if not _SHARD.fullmatch(manifests[0].stem):
        return
    there = {manifest.stem for manifest in manifests}
    dataset = manifests[0].relative_to(run).parts[1]
    views = [set(read_json(index)["shards"]) for index in sorted(run.glob(f"images/{dataset}/*/index.json"))]
    if views and there not in views:
        missing = min((view - there for view in views), key=len)
        raise InputError(
            f"{manifests[0].parent}: expected all shards of {dataset}, got none of {', '.join(sorted(missing))}; "
            f"run: {again(manifests[0])}"
        )


def _table(files: Sequence[Path]) -> pd.DataFrame:
    import pandas as pd

    frames = []
    for file in files:
        try:
            frames.append(pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file))
        except Exception as error:
            raise InputError(
                f"{file}: expected a table, got a damaged file ({line(error)}); run: rm {file} && {again(file)}"
            ) from error
    full = [frame for frame in frames if len(frame)]  # of an empty one the types of columns are not known
    return pd.concat(full, ignore_index=True) if full else frames[0]


def _json(path: Path) -> Any:
    content = read_json(path)
    return Store(path) if is_manifest(content) else content  # a store that is gone says so itself
