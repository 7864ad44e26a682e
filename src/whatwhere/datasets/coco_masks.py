"""Outlines, run lengths and boxes as COCO's format writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool


def box_of(box: Any) -> tuple[float, float, float, float]:
    """Left, top, width and height. Raises ValueError and the like."""
    left, top, width, height = (float(side) for side in box)
    if not (np.isfinite([left, top]).all() and 0 <= width < np.inf and 0 <= height < np.inf):
        raise ValueError(f"bbox {box}")
    return left, top, width, height


def mask_of(segmentation: Any, height: int, width: int) -> Bool[np.ndarray, "y x"]:
    """The pixels of one outline (polygons) or of run lengths, plain or compressed. Raises ValueError and the like."""
    from pycocotools import mask as run_lengths

    if isinstance(segmentation, dict):
        code = _run_lengths(segmentation, height, width)
    else:
        _check_polygons(segmentation, height, width)
        code = run_lengths.merge(run_lengths.frPyObjects(segmentation, height, width))
    return run_lengths.decode(code).astype(bool)


def _run_lengths(segmentation: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """Compressed run lengths that cover the image: the decoder leaves what they do not cover as memory has it."""
    from pycocotools import mask as run_lengths

    size, counts = [height, width], segmentation["counts"]
    if isinstance(counts, str):
        code = {"size": size, "counts": counts.encode()}
        covers = run_lengths.encode(run_lengths.decode(code)) == code
    else:
        code = run_lengths.frPyObjects({"size": size, "counts": counts}, height, width)
        covers = all(isinstance(count, int) for count in counts) and sum(counts) == height * width
    if segmentation["size"] != size or not covers:
        raise ValueError(f"run lengths that do not cover {height} × {width} px")
    return code


def _check_polygons(polygons: Any, height: int, width: int) -> None:
    """Four numbers would be taken for a box, and those far outside need memory without end."""
    if not polygons:
        raise ValueError("an outline without polygons")
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon of {len(polygon)} numbers")
        if not np.abs(polygon).max() <= 2 * max(height, width):  # not(...) also catches NaN
            raise ValueError(f"a polygon outside {height} × {width} px")
