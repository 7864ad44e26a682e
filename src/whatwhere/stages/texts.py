"""Names of classes -> texts in the space that a backbone's images share with them (appendix D.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from whatwhere.datasets import IGNORE
from whatwhere.errors import InputError
from whatwhere.store import create

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone

#: What pixels are that no asked class has.
BACKGROUND = "background"


def asked(known: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The classes that texts are written for: the `wanted` of the `known`, by default all but the background.

    Raises `InputError` for a class that the data set does not have, and where none is left.
    """
    missing = sorted({*(wanted or ())} - {*known})
    if missing:
        got = ", ".join(missing)
        raise InputError(
            f"namings: expected classes of the data set ({', '.join(known)}), got {got}; correct `classes`"
        )
    names = tuple(name for name in (wanted or known) if name != BACKGROUND)
    if not names:
        raise InputError("namings: expected a data set whose classes have names, got none; name labels of another")
    return names


def in_names(labels: Int[np.ndarray, "y x"], known: Sequence[str], names: Sequence[str]) -> Int[np.ndarray, "y x"]:
    """Labels of a data set as numbers of names: 0 for background, n + 1 for `names[n]`; `IGNORE` stays."""
    numbers = np.array([names.index(name) + 1 if name in names else 0 for name in known] + [IGNORE])
    return numbers[np.where(labels == IGNORE, len(known), labels)]


def write_texts(
    known: Sequence[str],
    backbone: Backbone,
    output: Path,
    *,
    classes: Sequence[str] | None,
    phrases: dict[str, str],
    templates: Sequence[str] | None,
    settings: dict[str, Any],
) -> None:
    """`texts` `[text, channel]`, a row of unit length for each of the attribute `names`; `known` are all classes.

    Raises `InputError` for a backbone that reads no texts, and for phrases of classes that are not asked about.
    """
    from whatwhere.evaluate.zeroshot import TEMPLATES, text_embeddings

    if backbone.language is None:
        raise InputError(f"backbone {backbone.name}: expected one that reads texts (CLIP, GroupViT), got none")
    names = asked(known, classes)
    if foreign := sorted({*phrases} - {*known}):
        raise InputError(f"namings: expected phrases for classes of the data set, got {', '.join(foreign)}; correct it")
    embed = backbone.language.embed
    words = [phrases.get(name, name) for name in names]
    texts = text_embeddings(lambda some: embed(some).cpu().numpy(), words, templates or TEMPLATES)
    attributes = {"names": names, "known": list(known), "scale": backbone.language.scale, "weights": backbone.weights}
    with create(output, settings, attributes) as store:
        store.array("texts", texts.shape, "float32", ("text", "channel"))[:] = texts
