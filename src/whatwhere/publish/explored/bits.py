"""Whole numbers as few bits: Rice codes, with the parameter that suits each list.

A number n is written as n >> k ones, a zero and its k low bits; k goes before the list, in four bits. Lists lie in a
stream one after the other, and whoever reads knows how long each is. `bits.js` of the page reads what is written here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Integer, Shaped

#: k lies in so many bits.
PARAMETER_BITS = 4
#: Letters of base 85 (RFC 1924), with a comma in the place of the sign that opens a tag.
_LETTERS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~"


class Bits:
    """A stream that numbers are written to."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._length = 0

    def __len__(self) -> int:
        """Bits written so far."""
        return self._length

    def plain(self, numbers: Integer[np.ndarray, "..."] | int, width: int) -> None:
        """Numbers from 0 to 2 ** `width` − 1, each in `width` bits."""
        flat = np.atleast_1d(numbers).astype(np.int64).ravel()
        self._add(((flat[:, None] >> np.arange(width - 1, -1, -1)) & 1).astype(np.uint8).ravel())

    def rice(self, numbers: Integer[np.ndarray, "... number"], lengths: Sequence[int] | None = None) -> None:
        """Numbers from 0 to 2 ** 30, with the k that makes each list shortest: rows are lists, or as many numbers, one
        after the other, as `lengths` say, at least one.
        """
        flat = np.asarray(numbers).astype(np.int32, copy=False).ravel()
        size = np.shape(numbers)[-1]
        counts = np.full(flat.size // size, size) if lengths is None else np.asarray(lengths)
        firsts = np.cumsum(counts) - counts
        k = _shortest(flat, firsts, counts)
        low = np.repeat(k, counts)
        sizes = (flat >> low) + low + 1
        sizes[firsts] += PARAMETER_BITS  # before each list its k
        ends = np.cumsum(sizes)
        bits = np.ones(int(ends[-1]), np.uint8)
        bits[ends - low - 1] = 0
        # neighbours with one k at once, which in falling order are few
        changes = [0, *(np.flatnonzero(np.diff(k)) + 1), len(k)]
        edges = np.append(firsts, flat.size)[changes].tolist()
        for alike, first, last in zip(k[changes[:-1]].tolist(), edges, edges[1:], strict=False):
            for place in range(alike):
                bits[ends[first:last] - 1 - place] = (flat[first:last] >> place) & 1
        begins = ends[firsts] - sizes[firsts]
        for place in range(PARAMETER_BITS):
            bits[begins + place] = (k >> (PARAMETER_BITS - 1 - place)) & 1
        self._add(bits)

    def signed(self, numbers: Shaped[np.ndarray, "... number"], lengths: Sequence[int] | None = None) -> None:
        """Whole numbers of either sign: 0, −1, 1, −2, … are 0, 1, 2, 3, …; lists as of `rice`."""
        signed = np.asarray(numbers).astype(np.int32, copy=False)
        self.rice((signed << 1) ^ (signed >> 31), lengths)

    def bytes(self) -> bytes:
        """The stream, filled up with zeros to a whole byte."""
        return np.packbits(np.concatenate(self._parts)).tobytes() if self._parts else b""

    def text(self) -> str:
        """The stream as text that HTML may hold."""
        return as_text(self.bytes())

    def _add(self, bits: np.ndarray) -> None:
        self._parts.append(bits)
        self._length += len(bits)


def as_text(data: bytes) -> str:
    """Four bytes as five letters (base 85) that HTML may hold; of what is left over only as many letters as say it."""
    rest = -len(data) % 4
    left = np.frombuffer(data + bytes(rest), ">u4").astype(np.uint32)
    digits = np.empty((len(left), 5), np.uint8)
    for place in range(4, -1, -1):
        before, left = left, left // 85
        digits[:, place] = before - left * 85
    return np.frombuffer(_LETTERS, np.uint8)[digits].tobytes().decode("ascii")[: digits.size - rest]


def runs_text(labels: Integer[np.ndarray, "y x"]) -> str:
    """Row after row: how many runs of one label there are, the length of each less one, its label."""
    flat = labels.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    bits = Bits()
    bits.plain(len(starts), 32)
    bits.rice(np.diff(starts, append=len(flat)) - 1)
    bits.rice(flat[starts])
    return bits.text()


def _shortest(
    flat: Int[np.ndarray, "number"], firsts: Int[np.ndarray, "list"], lengths: Int[np.ndarray, "list"]
) -> Int[np.ndarray, "list"]:
    """The k that makes each list shortest. Codes of n numbers take Σ ⌊x ∕ 2 ** k⌋ + k n bits and n more, of which the
    first part falls ever more slowly with k: from where it would be best if nothing were rounded, 2 ** k = ln 2 · mean,
    down and up until it gets no better.
    """
    means = np.add.reduceat(flat, firsts, dtype=np.int64) / lengths
    most = 2**PARAMETER_BITS - 1
    k = np.clip(np.rint(np.log2(np.maximum(math.log(2) * means, 1))), 0, most).astype(np.int32)
    best = _taken(flat, firsts, lengths, k)
    for step in (-1, 1):
        better = np.ones(len(k), bool)
        while better.any():
            tried = np.clip(k + step * better, 0, most).astype(np.int32)
            found = _taken(flat, firsts, lengths, tried)
            better = found < best
            k, best = np.where(better, tried, k), np.where(better, found, best)
    return k


def _taken(
    flat: Int[np.ndarray, "number"],
    firsts: Int[np.ndarray, "list"],
    lengths: Int[np.ndarray, "list"],
    k: Int[np.ndarray, "list"],
) -> Int[np.ndarray, "list"]:
    """Bits that each list takes with its k, but for one a number."""
    return np.add.reduceat(flat >> np.repeat(k, lengths), firsts, dtype=np.int64) + k * lengths
