"""One's own photographs: read, one after the other, and what was found in them written without touching theirs."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from whatwhere.artifacts.ahead import imported_ahead
from whatwhere.artifacts.errors import InputError, line
from whatwhere.artifacts.memory import free_bytes
from whatwhere.artifacts.progress import between_bars, progress
from whatwhere.artifacts.words import bytes_words
from whatwhere.backbones import PRESETS
from whatwhere.datasets.images import Protocol, image_size, read_image

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone
    from whatwhere.backbones.features import Features
    from whatwhere.method.walk import Pathway


#: Of PNG files: of photographs zlib's second level makes files as small as its sixth, in a third of the time.
COMPRESS_LEVEL = 2
#: A photograph whose long side has more times the short one would have tokens without end.
MOST_TIMES = 8
#: Memory that a pixel takes at most while regions or masks are brought to pixels; measured: 32 to 42 above a start.
PIXEL_BYTES = 60
#: Answers which photograph the files of a name in the folder are of; None where there are none, `?` where none says.
Whose = Callable[[str], str | None]


@dataclass(frozen=True)
class Solved:
    """X of one photograph (Eq. 3-4, 8) on its grid, the features that it was solved from, and what the backbone saw.

    `exact`: by the exact solver, so that `values` are the eigenvalues of the columns.
    """

    features: Features
    vectors: Float[np.ndarray, "token vector"]
    values: Float[np.ndarray, "vector"]
    grid: tuple[int, int]
    shown: UInt8[np.ndarray, "y_view x_view 3"]
    exact: bool = True

    def shows_nothing(self, backbone: Backbone) -> bool:
        """Whether the photograph is flat or evenly noisy to the backbone's eyes (see `nothing`)."""
        from whatwhere.app.nothing import shows_nothing

        final = self.features.final[0].float().cpu().numpy().reshape(*self.features.final_grid, -1)
        return shows_nothing(backbone, self.shown, final)

    def eigenvalues(self) -> Float[np.ndarray, "vector"] | None:
        """Of the columns of X; none where a descent found it, whose columns Eq. 8 mixes."""
        return self.values if self.exact else None


def protocol_of(backbone: str) -> Protocol:
    """How a backbone is shown photographs: as its preset says, else by their short side."""
    return PRESETS[backbone].view[0] if backbone in PRESETS else "short_side"


def solve_photo(
    backbone: Backbone,
    image: UInt8[np.ndarray, "y x 3"],
    *,
    vectors: int = 10,
    protocol: Protocol = "short_side",
    size_px: int | None = None,
    pathway: Pathway = "qk",
    solver: str = "exact",
    seed: int = 0,
    joint: bool = False,
) -> Solved:
    """The method's steps on one photograph, all of it (`protocol` short_side, square or none) shown at `size_px`, by
    default the backbone's own. With `joint` the features hold the space that the backbone shares with texts.

    Raises `InputError` for a photograph longer than `MOST_TIMES` its width (or wider), for one of no more tokens than
    vectors, and for a backbone whose attention cannot be read.
    """
    from whatwhere.steps import View, capture, orthogonalise, random_walk, solve, view_image

    view = View(protocol, backbone.size_px if size_px is None else size_px, backbone.patch_px)
    height, width = image.shape[:2]
    if protocol != "square" and max(height, width) > MOST_TIMES * min(height, width):
        raise InputError(f"expected one side at most {MOST_TIMES} times the other, got {height} × {width} px; crop it")
    # what K-means needs is read from the disk while the network is busy
    imported_ahead("sklearn.cluster", without=["pandas", "rich"])
    shown = view_image(image, view)
    features = capture(backbone, shown[None], values=pathway != "qk", joint=joint)
    if not features.layers:
        raise InputError(f"backbone {backbone.name}: expected one whose attention can be read, got none; name another")
    walks = random_walk(features, pathway=pathway, operator="normalised" if solver == "exact" else "walk")
    rows, columns = walks.grid
    if rows * columns <= vectors:
        got = f"{rows} × {columns}; choose a larger --size or fewer --vectors"
        raise InputError(f"expected more tokens than the {vectors} vectors, got {got}")
    solution = solve(walks, vectors=vectors, solver=solver, seed=seed)
    X, values = orthogonalise(solution.vectors).numpy(), solution.values.numpy()
    return Solved(features, X, values, solution.grid, shown, solver == "exact")


def each_photo(
    photos: Sequence[Path],
    out: Path,
    work: Callable[[Path, str, np.ndarray], Callable[[], str]],
    *,
    doing: str,
    report: Callable[[str], None],
    whose: Whose = lambda name: None,
) -> list[str]:
    """`work(photo, name, image)` for every photo, which answers what is left: a function that writes its files in `out`
    by that name and says what was found. It is called in a thread of its own, beside the work on the next photo.

    A bad photo leaves the others unharmed, be it that it cannot be read, solved or held in memory: answers one line for
    each that could not be done. `report` gets a line a photo; what `whose` says is another's keeps its files.
    """
    names = _output_names(photos, whose)
    failures: dict[int, str] = {}

    def guarded(place: int, step: Callable[..., Any], *given: Any) -> Any:
        """What a step answers; None, and a line among the failures, of a bad photo and where nothing can be written."""
        try:
            return step(*given)
        except Exception as error:  # a solver, a network and a memory have many ways to fail, at one photo of many
            failures[place] = _failure(error, photos[place], names[photos[place]], out)

    def finish(place: int, rest: Callable[[], str]) -> None:
        """The files, and a line whole above the bar."""
        if (found := guarded(place, rest)) is not None:
            with between_bars():
                report(f"{photos[place]}: {found}")

    with ThreadPoolExecutor(1) as aside:
        writing: Future[None] | None = None
        # nothing but lines where nobody looks on
        for place in progress(range(len(photos)), doing) if sys.stderr.isatty() else range(len(photos)):
            photo = photos[place]
            rest = guarded(place, lambda at=photo: work(at, names[at], _read(at)))
            if writing:
                writing.result()  # one at a time: two large photographs are held at most
            writing = aside.submit(finish, place, rest) if rest else None
        if writing:
            writing.result()
    return [failures[place] for place in sorted(failures)]


def _read(photo: Path) -> UInt8[np.ndarray, "y x 3"]:
    """The photograph. Raises `InputError` before it is read where there is no memory for what is made of it."""
    height, width = image_size(photo)
    needed, free = height * width * PIXEL_BYTES, free_bytes()
    if needed > free:
        raise InputError(
            f"{photo}: expected memory for {height} × {width} px, about {bytes_words(needed)}, got {bytes_words(free)} "
            "free; shrink it, or give the process more"
        )
    return read_image(photo)


def _failure(error: Exception, photo: Path, name: str, out: Path) -> str:
    """One line that names the photo."""
    if isinstance(error, InputError):
        return str(error) if str(photo) in str(error) else f"{photo}: {error}"
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return f"{photo}: expected memory for it, got too little ({line(error)}); shrink it, or choose a smaller --size"
    if isinstance(error, OSError):
        got = f"{error.strerror}" + (f" at {error.filename}" if error.filename else "")
        return f"--out {out}: expected to write {name}'s files there, got {got}; choose another, or make room"
    got = f"{type(error).__name__}: {line(error)}"
    return f"{photo}: expected a solution, got {got}; try another --solver or --size, or leave it out"


def check_output(out: Path, photos: Sequence[Path]) -> None:
    """The folder can be made, and is none that a photo lies in: nothing of the user's is ever written over.

    Raises `InputError` where it is not so.
    """
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for folder in missing:  # only tried: the first photo's files bring the folder with them
            folder.rmdir()
    except OSError as error:
        raise InputError(
            f"--out {out}: expected a folder that can be made, got {error.strerror}; choose another"
        ) from error
    own = out.resolve()
    ours = {folder for folder in {photo.parent for photo in photos} if folder.resolve() == own}
    if inside := [photo for photo in photos if photo.parent in ours]:
        raise InputError(f"--out {out}: expected a folder without the photos in it, got that of {inside[0]}")


def _output_names(photos: Sequence[Path], whose: Whose) -> dict[Path, str]:
    """A name for each photo's files: its own, with the first free number where another photo has that, of this call or
    of an earlier one.
    """
    taken: dict[str, str] = {}
    known = defaultdict[tuple[str, str], list[str]](list)  # names of a stem that are a photo's, by its place
    looked_at = Counter[str]()  # of a stem's names so many are somebody's: nobody looks at them again
    names: dict[Path, str] = {}
    for photo in dict.fromkeys(photos):
        own, stem = place_of(photo), photo.stem
        while not (mine := [name for name in known[stem, own] if taken.get(name.casefold(), own) == own]):
            looked_at[stem] += 1
            name = stem if looked_at[stem] == 1 else f"{stem}-{looked_at[stem]}"
            known[stem, taken.get(name.casefold()) or whose(name) or own].append(name)
        names[photo], taken[mine[0].casefold()] = mine[0], own
    return names


def place_of(photo: Path) -> str:
    """By which a photograph is known again, among others of its name."""
    return str(photo.resolve())
