"""From K-means partitions of one image to ranked masks of objects (appendix D.2).

Regions of every partition fall into connected components, which Ward's criterion merges with their neighbours up to
the whole image; components and merges are the candidates. What repeats, is too small or too large goes; the balanced
silhouette ranks the rest, and of masks that overlap much the better one stays.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate.silhouette import mask_scores

#: Scores that differ by less are equal: rounding must not choose between masks.
TIE_DECIMALS = 9


@dataclass(frozen=True)
class Proposals:
    """`masks` by decreasing score; `scores`, their balanced silhouettes, from -1 to 1."""

    masks: Bool[np.ndarray, "proposal row column"]
    scores: Float[np.ndarray, "proposal"]


def propose(
    features: Float[np.ndarray, "token vector"],
    partitions: Int[np.ndarray, "partition _token"],
    grid: tuple[int, int],
    *,
    threshold: float = 0.0,
    overlap: float = 0.7,
    least_share: float = 0.01,
    most_share: float = 0.9,
    borders: int | None = None,
    most: int = 100,
) -> Proposals:
    """At most `most` masks on `grid` (rows, columns) from partitions of its tokens, K = 2 … 10 in the paper.

    Candidates cover `least_share` to `most_share` of the image. With `borders`, those that touch as many of its four
    borders go as well; where none would be left, those that touch one more, and so on up to three, and then none (the
    released code begins with 2). Scores are above `threshold`; a mask whose IoU with a better one is above `overlap`
    is dropped. Equal scores: the larger mask, then the one found first.

    ASSUME: a merge that next takes in a speck (under `least_share`) is no candidate, for the merge that follows stands
    for it: at most 3 / `least_share` candidates a partition, however speckled it is. ASSUME: borders are looked at
    before masks are scored, and masks found by several partitions count once; the paper's "standard post-processing
    steps" say neither.

    Raises `InputError` for features or partitions of another size than the grid, for features that are not finite,
    and for settings out of range.
    """
    _check(features, partitions, grid)
    _check_settings(overlap, least_share, most_share, borders, most)
    least, largest = least_share * len(features), most_share * len(features)
    found = [_candidates(features, partition.reshape(grid), least, largest) for partition in partitions]
    masks = _without_repeats(np.concatenate([np.zeros((0, len(features)), bool), *found]))
    if borders is not None:
        masks = _inside(masks.reshape(-1, *grid), borders).reshape(-1, len(features))
    if not len(masks):
        return Proposals(np.zeros((0, *grid), bool), np.zeros(0))
    scores = mask_scores(features, masks.reshape(-1, *grid))
    order = np.lexsort((-masks.sum(1), -np.round(scores, TIE_DECIMALS)))
    order = order[scores[order] > threshold]
    kept = order[_suppressed(masks[order], overlap, most)]
    return Proposals(masks[kept].reshape(-1, *grid), scores[kept])


def from_masks(masks: Bool[np.ndarray, "mask token"], grid: tuple[int, int]) -> Proposals:
    """Masks that a method answers itself (TokenCut, MaskCut), in its order with score 1; empty ones are dropped."""
    if masks.shape[1] != grid[0] * grid[1]:
        raise InputError(f"masks: expected {grid[0] * grid[1]} tokens for {grid[0]}×{grid[1]}, got {masks.shape[1]}")
    shown = masks[masks.any(1)]
    return Proposals(shown.reshape(-1, *grid), np.ones(len(shown)))


def components(partition: Int[np.ndarray, "row column"]) -> Int[np.ndarray, "row column"]:
    """Connected components of every region, the first one's too, numbered from 0 along rows.

    ASSUME: tokens that touch at a corner only are not connected, as in TokenCut.
    """
    from skimage.measure import label

    return label(partition, background=int(partition.min()) - 1, connectivity=1).astype(np.int64) - 1


def merge_tree(
    features: Float[np.ndarray, "token vector"], parts: Int[np.ndarray, "row column"]
) -> Int[np.ndarray, "merge 2"]:
    """Ward's merges of `components` that share an edge, up to the whole image: the two children of each.

    Components are nodes 0 … n − 1, merge i is node n + i. Each is the merge that adds least to the squared distances
    of tokens from their node's mean, `|a| |b| / (|a| + |b|) ‖mean a − mean b‖²`; of equal ones that of earlier nodes.

    ASSUME: a component counts by its tokens, which is Ward's criterion begun from components, where scikit-learn's
    `ward_tree` would count each once. On the rendered scenes that found more of the boxes (AR100 on five sets of
    features 6.9 to 7.3, 5.1 to 5.5, 11.4 to 12.1, 7.7 to 8.1, 6.8 to 7.1), and of the masks about as many.
    """
    tokens = np.bincount(parts.ravel()).astype(np.float64)
    sums = np.stack([np.bincount(parts.ravel(), channel) for channel in features.T.astype(np.float64)], 1)
    count = len(tokens)
    sizes, means = np.append(tokens, np.zeros(count - 1)), np.append(sums / tokens[:, None], np.zeros_like(sums[1:]), 0)
    beside = _neighbours(parts)
    queue = [(cost, a, b) for a in range(count) for cost, b in _costs(a, [b for b in beside[a] if b > a], sizes, means)]
    heapify(queue)
    merges = np.zeros((count - 1, 2), np.int64)
    for node in range(count, 2 * count - 1):
        left, right = _cheapest(queue, beside)
        merges[node - count] = left, right
        sizes[node] = sizes[left] + sizes[right]
        means[node] = (sizes[left] * means[left] + sizes[right] * means[right]) / sizes[node]
        beside[node] = (beside.pop(left) | beside.pop(right)) - {left, right}
        for other in beside[node]:
            beside[other] = beside[other] - {left, right} | {node}
        for cost, other in _costs(node, sorted(beside[node]), sizes, means):
            heappush(queue, (cost, other, node))
    return merges


def tree_masks(
    parts: Int[np.ndarray, "row column"], merges: Int[np.ndarray, "merge 2"]
) -> Bool[np.ndarray, "node component"]:
    """Components in each node of a tree: of the components themselves, then of each merge."""
    count = int(parts.max()) + 1
    members = np.zeros((count + len(merges), count), bool)
    members[:count] = np.eye(count, dtype=bool)
    for node, (left, right) in enumerate(merges, count):
        members[node] = members[left] | members[right]
    return members


def _candidates(
    features: np.ndarray, partition: Int[np.ndarray, "row column"], least: float, largest: float
) -> Bool[np.ndarray, "mask token"]:
    parts = components(partition)
    merges = merge_tree(features, parts)
    members = tree_masks(parts, merges)
    sizes = members @ np.bincount(parts.ravel())
    wanted = (sizes >= least) & (sizes <= largest) & ~_takes_in_a_speck(sizes, merges, least)
    return members[wanted][:, parts.ravel()]


def _takes_in_a_speck(
    sizes: Int[np.ndarray, "node"], merges: Int[np.ndarray, "merge 2"], least: float
) -> Bool[np.ndarray, "node"]:
    """Merges that the next merge joins with a node under `least`; never components, which K-means itself found."""
    found = np.zeros(len(sizes), bool)
    found[merges] = sizes[merges[:, ::-1]] < least
    found[: len(sizes) - len(merges)] = False
    return found


def _neighbours(parts: Int[np.ndarray, "row column"]) -> dict[int, set[int]]:
    """Components that share an edge with each."""
    beside: dict[int, set[int]] = {number: set() for number in range(int(parts.max()) + 1)}
    for one, other in ((parts[1:], parts[:-1]), (parts[:, 1:], parts[:, :-1])):
        for a, b in np.unique(np.stack([one[one != other], other[one != other]], 1), axis=0).tolist():
            beside[a].add(b)
            beside[b].add(a)
    return beside


def _costs(
    node: int, others: list[int], sizes: Float[np.ndarray, "node"], means: Float[np.ndarray, "node vector"]
) -> Iterator[tuple[float, int]]:
    """What merging `node` with each of `others` adds to the squared distances."""
    apart = np.square(means[others] - means[node]).sum(1)
    weights = sizes[node] * sizes[others] / (sizes[node] + sizes[others])
    return zip((weights * apart).tolist(), others, strict=True)


def _cheapest(queue: list[tuple[float, int, int]], alive: Container[int]) -> tuple[int, int]:
    """The next merge of two nodes that are not merged yet."""
    while True:
        _, left, right = heappop(queue)
        if left in alive and right in alive:
            return left, right


def _without_repeats(masks: Bool[np.ndarray, "mask token"]) -> Bool[np.ndarray, "kept token"]:
    """The first of each, in the order found."""
    _, first = np.unique(np.packbits(masks, axis=1), axis=0, return_index=True)
    return masks[np.sort(first)]


def _inside(masks: Bool[np.ndarray, "mask row column"], borders: int) -> Bool[np.ndarray, "kept row column"]:
    touched = np.sum([masks[:, 0].any(1), masks[:, -1].any(1), masks[:, :, 0].any(1), masks[:, :, -1].any(1)], axis=0)
    for limit in range(borders, max(4, borders + 1)):
        if (touched < limit).any():
            return masks[touched < limit]
    return masks


def _suppressed(masks: Bool[np.ndarray, "mask token"], overlap: float, most: int) -> Int[np.ndarray, "kept"]:
    """Numbers of the masks that stay, greedily from the first."""
    packed: UInt8[np.ndarray, "mask byte"] = np.packbits(masks, axis=1)
    sizes = masks.sum(1)
    left = np.ones(len(masks), bool)
    kept: list[int] = []
    for number in range(len(masks)):
        if left[number] and len(kept) < most:
            kept.append(number)
            common = np.bitwise_count(packed & packed[number]).sum(1, dtype=np.int64)
            left &= common <= overlap * (sizes + sizes[number] - common)
    return np.array(kept, np.int64)


def _check(features: np.ndarray, partitions: np.ndarray, grid: tuple[int, int]) -> None:
    tokens = grid[0] * grid[1]
    for name, count in (("features", len(features)), ("partitions", partitions.shape[1])):
        if count != tokens:
            raise InputError(f"{name}: expected {tokens} tokens for a grid of {grid[0]}×{grid[1]}, got {count}")
    if not np.isfinite(features).all():
        raise InputError(f"features: expected finite numbers, got {int((~np.isfinite(features)).sum())} that are not")


def _check_settings(overlap: float, least_share: float, most_share: float, borders: int | None, most: int) -> None:
    if not 0 < least_share <= most_share <= 1:
        got = f"{least_share} and {most_share}"
        raise InputError(f"least_share, most_share: expected shares of the image, the least above 0, got {got}")
    if not 0 <= overlap <= 1:
        raise InputError(f"overlap: expected an IoU from 0 to 1, got {overlap}")
    if borders is not None and not 1 <= borders <= 4:
        raise InputError(f"borders: expected None or 1 to 4 borders, got {borders}")
    if most < 1:
        raise InputError(f"most: expected at least 1 mask, got {most}")
