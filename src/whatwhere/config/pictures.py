"""What is known of a configuration's data sets before a run, without downloading or reading all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whatwhere.artifacts.errors import InputError
from whatwhere.config.overlay import unset_variable
from whatwhere.datasets import class_names, load_dataset
from whatwhere.datasets.images import View, view_size
from whatwhere.datasets.published import ANNOTATORS, IMAGES, SIZES
from whatwhere.datasets.sources import FETCHED, SOURCES, Source, manifest_path

#: Images of one's own that are opened to learn their size.
OPENED = 5


@dataclass(frozen=True)
class Pictures:
    """A data set: `images`, None where nobody can know; (height, width) in pixels; label maps an image; its classes.

    `fetched` are the sources that the workflow downloads, to `root`; `missing` says what it cannot get by itself.
    """

    kind: str
    images: int | None = None
    size: tuple[int, int] | None = None
    annotators: int = 1
    classes: int = 0
    root: Path | None = None
    fetched: tuple[Source, ...] = ()
    missing: str = ""

    @property
    def state(self) -> str:
        """Where its files are: made by the run, here, downloaded by it, or missing."""
        if self.missing:
            return "missing"
        return "downloaded" if self.fetched else "here" if self.root or self.kind == "photos" else "made"

    def seen(self, shown: dict[str, Any]) -> tuple[int, int] | None:
        """(height, width) in pixels through a view. Raises `InputError` as `View` does."""
        view = View(**shown)
        if self.size:
            return view_size(view, *self.size)
        return (view.size_px, view.size_px) if view.protocol in ("square", "centre_crop") else None


def pictures(name: str, settings: Any) -> Pictures:
    """What is known of the data set `name` of a configuration without downloading or reading all of it."""
    kind: str = settings.kind
    root: Any = getattr(settings, "root", None)
    given: dict[str, Any] = {"kind": kind, "root": root, "classes": len(class_names(**settings.model_dump()))}
    given["annotators"] = ANNOTATORS.get(kind, int(getattr(settings, "labels_root", "") is not None))
    if kind in IMAGES and not getattr(settings, "annotations", None):
        images = IMAGES[kind][getattr(settings, "split", "")]
        given |= {"images": min(images, settings.limit or images), "size": SIZES[kind]}
    # neither there nor in a copy of one's own
    own = getattr(settings, "annotations", None)
    wanted = FETCHED.get(kind, {}).items() if root and not own else ()
    places = [(source, [manifest_path(source, root), *(root / copy for copy in copies)]) for source, copies in wanted]
    lacking = [source for source, there in places if not any(path.exists() for path in there)]
    given["fetched"] = tuple(SOURCES[source] for source in lacking)
    if given["fetched"]:
        return Pictures(**given)
    if variable := root and unset_variable(root):
        return Pictures(**given, missing=f"set the environment variable {variable} to the folder of its files")
    try:
        return Pictures(**(given | _counted(name, settings)))
    except InputError as error:
        return Pictures(**given, missing=str(error))


def _counted(name: str, settings: Any) -> dict[str, Any]:
    """Images that are there, and the median size of some of them."""
    if settings.kind == "scenes":
        return {"images": settings.images, "size": (settings.size_px, settings.size_px)}
    records = load_dataset(name, **settings.model_dump()).records
    if settings.kind in SIZES:
        return {"images": len(records)}
    some = records[:: max(1, len(records) // OPENED)]
    sizes = sorted((record.image().shape[:2] for record in some), key=lambda size: size[0] * size[1])
    return {"images": len(records), "size": sizes[len(sizes) // 2]}
