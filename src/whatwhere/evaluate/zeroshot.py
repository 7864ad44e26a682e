"""Zero-shot segmentation: regions are named by texts (paper, appendix D.1; Table 7).

A class is the mean embedding of many prompts that name it, a region f the mean of its tokens in the space that images
share with texts. Among names t_n, s_n = cos(f, t_n), and the probability of n is the softmax of a s_n over the names,
with the model's own scale a (100 for CLIP). The most similar name wins, if it is above a threshold.

The paper's threshold is 0.7 "similarity". That must be on the scale of probabilities: CLIP's cosines between images
and texts that belong together lie around 0.2 to 0.3, so that no region would ever get a name; the softmax, which makes
0.95 of a lead of 0.03 over one rival, is also what GroupViT's authors cut off at 0.95. Cosines can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Int16

from whatwhere.artifacts.errors import InputError

#: Prompts of our own. ASSUME: the paper gives the first two of "many"; plain wordings of scale, light and medium.
TEMPLATES = (
    "a photo of a {}.",
    "a picture of a {}.",
    "an image of a {}.",
    "a snapshot of a {}.",
    "a photo with a {} in it.",
    "a photo of the {}.",
    "a photo of some {}.",
    "a photo of part of a {}.",
    "a close view of a {}.",
    "a distant view of a {}.",
    "a small {} in a photo.",
    "a big {} in a photo.",
    "a blurry photo of a {}.",
    "a dark photo of a {}.",
    "a bright photo of a {}.",
    "a scene with a {}.",
    "there is a {} here.",
    "this is a {}.",
)


def text_embeddings(
    embed: Callable[[list[str]], Any], phrases: Sequence[str], templates: Sequence[str]
) -> Float[np.ndarray, "name channel"]:
    """A row of unit length for each phrase: the mean of its prompts' embeddings, each first brought to unit length.

    `embed` answers a row `[channel]` for each text. A template has `{}` where the phrase goes.

    Raises `InputError` where there are no phrases or templates, or one has no place for the phrase.
    """
    wrong = [template for template in templates if "{}" not in template]
    if wrong or not templates or not phrases:
        got = repr(wrong[0]) if wrong else f"{len(phrases)} phrases and {len(templates)} templates"
        raise InputError(f"texts: expected phrases, and templates with {{}} for the phrase, got {got}; correct it")
    prompts = [template.replace("{}", phrase) for phrase in phrases for template in templates]
    rows = _unit(np.asarray(embed(prompts), dtype=np.float32))
    return _unit(rows.reshape(len(phrases), len(templates), -1).mean(1))


def region_features(
    joint: Float[np.ndarray, "token channel"], regions: Int[np.ndarray, "token"]
) -> Float[np.ndarray, "region channel"]:
    """Row r is the mean of the tokens with label r, as they are; zeros for a label that no token has.

    ASSUME: tokens are averaged after the layer's output projection, the norm and the projection into the joint space,
    not before (the paper names no order, and the norm is not linear), and not brought to unit length before.

    Raises `InputError` for negative labels.
    """
    if regions.min(initial=0) < 0:
        raise InputError(f"regions: expected labels from 0, got {regions.min()}")
    sums = np.zeros((int(regions.max(initial=-1)) + 1, joint.shape[1]))
    np.add.at(sums, regions, joint)
    sizes = np.bincount(regions, minlength=len(sums))
    return (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)


def recognise(
    features: Float[np.ndarray, "region channel"],
    texts: Float[np.ndarray, "name channel"],
    *,
    threshold: float,
    measure: Literal["probability", "cosine"],
    scale: float,
    most: int | None = None,
    whole: Float[np.ndarray, "channel"] | None = None,
) -> tuple[Int16[np.ndarray, "region"], Float[np.ndarray, "region"]]:
    """The name of each region, n + 1 for the n-th text and 0 for background, and the score of the best text.

    A score is a cosine or a probability; of `scale` the former knows nothing. Background is where it is not above
    `threshold`, and a row of zeros (a region without tokens), whose score is 0.

    `most` is how GroupViT's authors decide (with 5): only so many names compete, the most probable of the image, whose
    feature is `whole`; the probability among them is multiplied with that among all names; and no more is asked of a
    region than the image's best score, so that one is always named. ASSUME: `whole` is the mean feature of all tokens,
    where the authors take the model's embedding of the image; without it, the mean of the regions.

    Raises `InputError` for a probability without a positive scale or among fewer than two names, and for `most` below
    1.
    """
    _check(measure, scale, most, len(texts))
    cosines, filled = _unit(features) @ _unit(texts).T, (features != 0).any(1)
    scores = cosines if measure == "cosine" else _softmax(scale * cosines)
    if most is not None:
        image = whole if whole is not None else features.sum(0)  # only its direction counts
        ranked = np.argsort(-(_unit(texts) @ image), kind="stable")
        among = cosines.copy()
        among[:, ranked[most:]] = -np.inf
        scores = among if measure == "cosine" else scores * _softmax(scale * among)
    best, found = scores.argmax(1), np.where(filled, scores.max(1), 0)
    named = filled & (found > threshold)
    if most is not None:
        named |= filled & (found == found[filled].max(initial=-np.inf))
    return np.where(named, best + 1, 0).astype(np.int16), found


def on_grid(
    joint: Float[np.ndarray, "token channel"], there: tuple[int, int], grid: tuple[int, int]
) -> Float[np.ndarray, "other channel"]:
    """The tokens of the grid `there` at the places of another, of which each takes the one that it lies in."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(grid, there, strict=True))
    return joint.reshape(*there, -1)[rows][:, columns].reshape(grid[0] * grid[1], -1).astype(np.float32)


def _check(measure: str, scale: float, most: int | None, names: int) -> None:
    if measure == "probability" and not 0 < scale < np.inf:
        raise InputError(f"names: expected a positive scale of the cosines, got {scale}; take the model's own")
    if measure == "probability" and (names < 2 or most == 1):
        raise InputError(
            "names: expected at least two that compete, for among fewer every probability is 1, got one; ask about "
            "more, or measure cosines"
        )
    if most is not None and most < 1:
        raise InputError(f"names: expected at least one that competes, got most {most}")


def _unit(rows: Float[np.ndarray, "... channel"]) -> Float[np.ndarray, "... channel"]:
    """Rows of unit length; zeros stay."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def _softmax(logits: Float[np.ndarray, "region name"]) -> Float[np.ndarray, "region name"]:
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)
