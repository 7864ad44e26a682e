"""Which sets `whatwhere bench dataset` solves, by what, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from whatwhere.app.bench.alone import FLOOR
from whatwhere.artifacts.errors import InputError
from whatwhere.config.methods import Global, Landmarks, MiniBatch

PATHWAYS = ("vv", "qk")
#: Steps of Adam on each mini-batch, as in config.yaml: the released code's 5 need hundreds of epochs of a small set.
STEPS = 30
#: Standard deviation of X before them. ASSUME: so few steps of 1e-2 would leave a standard normal X what it was.
START = 0.1
#: The mini-batch solver also goes so many times the epochs, on the largest set of up to so many images: what its
#: solutions are then worth.
LONGER_IMAGES, TIMES_EPOCHS = 64, (2, 8)


class Run(NamedTuple):
    """One process: what it solves, and in how many epochs (0 for a solver that has none)."""

    images: int
    solver: str
    pathway: str
    epochs: int = 0

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.solver}-{self.pathway}-{self.images}-{self.epochs}"


@dataclass(frozen=True)
class Plan:
    """What is measured: sets of so many `images`, X of so many `vectors`, `epochs` passes in batches of `batch_images`,
    landmarks of a `sample` (None: as large as the smallest set). `busy` as of `clock.timed`.

    Raises `InputError` where the sizes are fewer than two, do not grow, or are no multiples of the smallest, where
    that is smaller than a batch, and for less than one vector, epoch or image in a batch.
    """

    images: tuple[int, ...] = (32, 64, 128, 256)
    vectors: int = 50
    batch_images: int = 16
    epochs: int = 2
    device: str = "cpu"
    seed: int = 0
    pathways: tuple[str, ...] = PATHWAYS
    sample: int | None = None
    busy: bool = False

    def __post_init__(self) -> None:
        _check_sizes(self.images)
        said = {"vectors": self.vectors, "batch": self.batch_images, "epochs": self.epochs, "sample": self.sample}
        for name, value in said.items():
            if value is not None and value < 1:
                raise InputError(f"--{name}: expected a whole number from 1, got {value}; raise it")
        if self.batch_images > self.images[0]:
            raise InputError(
                f"--batch: expected at most the {self.images[0]} images of the smallest set, got {self.batch_images}; "
                "take smaller batches, or larger sets"
            )

    @property
    def longer(self) -> int:
        """Images of the set that mini-batches see more often: the largest of up to `LONGER_IMAGES`, or the smallest."""
        return max([size for size in self.images if size <= LONGER_IMAGES], default=self.images[0])

    @property
    def runs(self) -> list[Run]:
        """Every process, the last ones only for what their solutions are worth."""
        found = []
        for images in self.images:
            found.append(Run(images, FLOOR, self.pathways[0]))
            found += [Run(images, "minibatch", pathway, self.epochs) for pathway in self.pathways]
            found += [Run(images, solver, pathway) for solver in ("global", "landmarks") for pathway in self.pathways]
        more = [times * self.epochs for times in TIMES_EPOCHS]
        return found + [Run(self.longer, "minibatch", pathway, epochs) for epochs in more for pathway in self.pathways]

    def method(self, run: Run, layers: Sequence[str]) -> dict[str, Any]:
        """A run's settings, as of a configuration; `layers` are patterns."""
        shared: dict[str, Any] = {"pathway": run.pathway, "layers": tuple(layers), "vectors": self.vectors}
        if run.solver == "landmarks":
            sample = self.sample or self.images[0]
            return Landmarks(kind="landmarks", **shared, search="exact", sample=sample).model_dump()
        if run.solver != "minibatch":  # by the operator that landmarks have, so that the two differ in the sample alone
            return Global(kind="global", **shared, operator="regularised", search="exact").model_dump()
        batches = run.epochs * -(-run.images // self.batch_images)
        steps: dict[str, Any] = {"batch_images": self.batch_images, "batches": batches, "steps": STEPS, "start": START}
        return MiniBatch(kind="minibatch", **shared, **steps).model_dump()


def _check_sizes(images: Sequence[int]) -> None:
    got = " ".join(map(str, images))
    if len(images) < 2:
        raise InputError(f"--images: expected at least two sizes to see growth, got {got or 'none'}; name another")
    if sorted(set(images)) != list(images):
        raise InputError(f"--images: expected sizes that grow, got {got}; put them in order")
    odd = [size for size in images if images[0] < 2 or size % images[0]]
    if odd:
        raise InputError(
            f"--images: expected multiples of the smallest size, which is 2 or more, got {odd[0]} among {got}; "
            "try 32 64 128"
        )
