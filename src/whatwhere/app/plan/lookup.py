"""What is looked up many times: data sets, networks at their sizes, and why one of them is not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from whatwhere.app.plan import asked
from whatwhere.app.plan.machine import Rate
from whatwhere.app.plan.network import Network, network
from whatwhere.app.plan.pictures import Pictures, pictures
from whatwhere.artifacts.errors import InputError
from whatwhere.config import Config, Run

Result = TypeVar("Result")


class Lookup:
    """A configuration, the machines it is planned for, and what is known of its data sets and backbones.

    `unknown` are the reasons, once each, for what is not.
    """

    def __init__(self, config: Config, gpu: Rate, cpu: Rate) -> None:
        self.config, self.gpu, self.cpu = config, gpu, cpu
        self.unknown: dict[str, None] = {}
        names = dict.fromkeys(dataset for dataset, _ in asked.views(config))
        self.pictures: dict[str, Pictures] = {name: pictures(name, config.datasets[name]) for name in names}
        self._networks: dict[asked.Place, Network | None] = {}

    def images(self, dataset: str) -> int | None:
        """How many there are."""
        if self.pictures[dataset].images is None:
            self.unknown[f"data set {dataset}: its images are counted once they are here"] = None
        return self.pictures[dataset].images

    def size(self, dataset: str, view: str) -> tuple[int, int] | None:
        """(height, width) in pixels of the images through a view, most of them where they differ."""
        shown = self.config.views[view].model_dump()
        found = self._known(f"view {view}", lambda: self.pictures[dataset].seen(shown))
        if not found:
            self.unknown[f"data set {dataset}, view {view}: the size of its images is known once they are here"] = None
        return found

    def network(self, dataset: str, backbone: str) -> Network | None:
        """A backbone at the size of a data set's images."""
        place = (dataset, backbone)
        if place not in self._networks:
            settings = self.config.backbones[backbone]
            size = self.size(dataset, settings.view)
            self._networks[place] = (
                self._known(f"backbone {backbone}", lambda: network(settings, *size)) if size else None
            )
        return self._networks[place]

    def networks(self) -> dict[str, Network | None]:
        """Every backbone that is used, at one of its sizes."""
        found: dict[str, Network | None] = {}
        for dataset, backbone in asked.places(self.config):
            found[backbone] = found.get(backbone) or self.network(dataset, backbone)
        return found

    def of_run(self, run: Run, find: Callable[[Network], Result]) -> Result | None:
        """What `find` says of a run's network; None where the run's layers, or anything before them, are not known."""
        dataset, backbone, method = run
        found = self.network(dataset, backbone)
        return self._known(f"{backbone}, method {method}", lambda: find(found)) if found else None

    def _known(self, what: str, find: Callable[[], Result]) -> Result | None:
        try:
            return find()
        except InputError as error:
            said = str(error)
            self.unknown[said if said.startswith(what) else f"{what}: {said}"] = None
            return None
