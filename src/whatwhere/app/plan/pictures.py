"""How many images a data set has and how large they are: counted where its files are, else as published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whatwhere.artifacts.errors import InputError
from whatwhere.config.overlay import unset_variable
from whatwhere.datasets import cityscapes, coco, cocostuff27, load_dataset, voc
from whatwhere.datasets.images import View, view_size
from whatwhere.datasets.sources import FETCHED, SOURCES, Source, manifest_path
from whatwhere.scenes.world import CLASSES

#: Images of each split that is published, by kind.
KNOWN: dict[str, dict[str, int]] = {
    "voc": voc.SPLITS,
    "cocostuff27": {"": cocostuff27.IMAGES},
    "coco": {"": coco.IMAGES},
    "cityscapes": cityscapes.SPLITS,
}
#: ASSUME: of photographs that are not at hand most have this size (height, width) in pixels.
TYPICAL = {"voc": (375, 500), "coco": (480, 640), "cocostuff27": (480, 640), "cityscapes": (1024, 2048)}
#: Label maps of an image, where it is not one. ASSUME: of BSDS500 the most that an image of a shard has.
ANNOTATORS = {"photos": 0, "coco": 0, "bsds500": 8}
#: Images of one's own that are opened to learn their size.
OPENED = 5


@dataclass(frozen=True)
class Pictures:
    """A data set: `images`, None where nobody can know; size in pixels; label maps an image; classes with names.

    `fetched` are the sources that the workflow downloads, to `root`; `missing` says what it cannot get by itself.
    """

    kind: str
    images: int | None = None
    height: int | None = None
    width: int | None = None
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

    def seen(self, view: dict[str, Any]) -> tuple[int, int] | None:
        """(height, width) in pixels through a view. Raises `InputError` as `View` does."""
        if self.height and self.width:
            return view_size(View(**view), self.height, self.width)
        one = View(**view)
        return (one.size_px, one.size_px) if one.protocol in ("square", "centre_crop") else None


def pictures(name: str, settings: Any) -> Pictures:
    """What is known of the data set `name` of a configuration without downloading or reading all of it."""
    kind, root = settings.kind, getattr(settings, "root", None)
    given: dict[str, Any] = {"kind": kind, "root": root, "annotators": ANNOTATORS.get(kind, 1)}
    if kind == "scenes":
        given.pop("root")
        return Pictures(
            **given, images=settings.images, height=settings.size_px, width=settings.size_px, classes=len(CLASSES)
        )
    if kind == "folder" and settings.labels_root is None:
        given["annotators"] = 0
    if kind in KNOWN:
        given |= _published(settings)
    fetched = _to_fetch(settings)
    if fetched:
        return Pictures(**given, fetched=fetched)
    variable = unset_variable(root) if root else None
    if variable:
        return Pictures(**given, missing=f"set the environment variable {variable} to the folder of its files")
    try:
        return Pictures(**(given | _counted(name, settings)))
    except InputError as error:
        return Pictures(**given, missing=str(error))


def _published(settings: Any) -> dict[str, Any]:
    splits = KNOWN[settings.kind]
    images = splits[getattr(settings, "split", "")]
    height, width = TYPICAL[settings.kind]
    module = {"voc": voc, "coco": coco, "cocostuff27": cocostuff27, "cityscapes": cityscapes}[settings.kind]
    found = {"images": min(images, settings.limit or images), "classes": len(module.CLASSES)}
    return {**found, "height": height, "width": width}


def _to_fetch(settings: Any) -> tuple[Source, ...]:
    """The sources of a data set that are neither there nor in a copy of one's own."""
    wanted = FETCHED.get(settings.kind, {})
    there = {
        name: manifest_path(name, settings.root).is_file() or any((settings.root / place).exists() for place in own)
        for name, own in wanted.items()
    }
    return tuple(SOURCES[name] for name in wanted if not there[name])


def _counted(name: str, settings: Any) -> dict[str, Any]:
    """Images that are there, the median size of some of them, and the classes."""
    found = load_dataset(name, **settings.model_dump())
    step = max(1, len(found.records) // OPENED)
    counted: dict[str, Any] = {"images": len(found.records), "classes": len(found.classes)}
    if settings.kind not in TYPICAL:
        sizes = sorted((record.image().shape[:2] for record in found.records[::step]), key=lambda hw: hw[0] * hw[1])
        counted["height"], counted["width"] = sizes[len(sizes) // 2]
    return counted
