"""Reads a page of `whatwhere explore` back, by what its modules say and by none of the code that wrote it."""

import base64
import json
import re

import numpy as np

#: What a map may be off by, of its largest.
HUNDREDTH = 0.01


def off(found, expected):
    """How far each row is off, at most, of its largest."""
    return float((np.abs(found - expected).max(-1) / np.abs(expected).max(-1)).max())


def facts_of(text):
    """The page's facts."""
    return json.loads(re.search(r'<script type="application/json" id="facts">(.*?)</script>', text, re.S)[1])


def bytes_of(text):
    return base64.b85decode(text.replace(",", "<"))


class Reader:
    """A stream of bits."""

    def __init__(self, data):
        self.bits = "".join(f"{byte:08b}" for byte in data)
        self.place = 0

    def plain(self, width):
        self.place += width
        return int(self.bits[self.place - width : self.place] or "0", 2)

    def rice(self, count):
        k = self.plain(4)
        numbers = []
        for _ in range(count):
            ones = self.bits.index("0", self.place) - self.place
            self.place += ones + 1
            numbers.append((ones << k) + self.plain(k))
        return np.array(numbers, int)

    def signed(self, count):
        numbers = self.rice(count)
        return np.where(numbers % 2, -(numbers + 1) // 2, numbers // 2)


def kept(grid, stride):
    """Rows and columns of the patches whose rows there are."""
    return [list(range(min((stride - 1) // 2, side - 1), side, stride)) for side in grid]


def head_of(data, grid, stride, tolerance, same):
    """All rows that a head keeps."""
    bits, tokens = Reader(data), grid[0] * grid[1]
    rows, columns = kept(grid, stride)
    places = [row * grid[1] + column for row in rows for column in columns]
    if rank := bits.plain(8):
        step = 2 ** (-bits.plain(8) / 8)
        finer = 2 if not same and len(places) < tokens else 1
        bias = bits.signed(tokens) / 2**8
        B = np.stack([bits.signed(tokens) for _ in range(rank)], 1)
        A = B[places] if same else np.stack([bits.signed(len(places)) for _ in range(rank)], 1)
        logits = A @ B.T * step**2 / finer + bias
        P = np.exp(logits - logits.max(1, keepdims=True))
        P /= P.sum(1, keepdims=True)
        largest = P.max(1)
    else:
        P = np.zeros((len(places), tokens))
        largest = np.array([2 ** (-bits.plain(12) / 2**7) for _ in places])
    if count := bits.plain(32):
        where = np.cumsum(bits.rice(count) + 1) - 1
        P.ravel()[where] += bits.signed(count) * 2 * tolerance * largest[where // tokens]
    return P


def heads_of(text, name):
    """The bytes of each head of a layer, of a page."""
    data = bytes_of(re.search(rf'<script type="text/plain" id="heads-{name}">(.*?)</script>', text, re.S)[1])
    heads = []
    while data:
        length = int.from_bytes(data[:4], "little")
        heads.append(data[4 : 4 + length])
        data = data[4 + length :]
    return heads


def mean_of(facts, pathway):
    """What the solver sees."""
    found, tokens = facts["means"][pathway], facts["grid"][0] * facts["grid"][1]
    largest = np.frombuffer(bytes_of(found["largest"]), "<f4")
    bits, M = Reader(bytes_of(found["levels"])), np.zeros((tokens, tokens))
    for row in range(tokens):
        M[row, row:] = bits.rice(tokens - row) / 127 * np.minimum(largest[row], largest[row:])
    return np.triu(M) + np.triu(M, 1).T


def vectors_of(facts, pathway):
    """`[token, vector]`."""
    found = facts["vectors"][pathway]
    levels = np.frombuffer(bytes_of(found["levels"]), np.int8).reshape(len(found["values"]), -1)
    return levels.T / 127 * np.array(found["largest"])


def labels_of(text, shape):
    """Labels that were written as runs."""
    bits = Reader(bytes_of(text))
    runs = bits.plain(32)
    lengths = bits.rice(runs) + 1
    return np.repeat(bits.rice(runs), lengths).reshape(shape)


def photo_of(text):
    """What the file of a photograph of a folder hands over: its key, and facts."""
    found = re.fullmatch(r'whatwhere\.photo\("(\w+)", (\{.*\})\);\n', text)
    return found[1], json.loads(found[2])


def connections_of(facts, pathway, landmarks):
    """Landmarks, -1 where there is none, and weights: each `[token, connection]`."""
    bits, shape = Reader(bytes_of(facts[pathway])), (facts["grid"][0] * facts["grid"][1], facts["count"])
    places = [bits.plain(landmarks.bit_length()) - 1 for _ in range(shape[0] * shape[1])]
    weights = [bits.plain(8) / 255 for _ in range(shape[0] * shape[1])]
    return np.array(places).reshape(shape), np.array(weights).reshape(shape)
