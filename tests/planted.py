"""Graph sets whose answer is known before they are solved."""

import torch

from whatwhere.backbones.features import Attention, Features
from whatwhere.method.walk import random_walk


def features(grid=(6, 5), layers=2, heads=3, channels=8, seed=0, grids=None):
    """Random queries, keys and values."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for i, g in enumerate(grids or [grid] * layers):
        q, k, v = torch.randn(3, 1, heads, g[0] * g[1], channels, generator=generator)
        made.append(Attention(f"layer{i}", q, k, v, channels**-0.5, g))
    final = torch.randn(1, grid[0] * grid[1], 7, generator=generator)
    return Features(tuple(made), final, grid)


def blocks(grid=(8, 6), clusters=4, layers=2, heads=2, strength=6.0, noise=0.3, sinks=0, sink_pull=0.0, seed=0):
    """Tokens of `clusters` equal row bands attend to their own band; `sinks` tokens draw `sink_pull` logits.

    Channel c of query and key is the band's indicator, so logits are `strength` inside a band and 0 across.
    """
    generator = torch.Generator().manual_seed(seed)
    tokens = grid[0] * grid[1]
    truth = torch.arange(grid[0]).mul(clusters).div(grid[0], rounding_mode="floor").repeat_interleave(grid[1])
    indicator = torch.nn.functional.one_hot(truth, clusters).float()
    made = []
    for i in range(layers):
        q = indicator.expand(1, heads, tokens, clusters) + noise * torch.randn(
            1, heads, tokens, clusters, generator=generator
        )
        k = indicator.expand(1, heads, tokens, clusters) + noise * torch.randn(
            1, heads, tokens, clusters, generator=generator
        )
        ones = torch.ones(1, heads, tokens, 1)
        pull = torch.zeros(1, heads, tokens, 1)
        pull[:, :, :sinks] = sink_pull / strength
        q, k = torch.cat([q, ones], -1), torch.cat([k, pull], -1)
        made.append(Attention(f"layer{i}", q, k, k, strength, grid))
    return Features(tuple(made), torch.zeros(1, tokens, 1), grid), truth


def walks(source=None, **settings):
    """The graph set of random features, or of `source`."""
    return random_walk(source or features(), **settings)


def subspace_distance(X, Y):
    """Sine of the largest angle between two column spans."""
    X, Y = (torch.linalg.qr(Z.double())[0] for Z in (X, Y))
    cosines = torch.linalg.svdvals(X.T @ Y)
    return float((1 - cosines.min() ** 2).clamp_min(0).sqrt())
