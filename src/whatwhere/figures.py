"""Figure 3 of the paper: photo, eigenvectors as colours, regions and ground truth, one row per image.

A panel's arrays become RGB images (`eigenvector_rgb`, `region_overlay`, `label_colours`), each drawn at
the size in pixels at which it is printed, so that nothing is resampled twice; `figure3` lays them out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from whatwhere.atomic import replacing
from whatwhere.errors import InputError

Picture = UInt8[np.ndarray, "y x 3"]
#: Heading -> what draws a panel's cell of (height, width) pixels, None where there is nothing.
Columns = dict[str, Callable[..., Picture | None]]

DPI = 240
#: Width of a landscape cell. Six columns fill the 7 inches between the margins of a two-column paper.
CELL_PX = 264
GAP_PX, MARGIN_PX, ID_PX = 8, 12, 26
#: Under this the column headings would touch.
NARROWEST_PX = 212
#: Grey of an eigenvector that is constant or does not exist, and the stripes of pixels that are not scored.
MID_GREY, IGNORED = 128, np.array([238, 208], np.uint8)

#: ASSUME: Okabe and Ito's seven, which colour-blind readers tell apart; after them always the colour
#: farthest from those before it, by the least of its distances in OKLab as seen by most people and (twice)
#: without green or without red cones. Few colours are distinct for everyone, thirty still for most.
_HEX = """
0072B2 E69F00 009E73 CC79A7 F0E442 56B4E9 D55E00 621427 FFD8FF 002789 006227 00EBB1 B12762 8976EB
623BB1 9DB189 273B4E B1FFC4 FFC489 896289 9D2700 9DD84E B1C4FF 89764E 761462 274E89 EB9DC4 14C4B1
3B6262 628900 EB89FF 6289C4 C4894E 9DD8D8 4E62D8 9D4EB1 62C462 628989 623B3B FFEB9D
"""
PALETTE = np.array([list(bytes.fromhex(name)) for name in _HEX.split()], np.uint8)


@dataclass(frozen=True)
class Panel:
    """One image and what was found in it.

    `vectors` are the columns of X_ortho on the token grid, by decreasing eigenvalue; `regions` a region
    number (0 … K − 1) for each pixel; `truth` class indices or segment numbers, negative where nothing is
    scored. Raises InputError where the arrays do not fit each other.
    """

    id: str
    image: Picture
    vectors: Float[np.ndarray, "row column vector"]
    regions: Int[np.ndarray, "y x"]
    truth: Int[np.ndarray, "y x"] | None = None

    def __post_init__(self) -> None:
        size = self.image.shape[:2]
        if self.image.dtype != np.uint8 or self.image.shape != (*size, 3) or not self.image.size:
            self._refuse("an image uint8 [y, x, 3]", f"{self.image.dtype} {list(self.image.shape)}")
        if self.vectors.ndim != 3 or not self.vectors.size or not np.isfinite(self.vectors).all():
            self._refuse("finite vectors [row, column, vector]", f"{list(self.vectors.shape)}, or NaN in it")
        for name, labels in (("regions", self.regions), ("truth", self.truth)):
            if labels is not None and labels.shape != size:
                self._refuse(f"{name} of the image's {list(size)} px", f"{list(labels.shape)}")
        if self.regions.min() < 0:
            self._refuse("regions numbered from 0", f"{self.regions.min()}")

    def _refuse(self, expected: str, got: str) -> None:
        raise InputError(f"panel {self.id}: expected {expected}, got {got}; make all arrays from one view")


def eigenvector_rgb(vectors: Float[np.ndarray, "row column vector"], first: int, height: int, width: int) -> Picture:
    """Vectors `first` … `first + 2` (from 0) as red, green and blue, as in Figures 3 and 5 of the paper.

    `height` and `width` in pixels; tokens are interpolated bilinearly (half-pixel convention). A vector
    that does not exist, or that is constant, is a channel of mid grey.
    """
    channels = np.full((height, width, 3), MID_GREY, np.uint8)
    for channel, index in enumerate(range(first, min(first + 3, vectors.shape[2]))):
        levels = Image.fromarray(_levels(vectors[:, :, index]))
        smooth = np.asarray(levels.resize((width, height), Image.Resampling.BILINEAR))
        channels[:, :, channel] = np.rint(np.clip(smooth, 0, 255))
    return channels


def _levels(vector: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column"]:
    """0 to 255.

    ASSUME: percentiles 1 and 99 are black and white, so that single tokens (attention sinks) do not leave
    the rest of the image flat; a spread under a thousandth of the magnitude is noise, and not shown.
    """
    low, high = np.percentile(vector, (1, 99))
    if high - low <= 1e-3 * np.abs(vector).max():
        return np.full(vector.shape, MID_GREY, np.float32)
    return (np.clip((vector - low) / (high - low), 0, 1) * 255).astype(np.float32)


def region_overlay(image: Picture, regions: Int[np.ndarray, "y x"], alpha: float = 0.55) -> Picture:
    """The photo in grey under the colours of its regions (of weight `alpha`, 0 to 1), with their outlines.

    An outline is a dark line between two light ones, seen on any colour. Raises InputError for negative
    region numbers.
    """
    if regions.min(initial=0) < 0:
        raise InputError(f"regions: expected numbers from 0, got {regions.min()}; number them from 0")
    # lightened, or the colours would drown in the shadows of the photo
    photo = 64 + 0.75 * (image @ np.array([0.299, 0.587, 0.114]))[:, :, None]
    picture = np.rint(photo * (1 - alpha) + PALETTE[regions % len(PALETTE)] * alpha).astype(np.uint8)
    picture[_edges(regions, 5)] = 255
    picture[_edges(regions, 3)] = 38
    return picture


def label_colours(labels: Int[np.ndarray, "y x"], count: int) -> Picture:
    """The colour of each of `count` labels, the same in every image; negative ones are striped in grey.

    More than 40 labels share colours. Raises InputError for labels of `count` or more.
    """
    if labels.max(initial=-1) >= count:
        raise InputError(f"labels: expected numbers under {count}, got {labels.max()}; check the classes")
    stripes = IGNORED[np.indices(labels.shape).sum(0) // 4 % 2, None]
    return np.where(labels[:, :, None] < 0, stripes, PALETTE[labels % len(PALETTE)])


def _edges(labels: np.ndarray, size_px: int) -> Bool[np.ndarray, "y x"]:
    """Pixels whose square of `size_px` has more than one label."""
    from scipy.ndimage import maximum_filter, minimum_filter

    return maximum_filter(labels, size_px) != minimum_filter(labels, size_px)


def figure3(
    panels: Sequence[Panel], output: Path, *, title: str, classes: tuple[str, ...] = (), caption: str = ""
) -> None:
    """The paper's Figure 3 as a PNG file; the same panels give the same bytes.

    Columns: photo, eigenvectors 1–3, 4–6 and 7–9, regions with their number K, ground truth. A column
    that no panel can fill is left out. `classes` name the labels of `truth`; without them labels are
    segments. Written beside `output` and renamed.

    Raises InputError without panels, or for a label beyond `classes`.
    """
    if not panels:
        raise InputError(f"figure {output}: expected at least one panel, got none; give it images")
    for panel in panels:
        if classes and panel.truth is not None and panel.truth.max() >= len(classes):
            label = f"label {panel.truth.max()}"
            raise InputError(f"panel {panel.id}: expected {len(classes)} classes, got {label}; name them")
    columns = _columns(panels, classes)
    sizes = _cell_sizes(panels)
    pitch = max(NARROWEST_PX, *(wide for _, wide in sizes)) + GAP_PX
    width = ID_PX + len(columns) * pitch - GAP_PX
    strips = [
        _text(title, width, size_pt=9.0, bold=True),
        _headings(columns, pitch, width),
        *(_row(panel, columns, size, pitch, width) for panel, size in zip(panels, sizes, strict=True)),
        _legend(panels, classes, width),
        _text(caption, width, size_pt=7.0),
    ]
    _save([strip for strip in strips if strip is not None], output)


def _columns(panels: Sequence[Panel], classes: tuple[str, ...]) -> Columns:
    most = max(panel.vectors.shape[2] for panel in panels)
    columns: Columns = {"Image": _draw_image}
    for first in range(0, min(most, 9), 3):
        columns[f"Eigenvectors {first + 1}–{first + 3}"] = partial(_draw_vectors, first=first)
    columns["Regions"] = _draw_regions
    if any(panel.truth is not None for panel in panels):
        columns["Ground truth"] = partial(_draw_truth, classes=classes)
    return columns


def _cell_sizes(panels: Sequence[Panel]) -> list[tuple[int, int]]:
    """(height, width) in pixels: a portrait gets the area of a landscape beside it, a little more alone."""
    shapes = [panel.image.shape[:2] for panel in panels]
    tallest = CELL_PX * np.clip(min(high / wide for high, wide in shapes), 1, 1.2)
    scales = [min(CELL_PX / wide, tallest / high) for high, wide in shapes]
    return [(round(h * k) or 1, round(w * k) or 1) for k, (h, w) in zip(scales, shapes, strict=True)]


def _draw_image(panel: Panel, height: int, width: int) -> Picture:
    return np.asarray(Image.fromarray(panel.image).resize((width, height), Image.Resampling.LANCZOS))


def _draw_vectors(panel: Panel, height: int, width: int, *, first: int) -> Picture:
    return eigenvector_rgb(panel.vectors, first, height, width)


def _draw_regions(panel: Panel, height: int, width: int) -> Picture:
    # at twice the size, then halved: thin outlines without a staircase
    twice = (2 * height, 2 * width)
    overlay = region_overlay(_draw_image(panel, *twice), _nearest(panel.regions, *twice))
    cell = Image.fromarray(overlay).reduce(2)
    words, font, draw = f"K = {panel.regions.max() + 1}", _font(6.0), ImageDraw.Draw(cell)
    right, bottom = 17 + font.getlength(words), height - 5
    draw.rounded_rectangle((5, bottom - 28, right, bottom), 5, fill="white")
    draw.text((11, bottom - 7), words, "black", font, anchor="ls")
    return np.asarray(cell)


def _draw_truth(panel: Panel, height: int, width: int, *, classes: tuple[str, ...]) -> Picture | None:
    if panel.truth is None:
        return None
    twice = _nearest(panel.truth, 2 * height, 2 * width)
    colours = label_colours(twice, len(classes) or int(twice.max()) + 1)
    if not classes:  # neighbouring segments may share a colour, and nobody looks it up in a legend
        colours[_edges(twice, 3)] = 255
    return np.asarray(Image.fromarray(colours).reduce(2))


def _nearest(labels: np.ndarray, height: int, width: int) -> Int[np.ndarray, "y x"]:
    return np.array(Image.fromarray(labels.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST))


def _row(panel: Panel, columns: Columns, size: tuple[int, int], pitch: int, width: int) -> Image.Image:
    """A panel's cells, each centred in its column, and its id along the left edge."""
    strip, font = Image.new("RGB", (width, size[0]), "white"), _font(6.0)
    edge = Image.new("RGB", (size[0], ID_PX), "white")
    name = _fitting(panel.id, font, size[0])
    ImageDraw.Draw(edge).text((size[0] / 2, ID_PX - 8), name, "dimgrey", font, anchor="ms")
    strip.paste(edge.rotate(90, expand=True))
    for place, draw in enumerate(columns.values()):
        cell = draw(panel, *size)
        if cell is not None:
            left = ID_PX + place * pitch + (pitch - GAP_PX - size[1]) // 2
            strip.paste(Image.fromarray(cell), (left, 0))
    return strip


def _fitting(name: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The name, with as much of its middle left out as must be: ids differ at their ends."""
    shorter = (f"{name[: n // 2]}…{name[len(name) - (n + 1) // 2 :]}" for n in range(len(name) - 1, -1, -1))
    return next((text for text in (name, *shorter) if font.getlength(text) <= width), "")


def _headings(columns: Columns, pitch: int, width: int) -> Image.Image:
    strip, first = Image.new("RGB", (width, 28), "white"), ID_PX + (pitch - GAP_PX) / 2
    for place, heading in enumerate(columns):
        ImageDraw.Draw(strip).text((first + place * pitch, 22), heading, "black", _font(7.0), anchor="ms")
    return strip


def _legend(panels: Sequence[Panel], classes: tuple[str, ...], width: int) -> Image.Image | None:
    """The classes that occur, in their own order, and the stripes of pixels that are not scored."""
    found = {int(label) for panel in panels if panel.truth is not None for label in np.unique(panel.truth)}
    named = [(classes[label], label) for label in sorted(found) if classes and label >= 0]
    named += [("not scored", -1)] if min(found, default=0) < 0 else []
    strip, font, x, y = Image.new("RGB", (width, 30 * len(named) + 1), "white"), _font(7.0), ID_PX, 0
    for name, label in named:
        right = x + 38 + int(font.getlength(name))
        if right > width and x > ID_PX:
            x, y, right = ID_PX, y + 30, ID_PX + right - x
        swatch = label_colours(np.full((20, 30), label), max(len(classes), 1))
        strip.paste(Image.fromarray(swatch), (x, y + 4))
        ImageDraw.Draw(strip).text((x + 38, y + 21), name, "black", font, anchor="ls")
        x = right + 24
    return strip.crop((0, 0, width, y + 28)) if named else None


def _text(text: str, width: int, *, size_pt: float, bold: bool = False) -> Image.Image | None:
    """`text` broken into lines that fit; nothing for no text."""
    font, lines = _font(size_pt, bold), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines[-1:] = [longer] if font.getlength(longer) <= width - ID_PX else [lines[-1], word]
    step = round(font.size * 1.3)
    strip = Image.new("RGB", (width, step * len(lines)), "white")
    for place, line in enumerate(lines):
        ImageDraw.Draw(strip).text((ID_PX, step * (place + 0.8)), line, "black", font, anchor="ls")
    return strip if text else None


@lru_cache
def _font(size_pt: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The sans that matplotlib brings along: the same letters on every machine."""
    import matplotlib

    file = Path(matplotlib.get_data_path(), "fonts/ttf", "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    # not Raqm, which only some installations of PIL have, and which sets text a little differently
    return ImageFont.truetype(file, size_pt * DPI / 72, layout_engine=ImageFont.Layout.BASIC)


def _save(strips: Sequence[Image.Image], output: Path) -> None:
    margins = ((0, GAP_PX), (MARGIN_PX, MARGIN_PX), (0, 0))
    page = np.concatenate([np.pad(np.asarray(strip), margins, constant_values=255) for strip in strips])
    page = np.pad(page, ((MARGIN_PX, MARGIN_PX - GAP_PX), (0, 0), (0, 0)), constant_values=255)
    with replacing(output) as partial:
        Image.fromarray(page).save(partial, "PNG", dpi=(DPI, DPI))
