"""What lies in a run's folder and is not its configuration's any more: of methods, backbones or views that are gone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whatwhere.artifacts.store import is_manifest, read_json, remove
from whatwhere.artifacts.words import aligned, bytes_words
from whatwhere.config import Config
from whatwhere.config.needed import computed, extracted, views


@dataclass(frozen=True)
class Unused:
    """The stores under one place of a run, and the bytes that are free once they are gone (none where another run has
    the same files as well).
    """

    place: Path
    manifests: tuple[Path, ...]
    bytes: int


def unused(config: Config, results: Path = Path("results")) -> list[Unused]:
    """What the folder of the configuration's run has of other data sets, views, backbones or methods than its own."""
    run = results / config.run
    wanted = {f"images/{dataset}/{view}" for dataset, view in views(config)}
    wanted |= {f"features/{dataset}/{backbone}" for dataset, backbone in extracted(config)}
    methods = {"/".join(names) for names in computed(config)}
    found: dict[Path, list[Path]] = {}
    for manifest in sorted(run.rglob("*.json")):
        stage, *names = manifest.relative_to(run).with_suffix("").parts
        if any(part.endswith(".zarr") for part in names) or not is_manifest(read_json(manifest)):
            continue
        of_two = stage in ("images", "features")
        place = "/".join(names[: 2 if of_two else 3])
        if (f"{stage}/{place}" not in wanted) if of_two else (place not in methods):
            found.setdefault(run / stage / place, []).append(manifest)
    return [Unused(place, tuple(manifests), sum(map(_freed, manifests))) for place, manifests in found.items()]


def page(found: list[Unused]) -> str:
    """A line for each place, and what they are together."""
    if not found:
        return "nothing: all stores of this run are its configuration's"
    rows = [[str(one.place), f"{len(one.manifests)} stores", bytes_words(one.bytes)] for one in found]
    total = bytes_words(sum(one.bytes for one in found))
    return f"{aligned(rows, 'lrr', widest=100)}\n{total} in all; --remove takes them away"


def take_away(found: list[Unused]) -> None:
    """Deletes the stores and their manifests."""
    for one in found:
        for manifest in one.manifests:
            remove(manifest)
            manifest.with_suffix(".recipe").unlink(missing_ok=True)


def _freed(manifest: Path) -> int:
    files = (path.stat() for path in manifest.with_suffix(".zarr").rglob("*") if path.is_file())
    return sum(status.st_size for status in files if status.st_nlink == 1)
