"""`Codebook`: fitted to photographs, it labels others, with scikit-learn's words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Int16, UInt8

from whatwhere.app.photos import MOST_TIMES, protocol_of
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.provenance import VERSION
from whatwhere.artifacts.seeding import seed_for
from whatwhere.datasets.images import View, read_image, view_image
from whatwhere.evaluate.borders import Borders, to_pixels

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone
    from whatwhere.method.joint.extension import Extended
    from whatwhere.method.joint.landmarks import SolvedSample
    from whatwhere.method.joint.seen import Seen
    from whatwhere.stages.codebook import Book

#: A photograph: its file, or its pixels as they are read (upright RGB, 0-255).
Photo = Path | str | UInt8[np.ndarray, "_ _ 3"]
#: Numbers of classes that `auto` chooses among, and the rows of X that it looks at.
CANDIDATES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32)
JUDGED_ROWS = 2000
#: Photographs of the sample that tell how well tokens connect.
CALIBRATED = 12
#: Photographs with a long side of more times the short one are not in a sample: all others would be padded to theirs.
WIDEST_SAMPLED = 2.0


@dataclass(frozen=True)
class Asked:
    """What a codebook is made by.

    `classes`: a number, or `auto` by modularity (`chosen_classes`); `sample`: photographs that are solved
    together; `landmarks`: of their tokens so many stay, the price of every later photograph; `intra` and `inter`:
    connections of a token inside its photograph and to all others; `time`: steps of the walk by which columns of X
    weigh; `size_px`: short side, or side of the square, shown to the backbone (its own, if None).
    """

    backbone: str = "dinov2-vits14"
    weights: str | None = None
    pathway: Literal["vv", "qk", "both"] = "vv"
    classes: int | Literal["auto"] = "auto"
    sample: int = 48
    landmarks: int = 2048
    vectors: int = 50
    layers: tuple[str, ...] = ("*",)
    intra: int = 10
    inter: int = 10
    time: float = 2.0
    size_px: int | None = None
    seed: int = 0


class Codebook:
    """Classes of a sample of photographs, and of every other photograph by itself.

        book = Codebook(classes=12).fit(paths)
        labels = book.predict(others)  # of each a label map at its own size
        book.save("classes.json"); book = Codebook.load("classes.json")

    Settings are those of `Asked`; photographs are paths or arrays `[y, x, 3]` of 0 to 255.
    """

    def __init__(self, **settings: Any) -> None:
        self.asked = Asked(**settings)
        self._book: Book | None = None
        self._backbone: Backbone | None = None
        self.status = ""

    @property
    def book(self) -> Book:
        """What was fitted or read. Raises `InputError` before that."""
        if self._book is None:
            raise InputError("codebook: expected one that was fitted or loaded, got none; call fit first")
        return self._book

    @property
    def backbone(self) -> Backbone:
        """The network, loaded when it is needed; of a codebook that was read the one that it was made with."""
        if self._backbone is None:
            from whatwhere.backbones import load_backbone

            self._backbone = load_backbone(self.asked.backbone, weights=self.asked.weights)
            if self._book is not None and self._backbone.weights != self._book.about["weights"]:
                raise InputError(
                    f"codebook: expected {self.asked.backbone} with the weights {self._book.about['weights']}, got "
                    f"{self._backbone.weights}; give it those, or make the codebook anew"
                )
        return self._backbone

    def fit(self, images: Sequence[Photo], y: Any = None, *, ids: Sequence[str] | None = None) -> Codebook:
        """Solves a sample of the photographs (all, where they are no more) and finds the classes in it.

        The sample is drawn by `ids`, the photographs' paths where there are none. Raises `InputError` where none can be
        read, and for more classes than there are different rows.
        """
        from whatwhere.method.joint.landmarks import solve_sample
        from whatwhere.method.joint.sparsity import Sparsity

        asked, self._book = self.asked, None
        sample = self._sample(images, ids or [_called(one, n) for n, one in enumerate(images)])
        tokens = sum(one.grid[0] * one.grid[1] for one in sample)
        found = solve_sample(
            sample,
            pathway=asked.pathway,
            vectors=min(asked.vectors, tokens - 1),
            sparsity=Sparsity(asked.intra, asked.inter),
            landmarks=asked.landmarks,
            seed=seed_for(asked.seed, "solve"),
        )
        self._book, self.status = self._classes(sample, found), found.status
        return self

    def transform(self, images: Iterable[Photo]) -> list[Float[np.ndarray, "row column vector"]]:
        """X of each photograph on its own grid, as it is compared with the centres: rows at unit length."""
        book, found = self.book, []
        for image in images:
            one = self.extended(_pixels(image))
            found.append(book.rows(one).reshape(*one.grid, -1))
        return found

    def predict(self, images: Iterable[Photo], *, borders: Borders = "image") -> list[Int16[np.ndarray, "y x"]]:
        """The class of each pixel of each photograph, with borders that follow the image or the tokens."""
        return [labels for _, labels, _ in self.labelled(images, borders=borders)]

    def labelled(
        self, images: Iterable[Photo], *, borders: Borders = "image"
    ) -> Iterator[tuple[Extended, Int16[np.ndarray, "y x"], float]]:
        """One photograph after the other: X, the label map, and the part of it that hardly connects to the sample."""
        for image in images:
            pixels = _pixels(image)
            one = self.extended(pixels)
            yield one, to_pixels(self.book.assign(one), pixels, borders), self.book.strangers(one)

    def extended(self, pixels: UInt8[np.ndarray, "y x 3"]) -> Extended:
        """X of one photograph. One of the sample is known again by its pixels and gets its own rows."""
        return self.extend(self.seen(pixels))

    def extend(self, image: Seen) -> Extended:
        """X of what the network saw."""
        from whatwhere.method.joint.extension import extend
        from whatwhere.method.joint.landmarks import without

        return extend(without(self.book.landmarks, image.id), image)

    def save(self, manifest: Path | str) -> None:
        """A Zarr store beside the manifest, with the settings and the versions of what made it."""
        from whatwhere.stages.codebook import write_book

        write_book(self.book, Path(manifest), {**vars(self.asked), "status": self.status})

    @classmethod
    def load(cls, manifest: Path | str) -> Codebook:
        """One that was saved; nothing in the file is executed. Raises `InputError` where it is damaged."""
        from whatwhere.stages.codebook import read_book

        book = read_book(Path(manifest))
        asked = book.about["asked"]
        found = cls(**{**asked, "layers": tuple(asked["layers"])})
        found._book = book
        return found

    def seen(self, pixels: UInt8[np.ndarray, "y x 3"], *, pathway: str = "") -> Seen:
        """What the network says of one photograph, all of which it is shown, for the codebook's pathway or another."""
        from whatwhere.backbones.capture import capture
        from whatwhere.method.joint.seen import seen

        asked, backbone = self.asked, self.backbone
        pathway = pathway or asked.pathway
        shown, name = self._shown(pixels)
        noise = [seed_for(asked.seed, "noise", name)]
        features = capture(backbone, shown[None], values=pathway != "qk", seeds=noise)
        return seen(features, name, pathway=pathway, patterns=asked.layers)

    def id_of(self, pixels: UInt8[np.ndarray, "y x 3"]) -> str:
        """By which a photograph is known again, seen or not: a hash of what the network is shown of it."""
        return self._shown(pixels)[1]

    def _shown(self, pixels: UInt8[np.ndarray, "y x 3"]) -> tuple[UInt8[np.ndarray, "_ _ 3"], str]:
        view = self._view()
        height, width = pixels.shape[:2]
        if view.protocol != "square" and max(height, width) > MOST_TIMES * min(height, width):
            got = f"{height} × {width} px; crop it"
            raise InputError(f"expected one side at most {MOST_TIMES} times the other, got {got}")
        shown = view_image(pixels, view)
        return shown, hashlib.blake2b(shown.tobytes(), digest_size=12).hexdigest()

    def _view(self) -> View:
        """How photographs are shown: of a codebook that was read as its sample was, whatever is usual by now."""
        asked, backbone = self.asked, self.backbone
        about = self._book.about if self._book else {}
        protocol, size_px = about.get("view", protocol_of(asked.backbone)), about.get("size_px", backbone.size_px)
        return View(protocol, asked.size_px or size_px, backbone.patch_px)

    def _sample(self, images: Sequence[Photo], ids: Sequence[str]) -> list[Seen]:
        """Photographs that are solved together, each once: in an order drawn by what they are called, those that can
        be read and are not too long, until there are enough.
        """
        from whatwhere.method.joint.sample import order_of

        order = order_of(ids, seed=self.asked.seed)
        found: dict[str, Seen] = {}
        long: list[int] = []
        for number in self._until_enough(order, found):
            pixels = _readable(images[number])
            if pixels is None:
                continue
            if max(pixels.shape[:2]) > WIDEST_SAMPLED * min(pixels.shape[:2]):
                long.append(number)
                continue
            one = self.seen(pixels)
            found[one.id] = one
        if not found and long:
            one = self.seen(_pixels(images[long[0]]))
            found[one.id] = one
        if not found:
            raise InputError(f"sample: expected photographs, got none that can be read among {len(ids)}; name others")
        return list(found.values())

    def _until_enough(self, order: Sequence[int], found: dict[str, Seen]) -> Iterator[int]:
        for number in progress(order, "sample", total=min(self.asked.sample, len(order))):
            if len(found) >= self.asked.sample:
                return
            yield number

    def _classes(self, sample: Sequence[Seen], found: SolvedSample) -> Book:
        """The centres of the sample's rows, and how well its tokens connect."""
        from whatwhere.method.cluster import fit_centres
        from whatwhere.method.joint.extension import extend
        from whatwhere.method.joint.landmarks import without
        from whatwhere.stages.codebook import FAINT_SHARE, Book, weighed

        asked, marks = self.asked, found.landmarks
        X = np.concatenate(found.vectors)
        rows = weighed(X, marks.values, asked.time)
        classes = chosen_classes(X, rows, marks.values, asked.seed) if asked.classes == "auto" else asked.classes
        centres = fit_centres(rows, clusters=classes, restarts=4, seed=seed_for(asked.seed, "classes"))
        some = progress(sample[:CALIBRATED], "how well tokens connect")
        connections = np.concatenate([extend(without(marks, one.id), one).connection for one in some])
        faint = float(np.quantile(connections, FAINT_SHARE))
        about = {
            "asked": {**vars(asked), "layers": list(asked.layers)},
            "weights": self.backbone.weights,
            "view": self._view().protocol,
            "size_px": self._view().size_px,
            "version": VERSION,
            "status": found.status,
        }
        return Book(marks, centres, asked.time, faint, about)


def chosen_classes(
    X: Float[np.ndarray, "token vector"],
    rows: Float[np.ndarray, "token vector"],
    values: Float[np.ndarray, "vector"],
    seed: int,
) -> int:
    """How many classes the rows of X fall into: of `CANDIDATES` the number that keeps most of the walk inside classes,
    less what would stay by chance (modularity), on rows drawn evenly. A silhouette would take as many as X has columns.
    """
    from whatwhere.method.choosing import modularities
    from whatwhere.method.cluster import fit_centres

    places = np.linspace(0, len(rows) - 1, min(JUDGED_ROWS, len(rows))).astype(int)
    some = rows[places]
    most = len(np.unique(some, axis=0))
    fits = {
        k: fit_centres(some, clusters=k, restarts=2, seed=seed_for(seed, "auto", str(k))).assign(some)
        for k in CANDIDATES
        if k < most
    }
    scores = modularities(X[places].astype(np.float64), values, fits)
    return max(scores, key=lambda k: scores[k]) if scores else 1


def _called(image: Photo, number: int) -> str:
    return str(image) if isinstance(image, str | Path) else f"array {number}"


def _pixels(image: Photo) -> UInt8[np.ndarray, "y x 3"]:
    return read_image(image) if isinstance(image, str | Path) else image


def _readable(image: Photo) -> UInt8[np.ndarray, "y x 3"] | None:
    """None of a file that cannot be read: it is said when its turn comes."""
    try:
        return _pixels(image)
    except InputError:
        return None
