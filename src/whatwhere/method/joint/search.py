"""The strongest connections of every location, inside its image and to all others, without the full product (Eq. 7).

A location is a token of an image; locations are numbered image by image. Products come in blocks and only the best
of each row are kept as blocks pass by, so memory grows with the number of locations, never with its square.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.artifacts.errors import InputError

Search = Literal["auto", "exact", "faiss"]
#: Locations from which on `search: auto` asks FAISS on a CPU. On one core and 384 channels it takes two fifths of the
#: exact search's time at 10,000 locations, a sixth to a ninth at 53,000 (100 photographs of COCO through DINOv2), where
#: it found 86 to 93 % of the neighbours; of 101 frames of CamVid at least 85 % in every layer.
EXACT_LOCATIONS = 10_000
#: Locations whose neighbours are looked up exactly as well, to say how many of them FAISS finds.
CHECKED = 256


@dataclass(frozen=True)
class Sizes:
    """What is worked on at a time: `rows` that are looked up together, `lazy_rows` of them where targets are read
    from disk, once for all these rows; `block` numbers of a block of products; `held` bytes of one layer in memory.
    """

    rows: int
    lazy_rows: int
    block: int
    held: int


#: Products of 16 MiB, which a core's cache and its neighbours' still hold.
CPU = Sizes(rows=1024, lazy_rows=8192, block=2**22, held=2**30)
CUDA = Sizes(rows=16_384, lazy_rows=16_384, block=2**28, held=2**34)


@runtime_checkable
class Rows(Protocol):
    """Unit vectors `[image, token, channel]`, in memory or read when asked for, to be worked on where `device` is."""

    @property
    def shape(self) -> torch.Size:
        """Images, tokens, channels."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the rows are worked on."""
        ...

    def __getitem__(self, images: slice, /) -> Float[Tensor, "image token channel"]: ...


@dataclass(frozen=True)
class Neighbours:
    """For every location its connections: `inside` its own image, and `across` to others; −1 where there is none.

    `recall`: part of the true ones across that were found, of `CHECKED` locations; 1 by an exact search.
    """

    inside: Int[Tensor, "location inside"]
    inside_values: Float[Tensor, "location inside"]
    across: Int[Tensor, "location across"]
    across_values: Float[Tensor, "location across"]
    recall: float = 1.0


def nearest(source: Rows, target: Rows, *, inside: int, across: int, search: Search = "auto") -> Neighbours:
    """The `inside` largest products of each source row with targets of its own image, itself excluded, and the
    `across` largest with those of all other images together. Ties are anybody's.

    `exact` looks at every product; `faiss` finds those across by an inverted index, approximately; `auto` see
    `is_exact`. Raises `InputError` where the images are so few or so small that nothing is left to
    connect.
    """
    images, tokens, _ = source.shape
    inside, across = min(inside, tokens - 1), min(across, (images - 1) * tokens)
    if inside + across <= 0:
        raise InputError(
            f"graph: expected at least one connection a location, got none among {images} images of {tokens} tokens; "
            "raise intra or inter, or take more images"
        )
    exact = across == 0 or is_exact(search, images * tokens, source.device)
    scan = _Scan(target) if exact else _Index(target)
    size, found = sizes(source.device), []
    together = size.rows if isinstance(target, Tensor) else size.lazy_rows
    for block in _blocks(images, max(1, together // tokens)):
        rows = source[block.start : block.stop]
        found.append((*_inside(rows, target, block, inside), *scan.across(rows, block, across)))
    near, near_values, far, far_values = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Neighbours(near, near_values, far, far_values, 1.0 if exact else _recall(source, target, far))


def is_exact(search: Search, locations: int, device: torch.device) -> bool:
    """Whether every product is looked at: `auto` asks FAISS only on a CPU, above `EXACT_LOCATIONS`."""
    return search == "exact" or (search == "auto" and (device.type != "cpu" or locations <= EXACT_LOCATIONS))


def sizes(device: torch.device) -> Sizes:
    """How much at a time suits a device."""
    return CUDA if device.type == "cuda" else CPU


def _inside(
    rows: Float[Tensor, "image token channel"], target: Rows, block: range, count: int
) -> tuple[Int[Tensor, "row inside"], Float[Tensor, "row inside"]]:
    """Places and values of the best targets in a row's own image."""
    products = rows @ target[block.start : block.stop].mT
    products.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    values, places = products.topk(count, dim=-1)
    first = rows.shape[1] * torch.arange(block.start, block.stop, device=places.device)
    return (places + first[:, None, None]).flatten(0, 1), values.flatten(0, 1)


class _Scan:
    """Exact search: every product once, in blocks."""

    def __init__(self, target: Rows) -> None:
        self._target = target

    def across(
        self, rows: Float[Tensor, "image token channel"], block: range, count: int
    ) -> tuple[Int[Tensor, "row across"], Float[Tensor, "row across"]]:
        """Places and values of the best targets in all other images."""
        images, tokens, _ = self._target.shape
        flat = rows.flatten(0, 1)
        best, size = _Best(len(flat), count, flat.device), sizes(self._target.device)
        for others in _blocks(images, max(1, size.block // (len(flat) * tokens))) if count else ():
            products = flat @ self._target[others.start : others.stop].flatten(0, 1).T
            for image in range(max(block.start, others.start), min(block.stop, others.stop)):
                row, column = (image - block.start) * tokens, (image - others.start) * tokens
                products[row : row + tokens, column : column + tokens] = -torch.inf
            best.offer(products, others.start * tokens)
        return best.places, best.values


class _Index:
    """Approximate search: FAISS's inverted lists, some of which are looked through in a part of the channels; what is
    best there is compared in all of them.

    ASSUME: 4·√locations lists, of which every row looks through 24; trained on 20 locations a list, 5 times. A third
    of the channels, 64 at least: the directions along which targets are longest. Six candidates for each neighbour.
    """

    PROBES, TRAINED_ON, ITERATIONS = 24, 20, 5
    PART, LEAST_CHANNELS, CANDIDATES = 3, 64, 6

    def __init__(self, target: Rows) -> None:
        import faiss

        self._tokens = target.shape[1]
        images, locations, width = target.shape[0], target.shape[0] * target.shape[1], target.shape[2]
        lists = max(1, min(int(4 * locations**0.5), locations // 40))
        some = np.linspace(0, images - 1, min(images, 1 + self.TRAINED_ON * lists // self._tokens)).astype(int)
        learned_from = np.concatenate([_array(target[i : i + 1]) for i in some])
        narrower = _longest(learned_from, max(self.LEAST_CHANNELS, width // self.PART))
        channels = narrower.d_out
        inverted = faiss.IndexIVFFlat(faiss.IndexFlatIP(channels), channels, lists, faiss.METRIC_INNER_PRODUCT)
        cp = inverted.cp
        cp.seed, cp.niter, cp.max_points_per_centroid = 1234, self.ITERATIONS, self.TRAINED_ON
        self._index = faiss.IndexRefineFlat(faiss.IndexPreTransform(narrower, inverted))
        self._index.train(learned_from)
        for block in _blocks(images, max(1, sizes(target.device).block // (self._tokens * width))):
            self._index.add(_array(target[block.start : block.stop]))

    def across(
        self, rows: Float[Tensor, "image token channel"], block: range, count: int
    ) -> tuple[Int[Tensor, "row across"], Float[Tensor, "row across"]]:
        """As `_Scan.across`, −1 where fewer are found."""
        import faiss

        places, values = [], []
        for image, own in zip(block, rows, strict=True):
            others = faiss.IDSelectorNot(faiss.IDSelectorRange(image * self._tokens, (image + 1) * self._tokens))
            lists, narrower = faiss.SearchParametersIVF(), faiss.SearchParametersPreTransform()
            choice = faiss.IndexRefineSearchParameters()
            lists.sel, lists.nprobe, narrower.index_params = others, self.PROBES, lists
            choice.k_factor, choice.base_index_params = self.CANDIDATES, narrower
            value, place = self._index.search(_array(own[None]), count, params=choice)
            values.append(torch.from_numpy(value))
            places.append(torch.from_numpy(place))
        return torch.cat(places).to(rows.device), torch.cat(values).to(rows.device)


def _longest(rows: Float[np.ndarray, "location channel"], channels: int) -> Any:
    """FAISS's map of rows to so many of their channels (all, if they have no more), turned to where rows are longest:
    no centre is taken away, so products change the least.
    """
    import faiss

    width = rows.shape[1]
    kept = min(width, channels)
    _, turned = np.linalg.eigh(rows.T.astype(np.float64) @ rows)
    narrower = faiss.LinearTransform(width, kept, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(turned[:, -kept:].T, np.float32).ravel(), narrower.A)
    narrower.is_trained = True
    return narrower


def _array(rows: Float[Tensor, "image token channel"]) -> Float[np.ndarray, "location channel"]:
    return np.ascontiguousarray(rows.flatten(0, 1).float().cpu().numpy())


def _recall(source: Rows, target: Rows, found: Int[Tensor, "location across"]) -> float:
    """Part of the true neighbours across, of some locations evenly spaced, that were found."""
    images, tokens, _ = source.shape
    some = torch.linspace(0, images * tokens - 1, min(CHECKED, images * tokens)).long().unique()
    own = some // tokens
    rows = torch.cat([source[i : i + 1][0, place % tokens][None] for i, place in zip(own.tolist(), some, strict=True)])
    best, size = _Best(len(rows), found.shape[1], rows.device), sizes(target.device)
    for others in _blocks(images, max(1, size.block // (len(rows) * tokens))):
        products = rows @ target[others.start : others.stop].flatten(0, 1).T
        image = torch.arange(others.start, others.stop).repeat_interleave(tokens)
        products.masked_fill_((own[:, None] == image).to(products.device), -torch.inf)
        best.offer(products, others.start * tokens)
    there = rows.any(1)  # a row of zeros, where images are padded, has no neighbours
    return float((best.places[:, :, None] == found[some][:, None]).any(2)[there].float().mean()) if there.any() else 1.0


class _Best:
    """The largest products seen so far of each row, and their columns."""

    def __init__(self, rows: int, count: int, device: torch.device) -> None:
        self.values = torch.full((rows, count), -torch.inf, device=device)
        self.places = torch.full((rows, count), -1, device=device)

    def offer(self, products: Float[Tensor, "row column"], first_column: int) -> None:
        """Keeps of what is there and of `products` the largest of each row."""
        count = self.values.shape[1]
        values, places = products.topk(min(count, products.shape[1]), dim=1, sorted=False)
        values, places = torch.cat([self.values, values], 1), torch.cat([self.places, places + first_column], 1)
        self.values, order = values.topk(count, dim=1)
        self.places = places.gather(1, order)


def _blocks(images: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, images)) for start in range(0, images, size))
