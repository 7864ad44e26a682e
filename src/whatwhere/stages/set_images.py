"""Images of a whole data set, over the stores of its shards: where each is, and which have labels."""

from __future__ import annotations

from collections.abc import Sequence

from whatwhere.artifacts.again import again
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store


def places(images: Sequence[Store], segments: Store) -> list[tuple[Store, int]]:
    """Store and place there of each image of `segments`, in their order.

    Raises `InputError` for an image that is in none of the stores.
    """
    known = {name: (store, index) for store in images for index, name in enumerate(store.ids)}
    missing = [name for name in segments.ids if name not in known]
    if missing:
        raise InputError(
            f"store {segments.path}: expected the images of {images[0].path}, got {missing[0]}, which is not there; "
            f"run: {again(segments.manifest)}"
        )
    return [known[name] for name in segments.ids]


def has_labels(store: Store, index: int) -> bool:
    """Whether an image of a store of images has labels with names, the same in every image."""
    return bool(store.attributes["classes"] and store.coordinate("annotators")[index])
