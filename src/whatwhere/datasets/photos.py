"""Colour photographs that ship inside scikit-image and scikit-learn: real images without a download."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import read_image
from whatwhere.datasets.record import Dataset, Record

_SKIMAGE = ("skimage", "data")
_SKLEARN = ("sklearn", "datasets/images")

#: (package, folder, file) of every photograph with three different channels in the two wheels.
#: ASSUME: a picture taken through a telescope, microscope or ophthalmoscope is a photograph; the colour
#: wheel (color.png) and the drawing (logo.png) are not.
PHOTOGRAPHS = (
    (*_SKIMAGE, "astronaut.png"),
    (*_SKIMAGE, "chelsea.png"),
    (*_SKLEARN, "china.jpg"),
    (*_SKIMAGE, "coffee.png"),
    (*_SKLEARN, "flower.jpg"),
    (*_SKIMAGE, "hubble_deep_field.jpg"),
    (*_SKIMAGE, "ihc.png"),
    (*_SKIMAGE, "motorcycle_left.png"),
    (*_SKIMAGE, "motorcycle_right.png"),
    (*_SKIMAGE, "retina.jpg"),
    (*_SKIMAGE, "rocket.jpg"),
)


def load(name: str) -> Dataset:
    """The photographs, by name; no labels. Raises InputError where a wheel is missing or holds fewer."""
    paths = [_installed(package) / folder / file for package, folder, file in PHOTOGRAPHS]
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"data set {name}: expected the photograph {path}, got no such file; reinstall the package"
            )
    return Dataset(name, tuple(Record(path.stem, partial(read_image, path)) for path in paths))


def _installed(package: str) -> Path:
    """The folder of a package, without importing it (that costs a second)."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"photographs: expected the package {package}, got none; install it")
    return Path(spec.submodule_search_locations[0])
