"""What all figures share: their letters, and strips of pixels stacked into one PNG file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from whatwhere.artifacts.atomic import replacing
from whatwhere.publish.figures.colours import Picture

DPI = 240
#: The 7 inches between the margins of a two-column page, and the white around and between what lies on it.
PAGE_PX, MARGIN_PX, GAP_PX = 7 * DPI, 12, 8
#: A strip that fills the page.
STRIP_PX = PAGE_PX - 2 * MARGIN_PX
#: By what names PNG files have words about them, and the ids of the images that they show.
_DESCRIPTION, _IMAGES = "Description", "Images"
#: White at the left of every strip, where a sheet has the names of its rows.
INDENT_PX = 26


def text_strip(text: str, width: int, *, size_pt: float, bold: bool = False) -> Image.Image | None:
    """`text` broken into lines that fit `width` pixels; nothing for no text."""
    font = letters(size_pt, bold)
    lines = broken(text, font, width - INDENT_PX)
    step = round(font.size * 1.3)
    strip = Image.new("RGB", (width, step * len(lines)), "white")
    for place, line in enumerate(lines):
        ImageDraw.Draw(strip).text((INDENT_PX, step * (place + 0.8)), line, "black", font, anchor="ls")
    return strip if text else None


def broken(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The words of `text` on lines of at most `width` pixels, but for words that are longer themselves."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines[-1:] = [longer] if not lines[-1] or font.getlength(longer) <= width else [lines[-1], word]
    return lines


def fitting(name: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The name, with as much of its middle left out as must be: names differ at their ends."""
    shorter = (f"{name[: n // 2]}…{name[len(name) - (n + 1) // 2 :]}" for n in range(len(name) - 1, -1, -1))
    return next((text for text in (name, *shorter) if font.getlength(text) <= width), "")


@lru_cache
def letters(size_pt: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The sans that matplotlib brings along: the same letters on every machine."""
    import matplotlib

    file = Path(matplotlib.get_data_path(), "fonts/ttf", "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    # not Raqm, which only some installations of PIL have, and which sets text a little differently
    return ImageFont.truetype(file, size_pt * DPI / 72, layout_engine=ImageFont.Layout.BASIC)


def save_titled(strip: Image.Image, output: Path, *, title: str, caption: str, images: Sequence[str] = ()) -> None:
    """A strip under its title and over its caption, see `save_page`."""
    words = (text_strip(title, strip.width, size_pt=9.0, bold=True), text_strip(caption, strip.width, size_pt=7.0))
    save_page([words[0], strip, words[1]], output, caption=caption, images=images)


def save_page(
    strips: Sequence[Image.Image | None], output: Path, *, caption: str = "", images: Sequence[str] = ()
) -> None:
    """The strips (all of one width) below each other as a PNG file, beside `output` first; the same strips
    give the same bytes. `caption` is the file's description, for whoever shows it (`caption_of`), and `images` the ids
    of those of a data set that it shows (`images_of`).
    """
    margins = ((0, GAP_PX), (MARGIN_PX, MARGIN_PX), (0, 0))
    present = [np.asarray(strip) for strip in strips if strip is not None]
    page = np.concatenate([np.pad(strip, margins, constant_values=255) for strip in present])
    page = np.pad(page, ((MARGIN_PX, MARGIN_PX - GAP_PX), (0, 0), (0, 0)), constant_values=255)
    with replacing(output) as partial:
        described = PngInfo()
        if caption:
            described.add_itxt(_DESCRIPTION, caption)
        if images:
            described.add_itxt(_IMAGES, json.dumps(list(images)))
        Image.fromarray(page).save(partial, "PNG", dpi=(DPI, DPI), pnginfo=described)


def save_picture(pixels: Picture, output: Path | str) -> None:
    """`[y, x, 3]`, 0-255, as an image file of the kind that its name says, beside `output` first."""
    with replacing(Path(output)) as partial:
        Image.fromarray(pixels).save(partial, Image.registered_extensions().get(Path(output).suffix.lower(), "PNG"))


def caption_of(figure: Path) -> str:
    """The caption that a PNG file was saved with; nothing where it has none."""
    with Image.open(figure) as page:
        return str(page.info.get(_DESCRIPTION, ""))


def images_of(figure: Path) -> list[str]:
    """The ids of the images that a PNG file was saved with, in their order."""
    with Image.open(figure) as page:
        return list(json.loads(page.info.get(_IMAGES, "[]")))
