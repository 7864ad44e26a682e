"""What is in a store, and what each backbone would be read at, in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whatwhere.artifacts.again import again
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import AXES, Store, is_manifest, read_json
from whatwhere.backbones.packaged import Packaged, chosen

if TYPE_CHECKING:
    from whatwhere.backbones.catalogue import Preset

#: Bytes of a weight as it is mostly published.
WEIGHT_BYTES = 4


def describe(path: Path, *, verify: bool = False, full: bool = False) -> str:
    """The store at `path` (store, manifest, or a folder: every store below it), opened through Dask/xarray; where there
    are several a line of each, unless all is asked for (`full`).

    Raises `InputError` where there is none, or where one is damaged (`verify` reads every byte).
    """
    manifests, orphans = _manifests(path), _orphans(path)
    if not manifests and not orphans:
        raise InputError(f"{path}: expected a .zarr store, its .json manifest or a folder of them, found none")
    if orphans and verify:
        raise InputError(
            f"{path}: expected a manifest beside every store, got none beside {', '.join(map(str, orphans[:3]))}"
            f"{f' and {len(orphans) - 3} more' if len(orphans) > 3 else ''}, so that nothing can be said of what is in "
            f"it; make it again, run: {again(orphans[0])}"
        )
    if full or len(manifests) + len(orphans) == 1 == len(manifests):
        return "\n\n".join(_describe(Store(manifest), verify) for manifest in manifests)
    lines = [_line(Store(manifest), verify) for manifest in manifests]
    lines += [f"{store}  (orphaned: no manifest says what should be in it)" for store in orphans]
    return "\n".join([*lines, f"{len(lines)} stores; --full, or the path of one, says all that is in it"])


def describe_backbones(own: dict[str, dict[str, Any]]) -> str:
    """For each preset and each of `own` (name -> settings of `load_backbone`): whether it can be used here and now,
    where its weights are, their licence, how images are shown, and the attention layers found in it.

    The layers are found by running the model without weights or memory (torch's meta device). Nothing is downloaded:
    of a repository of the hub that `architectures` does not know they are known once its configuration is in the hub's
    cache.
    """
    from whatwhere.artifacts.progress import progress
    from whatwhere.backbones.catalogue import LATER, PAPER, PRESETS, SHIPPED

    groups: dict[str, list[str]] = {
        "of the paper": list(PAPER),
        "later than the paper": list(LATER),
        "of this package: trained on rendered scenes, or not at all": list(SHIPPED),
    }
    groups = {title: [name for name in names if name not in own] for title, names in groups.items()}
    groups |= {"of the configuration": list(own)} if own else {}
    texts = {name: _entry(name, own.get(name)) for name in progress(PRESETS | own, "reading models")}
    width = max(map(len, texts)) + 4
    lines = []
    for title, names in groups.items():
        lines.append(title)
        for name in names:
            first, *more = texts[name]
            lines += [f"  {name}".ljust(width) + first, *(" " * width + line for line in more)]
        lines.append("")
    return "\n".join([*lines, *_OTHERS])


_OTHERS = (
    "Any other vision transformer of timm goes by timm's own name; a CLIP, a SigLIP or a latent diffusion model by its",
    "folder or its name on the hub (owner/name). Weights are fetched once, into the hub's cache (HF_HOME).",
)


def _entry(name: str, own: dict[str, Any] | None) -> list[str]:
    """The lines of one backbone: a preset, or where `own` are its settings one of the configuration."""
    from whatwhere.backbones.catalogue import PRESETS, preset_of

    if own is not None:
        said = own.get("weights")
        weights = Packaged(**said) if isinstance(said, dict) else said
        preset = preset_of(own["model"], weights, own.get("revision"))
        layers, parameters = _layers(own)
        from_where = f"{own['model']}, weights: {_origin(preset.weights)}"
        return [available(preset, parameters), from_where, layers + _size(parameters)]
    preset = PRESETS[name]
    revision = "" if preset.revision == "main" else f" @ {preset.revision[:12]}"
    licence = "random weights" if preset.weights == "random" else f"licence: {preset.licence}"
    layers, parameters = _layers({"model": name})
    lines = [
        available(preset, parameters),
        f"{preset.model}{revision}, {licence}",
        f"{preset.shown()}; {layers}{_size(parameters)}",
    ]
    return [*lines, *([preset.note] if preset.note else [])]


def available(preset: Preset, parameters: int | None) -> str:
    """Whether a model can be used here and now, in words; `parameters`: how many numbers its weights are, if known."""
    from whatwhere.backbones.weights import is_to_load

    weights = chosen(preset.weights)
    if isinstance(weights, Packaged):
        try:
            weights.file()
            return f"installed: {weights.origin()}"
        except InputError as error:
            return f"not to be used: {error}"
    if weights == "random":
        return "here: made from a seed"
    if preset.model.startswith("zoo/"):
        return "here: shipped with this package"
    if weights != "hub" or Path(preset.model).is_dir():
        place = Path(preset.model if weights == "hub" else weights)
        return f"here: {place}" if place.exists() else f"missing: {place}"
    if preset.model == "stego":
        return "to be fetched by hand"
    if not is_to_load(replace(preset, weights=weights)):
        return "here: in the hub's cache"
    size = f"{parameters * WEIGHT_BYTES / 1e6:,.0f} MB" if parameters else "size not known here"
    way = f", or {preset.weights.command()}" if isinstance(preset.weights, Packaged) else ""
    return f"{'gated' if preset.note.startswith('gated') else 'to be downloaded'}: {size}{way}"


def _size(parameters: int | None) -> str:
    """How many numbers a model has learned, and what they take as they are mostly published."""
    if not parameters:
        return ""
    return f"; {parameters / 1e6:,.1f} million parameters, {parameters * WEIGHT_BYTES / 1e6:,.0f} MB"


def _origin(weights: str | Packaged) -> str:
    return weights if isinstance(weights, str) else weights.origin()


def _layers(settings: dict[str, Any]) -> tuple[str, int | None]:
    """The layers that are read, in words, and how many parameters there are, where this machine knows."""
    from whatwhere.backbones.architectures import load_untrained
    from whatwhere.backbones.capture import capture
    from whatwhere.backbones.catalogue import PRESETS

    asked = {key: settings.get(key) for key in ("revision", "layers", "options")}
    preset = PRESETS.get(settings["model"])
    options = asked["options"] or (preset.options if preset else {})
    once = {key: 1 if key == "samples" else value for key, value in options.items()}  # noise samples are alike
    try:
        backbone = load_untrained(settings["model"], device="meta", **{**asked, "upsample": 1, "options": once})
    except InputError:
        return "layers known once its configuration is in the hub's cache", None
    parameters = sum(parameter.numel() for parameter in backbone.model.parameters())
    # mostly the size that it was trained at: interpolating positions is what takes time
    size = max(2, backbone.size_px // 2 // backbone.patch_px) * backbone.patch_px
    layers = capture(backbone, np.zeros((1, size, size, 3), np.uint8)).layers
    if not layers:
        return "no layers: it is read for names alone", parameters
    heads = {layer.query.shape[1] for layer in layers}
    span = f"{layers[0].name} … {layers[-1].name}" if len(layers) > 1 else layers[0].name
    return f"{len(layers)} × {'/'.join(map(str, sorted(heads)))} heads: {span}", parameters


def _manifests(path: Path) -> list[Path]:
    if path.suffix in (".zarr", ".json"):
        manifest = path.with_suffix(".json")
        return [manifest] if manifest.is_file() or path.exists() else []
    # zarr.json files are inside stores; other JSON (indices, COCO annotations) describes none
    outside = (p for p in path.rglob("*.json") if not any(parent.suffix == ".zarr" for parent in p.parents))
    return sorted(p for p in outside if p.with_suffix(".zarr").exists() or is_manifest(read_json(p)))


def _orphans(path: Path) -> list[Path]:
    """Stores in a folder whose manifest is gone: deleted, or never written."""
    if path.suffix in (".zarr", ".json"):
        return []
    return sorted(store for store in path.rglob("*.zarr") if not store.with_suffix(".json").is_file())


def _line(store: Store, verify: bool) -> str:
    """What it is, and whether it is whole."""
    if verify:
        store.verify()
    size = sum(size for size, _ in store.description["files"].values())
    images = f"{len(store.ids)} images, " if "image" in store.description["coordinates"] else ""
    return f"{store.path}  ({images}{size / 1e6:.1f} MB, intact{' to the byte' * verify})"


def _describe(store: Store, verify: bool) -> str:
    lines = [_line(store, verify)]
    for group in sorted(store.groups):
        lines += _arrays(store, group)
    lines += [f"  {key}: {_short(value)}" for key, value in store.attributes.items()]
    return "\n".join(lines)


def _arrays(store: Store, group: str) -> list[str]:
    import xarray

    data = xarray.open_zarr(store.path, group=group or None)
    prefix = f"{group}/" if group else ""
    lines = [f"  group {group}"] if group else []
    for name, array in data.data_vars.items():
        dims = ", ".join(f"{d}: {n}" for d, n in array.sizes.items())
        chunks = " × ".join(str(c[0]) for c in array.chunks or ())
        dtype = store.description["arrays"][f"{prefix}{name}"]["dtype"]
        lines.append(f"    {name!s:11} {dtype:8} ({dims})  chunk {chunks}  {array.nbytes / 1e6:.2f} MB")
    known = sorted((str(name) for name in data.coords), key=lambda name: (name not in AXES, name))
    along = {name: store.coordinate(f"{prefix}{name}") for name in known}
    layers = along.pop("layer", None)
    lines += [f"    layers: {', '.join(layers)}"] if layers else []
    spans = (f"{name} {_span(found)}" for name, found in along.items())
    return [*lines, f"    along the axes: {', '.join(spans)}"] if along else lines


def _span(found: list[Any]) -> str:
    """The least and the greatest of what lies along an axis; of words the first and the last."""
    numbers = np.ravel(found)
    words = numbers.dtype.kind in "UO"
    first, last = (found[0], found[-1]) if words else (numbers.min().item(), numbers.max().item())
    short = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in (first, last)]
    return short[0] if first == last else " … ".join(short)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}…"
