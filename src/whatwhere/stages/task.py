"""What a job of the workflow is known by."""

from __future__ import annotations

from dataclasses import dataclass

#: The wildcards of a rule but for the shard: where its artifacts and logs lie.
Place = tuple[str, ...]
#: A stage and a place there.
At = tuple[str, Place]


@dataclass(frozen=True)
class Task:
    """A stage in a place, what it reads, and with how many images it is tried: few, and more."""

    stage: str
    place: Place
    after: tuple[At, ...] = ()
    sizes: tuple[int, int] = (1, 4)
