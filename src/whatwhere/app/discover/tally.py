"""What the page and the tables say of classes, added up photograph by photograph: memory does not grow with them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from whatwhere.app.discover.maps import PLACES, Summary, read_summary
from whatwhere.app.discover.names import Names
from whatwhere.artifacts.progress import progress

#: Of each class: patches shown, each of another photograph, and whole photographs.
PATCHES, EXAMPLES = 8, 3
#: Part of a photograph from which on it counts as one with the class.
PRESENT = 0.01


@dataclass(order=True)
class Shown:
    """A photograph on the page, with the name of its archive: how well it shows the class, and where (y, x; 0 to 1)."""

    worth: float
    photo: str
    name: str
    at: tuple[float, float] = field(compare=False)


@dataclass
class Class:
    """One class over all photographs: the mean part of a photograph that it covers, photographs that have it, the part
    of each cell of the picture that it covers, its most typical patches and the photographs with most of it.
    """

    number: int
    share: float
    photographs: int
    places: Float[np.ndarray, "row column"]
    patches: list[Shown]
    examples: list[Shown]


@dataclass
class Tally:
    """All classes that are shown, the largest first; photographs, and those of which most hardly connects."""

    classes: list[Class]
    photographs: int
    strangers: float
    strangest: list[Shown]


class _Best:
    """The worthiest so far."""

    def __init__(self, count: int) -> None:
        self._count, self._kept = count, list[Shown]()

    def offer(self, one: Shown) -> None:
        """Keeps it, if it is among them."""
        if len(self._kept) < self._count:
            heapq.heappush(self._kept, one)
        else:
            heapq.heappushpop(self._kept, one)

    def best(self) -> list[Shown]:
        """The worthiest first."""
        return sorted(self._kept, reverse=True)


#: A photograph, the name of its archive, and what that says of it.
Said = tuple[Path, str, Summary]


def summaries(archive: Path, photos: Mapping[Path, str]) -> Iterator[Said]:
    """Of all photographs (with the names of their archives), one after the other."""
    for photo, name in progress(photos.items(), "counting", total=len(photos)):
        if said := read_summary(archive / f"{name}.npz"):
            yield photo, name, said


def tally(said: Iterable[Said], names: Names) -> Tally:
    """Of all photographs, merged classes as one."""
    shown = names.shown()
    places = np.zeros((len(names.names), PLACES, PLACES))
    shares, with_it = np.zeros(len(names.names)), np.zeros(len(names.names), int)
    patches = {n: _Best(PATCHES) for n in shown}
    examples = {n: _Best(PATCHES + EXAMPLES) for n in shown}
    strangest, strangers, count = _Best(EXAMPLES * 2), 0.0, 0
    for photo, name, one in said:
        count += 1
        own = np.bincount(names.shown_as, one.shares, len(shares))
        shares, with_it = shares + own, with_it + (own >= PRESENT)
        np.add.at(places, names.shown_as, one.places)
        strangers += one.strangers
        strangest.offer(Shown(one.strangers, str(photo), name, (0.5, 0.5)))
        for number in np.unique(names.shown_as[np.isfinite(one.typical)]).tolist():
            worth, at = _typical(one, names, number)
            patches[number].offer(Shown(worth, str(photo), name, at))
            examples[number].offer(Shown(float(own[number]), str(photo), name, at))
    found = [
        Class(
            n,
            shares[n] / count,
            int(with_it[n]),
            places[n] / count,
            patches[n].best(),
            _others(patches[n], examples[n]),
        )
        for n in shown
    ]
    order = sorted(found, key=lambda one: -one.share)
    return Tally(order, count, strangers / count, [one for one in strangest.best() if one.worth > PRESENT])


def _typical(one: Summary, names: Names, number: int) -> tuple[float, tuple[float, float]]:
    """The most typical place of a class, or of one that was merged into it."""
    members = np.flatnonzero(names.shown_as == number)
    best = members[one.typical[members].argmax()]
    y, x = one.typical_at[best].tolist()
    return float(one.typical[best]), (y, x)


def _others(patches: _Best, examples: _Best) -> list[Shown]:
    """The photographs with most of a class, those before the others whose patches are not shown."""
    seen = {one.photo for one in patches.best()}
    return sorted(examples.best(), key=lambda one: one.photo in seen)[:EXAMPLES]
