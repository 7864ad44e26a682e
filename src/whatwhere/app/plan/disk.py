"""What the stages of a run write, by the shapes of their arrays (`whatwhere.stages`): bytes, checksums included."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from whatwhere.app.plan.network import Network, chosen
from whatwhere.app.plan.units import Number
from whatwhere.config import Config
from whatwhere.config.methods import Solver

#: Of each chunk of an array: its checksum, and its place in the file.
CHUNK_BYTES = 20
#: Bytes of a weight as it is published.
WEIGHT_BYTES = 4
#: Methods that answer masks, not vectors to be clustered.
MASKED = ("tokencut", "maskcut")
#: ASSUME: unpacked, an archive of photographs is as large as it was.
UNPACKED = 2


def images_bytes(images: int, height: int, width: int, annotators: int) -> Number:
    """A store of images and label maps: 8 and 16 bits a pixel."""
    return images * height * width * (3 + 2 * annotators) + CHUNK_BYTES * images * (1 + bool(annotators))


def features_bytes(network: Network, images: int, *, values: bool, shared: bool) -> Number:
    """A store of features in 16 bits: Q, K, V where asked for, final features, and those in the space of texts."""
    arrays = 2 + values
    final = network.final_tokens * (network.final_channels + shared * network.shared_channels)
    chunks = arrays * network.samples * len(network.layers) + 1
    return images * (2 * (network.numbers(arrays) + final) + CHUNK_BYTES * chunks)


def vectors_bytes(network: Network, images: int, method: Any) -> Number:
    """X of each image by itself, or what a method clusters in its place, or its masks."""
    tokens, width = vector_shape(network, method)
    history = 4 * getattr(method, "steps", 0)
    masked = method.kind in MASKED
    return images * (tokens * width * (2 if masked else 4) + history + CHUNK_BYTES)


def regions_bytes(network: Network, images: int, method: Any, candidates: int) -> Number:
    """The label map of every candidate K; of masks one."""
    tokens, _ = vector_shape(network, method)
    partitions = 1 if method.kind in MASKED else candidates
    return images * (2 * tokens * partitions + CHUNK_BYTES)


def joint_bytes(network: Network, images: int, method: Any) -> tuple[Number, Number]:
    """X of a whole data set, and what a mini-batch solve keeps beside it until it is done."""
    numbers = images * max(a.tokens for a in chosen(network.layers, method.layers))
    held = getattr(method, "columns", None) or method.vectors
    # X and Adam's two moments, and an average where there is one
    state = (3 + bool(method.average)) * method.vectors if hasattr(method, "batches") else 0
    return 4.0 * numbers * held, 4.0 * numbers * state


def segments_bytes(network: Network, images: int, method: Any, joint: bool) -> Number:
    """Clusters of every token: as many as classes, and twice as many."""
    layers = chosen(network.layers, method.layers) if joint else ()
    tokens = max((a.tokens for a in layers), default=network.final_tokens)
    return images * (2.0 * tokens * (1 if method.kind == "largest" else 2) + CHUNK_BYTES)


def candidates(config: Config) -> int:
    """Partitions of an image: every K that is tried."""
    own = config.regions.clusters
    return len({*config.regions.candidates, *([] if own == "auto" else [own])})


def free_bytes(folder: Path) -> Number:
    """Room on the disk where `folder` is or will be."""
    there = next((one for one in (folder, *folder.absolute().parents) if one.exists()), Path("."))
    return float(shutil.disk_usage(there).free)


def vector_shape(network: Network, method: Any) -> tuple[int, int]:
    """Tokens, and numbers of each, of what a method leaves behind."""
    if isinstance(method, Solver):
        return max(a.tokens for a in chosen(network.layers, method.layers)), method.vectors
    if method.kind in ("final", "largest"):
        return network.final_tokens, network.final_channels
    last = network.layers[-1].tokens if network.layers else network.final_tokens
    width = {"position": 2, "tokencut": 1}.get(method.kind, 0)
    return last, getattr(method, "masks", getattr(method, "vectors", width))
