"""What a mini-batch solve keeps on disk, so that only the batch is in memory and a kill at any point loses nothing.

A folder of memory maps: X and the optimiser's moments of every image, how many batches each image has been in,
and the loss of every step. A finished batch is written to a journal first, then into the maps, then the journal is
removed; whoever opens the folder replays what journals it finds. Rows of different batches of an epoch are
different rows, so several processes may share the folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from whatwhere.artifacts.store import write_json

#: Arrays of one row an image, beside the count.
Rows = dict[str, Float[np.ndarray, "image token vector"]]


class State:
    """X of every image and what its optimiser remembers, on disk."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder that `prepare` made."""
        self.folder = folder
        files = sorted(folder.glob("*.npy"))
        self.arrays: dict[str, np.memmap] = {file.stem: np.load(file, mmap_mode="r+") for file in files}

    @classmethod
    def prepare(cls, folder: Path, start: Any, names: Sequence[str], steps: tuple[int, int], about: dict) -> State:
        """A folder with `start` (an iterator over the images' first X) as `x` and zeros under the other `names`.

        One that is there, is whole and is about the same (`about`: settings, content hashes) is taken up where it was
        left, any other is replaced. `steps` are the batches and the steps of each.
        """
        described = json.loads(json.dumps(about))
        first = np.asarray(next(start), np.float32)
        images = int(described["images"])
        shapes = {**dict.fromkeys(names, (images, *first.shape)), "counts": (images,), "history": steps}
        known = folder / "about.json"
        if known.is_file() and _read(known) == described and all(_is_whole(folder, *one) for one in shapes.items()):
            state = cls(folder)
            state._replay()
            return state
        discard(folder)
        folder.mkdir(parents=True)
        for name, shape in shapes.items():
            array = _new(folder, name, shape)
            if name == "x":
                array[0] = first
                for image, rows in enumerate(start, 1):
                    array[image] = rows
            elif name == "history":
                array[:] = np.nan
            array.flush()
        write_json(known, described)  # last: without it the folder is nobody's
        return cls(folder)

    @property
    def counts(self) -> Int[np.ndarray, "image"]:
        """In how many finished batches each image has been."""
        return self.arrays["counts"]

    @property
    def history(self) -> Float[np.ndarray, "batch step"]:
        """The loss at every step; NaN where it has not come to that."""
        return self.arrays["history"]

    def rows(self, images: Int[np.ndarray, "image"]) -> Rows:
        """Copies of the rows of some images."""
        return {name: array[images] for name, array in self.arrays.items() if array.ndim == 3}

    def finish(
        self, batch: int, images: Int[np.ndarray, "image"], rows: Rows, losses: Float[np.ndarray, "step"]
    ) -> None:
        """A batch is done: its images' new rows, all of them or, if the process dies here, none."""
        journal = self.folder / f"journal-{batch}.npz"
        partial = journal.with_suffix(".npz.partial")
        with partial.open("wb") as file:
            done: dict[str, Any] = {"images": images, "losses": losses, "counts": self.counts[images] + 1, **rows}
            np.savez(file, **done)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, journal)
        self._apply(journal)

    def close(self) -> None:
        """Everything on disk."""
        for array in self.arrays.values():
            array.flush()

    def _apply(self, journal: Path) -> None:
        with np.load(journal) as found:
            images = found["images"]
            for name in found:
                if name == "losses":
                    self.history[int(journal.stem.partition("-")[2])] = found[name]
                elif name != "images":
                    self.arrays[name][images] = found[name]
        self.close()
        journal.unlink()

    def _replay(self) -> None:
        for partial in self.folder.glob("journal-*.npz.partial"):
            partial.unlink()
        for journal in sorted(self.folder.glob("journal-*.npz")):
            self._apply(journal)


def discard(folder: Path) -> None:
    """Takes a state away, what it is about first: half of it is then nobody's."""
    (folder / "about.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _new(folder: Path, name: str, shape: tuple[int, ...]) -> np.memmap:
    return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", _dtype(name), shape)


def _is_whole(folder: Path, name: str, shape: tuple[int, ...]) -> bool:
    try:
        found = np.load(folder / f"{name}.npy", mmap_mode="r")
    except (OSError, ValueError, EOFError):  # absent, cut short, something else
        return False
    return (found.shape, found.dtype) == (shape, _dtype(name))


def _dtype(name: str) -> np.dtype:
    return np.dtype(np.int32 if name == "counts" else np.float32)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError:
        return None
