"""The walk of a single head in few bytes, so that no number shown is off by more than `BOUND` of its row's largest.

    P = softmax(A·Bᵀ + 1·bᵀ) + corrections

A and B are the leading directions of queries and keys less their means (of values: the same matrix twice), rounded to
multiples of one step; b is what the mean query says of each key. What a key's mean adds is the same for a whole row
and falls out of its softmax. The step is as coarse as leaves `CORRECTED` of all entries off by too much, and those
follow one by one: so the bound holds by construction. A head that looks at few tokens needs no A and B: all of its
entries are corrections, of zero.

Measured, DINOv2 ViT-S/14 on 32 × 32 tokens, 12 layers, 6 heads, both pathways: the entries above the bound alone, by
level, take 53 MB deflated (values look everywhere); so encoded every row takes 9 MB, rows of every second patch along
each side 6.2 MB (as text a quarter more). Most of what is left are keys and values, which each row needs all of.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float32, Int

from whatwhere.method.walk import LayerWalk
from whatwhere.publish.explored.bits import Bits

#: What an entry is off by at most, of the largest of its row: of what a reader takes for it before corrections, and of
#: the true one.
TOLERANCE, BOUND = 0.009, 0.0099
#: Share of entries that follow one by one; and the one up to which they might all do.
CORRECTED, FEW = 0.015, 0.2
#: By one row of so many the step is found.
TRIED = 4
#: Steps are 2 ** (−e / 8), e in a byte; A's is finer by `FINER` where there are fewer rows than tokens.
STEPS_PER_OCTAVE, FINER = 8, 2
#: Step of b; and of the logarithm (to base 2) of a row's largest number, down from 1, in 12 bits.
BIAS_STEP, LARGEST_STEP = 2.0**-8, 2.0**-7
LARGEST_BITS = 12
#: So much of a matrix's trace is added to its diagonal, so that it has an inverse; and what is as good as none.
TRACE, TINY = 1e-9, 1e-30


def rows_kept(grid: tuple[int, int], stride: int) -> Int[np.ndarray, "row"]:
    """The tokens whose rows are kept: every `stride`-th along both sides, from the middle of the first few."""
    rows, columns = (np.arange(min((stride - 1) // 2, side - 1), side, stride) for side in grid)
    return (rows[:, None] * grid[1] + columns).ravel()


def encoded(walk: LayerWalk, head: int, stride: int) -> Bits:
    """Head `head` of a layer's walk in the shorter of both ways."""
    source = walk.source[head].cpu().numpy() * np.float32(walk.scale)
    target = walk.target[head].cpu().numpy()
    kept = rows_kept(walk.grid, stride)
    P = _softmax(source[kept] @ target.T)
    same = torch.equal(walk.source, walk.target)
    factored = _factored(P, source, target, kept, walk.scale if same else None)
    if np.count_nonzero(TOLERANCE * P.max(1, keepdims=True) < P) > FEW * P.size:
        return factored
    return min(factored, _sparse(P), key=len)


def _sparse(P: Float32[np.ndarray, "row token"]) -> Bits:
    """Rank 0, the largest of each row, and every entry."""
    bits = Bits()
    bits.plain(0, 8)
    level = np.minimum(np.floor(-np.log2(P.max(1)) / LARGEST_STEP), 2**LARGEST_BITS - 1)
    bits.plain(level.astype(np.int64), LARGEST_BITS)
    _correct(bits, P, 2.0 ** (-level * LARGEST_STEP), np.zeros_like(P))
    return bits


def _factored(
    P: Float32[np.ndarray, "row token"],
    source: Float32[np.ndarray, "token channel"],
    target: Float32[np.ndarray, "token channel"],
    kept: Int[np.ndarray, "row"],
    symmetric: float | None,
) -> Bits:
    """Rank, step, b, B, A (unless its rows are B's), and the entries that are off."""
    A, B, bias = _factors(source, target, symmetric)
    bias = np.rint(bias / BIAS_STEP)
    finer = FINER if symmetric is None and len(kept) < len(A) else 1
    largest = P.max(1, keepdims=True)

    def rounded(e: int, every: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A and B as whole numbers of steps, and the rows (or `every` so many of them) that a reader makes of them."""
        step, rows = 2.0 ** (-e / STEPS_PER_OCTAVE), kept[::every]
        b = np.rint(B * np.float32(1 / step))
        a = b[rows] if symmetric is not None else np.rint(A[rows] * np.float32(finer / step))
        return a, b, _softmax((a * np.float32(step * step / finer)) @ b.T + bias * np.float32(BIAS_STEP))

    e = 5 * STEPS_PER_OCTAVE
    for _ in range(2):
        errors = (np.abs(rounded(e, TRIED)[2] - P[::TRIED]) / largest[::TRIED]).ravel()
        last = int(len(errors) * (1 - CORRECTED))
        off = float(np.partition(errors, last)[last])
        e = int(np.clip(e + round(STEPS_PER_OCTAVE * math.log2(max(off, 1e-6) / TOLERANCE)), 0, 255))
    a, b, base = rounded(e)
    while e < 255 and (above := float((base.max(1, keepdims=True) / largest).max()) - 1) > BOUND / TOLERANCE - 1:
        # what a row's largest is above the true one falls with the step
        e = min(e + max(1, int(STEPS_PER_OCTAVE * math.log2(above / (BOUND / TOLERANCE - 1)))), 255)
        a, b, base = rounded(e)
    used = np.flatnonzero(b.any(0))
    rank = int(used[-1]) + 1 if len(used) else 1
    bits = Bits()
    bits.plain(np.array([rank, e]), 8)
    lists = [bias[None], *(matrix.T[:rank] for matrix in ((b,) if symmetric is not None else (b, a)))]
    bits.signed(np.concatenate([each.ravel() for each in lists]), [len(row) for each in lists for row in each])
    _correct(bits, P, base.max(1), base)
    return bits


def _factors(
    source: Float32[np.ndarray, "token channel"], target: Float32[np.ndarray, "token channel"], symmetric: float | None
) -> tuple[Float32[np.ndarray, "token rank"], Float32[np.ndarray, "token rank"], Float32[np.ndarray, "token"]]:
    """A, B and b, columns by decreasing weight; each side has half of it.

    With S and T, sources and targets less their means, and SᵀS = L Lᵀ: L⁻ᵀ makes the columns of S orthonormal, and the
    eigenvectors U of Lᵀ TᵀT L, with eigenvalues W², part S Tᵀ into A = S L⁻ᵀ U √W and B = T L U ∕ √W. Whatever L is,
    A Bᵀ = S Tᵀ: so a little more in SᵀS, for its inverse, puts nothing off.
    """
    mean = source.mean(0)
    S, T = source - mean, target - target.mean(0)
    bias, gram = T @ mean, T.T.astype(np.float64) @ T
    if symmetric is not None:
        U = np.linalg.eigh(gram)[1][:, ::-1]
        B = T @ (U * math.sqrt(symmetric)).astype(np.float32)
        return B, B, bias
    own = S.T.astype(np.float64) @ S
    L = np.linalg.cholesky(own + (np.trace(own) * TRACE + TINY) * np.eye(len(own)))
    squares, U = np.linalg.eigh(L.T @ gram @ L)
    roots, U = np.maximum(squares[::-1], TINY) ** 0.25, U[:, ::-1]
    return S @ _single(np.linalg.solve(L.T, U) * roots), T @ _single(L @ U / roots), bias


def _correct(
    bits: Bits,
    P: Float32[np.ndarray, "row token"],
    largest: Float[np.ndarray, "row"],
    base: Float32[np.ndarray, "row token"],
) -> None:
    """How many entries are off, the gaps between them (row after row), and how many times 2 · tolerance · largest."""
    off = P - base
    places = np.flatnonzero(np.abs(off) > TOLERANCE * largest[:, None].astype(np.float32))
    bits.plain(len(places), 32)
    if len(places):
        times = off.ravel()[places] / (2 * TOLERANCE * largest[places // P.shape[1]])
        bits.rice(np.diff(places, prepend=-1) - 1)
        # of what is off by a hair more than the tolerance once, never nothing
        bits.signed(np.rint(times) + (np.abs(times) <= 0.5) * np.sign(times))


def _softmax(logits: Float32[np.ndarray, "row token"]) -> Float32[np.ndarray, "row token"]:
    """Of each row; in single precision its entries are off by some millionths of its largest."""
    return torch.softmax(torch.from_numpy(logits), -1).numpy()


def _single(numbers: Float[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    return numbers.astype(np.float32)
