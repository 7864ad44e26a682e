"""Stored images and features -> a page for each photograph that figures show, to point at its patches."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whatwhere.artifacts.manifest import digest, write_json
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.publish.explored.numbers import numbers_of
from whatwhere.publish.explored.page import page, write_page
from whatwhere.stages.features import read_features
from whatwhere.stages.shown import Shards

#: Bytes of a page: of 24 × 24 tokens, 12 layers and 6 heads it keeps single heads for every second patch along each
#: side.
LIMIT = 6_000_000


def write_explored(
    images: Sequence[str],
    features: Sequence[str],
    output: Path,
    *,
    first: int,
    ids: Sequence[str] = (),
    most: int | None = None,
    backbone: str,
    vectors: int,
    seed: int,
) -> None:
    """A page for each of the `first` images and of those of these `ids`, of all `most`, in a folder beside `output`,
    which says of each, in their order, its id as `title`, the `file` in that folder, its `size` and its `digest`:
    written last, so that what it says of is there.

    `images` and `features` are manifests of shards; features hold values. `backbone` is what pages call it.
    """
    shown, seen = Shards(images), Shards(features)
    folder = output.with_suffix("")
    partial = folder.with_name(f"{folder.name}.partial")
    output.unlink(missing_ok=True)
    for earlier in (folder, partial):
        shutil.rmtree(earlier, ignore_errors=True)
    partial.mkdir(parents=True)
    found: list[dict[str, Any]] = []
    names = list(dict.fromkeys([*shown.first(first), *ids]))[:most]
    for number, name in enumerate(progress(names, "pages"), 1):
        (store, place), (of, index) = shown.find(name), seen.find(name)
        image, seeds = store.read("rgb", place), seed_for(seed, "explored", name)
        choice: dict[str, Any] = {"vectors": vectors, "seed": seeds, "limit": LIMIT}
        known = {"backbone": backbone, "weights": of.attributes["weights"], **choice}
        file = partial / f"{number}-{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[:60]}.html"
        write_page(file, page(numbers_of(read_features(of, index), image, **known), image, title=name))
        found.append({"title": name, "file": file.name, "size": file.stat().st_size, "digest": digest(file)})
    os.replace(partial, folder)
    write_json(output, {"pages": found})
