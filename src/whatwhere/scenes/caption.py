"""Puts a rendered scene into one sentence, from what is visible in its ground truth and nothing else."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int16

from whatwhere.scenes.world import CLASSES, LABEL, THINGS, Visible

#: How a caption names a class: one of it, several of it (for stuff the two may be the same).
NOUNS: dict[str, tuple[str, str]] = {
    "sky": ("sky", "sky"),
    "cloud": ("clouds", "clouds"),
    "mountain": ("mountains", "mountains"),
    "tree line": ("a tree line", "a tree line"),
    "grass": ("grass", "grass"),
    "road": ("a road", "a road"),
    "water": ("water", "water"),
    "building": ("buildings", "buildings"),
    "sand": ("sand", "sand"),
    "car": ("a car", "cars"),
    "person": ("a person", "people"),
    "house": ("a house", "houses"),
    "boat": ("a boat", "boats"),
    "animal": ("an animal", "animals"),
    "tree": ("a tree", "trees"),
    "sign": ("a sign", "signs"),
}
#: Share of the image that stuff, and one thing, must fill to be mentioned.
STUFF_SHARE, THING_SHARE = 0.02, 0.0015
_NUMBERS = {2: "two", 3: "three", 4: "four"}
_GROUNDS = {"grass": "on the grass", "road": "on a road", "water": "by the water", "sand": "on the sand"}


def caption(
    labels: Int16[np.ndarray, "y x"],
    instances: tuple[Visible, ...],
    phrase: str,
    *,
    rng: np.random.Generator,
) -> str:
    """One sentence such as "a photo of two cars and a tree, on a road under a cloudy sky at dusk".

    Names at most four classes of things, the ground that fills most, what stands behind, and the sky; only
    classes that fill a share of the image worth a word. `phrase` is the time of day and may be empty.
    """
    share = np.bincount(labels.ravel(), minlength=len(CLASSES)) / labels.size
    seen = {name for name in CLASSES if name not in THINGS and share[LABEL[name]] >= STUFF_SHARE}
    subjects = _subjects(instances, rng)
    grounds = sorted((name for name in _GROUNDS if name in seen), key=lambda name: -share[LABEL[name]])
    behind = [NOUNS[name][1] for name in ("building", "tree line", "mountain") if name in seen]
    words = [str(rng.choice(("a photo of", "a picture of", "a view of")))]
    if subjects:
        words.append(_join(subjects) + ("," if len(subjects) > 1 and grounds else ""))
        words += [_GROUNDS[name] for name in grounds[:1]]
        words += ["beside " + NOUNS[name][0] for name in grounds[1:2] if name != "grass"]
    else:
        words.append(_join([NOUNS[name][0] for name in grounds[:2]] or ["an open landscape"]))
    words += ["in front of " + _join(behind)] if behind else []
    return " ".join([*words, *_above(seen), *([phrase] if phrase else [])])


def _subjects(instances: tuple[Visible, ...], rng: np.random.Generator) -> list[str]:
    """The things worth a mention, the larger first: how many, what, and where if all are on one side."""
    found: dict[str, list[tuple[float, float]]] = {}
    for instance in instances:
        share = float(instance.mask.mean())
        if share >= THING_SHARE:
            middle = float(instance.mask.sum(0) @ np.arange(instance.mask.shape[1])) / instance.mask.sum()
            found.setdefault(CLASSES[instance.category], []).append((share, middle / instance.mask.shape[1]))
    largest = sorted(found, key=lambda name: -sum(share for share, _ in found[name]))[:4]
    return [_many(name, np.array(found[name]), rng) for name in largest]


def _many(name: str, places: Float[np.ndarray, "thing 2"], rng: np.random.Generator) -> str:
    one, several = NOUNS[name]
    count = len(places)
    words = one if count == 1 else f"{_NUMBERS.get(count, 'several')} {several}"
    x = places[:, 1]
    # ASSUME: sides are named in three of four captions, as people do not always say where things are.
    if rng.random() < 0.75:
        words += " on the left" if (x < 0.42).all() else " on the right" if (x > 0.58).all() else ""
    return words


def _above(seen: set[str]) -> list[str]:
    if "sky" in seen:
        return ["under a cloudy sky" if "cloud" in seen else "under a clear sky"]
    return ["under clouds"] if "cloud" in seen else []


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
