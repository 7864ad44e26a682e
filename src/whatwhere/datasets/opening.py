"""Image files opened: whatever is missing, damaged, too large or no image is one line."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile, TiffImagePlugin

from whatwhere.artifacts.errors import InputError

PathLike = str | os.PathLike[str]
#: TIFF's tag for channels of a pixel, and how many a picture may have: of more PIL takes the first three for colours.
SAMPLES, MOST_CHANNELS = 277, 4
#: What the fifth byte on of a file says that is a container of pictures or films: HEIC, as phones write it, and AVIF.
CONTAINER = b"ftyp"


@contextmanager
def opened(path: PathLike, expected: str, formats: tuple[str, ...]) -> Iterator[ImageFile.ImageFile]:
    """The open file, in one of PIL's `formats`; whatever goes wrong while it is read becomes one line."""
    if not os.path.isfile(path):  # before PIL, which would wait for ever on a named pipe
        if os.path.isdir(path):
            raise refusal(path, expected, "a folder, which is no file", "name the files in it")
        got = "something that is no file" if os.path.exists(path) else "nothing"
        raise refusal(path, expected, got, "check the path")
    if os.path.getsize(path) == 0:
        raise refusal(path, expected, "an empty file (0 bytes)", "fetch or export it again")
    try:
        with warnings.catch_warnings():  # large is no fault yet
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file = Image.open(path, formats=_known(path, formats))
        with file:
            if file.format == "TIFF" and getattr(file, "tag_v2", {}).get(SAMPLES, 1) > MOST_CHANNELS:
                raise refusal(path, expected, _unusual_tiff(path), "write the three that are red, green and blue")
            yield file
    except (InputError, MemoryError):
        raise
    except Image.UnidentifiedImageError as error:
        got = _unusual_tiff(path) or f"a file not in (or too damaged to be known as) {', '.join(formats)}"
        raise refusal(path, expected, got, "convert it to 8 bits of one or three channels, or remove it") from error
    except Image.DecompressionBombError as error:
        got = f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels"
        raise refusal(path, expected, got, "shrink the image before use") from error
    except PermissionError as error:
        raise refusal(path, expected, "a file that may not be read", "change its permissions") from error
    except Exception as error:  # damaged files make PIL raise OSError, SyntaxError, struct.error, ...
        got = f"a damaged or unsupported file ({type(error).__name__}: {error})"
        raise refusal(path, expected, got, "fetch or export it again, or remove it") from error


def _known(path: PathLike, formats: tuple[str, ...]) -> tuple[str, ...]:
    """Those formats that PIL knows; HEIC, of a package of its own, from the first file on that may be one."""
    with open(path, "rb") as file:
        head = file.read(8)
    if "HEIF" not in formats or head[4:] != CONTAINER:
        return tuple(name for name in formats if name != "HEIF")
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    return formats


def _unusual_tiff(path: PathLike) -> str:
    """What a TIFF is that PIL has no mode for: how many channels of which numbers; empty for what is no TIFF."""
    try:
        with open(path, "rb") as file:
            tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
            bits, kind = tags.get(258, (1,)), tags.get(339, (1,))
            channels = tags.get(SAMPLES, 1)
    except Exception:  # whatever is no TIFF
        return ""
    numbers = {1: "whole numbers", 2: "signed whole numbers", 3: "floating-point numbers"}.get(kind[0], "numbers")
    return f"a TIFF of {channels} channel{'s' * (channels != 1)} of {bits[0]}-bit {numbers}"


def refusal(path: PathLike, expected: str, got: str, advice: str) -> InputError:
    """The line about a file."""
    # !r: a line break in a file's name, or in PIL's own words, must not break the line.
    return InputError(f"{os.fspath(path)!r}: expected {expected}, got {' '.join(got.split())}; {advice}")
