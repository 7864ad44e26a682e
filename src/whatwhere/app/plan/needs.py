"""What a run needs that is not here: what it downloads by itself, and what somebody has to see to."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from whatwhere.app.plan.known import MASKED, Known, Number
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.catalogue import Preset, preset_of
from whatwhere.backbones.weights import hub_cache, is_to_load
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
    """What the run fetches: `bytes` on the way (None: nobody says), `into` where they then take `room`; its `terms`."""

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
    """Archives of data sets, weights of the hub that are not in its cache, checkpoints that the workflow fetches."""
    found: dict[object, Download] = {}
    for data in known.pictures.values():
        for source in data.fetched:
            room = (source.size_bytes or 0) * UNPACKED
            found[source.name, data.root] = Download(source.name, str(data.root), source.size_bytes, room, source.terms)
    for (_, name), network in sorted(known.networks.items(), key=lambda one: one[1] is not None):
        settings = known.config.backbones[name]
        preset = _preset(settings)
        size = float(network.parameters * WEIGHT_BYTES) if network else None
        if is_to_load(preset):
            found[preset.model] = Download(preset.model, hub_cache(), size, size or 0, preset.licence)
        for file in _files(settings)[0]:
            if file.stem in SOURCES and not file.is_file():
                one = SOURCES[file.stem]
                found[file] = Download(one.name, str(file.parent), one.size_bytes, size or 0, one.terms)
    return list(found.values())


def missing(known: Known, bytes_short: Number, *, has_device: bool) -> list[Missing]:
    """What somebody has to see to, the most costly first."""
    from huggingface_hub import get_token

    config = known.config
    data = ((name, one.missing) for name, one in known.pictures.items() if one.missing)
    lacking = [Missing(f"data set {name}", said.removeprefix(f"data set {name}: ")) for name, said in data]
    faults = {name: _files(settings)[1] for name, settings in config.backbones.items()}
    lacking += [Missing(f"weights of backbone {name}", fault) for name, fault in faults.items() if fault]
    presets = [_preset(config.backbones[name]) for _, name in known.networks]
    gated = {one.model: one.note for one in presets if one.note.startswith(GATED) and is_to_load(one)}
    # a token, set or stored, says that somebody asked
    lacking += [Missing(f"permission for {model}", note) for model, note in gated.items() if not get_token()]
    if not has_device:
        how = "torch sees no GPU here; run it where there is one, or set device: cpu"
        lacking.append(Missing(f"device {config.device}", how))
    lacking += _packages(config)
    if bytes_short > 0:
        kept = ", or set features: {keep: false}" if config.features.keep else ""
        how = f"make room, or take fewer images, layers or noise samples{kept}"
        lacking.append(Missing(f"{bytes_short / 1e9:.1f} GB of disk", how))
    return lacking


def _preset(settings: BackboneSettings) -> Preset:
    return preset_of(settings.model, settings.weights, settings.revision)


def _packages(config: Config) -> list[Missing]:
    """The CRF that has to be compiled, where clusters or masks are to be refined by it."""
    masked = [run for run in config.detected() if config.methods[run[2]].kind in MASKED]
    asked = {"segments": (config.segments.crf, refined(config)), "proposals": (config.proposals.crf, masked)}
    wanted = [name for name, (crf, found) in asked.items() if crf and crf.library == "pydensecrf" and found]
    if not wanted or find_spec("pydensecrf"):
        return []
    own = " and ".join(f"{name}: {{crf: {{library: own}}}}" for name in wanted)
    return [Missing("the package pydensecrf2", f"pip install 'whatwhere[crf]' (wants a compiler), or set {own}")]


def _files(settings: BackboneSettings) -> tuple[list[Path], str]:
    """The files of a checkpoint, or in words why there are none."""
    if settings.model == "stego" and settings.weights in (None, "hub"):
        names = " or ".join(name for name in SOURCES if name.startswith("stego-"))
        how = f"give weights: data/stego/SOURCE/FILE with {names} as SOURCE, which the workflow fetches"
        return [], f"no hub has it; {how}"
    try:
        return [Path(file) for file in settings.local_files()], ""
    except InputError as error:
        return [], str(error)
