"""`whatwhere explore DIR`: a page over all photographs of a folder that `whatwhere discover` labelled.

Each photograph is seen once and its patches connected to the codebook's landmarks, so time grows with the number of
photographs and memory does not; the page reads of each only what is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import numpy as np

from whatwhere.app.discover.codebook import Codebook
from whatwhere.app.discover.folder import BOOK, NAMES, book_state, existing
from whatwhere.app.discover.names import Names, plain, read_names
from whatwhere.app.explore.album import (
    DATA,
    LAYOUT,
    Marked,
    Shown,
    data_file,
    is_written,
    patch_classes,
    remove_others,
    write_album,
    write_photo,
)
from whatwhere.app.explore.found import Found, digest, labelled_photos, labels_of
from whatwhere.app.explore.sample import Sampled, note, patches_of, sampled, seen_sample
from whatwhere.app.photos import check_output, each_photo
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.words import bytes_words
from whatwhere.datasets.images import read_image
from whatwhere.method.joint.connections import Targets, connections
from whatwhere.publish.explored.page import check_index

#: Connections of a patch that are shown, of each pathway.
MOST = 6
#: What things are, and where they are.
PATHWAYS = ("vv", "qk")


@dataclass(frozen=True)
class _Work:
    """What every photograph of a folder is explored with."""

    folder: Path
    out: Path
    book: Codebook
    keys: dict[Path, str]
    photos: dict[Path, Found]


def explore_found(folder: Path, out: Path, *, report: Callable[[str], None]) -> list[str]:
    """Writes `index.html` under `out`, and the files of each photograph that has none yet.

    Answers one line for each that was left out: gone or changed since `discover` labelled it, or not to be done.
    `report` gets a line a photograph that was done, and a last one. Raises `InputError` for a folder that `discover`
    did not write, and where `index.html` is somebody else's.
    """
    book = Codebook.load(existing(folder / BOOK))
    state = book_state(folder)
    photos, failures = labelled_photos(folder, state)
    check_output(out, [one.photo for one in photos])
    check_index(out)
    sample = sampled(book, state, photos, out)
    used = digest(LAYOUT, str(MOST), state, *(one.id for one in sample))
    keys = {one.photo: digest(used, one.content, one.labels) for one in photos}
    work = _Work(folder, out, book, keys, {one.photo: one for one in photos})
    left = [photo for photo, key in keys.items() if not is_written(out, key)]
    if left or not all(one.grid for one in sample):
        by_content = {one.content: one.photo for one in photos}
        targets, sample = seen_sample(book, sample, lambda content: read_image(by_content[content]))
        failures += each_photo(left, out, partial(_explored, work, targets), doing="exploring", report=report)
        note(out, state, photos, sample)
    done = [one for one in photos if is_written(out, keys[one.photo])]
    if not done:
        raise InputError(f"--out {out}: expected room for a page of {len(photos)} photographs, got none; {failures[0]}")
    index = _index(work, done, sample)
    remove_others(out, {keys[one.photo] for one in done})
    said = f"{len(done)} photograph{'' if len(done) == 1 else 's'}"
    report(f"{said}{f', {len(failures)} left out' if failures else ''} -> {index}")
    return failures


def _explored(work: _Work, targets: Targets, photo: Path, _: str, image: np.ndarray) -> Callable[[], str]:
    """One photograph's connections, to be written; says how large they are."""
    book, key = work.book, work.keys[photo]
    seen = book.seen(image, pathway="both")
    threshold = book.book.landmarks.sparsity.threshold
    found = {
        pathway: connections(targets, seen, pathway=pathway, count=MOST, threshold=threshold) for pathway in PATHWAYS
    }

    def write() -> str:
        """Both files."""
        labels = labels_of(work.folder, work.photos[photo].name)
        text = data_file(key, image, labels, seen.grid, found, len(targets.owners))
        write_photo(work.out, key, image, text)
        return f"{bytes_words(len(text))} -> {work.out / DATA / f'{key}.js'}"

    return write


def _index(work: _Work, done: Sequence[Found], sample: Sequence[Sampled]) -> Path:
    """The page of those that are done, by the names that the classes have now."""
    book, places = work.book.book, {one.content: number for number, one in reversed(list(enumerate(done)))}
    names = _names(work.folder, book.classes)
    marks = [_marked(work, one, places.get(one.content, -1)) for one in sample]
    shown = [Shown(work.keys[one.photo], one.name, one.size, list(enumerate(one.shares.tolist()))) for one in done]
    page = work.folder / "classes.html"
    about = {
        "backbone": work.book.asked.backbone,
        "weights": book.about["weights"],
        "most": MOST,
        "classes": _address(page, work.out) if page.is_file() else "",
    }
    top = Path(os.path.commonpath([one.photo.parent for one in done])).name
    return write_album(work.out, shown, marks, names, title=top or "Photographs", about=about)


def _address(page: Path, out: Path) -> str:
    """Of a page, for a link in a page under `out`; a colon is quoted too, so that a folder's name is no scheme."""
    return quote(os.fsencode(Path(os.path.relpath(page.resolve(), out.resolve())).as_posix()))


def _marked(work: _Work, one: Sampled, number: int) -> Marked:
    """The landmarks of a photograph of the sample, with their classes; `number` is −1 where the index has it not."""
    assert one.grid
    patches = patches_of(work.book, one)
    name = next(photo.name for photo in work.photos.values() if photo.content == one.content)
    classes = patch_classes(labels_of(work.folder, name), one.grid).ravel()[patches]
    return Marked(number, one.grid, patches.tolist(), classes.tolist())


def _names(folder: Path, classes: int) -> Names:
    """As the person calls them."""
    return read_names(folder / NAMES, classes) if (folder / NAMES).exists() else plain(classes)
