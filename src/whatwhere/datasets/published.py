"""What is known of data sets whose files are not here, as their authors published them."""

from __future__ import annotations

from whatwhere.datasets import cityscapes, coco, cocostuff27, voc

#: Images of each split, by kind.
IMAGES: dict[str, dict[str, int]] = {
    "voc": voc.SPLITS,
    "cocostuff27": {"": cocostuff27.IMAGES},
    "coco": {"": coco.IMAGES},
    "cityscapes": cityscapes.SPLITS,
}
#: ASSUME: most photographs have this size (height, width) in pixels.
SIZES = {"voc": (375, 500), "coco": (480, 640), "cocostuff27": (480, 640), "cityscapes": (1024, 2048)}
#: Label maps of an image, where it is not one. ASSUME: of BSDS500 the most that an image of a shard has.
ANNOTATORS = {"photos": 0, "coco": 0, "bsds500": 8}
