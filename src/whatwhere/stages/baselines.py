"""Features -> what each baseline clusters (or its masks): no solver, one graph at most, no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange

from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.store import Store, create
from whatwhere.backbones.stored import TOKENS, layer_places

Grid = tuple[int, int]
#: For one image: `vectors` `[token, vector]` to be clustered, or `masks` `[mask, token]`.
#: Of what cuts a graph also `joined`, the share of pairs of tokens with an edge (`graph.share_joined`).
Found = dict[str, Any]


def write_baseline(
    features: Store, output: Path, *, kind: str, method: dict[str, Any], settings: dict[str, Any]
) -> None:
    """`vectors` `[image, token, vector]`, or `masks` `[image, mask, token]` for a method that answers masks."""
    find = FINDERS[kind]
    found = [find(features, index, **method) for index in progress(range(len(features.ids)), kind)]
    of_final = find is final or method.get("source") == "features"
    grid = features.attributes_of(TOKENS)["grid"] if of_final else last_layer(features, 0)[1]
    attributes = {key: features.attributes[key] for key in ("dataset", "weights")}
    attributes |= {"grid": grid, "graphs": ""}
    joined = [one["joined"] for one in found if "joined" in one]
    along = {"image": features.ids, **({"joined": ("image", joined)} if joined else {})}
    with create(output, settings, attributes, along) as store:
        for name, dims, dtype in (("vectors", ("token", "vector"), "float32"), ("masks", ("mask", "token"), "int16")):
            if name in found[0]:
                array = np.stack([one[name] for one in found])
                store.array(name, array.shape, dtype, ("image", *dims), run_images=len(array))[:] = array


def last_layer(features: Store, index: int) -> tuple[dict[str, np.ndarray], Grid, float]:
    """Queries and keys `[head, token, channel]` of the last attention layer, its grid, and its scale.

    ASSUME: of several noise samples all enter, as further heads.
    """
    places = layer_places(features)
    last = places[-1]
    alike = [p for p in places if (p.group, p.name.partition("#")[0]) == (last.group, last.name.partition("#")[0])]
    same = sorted(place.number for place in alike)
    stored = {name: features.read(f"{last.group}/{name}", index)[same].astype(np.float32) for name in "qk"}
    heads = {
        name: rearrange(array, "sample head token channel -> (sample head) token channel")
        for name, array in stored.items()
    }
    return heads, last.grid, last.scale


def keys(features: Store, index: int) -> tuple[np.ndarray, Grid]:
    """The last layer's keys, heads side by side: `[token, channel]`, as TokenCut and MaskCut read them.

    ASSUME: they are also what "Final Features" means for NCut + K-means, which the paper takes from TokenCut
    (appendix B.3: "the original proposed matrix for these methods"); K-means alone clusters the last tokens.
    """
    heads, grid, _ = last_layer(features, index)
    return rearrange(heads["k"], "head token channel -> token (head channel)"), grid


def final(features: Store, index: int) -> Found:
    """The backbone's last features."""
    return {"vectors": features.read(f"{TOKENS}/final", index).astype(np.float32)}


def position(features: Store, index: int) -> Found:
    """Row and column of each token, between 0 and 1: what a method scores that sees nothing."""
    grid = last_layer(features, index)[1]
    rows, columns = np.indices(grid).reshape(2, -1) / np.maximum(1, np.array(grid)[:, None] - 1)
    return {"vectors": np.stack([rows, columns], 1).astype(np.float32)}


def graph(features: Store, index: int, *, source: str = "keys", **how: Any) -> tuple[np.ndarray, Grid]:
    """The graph of one image (`graph.weights` says how), and the grid of its tokens.

    Of the last layer's `keys` as published, of the backbone's final `features`, or of the last layer's `attention`,
    which without a threshold is a graph already.
    """
    from whatwhere.baselines.graph import weights
    from whatwhere.baselines.ncut import attention_affinity, cosines

    if source == "attention":
        heads, grid, scale = last_layer(features, index)
        affinity = attention_affinity(heads["q"], heads["k"], scale)
        return (weights(affinity, **how) if any(one is not None for one in how.values()) else affinity), grid
    rows, grid = keys(features, index) if source == "keys" else final_rows(features, index)
    return weights(cosines(rows), **how), grid


def final_rows(features: Store, index: int) -> tuple[np.ndarray, Grid]:
    """The backbone's last features `[token, channel]`, and their grid."""
    return final(features, index)["vectors"], tuple(features.attributes_of(TOKENS)["grid"])


def ncut(features: Store, index: int, *, vectors: int, **how: Any) -> Found:
    """Eigenvectors of a normalised cut of a graph (appendix B.3).

    ASSUME: the row's reference is TokenCut, for which the paper takes 8 vectors; also for the attention.
    """
    from whatwhere.baselines.graph import share_joined
    from whatwhere.baselines.ncut import normalised_cut

    affinity, _ = graph(features, index, **how)
    return {"vectors": normalised_cut(affinity, vectors)[1].astype(np.float32), "joined": share_joined(affinity)}


def tokencut(features: Store, index: int, *, masks: int = 1, **how: Any) -> Found:
    """One mask, or `masks` from as many eigenvectors."""
    from whatwhere.baselines.graph import share_joined
    from whatwhere.baselines.tokencut import cuts_of

    affinity, grid = graph(features, index, **how)
    cuts = cuts_of(affinity, grid, masks)
    return {"masks": np.stack([cut.mask.ravel() for cut in cuts]), "joined": share_joined(affinity)}


def maskcut(features: Store, index: int, *, masks: int, **how: Any) -> Found:
    """`masks` masks, those that MaskCut drops left empty.

    ASSUME: as regions they are on the token grid like every other method's, without MaskCut's CRF at the size of the
    image; as objects they get it (`stages.proposals`).
    """
    from whatwhere.baselines.graph import share_joined
    from whatwhere.baselines.maskcut import objects_of

    affinity, grid = graph(features, index, **how)
    found = objects_of(affinity, grid, masks)
    return {"masks": found.masks.reshape(masks, -1), "joined": share_joined(affinity)}


FINDERS: dict[str, Callable[..., Found]] = {
    "final": final,
    "largest": final,
    "position": position,
    "ncut": ncut,
    "tokencut": tokencut,
    "maskcut": maskcut,
}
