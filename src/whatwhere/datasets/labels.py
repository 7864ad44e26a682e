"""Label map files to arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int16
from PIL import ImageOps

from whatwhere.datasets.opening import PathLike, opened, refusal

#: Those that keep what is stored.
LABEL_FORMATS = ("PNG", "BMP", "TIFF")
#: Intensity that PIL gives a grey PNG of few bits for label 1 (it spreads the values over 0-255).
_LABEL_STEP = {"L;2": 85, "L;4": 17}


def read_labels(path: PathLike) -> Int16[np.ndarray, "y x"]:
    """The label map in a grey or indexed PNG (or BMP, TIFF) of up to 16 bits, `[y, x]`: what the file stores is
    the label.

    A palette only colours the map for people and is ignored; a map of grey in three equal channels is that grey.
    Raises InputError for anything else: files with colour or alpha, lossy formats, labels above 32,767.
    """
    expected = "a label map (PNG, one channel, the label of each pixel)"
    with opened(path, expected, LABEL_FORMATS) as file:
        step = _LABEL_STEP.get(str(file.tile[0].args), 1) if file.tile and file.format == "PNG" else 1
        if file.format == "TIFF" and file.info.get("compression") in ("jpeg", "tiff_jpeg"):
            raise refusal(path, expected, "a TIFF compressed as JPEG, which mixes labels", "save it as PNG")
        upright = ImageOps.exif_transpose(file)
        labels = np.asarray(upright)
        if upright.mode == "RGB":
            labels = _grey_of_colours(labels, path, expected)
        elif upright.mode not in ("1", "L", "P") and not upright.mode.startswith("I"):
            raise refusal(path, expected, f"mode {upright.mode}", "save it with one channel and no alpha")
        if labels.min(initial=0) < 0 or labels.max(initial=0) > np.iinfo(np.int16).max:
            worst = labels.min() if labels.min() < 0 else labels.max()
            raise refusal(path, expected, f"label {worst}", "number the labels from 0 to 32767")
        return (labels // step).astype(np.int16)


def _grey_of_colours(colours: np.ndarray, path: PathLike, expected: str) -> np.ndarray:
    """The one channel that three equal ones are. Raises InputError where they differ: then colours are classes."""
    if (colours == colours[:, :, :1]).all():
        return colours[:, :, 0]
    kinds = len(np.unique(colours.reshape(-1, 3)[:1_000_000], axis=0))
    got = f"{kinds} colours (mode RGB)"
    raise refusal(path, expected, got, "save the number of each pixel's class, from 0, in the place of its colour")
