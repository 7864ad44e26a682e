"""`whatwhere discover`: the classes of a folder of photographs, and a label map of each; `apply`: of any others."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from whatwhere.app.discover.codebook import Asked, Codebook
from whatwhere.app.discover.maps import (
    Labelled,
    Summary,
    about_of,
    labelled,
    overlay,
    read_labelled,
    write_labelled,
    write_map,
)
from whatwhere.app.discover.names import MOST_CLASSES, Names, plain, read_names, write_names
from whatwhere.app.eyes import caution
from whatwhere.app.photos import check_output, each_photo, place_of
from whatwhere.artifacts.again import NOTE
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.store import read_json
from whatwhere.datasets.folder import SUFFIXES
from whatwhere.datasets.walk import entries, is_strange, left_out
from whatwhere.evaluate.borders import Borders

#: In a folder of `discover`: the codebook, what a person edits, label maps, archives, and what could not be read.
BOOK, NAMES, MAPS, ARCHIVE, SKIPPED = "codebook.json", "classes.yaml", "labels", "archive", "skipped.txt"
#: Which names the label maps were drawn with.
DRAWN = ".names"


def discover_folder(
    folder: Path,
    out: Path,
    *,
    asked: Asked,
    report: Callable[[str], None],
    warn: Callable[[str], None] = lambda line: None,
    borders: Borders = "image",
    panoptic: bool = False,
) -> list[str]:
    """Finds the classes of a folder (those that `out` has already, if it has) and labels all photographs that are not.

    Answers one line for each photograph that could not be done. Page, tables and label maps follow what `classes.yaml`
    says. Raises `InputError` for a folder without photographs, and an `out` of other settings.
    """
    from whatwhere.app.discover.export import in_table, write_exports
    from whatwhere.app.discover.page import write_page
    from whatwhere.app.discover.tally import summaries, tally

    photos = named_photos(folder, out, warn)
    check_output(out, list(photos))
    book = _book(out, folder, photos, asked, warn)
    names = _names(out, book.book.classes)
    state = book_state(out)
    left = [photo for photo, name in photos.items() if not _is_done(out, name, photo, state)]
    work = partial(_label, book, out, photos, names, borders, state)
    failures = each_photo(left, out, work, doing="labelling", report=report)
    (out / SKIPPED).write_text("".join(f"{one}\n" for one in failures), "utf-8")
    missing = {photo for photo in left if not about_of(out / ARCHIVE / f"{photos[photo]}.npz")}
    done = {photo: name for photo, name in photos.items() if photo not in missing}
    if not done:
        raise InputError(f"{folder}: expected photographs that can be read, got none; {failures[0]}")
    _redraw(out, list(done.values()), names)
    found = tally(in_table(summaries(out / ARCHIVE, done), out, names), names)
    write_exports(out, folder, done, found, names, panoptic=panoptic)
    write_page(out / "classes.html", found, names, title=f"What is in {folder.resolve().name}")
    report(f"{len(done)} photographs, {len(names.shown())} classes -> {out / 'classes.html'}; names: {out / NAMES}")
    return failures


def apply_codebook(
    found: Path,
    photos: Sequence[Path],
    out: Path,
    *,
    report: Callable[[str], None],
    borders: Borders = "image",
) -> list[str]:
    """Labels photographs by what `discover` left in a folder: `NAME_classes.png`, `NAME_labels.png` and `NAME.npz`.

    Answers one line for each that could not be done. `report` gets a line a photo: its classes, and what part of it
    hardly connects to the photographs that the classes were found in.
    """
    check_output(out, photos)
    book = Codebook.load(existing(found / BOOK))
    names = read_names(found / NAMES, book.book.classes) if (found / NAMES).exists() else plain(book.book.classes)
    state = book_state(found)

    def work(photo: Path, name: str, image: np.ndarray) -> Callable[[], str]:
        """The classes of one photograph, to be written; says which."""
        one = _labelled(book, image, borders)

        def write() -> str:
            """All three files."""
            about = {"photo": place_of(photo), "state": photo_state(photo), "codebook": state}
            write_map(out / f"{name}_labels.png", one.labels, names)
            overlay(out / f"{name}_classes.png", image, one.labels, names)
            write_labelled(out / f"{name}.npz", one, {**about, "names": "\n".join(names.names)})
            return f"{_said(one.summary, names)} -> {out / f'{name}_classes.png'}"

        return write

    return each_photo(photos, out, work, doing="labelling", report=report, whose=partial(_whose, out))


def named_photos(folder: Path, out: Path, warn: Callable[[str], None] = lambda line: None) -> dict[Path, str]:
    """Every photograph under a folder, what lies in `out` left out, and a name: its path there, without the ending.
    Warns of what else lies there.

    Raises `InputError` where there is none.
    """
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing"
        raise InputError(f"{folder}: expected a folder of photographs, got {got}; name one")
    inside = out.resolve()
    there = [one for one in entries(folder) if inside not in one.resolve().parents]
    photos = [one for one in there if one.suffix.lower() in SUFFIXES and not is_strange(one)]
    if not photos:
        kinds = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise InputError(f"{folder}: expected photographs ({kinds}) in it or below it, got none; name another")
    if line := left_out(folder, set(there) - set(photos)):
        warn(line)
    taken: set[str] = set()
    found = {}
    for photo in sorted(photos, key=lambda one: one.relative_to(folder).as_posix()):
        base = photo.relative_to(folder).with_suffix("").as_posix()
        name, number = base, 2
        while name.casefold() in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name.casefold())
        found[photo] = name
    return found


def _book(out: Path, folder: Path, photos: dict[Path, str], asked: Asked, warn: Callable[[str], None]) -> Codebook:
    """The codebook that `out` has, or one of the photographs."""
    if (out / BOOK).exists():
        book = Codebook.load(out / BOOK)
        differ = [key for key, value in vars(asked).items() if getattr(book.asked, key) != value]
        if differ:
            had = ", ".join(f"{key} {getattr(book.asked, key)!r}" for key in differ)
            wish = ", ".join(f"{key} {getattr(asked, key)!r}" for key in differ)
            raise InputError(f"--out {out}: expected a codebook of {wish}, got one of {had}; choose another folder")
        return book
    if line := caution(asked.backbone):
        warn(line)
    book = Codebook(**vars(asked)).fit(list(photos), ids=list(photos.values()))
    if book.book.classes > MOST_CLASSES:
        raise InputError(f"--classes: expected at most {MOST_CLASSES}, got {book.book.classes}; take fewer")
    with replacing(out / NOTE) as unfinished:  # what a damaged codebook's line says to run
        unfinished.write_text(f"{shlex.join(['whatwhere', 'discover', str(folder), '--out', str(out)])}\n", "utf-8")
    book.save(out / BOOK)
    return book


def _names(out: Path, classes: int) -> Names:
    if not (out / NAMES).exists():
        write_names(out / NAMES, plain(classes))
    return read_names(out / NAMES, classes)


def _labelled(book: Codebook, image: np.ndarray, borders: Borders) -> Labelled:
    from whatwhere.evaluate.borders import to_pixels

    one = book.extended(image)
    labels = to_pixels(book.book.assign(one), image, borders)
    return labelled(book.book, book.book.rows(one), one.grid, labels, book.book.strangers(one))


def _label(
    book: Codebook,
    out: Path,
    photos: dict[Path, str],
    names: Names,
    borders: Borders,
    state: str,
    photo: Path,
    _: str,
    image: np.ndarray,
) -> Callable[[], str]:
    """One photograph's label map and archive, to be written; the archive, which says that it is done, last."""
    one, name = _labelled(book, image, borders), photos[photo]

    def write() -> str:
        """Both files."""
        write_map(out / MAPS / f"{name}.png", one.labels, names)
        about = {"photo": place_of(photo), "state": photo_state(photo), "codebook": state}
        write_labelled(out / ARCHIVE / f"{name}.npz", one, about)
        return _said(one.summary, names)

    return write


def _is_done(out: Path, name: str, photo: Path, state: str) -> bool:
    """Whether a photograph was labelled by this codebook, and is still the same file."""
    about = about_of(out / ARCHIVE / f"{name}.npz")
    wanted = {"photo": place_of(photo), "state": photo_state(photo), "codebook": state}
    return about == wanted and (out / MAPS / f"{name}.png").exists()


def photo_state(photo: Path) -> str:
    """By which a file is known to be as it was."""
    status = photo.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def book_state(out: Path) -> str:
    """By which the codebook of a folder is known again."""
    return str(read_json(out / BOOK)["content"])


def existing(manifest: Path) -> Path:
    """The codebook of a folder. Raises `InputError` where there is none."""
    if not manifest.exists():
        raise InputError(
            f"{manifest.parent}: expected a folder that `whatwhere discover` wrote, got none with {manifest.name}; "
            "name its --out"
        )
    return manifest


def _redraw(out: Path, names_of: Sequence[str], names: Names) -> None:
    """Label maps with other names than before, from the archives."""
    said = hashlib.blake2b(repr((names.colours.tolist(), names.shown_as.tolist())).encode(), digest_size=8).hexdigest()
    note = out / MAPS / DRAWN
    if not note.exists() or note.read_text("utf-8") != said:
        for name in progress(names_of, "label maps") if note.exists() else ():
            if kept := read_labelled(out / ARCHIVE / f"{name}.npz"):
                write_map(out / MAPS / f"{name}.png", kept[0].labels, names)
        with replacing(note) as unfinished:
            unfinished.write_text(said, "utf-8")


def _said(one: Summary, names: Names, most: int = 4) -> str:
    """The largest classes, and what hardly connects."""
    shares = np.bincount(names.shown_as, one.shares, len(names.names))
    largest = [n for n in np.argsort(-shares)[:most].tolist() if shares[n] >= 0.005]
    words = ", ".join(f"{names.names[n]} {shares[n]:.0%}" for n in largest)
    return f"{words}; {one.strangers:.0%} hardly connects" if one.strangers >= 0.005 else words


def _whose(out: Path, name: str) -> str | None:
    """Which photograph the files of a name are of."""
    if not (file := out / f"{name}.npz").exists():
        return None
    about = about_of(file)
    return about["photo"] if about else "?"
