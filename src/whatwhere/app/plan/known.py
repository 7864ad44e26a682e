"""What is known before a run: its data sets and its networks at their sizes; and why one of them is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.network import Network, network
from whatwhere.config import Config, Run
from whatwhere.config.joint import Joint
from whatwhere.config.methods import Solver
from whatwhere.config.pictures import Pictures, pictures
from whatwhere.method.layers import chosen_layers

#: Methods that answer masks, not vectors to be clustered.
MASKED = ("tokencut", "maskcut")
#: Settings of a backbone that decide what shape it has.
OF_SHAPES = {"model", "revision", "options", "layers", "upsample"}
#: Counts are whole, but may be means as well.
Number = int | float
Result = TypeVar("Result")


class Known:
    """A configuration, and what is known of its data sets and backbones. `unknown`: why something is not, once each.

    `images`: so many are taken to be in every folder of photographs, whatever is there.
    """

    def __init__(self, config: Config, images: int | None = None) -> None:
        self.config = config
        self.images = images
        self.unknown: dict[str, None] = {}
        self.pictures: dict[str, Pictures] = {}
        self.networks: dict[tuple[str, str], Network | None] = {}

    def data(self, dataset: str) -> Pictures:
        """What is known of a data set."""
        if dataset not in self.pictures:
            found = pictures(dataset, self.config.datasets[dataset])
            supposed = self.images if found.kind == "folder" else None
            self.pictures[dataset] = replace(found, images=supposed or found.images)
            if self.pictures[dataset].images is None:
                self.unknown[f"data set {dataset}: its images are counted once they are here"] = None
        return self.pictures[dataset]

    def size(self, dataset: str, view: str) -> tuple[int, int] | None:
        """(height, width) in pixels of the images through a view, most of them where they differ."""
        shown = self.config.views[view].model_dump()
        found = self._known(f"view {view}", lambda: self.data(dataset).seen(shown))
        if not found:
            self.unknown[f"data set {dataset}, view {view}: the size of its images is known once they are here"] = None
        return found

    def network(self, dataset: str, backbone: str) -> Network | None:
        """A backbone at the size of a data set's images."""
        place, settings = (dataset, backbone), self.config.backbones[backbone]
        if place not in self.networks:
            size, said = self.size(dataset, settings.view), settings.model_dump(include=OF_SHAPES)
            found = size and self._known(f"backbone {backbone}", lambda: network(height=size[0], width=size[1], **said))
            self.networks[place] = found or None
        return self.networks[place]

    def vectors(self, run: Run) -> tuple[int, int] | None:
        """Tokens, and numbers of each, of what a run's method leaves behind of an image; None where that is not known.

        A method that is no solver keeps the last layer's tokens (`final` and `largest`: the last features).
        """
        found, method = self.network(*run[:2]), self.config.methods[run[2]]
        return self._known(f"{run[1]}, method {run[2]}", lambda: _left_behind(found, method)) if found else None

    def _known(self, what: str, find: Callable[[], Result]) -> Result | None:
        try:
            return find()
        except InputError as error:
            said = str(error)
            self.unknown[said if said.startswith(what) else f"{what}: {said}"] = None
            return None


def total(values: Iterable[Number | None]) -> Number:
    """The sum of what is known."""
    return float(sum(value for value in values if value is not None))


def _left_behind(found: Network, method: Any) -> tuple[int, int]:
    layers = found.layers
    if isinstance(method, Solver | Joint):
        read = chosen_layers([a.name for a in layers], [a.grid for a in layers], method.layers)
        tokens = max(a.tokens for a, is_read in zip(layers, read, strict=True) if is_read)
        return tokens, getattr(method, "columns", None) or method.vectors
    if method.kind in ("final", "largest"):
        return found.final_tokens, found.final_channels
    last = layers[-1].tokens if layers else found.final_tokens
    return last, getattr(method, "masks", getattr(method, "vectors", 2))
