"""Images -> queries, keys and, on demand, values of every layer (float16)."""

from __future__ import annotations

import math
import shutil
import sys
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.progress import progress
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store, Writer, create, read_json
from whatwhere.artifacts.words import bytes_words
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.capture import capture
from whatwhere.backbones.features import Attention, Features
from whatwhere.backbones.stored import TOKENS, layer_groups, layer_places

#: Layers of one shape share arrays with a `layer` axis: rows, columns, heads, channels.
Shape = tuple[int, int, int, int]


def extract(
    images: Store,
    backbone: Backbone,
    output: Path,
    *,
    values: bool,
    joint: bool = False,
    batch_images: int,
    run_images: int,
    seed: int,
    settings: dict[str, Any],
    kept: bool = True,
) -> None:
    """A group for each layer shape, named after its grid, with `q`, `k` (and `v`)
    `[image, layer, head, token, channel]`, and a group `tokens` with `final` `[image, token, channel]`; with `joint`
    beside it an array of that name, the tokens in the space that they share with texts. The grid is each group's
    attribute. Of several noise samples every one is a layer of its own, its number the coordinate `sample`; `order` is
    the place among all calls, `scale` the factor of query·key. What an image's noise is follows from `seed` and its id.

    Raises `InputError` where the images do not divide into the backbone's patches, where the disk has no room for the
    features of all images of the data set (where they are not `kept` but deleted after their last use, of these
    images), and for `joint` as `capture` does.
    """
    ids = images.ids
    height, width = images.description["arrays"]["rgb"]["shape"][1:3]
    _check_patches(backbone, height, width)
    seeds = [seed_for(seed, "noise", name) for name in ids]
    attributes = {"dataset": images.attributes["dataset"], "weights": backbone.weights}
    arrays: dict[tuple[str, str], zarr.Array] = {}
    # one run is written while the next one is captured
    with create(output, settings, attributes, {"image": ids}) as store, ThreadPoolExecutor(1) as background:
        written: list[Future[None]] = []
        for start in progress(range(0, len(ids), run_images), f"{backbone.name} on {len(ids)} images"):
            stop = min(start + run_images, len(ids))
            batches = [range(i, min(i + batch_images, stop)) for i in range(start, stop, batch_images)]
            run = [_capture(backbone, images, batch, seeds, values=values, joint=joint) for batch in batches]
            if not arrays:
                arrays = _allocate(store, run[0], len(ids), run_images, values)
                size = sum(array.nbytes for array in arrays.values())
                _check_room(output, size, len(ids), _images_of_set(images), kept)
            for earlier in written:
                earlier.result()
            written = [background.submit(_write, arrays, run, slice(start, stop))]
        for last in written:
            last.result()


def _write(arrays: dict[tuple[str, str], zarr.Array], run: list[Features], images: slice) -> None:
    for (group, name, layer), rows in _gather(run).items():
        arrays[group, name][images if layer is None else (images, layer)] = rows


def numbers_per_image(store: Store) -> int:
    """How many numbers of Q, K and V a store holds of each image."""
    groups = layer_groups(store)
    arrays = store.description["arrays"].items()
    return sum(math.prod(about["shape"][1:]) for name, about in arrays if name.rpartition("/")[0] in groups)


def read_features(store: Store, index: int, device: str = "cpu", *, values: bool = True) -> Features:
    """The stored features of image number `index`, float32 on `device`, layers in their original order.

    `values`: those too, where they were kept; they are a third of what is read.
    """
    image = slice(index, index + 1)
    groups = layer_groups(store)
    arrays = {
        name: torch.from_numpy(store.read(name, image).astype(np.float32)).to(device)
        for name in store.description["arrays"]
        if name.rpartition("/")[0] in groups and (values or not name.endswith("/v"))
    }
    layers = []
    for place in layer_places(store):
        q, k = (arrays[f"{place.group}/{side}"][:, place.number] for side in "qk")
        v = arrays[f"{place.group}/v"][:, place.number] if f"{place.group}/v" in arrays else None
        layers.append(Attention(place.name, q, k, v, place.scale, place.grid, place.sample))
    final = torch.from_numpy(store.read(f"{TOKENS}/final", image).astype(np.float32))
    return Features(tuple(layers), final, tuple(store.attributes_of(TOKENS)["grid"]))


def _capture(backbone: Backbone, images: Store, which: range, seeds: list[int], **wanted: bool) -> Features:
    part = slice(which.start, which.stop)
    return capture(backbone, images.read("rgb", part), seeds=seeds[part], **wanted)


def _allocate(
    store: Writer, like: Features, images: int, run_images: int, values: bool
) -> dict[tuple[str, str], zarr.Array]:
    arrays = {}
    for group, members in _groups(like).items():
        layers = [layer for _, layer in members]
        store.group(group, {"grid": layers[0].grid}, _along_layers(members))
        shape = (images, len(layers), *layers[0].query.shape[1:])
        axes = ("image", "layer", "head", "token", "channel")
        for name in "qkv" if values else "qk":
            arrays[group, name] = store.array(f"{group}/{name}", shape, "float16", axes, run_images=run_images)
    store.group(TOKENS, {"grid": like.final_grid})
    for name, tensor in _of_tokens(like).items():
        of_tokens = ("image", "token", "channel" if name == "final" else "width")
        array = store.array(
            f"{TOKENS}/{name}", (images, *tensor.shape[1:]), "float16", of_tokens, run_images=run_images
        )
        arrays[TOKENS, name] = array
    return arrays


def _along_layers(members: list[tuple[int, Attention]]) -> dict[str, Any]:
    """What lies along the `layer` axis of a group: names, and of each its place among all calls, scale and sample."""
    return {
        "layer": [layer.name for _, layer in members],
        "order": ("layer", [order for order, _ in members]),
        "scale": ("layer", [layer.scale for _, layer in members]),
        "sample": ("layer", [layer.sample for _, layer in members]),
    }


def _of_tokens(features: Features) -> dict[str, Tensor]:
    """What stands beside the layers: arrays by name, of the tokens alone."""
    return {"final": features.final} | ({} if features.joint is None else {"joint": features.joint})


def _groups(features: Features) -> dict[str, list[tuple[int, Attention]]]:
    """Layers of one shape together, under the grid's name; heads and channels are added where it repeats."""
    shapes: dict[Shape, list[tuple[int, Attention]]] = defaultdict(list)
    for order, layer in enumerate(features.layers):
        shapes[*layer.grid, layer.query.shape[1], layer.query.shape[3]].append((order, layer))
    grids = [shape[:2] for shape in shapes]
    return {
        f"{r}x{c}" + (f"-{h}x{d}" if grids.count((r, c)) > 1 else ""): members
        for (r, c, h, d), members in shapes.items()
    }


def _gather(run: list[Features]) -> dict[tuple[str, str, int | None], np.ndarray]:
    """The batches of one run, joined along the image axis: (group, array, layer index) -> rows."""
    pieces: dict[tuple[str, str, int | None], list[Tensor]] = defaultdict(list)
    for features in run:
        for name, tensor in _of_tokens(features).items():
            pieces[TOKENS, name, None].append(tensor)
        for group, members in _groups(features).items():
            for i, (_, layer) in enumerate(members):
                pieces[group, "q", i].append(layer.query)
                pieces[group, "k", i].append(layer.key)
                if layer.value is not None:
                    pieces[group, "v", i].append(layer.value)
    return {where: _as_float16(torch.cat(rows), where) for where, rows in pieces.items()}


def _as_float16(rows: Tensor, where: tuple[str, str, int | None]) -> np.ndarray:
    """Half the space; raises `InputError` where a number does not fit, rather than storing an infinity."""
    halved = rows.to(torch.float16)
    if not halved.isfinite().all():
        group, name, layer = where
        raise InputError(
            f"features: expected numbers within float16's range, got up to {float(rows.abs().max()):.3g} in array "
            f"{name}, layer {layer} of grid {group}; check the weights, or leave the layer out by `layers`"
        )
    return halved.cpu().numpy()


def _check_room(output: Path, shard_bytes: int, shard_images: int, images: int, kept: bool) -> None:
    """Says how large the features of the whole data set will be, before most of them are written.

    From a gigabyte on also to whoever looks on, not to the log alone. What must find room is all of it where features
    are kept, and else this shard: the others may be gone by then, or not yet there.
    """
    whole = shard_bytes * images // shard_images
    there = sum(file.stat().st_size for file in output.parent.glob("*.zarr/**/*") if file.is_file())
    free = shutil.disk_usage(output.parent).free
    words = f"features of {images} images: {bytes_words(whole)} in {output.parent}, {bytes_words(free)} free"
    for stream in {sys.stderr, sys.__stderr__ if whole > 1e9 else sys.stderr}:
        if stream:
            stream.write(f"{words}\n")
    if (whole > free + there) if kept else (shard_bytes > free):
        asked, needed = (images, whole) if kept else (shard_images, shard_bytes)
        raise InputError(
            f"features of {asked} images: expected {bytes_words(needed)} free in {output.parent}, got "
            f"{bytes_words(free)}; make room, choose fewer layers or samples, or a mini-batch solver (features: live)"
        )


def _images_of_set(images: Store) -> int:
    """How many images the data set has in all shards, by the index beside this one."""
    index = images.manifest.with_name("index.json")
    shards = read_json(index)["shards"].values() if index.is_file() else [images.ids]
    return sum(map(len, shards))


def _check_patches(backbone: Backbone, height: int, width: int) -> None:
    if height % backbone.patch_px or width % backbone.patch_px:
        raise InputError(
            f"backbone {backbone.name}: expected image sides in multiples of its {backbone.patch_px} px "
            f"patches, got {height} × {width} px; set multiple_px (and size_px) of its view to fit"
        )
