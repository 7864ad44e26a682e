"""What is in a store, and what each backbone would be read at, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whatwhere.errors import InputError
from whatwhere.store import Store, is_manifest, read_json


def describe(path: Path, *, verify: bool = False) -> str:
    """The store at `path` (store, manifest, or a folder: every store below it), opened through Dask/xarray.

    Raises `InputError` where there is none, or where one is damaged (`verify` reads every byte).
    """
    manifests = _manifests(path)
    if not manifests:
        raise InputError(f"{path}: expected a .zarr store, its .json manifest or a folder of them, found none")
    return "\n\n".join(_describe(Store(manifest), verify) for manifest in manifests)


def describe_backbones(own: dict[str, dict[str, Any]]) -> str:
    """A line for each preset and each of `own`: model, weights, and the attention layers found in it.

    The layers are found by running the model without weights or memory (torch's meta device).
    """
    from whatwhere.backbones import PRESETS
    from whatwhere.progress import progress

    known = PRESETS | own
    rows = [("name", "model", "weights", "layers read")]
    rows += [(name, *_backbone_row(name, known[name])) for name in progress(known, "reading models")]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
    return "\n".join(
        [
            *lines,
            "",
            "Any other vision transformer of timm goes by timm's own name; a CLIP or a latent diffusion model by its "
            "folder or its name on the hub (owner/name).",
        ]
    )


def _backbone_row(name: str, settings: dict[str, Any]) -> tuple[str, str, str]:
    import numpy as np

    from whatwhere.backbones import load_backbone
    from whatwhere.capture import capture

    backbone = load_backbone(name, **{**settings, "weights": "random", "device": "meta"})
    size = 4 * backbone.patch_px
    layers = capture(backbone, np.zeros((1, size, size, 3), np.uint8)).layers
    heads = {layer.query.shape[1] for layer in layers}
    span = f"{layers[0].name} … {layers[-1].name}" if len(layers) > 1 else layers[0].name
    text = f"{len(layers)} × {'/'.join(map(str, sorted(heads)))} heads: {span}"
    return settings["model"], settings.get("weights", "hub"), text


def _manifests(path: Path) -> list[Path]:
    if path.suffix in (".zarr", ".json"):
        manifest = path.with_suffix(".json")
        return [manifest] if manifest.is_file() or path.exists() else []
    # zarr.json files are inside stores; other JSON (indices, COCO annotations) describes none
    outside = (p for p in path.rglob("*.json") if not any(parent.suffix == ".zarr" for parent in p.parents))
    return sorted(p for p in outside if p.with_suffix(".zarr").exists() or is_manifest(read_json(p)))


def _describe(store: Store, verify: bool) -> str:
    if verify:
        store.verify()
    arrays = store.description["arrays"]
    groups = sorted({name.rpartition("/")[0] for name in arrays})
    attributes = {k: v for k, v in store.attributes.items() if k not in ("groups",)}
    size = sum(size for size, _ in store.description["files"].values())
    lines = [f"{store.path}  ({len(store.ids)} images, {size / 1e6:.1f} MB, intact{' to the byte' * verify})"]
    for group in groups:
        lines += _arrays(store, group)
    lines += [f"  {key}: {_short(value)}" for key, value in attributes.items()]
    return "\n".join(lines)


def _arrays(store: Store, group: str) -> list[str]:
    import xarray

    data = xarray.open_zarr(store.path, group=group or None, consolidated=False)
    lines = [f"  group {group}"] if group else []
    for name, array in data.data_vars.items():
        dims = ", ".join(f"{d}: {n}" for d, n in array.sizes.items())
        chunks = " × ".join(str(c[0]) for c in array.chunks or ())
        lines.append(f"    {name!s:8} {array.dtype!s:8} ({dims})  chunk {chunks}  {array.nbytes / 1e6:.2f} MB")
    if group:
        found = store.attributes["groups"][group]
        lines.append(f"    layers: {', '.join(found['layers'])}")
    return lines


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}…"
