"""A graph across images, as a matrix and as the connections of one of its locations (Eq. 6-7, Figure 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy import sparse

from whatwhere.artifacts.errors import InputError

#: Connections inside an image, in every drawing; those across have their pathway's colour.
INSIDE = "#262626"
#: The line between two images in a matrix.
_BORDER = 150


@dataclass(frozen=True)
class Graph:
    """A of Eq. 7 on the locations of `images` images of one `grid`, image by image, token by token.

    Raises InputError where the matrix has other locations than the grid and the images make.
    """

    name: str
    grid: tuple[int, int]
    images: int
    A: sparse.csr_matrix

    def __post_init__(self) -> None:
        rows, columns = self.grid
        if self.A.shape != (self.images * rows * columns,) * 2:
            expected = f"{self.images} images of {rows} × {columns} locations"
            raise InputError(
                f"graph {self.name}: expected {expected}, got a matrix {list(self.A.shape)}; check the grid"
            )

    def picture(self, size: int, colour: str) -> UInt8[np.ndarray, "{size} {size} 3"]:
        """`size` × `size` pixels: dark where locations of one image are connected, in `colour` where those of two are.

        A pixel is as strong as what it covers; the strongest hundredth of the pixels with anything are all the same.
        """
        A, tokens = self.A.tocoo(), self.grid[0] * self.grid[1]
        inside = A.row // tokens == A.col // tokens
        picture = np.full((size, size, 3), 255.0)
        for part, shade in ((~inside, colour), (inside, INSIDE)):
            strength = _covered(A.row[part], A.col[part], A.data[part], A.shape[0], size)[:, :, None]
            picture = picture * (1 - strength) + np.array(_rgb(shade)) * strength
        for border in range(1, self.images):
            place = border * size // self.images
            picture[[place], :] = picture[:, [place]] = _BORDER
        return np.rint(picture).astype(np.uint8)

    def strongest(self, location: int, count: int) -> list[tuple[int, float]]:
        """The location's `count` strongest connections in its own image and as many to others, strongest first."""
        tokens = self.grid[0] * self.grid[1]
        row = self.A[[location]].tocoo()
        own = row.col // tokens == location // tokens
        found: list[tuple[int, float]] = []
        for part in (own, ~own):
            order = np.argsort(-row.data[part], kind="stable")[:count]
            found += [(int(row.col[part][i]), float(row.data[part][i])) for i in order]
        return found

    def place(self, location: int) -> tuple[int, float, float]:
        """The image of a location, and how far down and across in it the location's centre lies, from 0 to 1."""
        rows, columns = self.grid
        image, token = divmod(location, rows * columns)
        return image, (token // columns + 0.5) / rows, (token % columns + 0.5) / columns

    def location(self, image: int, down: float, across: float) -> int:
        """The location that has this place in an image."""
        rows, columns = self.grid
        row, column = (min(int(part * count), count - 1) for part, count in ((down, rows), (across, columns)))
        return (image * rows + row) * columns + column


def _covered(
    rows: np.ndarray, columns: np.ndarray, values: np.ndarray, locations: int, size: int
) -> Float[np.ndarray, "{size} {size}"]:
    """0 to 1: what lies under each of size × size pixels."""
    bins = min(size, locations)
    sums = np.zeros((bins, bins))
    np.add.at(sums, (rows * bins // locations, columns * bins // locations), values)
    strongest = np.percentile(sums[sums > 0], 99) if sums.any() else 1.0
    large = Image.fromarray(np.minimum(sums / strongest, 1) ** 0.6).resize((size, size), Image.Resampling.NEAREST)
    return np.asarray(large)


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
