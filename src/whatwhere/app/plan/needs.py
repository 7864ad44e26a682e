"""What a run needs that is not here: what it downloads by itself, and what somebody has to see to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from whatwhere.app.plan.known import MASKED, Known, Number
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.catalogue import PRESETS, Preset
from whatwhere.backbones.weights import hub_cache, is_cached
from whatwhere.config import BackboneSettings, Config
from whatwhere.config.needed import refined
from whatwhere.datasets.sources import SOURCES

#: Bytes of a weight as it is published.
WEIGHT_BYTES = 4
#: ASSUME: unpacked, an archive of photographs is as large as it was.
UNPACKED = 2
#: How the catalogue's notes begin where the hub asks for permission.
GATED = "gated"


@dataclass(frozen=True)
class Download:
    """What the run fetches by itself: `bytes` on the way (None: nobody says), to `into`, under `terms`.

    `room` is what it takes there in the end.
    """

    what: str
    into: str
    bytes: Number | None
    room: Number
    terms: str


@dataclass(frozen=True)
class Missing:
    """What a run will stop at, and what to do about it."""

    what: str
    how: str


def downloads(known: Known) -> list[Download]:
    """Archives of data sets, weights of the hub that are not in its cache, and checkpoints that the workflow fetches."""
    found: dict[object, Download] = {}
    for data in known.pictures.values():
        for source in data.fetched:
            room = (source.size_bytes or 0) * UNPACKED
            one = Download(source.name, str(data.root), source.size_bytes, room, source.terms)
            found[data.root, source.name] = one
    for name, network in known.networks().items():
        settings = known.config.backbones[name]
        preset = source_of(settings)
        size = float(network.parameters * WEIGHT_BYTES) if network else None
        if _to_load(preset):
            found[preset.model] = Download(preset.model, hub_cache(), size, size or 0, preset.licence)
        for manifest in (file for file in _manifests(settings) if not file.is_file()):
            archive = SOURCES[manifest.stem]
            into = str(manifest.parent)
            found[manifest.stem] = Download(archive.name, into, archive.size_bytes, size or 0, archive.terms)
    return list(found.values())


def missing(known: Known, bytes_short: Number) -> list[Missing]:
    """What somebody has to see to, the most costly first."""
    config = known.config
    data = ((name, one.missing) for name, one in known.pictures.items() if one.missing)
    lacking = [Missing(f"data set {name}", said.removeprefix(f"data set {name}: ")) for name, said in data]
    faults = {name: _checkpoint_fault(settings) for name, settings in config.backbones.items()}
    lacking += [Missing(f"weights of backbone {name}", fault) for name, fault in faults.items() if fault]
    lacking += dict.fromkeys(_gates(known))
    if config.device.startswith("cuda") and not has_cuda():
        how = "torch sees no GPU here; run it where there is one, or set device: cpu"
        lacking.append(Missing(f"device {config.device}", how))
    lacking += _packages(config)
    if bytes_short > 0:
        kept = ", or set features: {keep: false}" if config.features.keep else ""
        how = f"make room, or take fewer images, layers or noise samples{kept}"
        lacking.append(Missing(f"{bytes_short / 1e9:.1f} GB of disk", how))
    return lacking


def source_of(settings: BackboneSettings) -> Preset:
    """Where a backbone's weights come from: its preset, with what the configuration says over it."""
    preset = PRESETS.get(settings.model) or Preset(settings.model, "unknown", ("none", 0))
    return replace(preset, weights=settings.weights or preset.weights, revision=settings.revision or preset.revision)


def has_cuda() -> bool:
    """Whether torch sees a GPU."""
    import torch

    return torch.cuda.is_available()


def _to_load(preset: Preset) -> bool:
    """Whether weights have to come from the hub."""
    is_local = preset.model == "stego" or preset.model.startswith("zoo/") or Path(preset.model).is_dir()
    return preset.weights == "hub" and not is_local and not is_cached(preset.model, preset.revision)


def _gates(known: Known) -> Iterator[Missing]:
    """Models that the hub gives away only to those who asked: a token, set or stored, says they did."""
    from huggingface_hub import get_token

    for preset in (source_of(known.config.backbones[name]) for name in known.networks()):
        if preset.note.startswith(GATED) and _to_load(preset) and not get_token():
            yield Missing(f"permission for {preset.model}", preset.note)


def _packages(config: Config) -> list[Missing]:
    """The CRF that has to be compiled, where clusters or masks are to be refined by it."""
    masked = [run for run in config.detected() if config.methods[run[2]].kind in MASKED]
    asked = {"segments": (config.segments.crf, refined(config)), "proposals": (config.proposals.crf, masked)}
    wanted = [name for name, (crf, found) in asked.items() if crf and crf.library == "pydensecrf" and found]
    if not wanted or find_spec("pydensecrf"):
        return []
    own = " and ".join(f"{name}: {{crf: {{library: own}}}}" for name in wanted)
    return [Missing("the package pydensecrf2", f"pip install 'whatwhere[crf]' (wants a compiler), or set {own}")]


def _manifests(settings: BackboneSettings) -> list[Path]:
    """What says that the workflow fetched a checkpoint."""
    try:
        return [Path(file) for file in settings.local_files() if Path(file).stem in SOURCES]
    except InputError:
        return []


def _checkpoint_fault(settings: BackboneSettings) -> str:
    source = source_of(settings)
    if source.model == "stego" and source.weights == "hub":
        names = " or ".join(name for name in SOURCES if name.startswith("stego-"))
        return f"no hub has it; give weights: data/stego/SOURCE/FILE with {names} as SOURCE, which the workflow fetches"
    try:
        settings.local_files()
    except InputError as error:
        return str(error)
    return ""
