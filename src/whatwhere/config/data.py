"""The part of the configuration that says which images there are and how they are brought to size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from whatwhere.config.base import Positive, Strict


def _expanded(given: Any) -> Any:
    """A path with the environment variables and the home (`~`) in it replaced; one that is not set stops the run."""
    found = os.path.expanduser(os.path.expandvars(given)) if isinstance(given, str) else given
    if isinstance(found, str) and "$" in found:
        name = found.partition("$")[2].partition("/")[0].strip("{}")
        words = f"expected the environment variable {name} to be set, got {given!r} without it; set it to the folder"
        raise PydanticCustomError("environment", "{words}", {"words": words})
    return found


#: A folder; `$NAME/…` is looked up in the environment.
Root = Annotated[Path, BeforeValidator(_expanded)]


class ViewSettings(Strict):
    """How images of a data set are brought to size: the paper's three protocols, or none."""

    protocol: Literal["none", "short_side", "square", "centre_crop"]
    size_px: Positive = 448
    """Short side, or side of the square; not used by `none`."""
    multiple_px: Positive = 16
    """Both sides become multiples of it: the patch size of the backbones that look through this view."""


class Scenes(Strict):
    """Rendered scenes with exact labels, instances and captions."""

    kind: Literal["scenes"]
    images: Annotated[int, Field(gt=0, le=1_000_000)] = 40
    size_px: Annotated[int, Field(ge=32, le=8192)] = 128
    first_seed: Annotated[int, Field(ge=0)] = 0


class Photos(Strict):
    """The colour photographs inside the scikit-image and scikit-learn packages; no labels."""

    kind: Literal["photos"]


class Listed(Strict):
    """A data set of which a part may be taken."""

    limit: Positive | None = None
    """Only so many, the first of the data set's own list, or by name where it has none."""
    skip: Annotated[int, Field(ge=0)] = 0
    """Leaves out so many first: the rest of a list that another data set begins."""


class Folder(Listed):
    """A directory of one's own, with label maps under `labels_root` if there are any.

    With `classes`, labels mean the same in every image; without, they are segments of one image each.
    """

    kind: Literal["folder"]
    root: Root
    labels_root: Root | None = None
    classes: tuple[str, ...] = ()
    ignore_label: int | None = 255


class Bsds500(Listed):
    """BSDS500: photographs with several human segmentations each, under `root`."""

    kind: Literal["bsds500"]
    root: Root
    split: Literal["train", "val", "test"] = "val"


class CamVid(Listed):
    """CamVid: driving frames with 11 classes, under `root`."""

    kind: Literal["camvid"]
    root: Root
    split: Literal["train", "val", "test"] = "val"


class Voc(Listed):
    """PASCAL VOC 2012: 21 classes with background, 1,449 images in `val`, downloaded into `root`; or a part of it."""

    kind: Literal["voc"]
    root: Root = Path("data/voc")
    split: Literal["train", "trainval", "val"] = "val"


class CocoStuff27(Listed):
    """COCO-Stuff in 27 coarse classes: the 2,175 curated images of val2017, downloaded into `root` once; or those of a
    folder `labels27` of coarse maps, or of COCO's own panoptic annotation, under `root`."""

    kind: Literal["cocostuff27"]
    root: Root = Path("data/coco")


class Coco(Listed):
    """COCO val2017: 5,000 photographs with objects of 80 classes and captions, downloaded into `root` once; or one's
    own, in its format."""

    kind: Literal["coco"]
    root: Root = Path("data/coco")
    annotations: Root | None = None
    """A file in COCO's format: then `root` is the folder of its photographs, and classes are its categories."""


class Cityscapes(Listed):
    """Cityscapes: driving photographs with 27 classes, 500 in `val`; one unpacks its two archives in `root` oneself."""

    kind: Literal["cityscapes"]
    root: Root
    split: Literal["train", "val"] = "val"


DatasetSettings = Annotated[
    Scenes | Photos | Folder | Bsds500 | CamVid | Voc | CocoStuff27 | Coco | Cityscapes, Field(discriminator="kind")
]
