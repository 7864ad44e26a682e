"""Pages of one's own photographs: `whatwhere explore`, and the same from Python."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from whatwhere.app.eyes import SEEING, opened
from whatwhere.app.photos import check_output, each_photo, place_of, protocol_of, solve_photo
from whatwhere.artifacts.words import bytes_words
from whatwhere.backbones import load_backbone
from whatwhere.datasets.images import Protocol, read_image
from whatwhere.publish.explored import numbers
from whatwhere.publish.explored.page import about, check_index, page, write_index, write_page

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone


@dataclass(frozen=True)
class Page:
    """The HTML of one photograph, which a notebook shows in place."""

    html: str
    height_px: int = 900

    def __repr__(self) -> str:
        return f"Page({bytes_words(len(self.html))}; .save(path) writes it, a notebook shows it)"

    def save(self, path: str | Path) -> Path:
        """Writes the page to a file, and answers where."""
        write_page(Path(path), self.html)
        return Path(path)

    def _repr_html_(self) -> str:
        inside = html.escape(self.html, quote=True)
        return f'<iframe srcdoc="{inside}" style="width: 100%; height: {self.height_px}px; border: 0"></iframe>'


def explore(
    photo: str | Path | UInt8[np.ndarray, "y x 3"],
    *,
    backbone: str = SEEING,
    size_px: int | None = None,
    vectors: int = 10,
    seed: int = 0,
    title: str = "",
    **settings: Any,
) -> Page:
    """A page on one photograph, a file or an RGB array, as a backbone sees it at `size_px` (by default its own size).

    `settings` are `load_backbone`'s. Raises `InputError` for what cannot be read, and as `numbers_of` does.
    """
    image = photo if isinstance(photo, np.ndarray) else read_image(photo)
    model = load_backbone(backbone, **settings)
    found = numbers_of(model, image, vectors=vectors, seed=seed, protocol=protocol_of(backbone), size_px=size_px)
    named = title or ("photograph" if isinstance(photo, np.ndarray) else Path(photo).stem)
    return Page(page(found, image, title=named))


def numbers_of(
    backbone: Backbone,
    image: UInt8[np.ndarray, "y x 3"],
    *,
    vectors: int = 10,
    seed: int = 0,
    protocol: Protocol = "short_side",
    size_px: int | None = None,
) -> numbers.Numbers:
    """The five steps for each pathway and for both in one, on one photograph.

    Raises `InputError` as `solve_photo`, and for fewer than 3 vectors, which make no colours.
    """
    numbers.check_vectors(vectors)
    choice: dict[str, Any] = {"vectors": vectors, "seed": seed}
    solved = solve_photo(backbone, image, protocol=protocol, size_px=size_px, pathway="both", **choice)
    choice |= {"backbone": backbone.name, "weights": backbone.weights}
    return numbers.numbers_of(solved.features, image, **choice)


def explore_photos(
    photos: Sequence[Path],
    out: Path,
    *,
    backbone: str,
    backbone_settings: dict[str, Any],
    report: Callable[[str], None],
    warn: Callable[[str], None] = lambda line: None,
    **choice: Any,
) -> list[str]:
    """Writes `NAME.html` of every photo under `out`, and `index.html` where the folder holds several; `choice` is
    `numbers_of`'s.

    Answers one line for each photo that could not be done. `report` gets a line a photo, `warn` what to know of the
    backbone (`eyes.caution`).
    """
    check_output(out, photos)
    check_index(out)
    model = opened(backbone, backbone_settings, warn=warn)

    def work(photo: Path, name: str, image: np.ndarray) -> Callable[[], str]:
        """The numbers of one photograph, to be written; says how large the page is."""
        found = numbers_of(model, image, protocol=protocol_of(backbone), **choice)

        def rest() -> str:
            """The file."""
            text = page(found, image, title=photo.name, photo=place_of(photo))
            write_page(out / f"{name}.html", text)
            return f"{bytes_words(len(text))} -> {out / f'{name}.html'}"

        return rest

    failures = each_photo(photos, out, work, doing="exploring", report=report, whose=partial(_whose, out))
    if out.is_dir():
        write_index(out)
    return failures


def _whose(out: Path, name: str) -> str | None:
    """Which photograph the page of a name is of; `?` of the folder's list, and of what is no page of ours."""
    file = out / f"{name}.html"
    if name.casefold() == "index":
        return "?"
    if not file.exists():
        return None
    with suppress(OSError):
        return about(file).get("photo", "?")
    return "?"
