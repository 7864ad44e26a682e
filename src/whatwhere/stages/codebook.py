"""Codebooks on disk: the landmarks of a solved sample and the classes that its rows of X fall into."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int16
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, Writer, create
from whatwhere.method.cluster import Centres
from whatwhere.method.joint.extension import Extended
from whatwhere.method.joint.landmarks import Anchor, Landmarks
from whatwhere.method.joint.sparsity import Sparsity
from whatwhere.stages.centres import unit

#: What a codebook's store says that it is, and how it is laid out. One of another layout is not read.
KIND, LAYOUT = "codebook", 1
#: Of a sample's tokens this part hardly connects, by definition.
FAINT_SHARE = 0.01


@dataclass(frozen=True)
class Book:
    """Landmarks, the centres of the classes among rows of X, and what belongs to both.

    Columns of X weigh as their eigenvalue to the power `time`. A token hardly connects where less of its walk than
    `faint` leads to landmarks: fewer than a hundredth of the sample's do. `about`: the network, its weights, the view
    and all that an image must be seen by, in words and numbers that JSON has.
    """

    landmarks: Landmarks
    centres: Centres
    time: float
    faint: float
    about: dict[str, Any]

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.centres.centres)

    def rows(self, extended: Extended) -> Float[np.ndarray, "token vector"]:
        """What is compared with the centres."""
        return weighed(extended.vectors, self.landmarks.values, self.time)

    def assign(self, extended: Extended) -> Int16[np.ndarray, "row column"]:
        """The class of each token, on the image's grid."""
        return self.centres.assign(self.rows(extended)).reshape(extended.grid)

    def strangers(self, extended: Extended) -> float:
        """The part of an image's tokens that hardly connect to the sample."""
        return float((extended.connection < self.faint).mean())


def weighed(
    X: Float[np.ndarray, "token vector"], values: Float[np.ndarray, "vector"], time: float
) -> Float[np.ndarray, "token vector"]:
    """Columns times their eigenvalues to the power `time`, as in diffusion maps; rows at unit length."""
    return unit(X * np.maximum(values, 0) ** time).astype(np.float32)


def write_book(book: Book, manifest: Path, settings: dict[str, Any]) -> None:
    """`centres` `[cluster, vector]`, and what `write_landmarks` writes."""
    attributes = {
        "kind": KIND,
        "layout": LAYOUT,
        "about": book.about,
        "time": book.time,
        "faint": book.faint,
        "spread": book.centres.spread,
        **described(book.landmarks),
    }
    with create(manifest, settings, attributes, {"image": list(book.landmarks.ids)}) as store:
        _array(store, "centres", book.centres.centres, ("cluster", "vector"))
        write_landmarks(store, book.landmarks)


def described(marks: Landmarks) -> dict[str, Any]:
    """What of landmarks is not in arrays: attributes of their store."""
    return {
        "ridge": marks.ridge,
        "sparsity": asdict(marks.sparsity),
        "levels": len(marks.vectors),
        "graphs": [[anchor.layer, *anchor.names, anchor.level] for anchor in marks.anchors],
    }


def write_landmarks(store: Writer, marks: Landmarks) -> None:
    """`values` `[vector]`; a group for each level (`vectors`, `ones`, `owner`) and for each graph (`source`, `target`
    where it is another, `floor`, `weight`), all by `landmark`. The sample's ids are the store's.
    """
    _array(store, "values", marks.values, ("vector",))
    for level, (rows, owners) in enumerate(zip(marks.vectors, marks.owners, strict=True)):
        group = f"level-{level}"
        store.group(group, {})
        _array(store, f"{group}/vectors", rows[:, :-1].numpy(), ("landmark", "vector"))
        _array(store, f"{group}/ones", rows[:, -1].numpy(), ("landmark",))
        _array(store, f"{group}/owner", owners.numpy().astype(np.int32), ("landmark",))
    for number, anchor in enumerate(marks.anchors):
        group = f"graph-{number}"
        store.group(group, {"layer": anchor.layer})
        same = anchor.names[0] == anchor.names[1]
        for name in ("source", "floor", "weight") if same else ("source", "target", "floor", "weight"):
            rows = getattr(anchor, name)
            _array(store, f"{group}/{name}", rows.numpy(), ("landmark", "width")[: rows.ndim])


def read_book(manifest: Path) -> Book:
    """A codebook, every byte checked. Raises `InputError` for what is none, damaged, or of another layout."""
    store = Store(manifest)
    known = store.attributes
    if known.get("kind") != KIND or known.get("layout") != LAYOUT:
        got = (
            f"layout {known.get('layout')}" if known.get("kind") == KIND else f"{known.get('kind') or 'another store'}"
        )
        raise InputError(
            f"{manifest}: expected a codebook of layout {LAYOUT}, got {got}; make it again with this version"
        )
    store.verify()
    centres = Centres(store.read("centres"), known["spread"])
    return Book(read_landmarks(store), centres, known["time"], known["faint"], known["about"])


def read_landmarks(store: Store) -> Landmarks:
    """What `write_landmarks` wrote."""
    known = store.attributes
    levels = range(known["levels"])
    vectors = [
        torch.cat([_read(store, f"level-{n}/vectors"), _read(store, f"level-{n}/ones")[:, None]], 1) for n in levels
    ]
    return Landmarks(
        tuple(_anchor(store, number, *graph) for number, graph in enumerate(known["graphs"])),
        tuple(vectors),
        tuple(_read(store, f"level-{n}/owner").long() for n in levels),
        tuple(store.ids),
        store.read("values"),
        known["ridge"],
        Sparsity(**known["sparsity"]),
    )


def _array(store: Writer, name: str, values: np.ndarray, dims: tuple[str, ...]) -> None:
    store.array(name, values.shape, str(values.dtype), dims)[...] = values


def _read(store: Store, name: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(store.read(name)))


def _anchor(store: Store, number: int, layer: str, source: str, target: str, level: int) -> Anchor:
    """One graph's landmarks; of values source and target are one array."""
    rows = {name: _read(store, f"graph-{number}/{name}") for name in ("source", "floor", "weight")}
    other = rows["source"] if source == target else _read(store, f"graph-{number}/target")
    return Anchor(layer, (source, target), level, rows["source"], other, rows["floor"], rows["weight"])
