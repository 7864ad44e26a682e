"""Names of classes -> texts in the space that a backbone's images share with them (appendix D.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import create
from whatwhere.evaluate.names import asked

if TYPE_CHECKING:
    from whatwhere.backbones.backbone import Backbone


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
    """`texts` `[text, width]`, a row of unit length for each name that is asked about; `known` are all classes.

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
    attributes = {"known": list(known), "scale": backbone.language.scale, "weights": backbone.weights}
    with create(output, settings, attributes, {"text": names}) as store:
        store.array("texts", texts.shape, "float32", ("text", "width"))[:] = texts
