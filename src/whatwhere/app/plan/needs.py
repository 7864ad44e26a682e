"""What a run needs that is not here: what it downloads by itself, and what somebody has to see to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from whatwhere.app.plan.asked import refined, refined_masks
from whatwhere.app.plan.disk import UNPACKED, WEIGHT_BYTES
from whatwhere.app.plan.network import Network, source_of
from whatwhere.app.plan.pictures import Pictures
from whatwhere.app.plan.units import Number
from whatwhere.artifacts.errors import InputError
from whatwhere.config import BackboneSettings, Config
from whatwhere.datasets.sources import SOURCES

#: Endings of files of weights.
WEIGHTS = (".safetensors", ".bin")
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


def data_downloads(found: Mapping[str, Pictures]) -> list[Download]:
    """The archives of data sets, each once."""
    wanted = {(one.root, source.name): source for one in found.values() for source in one.fetched}
    return [
        Download(name, str(root), source.size_bytes, (source.size_bytes or 0) * UNPACKED, source.terms)
        for (root, name), source in wanted.items()
    ]


def weight_downloads(config: Config, networks: Mapping[str, Network | None]) -> list[Download]:
    """Weights of the hub that are not in its cache, and checkpoints that the workflow fetches; each once."""
    found: dict[str, Download] = {}
    for name, network in networks.items():
        settings = config.backbones[name]
        source = source_of(settings)
        size = float(network.parameters * WEIGHT_BYTES) if network else None
        if _is_of_hub(settings) and not is_cached(settings):
            found[source.model] = Download(source.model, hub_cache(), size, size or 0, source.licence)
        for manifest in _manifests(settings):
            archive = SOURCES[manifest.stem]
            if not manifest.is_file():
                into = str(manifest.parent)
                found[manifest.stem] = Download(archive.name, into, archive.size_bytes, size or 0, archive.terms)
    return list(found.values())


def missing(
    config: Config, found: Mapping[str, Pictures], networks: Mapping[str, Network | None], bytes_short: Number
) -> list[Missing]:
    """What somebody has to see to, the most costly first."""
    lacking = [
        Missing(f"data set {name}", one.missing.removeprefix(f"data set {name}: "))
        for name, one in found.items()
        if one.missing
    ]
    lacking += [
        _checkpoint(name, settings) for name, settings in config.backbones.items() if _checkpoint_fault(settings)
    ]
    lacking += [Missing(*gate) for gate in _gates(config, networks)]
    if config.device.startswith("cuda") and not _cuda():
        how = "torch sees no GPU here; run it where there is one, or set device: cpu"
        lacking.append(Missing(f"device {config.device}", how))
    lacking += _packages(config)
    if bytes_short > 0:
        kept = ", or set features: {keep: false}" if config.features.keep else ""
        how = f"make room, or take fewer images, layers or noise samples{kept}"
        lacking.append(Missing(f"{bytes_short / 1e9:.1f} GB of disk", how))
    return lacking


def _packages(config: Config) -> list[Missing]:
    """The CRF that has to be compiled, where clusters or masks are to be refined by it."""
    asked = {
        "segments": (config.segments.crf, refined(config)),
        "proposals": (config.proposals.crf, refined_masks(config)),
    }
    wanted = [name for name, (crf, found) in asked.items() if crf and crf.library == "pydensecrf" and found]
    if not wanted or find_spec("pydensecrf"):
        return []
    own = " and ".join(f"{name}: {{crf: {{library: own}}}}" for name in wanted)
    return [Missing("the package pydensecrf2", f"pip install 'whatwhere[crf]' (wants a compiler), or set {own}")]


def is_cached(settings: BackboneSettings) -> bool:
    """Whether the hub's cache on this machine has a model's configuration and weights of each of its networks."""
    from huggingface_hub import try_to_load_from_cache

    repository, revision = _repository(settings)
    for described in ("model_index.json", "config.json"):
        path = try_to_load_from_cache(repository, described, revision=revision)
        if isinstance(path, str):
            folder = Path(path).parent
            networks = [file.parent for file in folder.glob("*/config.json")] or [folder]
            return all(any(file.suffix in WEIGHTS for file in one.iterdir()) for one in networks)
    # timm asks for the weights alone
    return isinstance(try_to_load_from_cache(repository, "model.safetensors", revision=revision), str)


def hub_cache() -> str:
    """The folder that downloads of the hub go to."""
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _is_of_hub(settings: BackboneSettings) -> bool:
    source = source_of(settings)
    is_local = source.model == "stego" or source.model.startswith("zoo/") or Path(source.model).is_dir()
    return source.weights == "hub" and not is_local


def _repository(settings: BackboneSettings) -> tuple[str, str]:
    """Owner and name on the hub, and revision."""
    source = source_of(settings)
    if "/" in source.model:
        return source.model, source.revision
    import timm

    described = timm.get_pretrained_cfg(source.model, allow_unregistered=False) if timm.is_model(source.model) else None
    return str(getattr(described, "hf_hub_id", None) or f"timm/{source.model}"), source.revision


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


def _checkpoint(name: str, settings: BackboneSettings) -> Missing:
    return Missing(f"weights of backbone {name}", _checkpoint_fault(settings))


def _gates(config: Config, networks: Mapping[str, Network | None]) -> list[tuple[str, str]]:
    """Models that the hub gives away only to those who asked, each once: a token, set or stored, says they did."""
    from huggingface_hub import get_token

    found = {}
    for name in networks:
        settings = config.backbones[name]
        source = source_of(settings)
        wanted = source.note.startswith(GATED) and _is_of_hub(settings) and not is_cached(settings)
        if wanted and not get_token():
            found[f"permission for {source.model}"] = source.note
    return list(found.items())


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
