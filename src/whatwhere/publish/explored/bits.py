"""Whole numbers as few bits: Rice codes, with the parameter that suits each list.

A number n is written as n >> k ones, a zero and its k low bits; k goes before the list, in four bits. Lists lie in a
stream one after the other, and whoever reads knows how long each is. `bits.js` of the page reads what is written here.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int, Integer

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

    def rice(self, numbers: Integer[np.ndarray, "... number"]) -> None:
        """Numbers from 0 on, with the k that makes them shortest; of several rows each is a list with its own."""
        rows = np.asarray(numbers, np.int64).reshape(-1, np.shape(numbers)[-1])
        k = _shortest(rows)
        ones = rows >> k
        # before each row its k
        lengths = np.pad(ones + 1 + k, ((0, 0), (1, 0)), constant_values=PARAMETER_BITS)
        starts = (np.cumsum(lengths) - lengths.ravel()).reshape(lengths.shape)
        own, starts = starts[:, :1], starts[:, 1:]
        bits = np.zeros(int(lengths.sum()) + 1, np.int8)
        bits[starts] += 1
        bits[starts + ones] -= 1  # no two codes end or begin at one place
        bits = np.cumsum(bits, dtype=np.int8)[:-1].astype(np.uint8)
        for place in range(int(k.max())):
            there = place < k[:, 0]
            low = (rows[there] >> (k[there] - 1 - place)) & 1
            bits[starts[there] + ones[there] + 1 + place] = low
        for place in range(PARAMETER_BITS):
            bits[own + place] = (k >> (PARAMETER_BITS - 1 - place)) & 1
        self._add(bits)

    def signed(self, numbers: Integer[np.ndarray, "... number"]) -> None:
        """Numbers of either sign: 0, −1, 1, −2, … are 0, 1, 2, 3, …; of several rows each is a list of its own."""
        signed = np.asarray(numbers, np.int64)
        self.rice(np.where(signed < 0, -2 * signed - 1, 2 * signed))

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
    left = np.frombuffer(data + bytes(rest), ">u4").astype(np.int64)
    digits = np.empty((len(left), 5), np.uint8)
    for place in range(4, -1, -1):
        left, digits[:, place] = np.divmod(left, 85)
    return np.frombuffer(_LETTERS, np.uint8)[digits].tobytes().decode("ascii")[: digits.size - rest]


def runs_text(labels: Integer[np.ndarray, "y x"]) -> str:
    """Row after row: how many runs of one label there are, the length of each less one, its label."""
    flat = labels.ravel().astype(np.int64)
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    bits = Bits()
    bits.plain(len(starts), 32)
    bits.rice(np.diff(starts, append=len(flat)) - 1)
    bits.rice(flat[starts])
    return bits.text()


def _shortest(rows: Int[np.ndarray, "row number"]) -> Int[np.ndarray, "row 1"]:
    """The k that makes each row shortest: codes of n numbers with the sum S take S / 2 ** k + k n bits, or up to n
    fewer, so that k lies within three of where this is least, 2 ** k = ln 2 S / n.
    """
    about = np.log2(np.maximum(math.log(2) * rows.mean(-1), 1))
    most = 2**PARAMETER_BITS - 1
    first, last = (int(np.clip(end, 0, most)) for end in (about.min() - 3, about.max() + 3))
    tried = np.arange(first, last + 1)
    lengths = [(rows >> k).sum(-1) + k * rows.shape[-1] for k in tried]
    return tried[np.argmin(lengths, 0)][:, None]
