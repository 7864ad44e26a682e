"""A figure for the screen: a sheet of photographs in an eighth of the printed file's size, and looking the same."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

#: Of lossy WebP. Eight sheets of 1.4 to 3.5 MB as PNG have 0.2 to 0.5 MB; 85 would save another fifth.
QUALITY = 90

#: Colours of a drawing at most: curves have two to twelve thousand, a sheet of photographs a hundred thousand and more,
#: and to try that without loss takes seconds in vain.
DRAWN = 2**15


def for_screen(figure: Path) -> bytes:
    """The PNG file `figure` as WebP, of the same size in pixels.

    Nothing is lost where that costs little (curves, flat colours). The same file gives the same bytes.
    """
    with Image.open(figure) as page:
        flat = page.convert("RGB")
    # little effort: a fraction of the default's time, for 3 % more bytes
    lossy = _webp(flat, method=2, quality=QUALITY)
    if flat.getcolors(DRAWN) is None:
        return lossy
    lossless = _webp(flat, method=1, lossless=True, quality=0)
    return lossless if len(lossless) < 1.5 * len(lossy) else lossy


def _webp(page: Image.Image, **options: int | bool) -> bytes:
    content = io.BytesIO()
    page.save(content, "WEBP", **options)
    return content.getvalue()
