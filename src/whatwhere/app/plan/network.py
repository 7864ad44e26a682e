"""What one image costs a backbone: operations and the shapes of what is read, found without weights or memory.

The model runs on torch's meta device under torch's own counter of operations (two for each multiplication and
addition) and under our capture, which is what extraction itself runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from whatwhere.app.plan.architectures import ARCHITECTURES, described
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.catalogue import PRESETS, Preset
from whatwhere.config import BackboneSettings

Grid = tuple[int, int]
#: Options of a diffusion model that choose its noise; no pass costs more for one than for another.
NOISE = ("step", "t_min", "t_max", "samples")


@dataclass(frozen=True)
class Layer:
    """One attention layer as it is stored: grid (rows, columns), heads, channels a head."""

    name: str
    grid: Grid
    heads: int
    channels: int

    @property
    def tokens(self) -> int:
        """Locations of the layer in an image."""
        return self.grid[0] * self.grid[1]

    @property
    def width(self) -> int:
        """Channels of all heads side by side."""
        return self.heads * self.channels


@dataclass(frozen=True)
class Network:
    """A backbone at one size of image.

    `layers` are those of one pass, `samples` the passes an image is given. `flop` of a pass is `pass_flop`; what is
    done once an image (a latent diffusion model's encoding) is `image_flop`. `final` has `final_tokens` of
    `final_channels`; `shared_channels` is the width of the space that it shares with texts (0 without).
    `half`: the passes are computed in 16 bits.
    """

    layers: tuple[Layer, ...]
    samples: int
    image_flop: float
    pass_flop: float
    parameters: int
    final_tokens: int
    final_channels: int
    shared_channels: int = 0
    half: bool = False

    @property
    def flop(self) -> float:
        """Of one image, all its passes."""
        return self.image_flop + self.samples * self.pass_flop

    @property
    def grid(self) -> Grid:
        """The finest of all layers, where X lives."""
        return max((layer.grid for layer in self.layers), key=lambda grid: grid[0] * grid[1])

    def numbers(self, arrays: int) -> int:
        """How many numbers of Q, K (and V: `arrays` is 2 or 3) a store holds of an image."""
        return arrays * self.samples * sum(layer.tokens * layer.width for layer in self.layers)


def network(settings: BackboneSettings, height: int, width: int) -> Network:
    """The backbone of a configuration at images of `height` × `width` pixels.

    Raises `InputError` where its architecture is not known on this machine, or cannot be run at this size.
    """
    preset = PRESETS.get(settings.model)
    options = dict(settings.options if settings.options is not None else (preset.options if preset else {}))
    plain = json.dumps({key: value for key, value in options.items() if key not in NOISE}, sort_keys=True)
    patterns = settings.layers or (preset.layers if preset else ("*",))
    found = _with_layers((settings.model, settings.revision, plain, height, width), patterns)
    upsample = settings.upsample or (preset.upsample if preset else 1)
    fine = tuple(replace(a, grid=(a.grid[0] * upsample, a.grid[1] * upsample)) for a in found.layers)
    samples = options.get("samples", 1) if found.image_flop else 1
    return replace(found, layers=fine, samples=samples, half=options.get("precision", "float32") != "float32")


def _with_layers(what: tuple[str, str | None, str, int, int], patterns: tuple[str, ...]) -> Network:
    """The network with the layers that are read; it is counted once for all choices of them."""
    try:
        every = _counted(*what, ("*",) if patterns else ())
    except InputError:  # a layer that cannot be read may be one that is left out
        return _counted(*what, patterns)
    names = {a.name: a.name.partition("#")[0] for a in every.layers}
    kept = tuple(a for a in every.layers if any(fnmatchcase(names[a.name], pattern) for pattern in patterns))
    if patterns and not kept:
        raise InputError(f"model {what[0]}: expected a layer matching {list(patterns)}, got only {list(names)}")
    return replace(every, layers=kept)


def source_of(settings: BackboneSettings) -> Preset:
    """Where a backbone's weights come from: its preset, with what the configuration says over it."""
    preset = PRESETS.get(settings.model) or Preset(settings.model, "unknown", ("none", 0))
    return replace(preset, weights=settings.weights or preset.weights, revision=settings.revision or preset.revision)


@lru_cache(maxsize=64)
def _counted(
    model: str, revision: str | None, options: str, height: int, width: int, layers: tuple[str, ...]
) -> Network:
    return _run(_loaded(model, {"revision": revision, "layers": layers, "options": json.loads(options)}), height, width)


def _loaded(model: str, settings: dict[str, Any]) -> Any:
    from whatwhere.backbones import load_backbone
    from whatwhere.backbones.weights import NotCachedError

    bare: dict[str, Any] = {"weights": "random", "device": "meta", "upsample": 1, "download": False}
    preset = PRESETS.get(model)
    where = preset.model if preset else model
    try:
        return load_backbone(model, model=model, **settings, **bare)
    except NotCachedError as error:
        if where not in ARCHITECTURES:
            raise InputError(
                f"model {where}: expected its configuration on this machine, got none, and no numbers of it are known "
                "here; load the model once, or give a local folder"
            ) from error
    with described(where) as folder:
        return load_backbone(model, model=str(folder), **{**settings, "revision": None}, **bare)


def _run(backbone: Any, height: int, width: int) -> Network:
    """One pass, and what is done before it once an image."""
    import numpy as np
    from torch.utils.flop_counter import FlopCounterMode

    from whatwhere.backbones.capture import capture

    if height % backbone.patch_px or width % backbone.patch_px:
        raise InputError(
            f"model {backbone.name}: expected image sides in multiples of its {backbone.patch_px} px patches, got "
            f"{height} × {width} px; set multiple_px (and size_px) of its view to fit"
        )
    image = np.zeros((1, height, width, 3), np.uint8)
    with FlopCounterMode(display=False) as counter, _encoded(backbone.model, counter) as before:
        found = capture(backbone, image, values=False, seeds=[0])
    described = getattr(backbone.model, "config", None)
    return Network(
        layers=tuple(Layer(a.name, a.grid, a.query.shape[1], a.query.shape[3]) for a in found.layers),
        samples=1,
        image_flop=float(sum(before)),
        pass_flop=float(counter.get_total_flops() - sum(before)),
        parameters=sum(parameter.numel() for parameter in backbone.model.parameters()),
        final_tokens=found.final.shape[1],
        final_channels=found.final.shape[2],
        shared_channels=int(getattr(described, "projection_dim", 0) or 0),
    )


@contextmanager
def _encoded(model: Any, counter: Any) -> Iterator[list[int]]:
    """The operations so far when a latent diffusion model's encoder is done; nothing of any other model."""
    before: list[int] = []
    if not hasattr(model, "vae"):
        yield before
        return
    handle = model.vae.encoder.register_forward_hook(lambda *_: before.append(counter.get_total_flops()))
    try:
        yield before
    finally:
        handle.remove()


def chosen(layers: Sequence[Layer], patterns: Sequence[str]) -> list[Layer]:
    """The layers that a method reads. Raises `InputError` as `whatwhere.method.layers.chosen_layers` does."""
    from whatwhere.method.layers import chosen_layers

    wanted = chosen_layers([a.name for a in layers], [a.grid for a in layers], patterns)
    return [layer for layer, keep in zip(layers, wanted, strict=True) if keep]
