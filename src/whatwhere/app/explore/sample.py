"""Which of a folder's photographs its codebook was made from, and which of their patches are its landmarks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from whatwhere.app.discover.codebook import Codebook
from whatwhere.app.explore.found import Found, digest
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.datasets.images import read_image
from whatwhere.method.joint.connections import Targets, targets_of
from whatwhere.method.joint.landmarks import places_of
from whatwhere.method.joint.sample import order_of
from whatwhere.method.joint.seen import Seen

#: In the folder of pages: what is known of the sample.
NOTE = "sample.json"


@dataclass(frozen=True)
class Sampled:
    """A photograph of the sample: the hash of its file, the codebook's name for it, and its grid once it was seen."""

    content: str
    id: str
    grid: tuple[int, int] | None = None


def sampled(book: Codebook, state: str, photos: Sequence[Found], out: Path) -> tuple[Sampled, ...]:
    """Those of the sample that are in the folder, in the codebook's order; as noted in `out` for the same photographs.

    Raises `InputError` where none is.
    """
    key = digest(state, *sorted({one.content for one in photos}))
    noted = _noted(out / NOTE, key)
    if noted:
        return noted
    ids = book.book.landmarks.ids
    found: dict[str, Sampled] = {}
    order = order_of([one.name for one in photos], seed=book.asked.seed)  # nearly that in which they were drawn
    for number in progress(order, "the sample's photographs"):
        if len(found) == len(ids):
            break
        one = photos[number]
        name = book.id_of(read_image(one.photo))
        if name in ids and name not in found:
            found[name] = Sampled(one.content, name)
    if not found:
        raise InputError(
            f"codebook: expected photographs of the sample that it was made from, got none among {len(photos)}; "
            "run whatwhere discover with another --out"
        )
    return tuple(found[name] for name in ids if name in found)


def note(out: Path, state: str, photos: Sequence[Found], sample: Sequence[Sampled]) -> None:
    """What is known of the sample, for the next run."""
    key = digest(state, *sorted({one.content for one in photos}))
    with replacing(out / NOTE) as unfinished:
        unfinished.write_text(json.dumps({"key": key, "sample": [vars(one) for one in sample]}), "utf-8")


def patches_of(book: Codebook, one: Sampled) -> Int[np.ndarray, "landmark"]:
    """The codebook's landmarks of a photograph: patches of its grid, in their order, as its sample was thinned."""
    assert one.grid
    marks = book.book.landmarks
    count = int((marks.owners[0] == marks.ids.index(one.id)).sum())
    return places_of(one.id, one.grid[0] * one.grid[1], count, seed_for(book.asked.seed, "solve"))


def seen_sample(
    book: Codebook, sample: Sequence[Sampled], pixels: Callable[[str], np.ndarray]
) -> tuple[Targets, tuple[Sampled, ...]]:
    """The landmarks' vectors of both pathways, from one pass each; and the sample with its grids. `pixels` answers the
    photograph of a hash.
    """
    known: list[Sampled] = []

    def passes() -> Iterator[tuple[Seen, np.ndarray]]:
        """One photograph after the other."""
        for one in progress(sample, "landmarks"):
            seen = book.seen(pixels(one.content), pathway="both")
            known.append(Sampled(one.content, one.id, seen.grid))
            yield seen, patches_of(book, known[-1])

    targets = targets_of(passes())
    return targets, tuple(known)


def _noted(file: Path, key: str) -> tuple[Sampled, ...]:
    """Nothing where nothing is noted, or something of other photographs."""
    try:
        said = json.loads(file.read_text("utf-8"))
        if said["key"] != key:
            return ()
        return tuple(Sampled(one["content"], one["id"], tuple(one["grid"])) for one in said["sample"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()
