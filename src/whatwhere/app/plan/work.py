"""Arithmetic of the solvers, as estimates: operations, bytes that pass through memory, backward passes.

What each needs is read off `whatwhere.method.solve` and `whatwhere.method.joint`. Left out, as small beside it or as
nobody's to foresee: reading and writing files, Lanczos, building sparse matrices, scores, tables and figures.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whatwhere.app.plan.machine import PASS_S, Rate
from whatwhere.app.plan.network import Layer, Network, chosen
from whatwhere.app.plan.units import Number

#: Bytes moved for each entry of a walk that is folded: logits, softmax, balance and sum, written and read.
FOLD_BYTES = 40
#: And for each product of a search of neighbours: written once, read twice to find the largest.
SEARCH_BYTES = 12
#: Of FAISS's lists so many are looked through for each row, as `joint.search` has it.
PROBES = 32
#: Seconds that K-means and silhouettes of one candidate K take on one core: for each token, and for each pair.
#: Measured with X of 10 columns and 256 to 4,096 tokens.
TOKEN_S, PAIR_S = 7e-6, 6e-9
#: Seconds of the dense CRF on one core for each pixel, cluster and iteration: measured at 320 px and 27 clusters.
CRF_S = 9e-8
#: And a mask against the rest, alone, costs as many clusters, for it shares no lattice: 1.0 s measured at 480 px.
MASK_CLUSTERS = 5
#: Seconds of one core for a cut of a graph, cosines included, times tokens cubed: measured 0.29 s at 1,600 tokens,
#: 5.4 s at 3,600.
CUT_S = 1e-10
#: Seconds of one core to find and score a candidate for a mask of an object, for each pair of tokens: measured 9 to
#: 13 ms at 4,096 tokens.
MASK_S = 7e-10
#: ASSUME: so many candidates a partition, 300 of nine: measured 110 to 550, and no more than 3 / `least_share` each.
PARTITION_MASKS = 33


@dataclass(frozen=True)
class Work:
    """Operations in 32 bits and (`half_flop`) in 16, bytes moved, and backward passes of a descent."""

    flop: Number = 0.0
    half_flop: Number = 0.0
    moved: Number = 0.0
    passes: Number = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.flop + other.flop,
            self.half_flop + other.half_flop,
            self.moved + other.moved,
            self.passes + other.passes,
        )

    @property
    def operations(self) -> Number:
        """In 32 bits or 16."""
        return self.flop + self.half_flop

    def times(self, count: Number) -> Work:
        """The same so many times."""
        return Work(self.flop * count, self.half_flop * count, self.moved * count, self.passes * count)

    def seconds(self, rate: Rate) -> Number:
        """On a machine: arithmetic and memory one after the other, which is never too fast."""
        arithmetic = self.flop / rate.flop_s + self.half_flop / rate.half_flop_s
        return arithmetic + self.moved / rate.bytes_s + self.passes * PASS_S


def forward(network: Network) -> Work:
    """An image through a backbone, all its passes."""
    passes = network.samples * network.pass_flop
    if network.half:
        return Work(flop=network.image_flop, half_flop=passes)
    return Work(flop=network.image_flop + passes)


def solving(network: Network, method: Any) -> Work:
    """One image through a solver of one image: its walks folded, then `exact`, `gradient` or `released`.

    ASSUME: wherever a descent checks it, folding is exact: else a pass costs as much as a check.
    """
    layers = chosen(network.layers, method.layers)
    folds = _folding(layers).times(network.samples)
    if method.kind == "exact":  # and Lanczos, which a folded matrix makes short
        return folds
    buffered = method.buffer_samples is not None and network.samples > 1
    passes = method.steps * (method.accumulate if buffered else 1)
    # of a buffer the samples are folded by themselves, and all together for the values in the end
    work = folds.times(2 if buffered else 1) + _data_term(layers, method.vectors).times(passes)
    if method.operator == "walk":  # whose spectra are not bounded by 1: a check computes every quotient
        graphs = 1 if buffered else network.samples
        work += _quotients(layers, method.vectors).times(graphs * -(-passes // method.check_every))
    return work + (_painter(layers, method.vectors).times(passes) if method.kind == "released" else Work())


def _folding(layers: Sequence[Layer]) -> Work:
    flop = sum(a.heads * a.tokens**2 * 2 * a.channels for a in layers)
    return Work(flop=flop, moved=FOLD_BYTES * sum(a.heads * a.tokens**2 for a in layers))


def _data_term(layers: Sequence[Layer], vectors: int) -> Work:
    """A pass: one product with one matrix a resolution, for value and gradient alike (`objective.quadratic`)."""
    entries = sum(tokens**2 for tokens in {a.tokens for a in layers})
    return Work(flop=2 * _padded(vectors) * entries, moved=4 * entries, passes=1)


def _quotients(layers: Sequence[Layer], vectors: int) -> Work:
    """All graphs of a sample, matrix-free."""
    return Work(flop=sum(2 * a.heads * a.tokens**2 * (a.channels + vectors) for a in layers))


def _painter(layers: Sequence[Layer], vectors: int) -> Work:
    """Three convolutions of 3 × 3, once forward and twice back."""
    from whatwhere.method.solve.released import NOISE_CHANNELS as WIDTH

    tokens = max(a.tokens for a in layers)
    return Work(flop=3 * 2 * 9 * tokens * WIDTH * (2 * WIDTH + vectors))


def _padded(vectors: int) -> int:
    from whatwhere.method.objective import COLUMNS

    return -(-vectors // COLUMNS) * COLUMNS


def joint(network: Network, images: int, method: Any) -> tuple[Work, Work, Number]:
    """A solve of a whole data set on a GPU and on a processor, and the locations that it compares at a time."""
    finest = max(a.tokens for a in chosen(network.layers, method.layers))
    if hasattr(method, "batches"):
        both = mini_batches(network, images, method)
        return both, both, batch_images(images, method) * finest
    on_gpu, on_cpu = (whole_set(network, images, method, cuda=cuda) for cuda in (True, False))
    return on_gpu, on_cpu, float(images * finest)


def passed_images(images: int, method: Any) -> Number:
    """How many images a network sees that is run for every mini-batch."""
    return method.batches * batch_images(images, method)


def batch_images(images: int, method: Any) -> Number:
    """Images of a mini-batch in the mean: an epoch is cut into nearly equal ones."""
    return images / max(1, -(-images // method.batch_images))


def mini_batches(network: Network, images: int, method: Any) -> Work:
    """All mini-batches of a joint solve, without the network: neighbours among their images, then the descent."""
    layers = chosen(network.layers, method.layers)
    together, kept = batch_images(images, method), sum(connections(method))
    work = Work()
    for layer in layers:
        locations = together * layer.tokens
        work += _products(locations, layer.width)
        # the mean with its transpose doubles what is stored
        entries = 2 * kept * locations * method.vectors
        work += Work(flop=2 * entries, moved=4 * entries).times(method.steps)
    finest = together * max(a.tokens for a in layers)
    work += Work(flop=4 * finest * method.vectors**2, passes=1).times(method.steps)
    return work.times(method.batches)


def whole_set(network: Network, images: int, method: Any, *, cuda: bool) -> Work:
    """The search of a global solve: every layer and noise sample by itself, over all locations."""
    from whatwhere.method.joint.search import EXACT_LOCATIONS

    work = Work()
    for layer, copies in Counter(chosen(network.layers, method.layers)).items():
        locations = images * layer.tokens
        exact = method.search == "exact" or (method.search == "auto" and (cuda or locations <= EXACT_LOCATIONS))
        each = _products(locations, layer.width) if exact else _index(locations, layer.width)
        work += each.times(copies)
    return work.times(network.samples)


def connections(method: Any) -> tuple[int, int]:
    """How many connections a location keeps, in its image and to others."""
    from whatwhere.method.joint.sparsity import PRESETS

    graph = PRESETS[method.graph] if isinstance(method.graph, str) else method.graph
    return graph.intra, graph.inter


def _products(locations: Number, width: int) -> Work:
    """Every location with every other."""
    return Work(flop=2 * locations**2 * width, moved=SEARCH_BYTES * locations**2)


def _index(locations: Number, width: int) -> Work:
    """FAISS's inverted lists: trained, filled, and some looked through (`joint.search`).

    ASSUME: it trains for ten rounds, as the library does unless told otherwise.
    """
    lists = max(1.0, min(4 * math.sqrt(locations), locations / 40))
    trained, filled, asked = 10 * 64 * lists**2, locations * lists, locations * lists
    looked = locations**2 * min(1.0, PROBES / lists)
    return Work(flop=2 * width * (trained + filled + asked + looked))


def clustering_s(tokens: int, candidates: int) -> Number:
    """Seconds of one core for the regions of an image: K-means and silhouettes of every candidate K."""
    return candidates * (TOKEN_S * tokens + PAIR_S * tokens**2)


def cutting_s(tokens: int, method: Any) -> Number:
    """Seconds of one core for NCut, TokenCut or MaskCut of an image.

    ASSUME: MaskCut finds all its masks, each by a cut of its own.
    """
    return (method.masks if method.kind == "maskcut" else 1) * CUT_S * tokens**3


def proposing_s(tokens: int, partitions: int) -> Number:
    """Seconds of one core for the masks of objects of an image."""
    return partitions * PARTITION_MASKS * MASK_S * tokens**2


def crf_s(pixels: int, clusters: int, iterations: int) -> Number:
    """Seconds of one core for the dense CRF of an image."""
    return CRF_S * pixels * clusters * iterations
