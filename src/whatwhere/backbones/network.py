"""What one image costs a backbone: operations and the shapes of what is read, found without weights or memory.

The model runs on torch's meta device under torch's own counter of operations (two for each multiplication and
addition) and under our capture, which is what extraction itself runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.architectures import load_untrained
from whatwhere.backbones.catalogue import PRESETS

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
    def shape(self) -> tuple[Any, ...]:
        """All that a solver sees of it."""
        layers = tuple((layer.grid, layer.heads, layer.channels) for layer in self.layers)
        return (layers, self.samples, self.final_tokens, self.final_channels)

    def numbers(self, arrays: int) -> int:
        """How many numbers of Q, K (and V: `arrays` is 2 or 3) a store holds of an image."""
        return arrays * self.samples * sum(a.tokens * a.heads * a.channels for a in self.layers)


def network(
    model: str,
    height: int,
    width: int,
    *,
    revision: str | None = None,
    options: Mapping[str, Any] | None = None,
    layers: Sequence[str] | None = None,
    upsample: int | None = None,
) -> Network:
    """The backbone that `load_backbone` makes with these settings, at images of `height` × `width` pixels.

    Raises `InputError` where its architecture is not known on this machine, or cannot be run at this size.
    """
    preset = PRESETS.get(model)
    chosen = dict(options if options is not None else (preset.options if preset else {}))
    plain = json.dumps({key: value for key, value in chosen.items() if key not in NOISE}, sort_keys=True)
    patterns = tuple(layers or (preset.layers if preset else ("*",)))
    found = _with_layers((model, revision, plain, height, width), patterns)
    finer = upsample or (preset.upsample if preset else 1)
    fine = tuple(replace(a, grid=(a.grid[0] * finer, a.grid[1] * finer)) for a in found.layers)
    samples = chosen.get("samples", 1) if found.image_flop else 1
    return replace(found, layers=fine, samples=samples, half=chosen.get("precision", "float32") != "float32")


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


@lru_cache(maxsize=64)
def _counted(
    model: str, revision: str | None, options: str, height: int, width: int, layers: tuple[str, ...]
) -> Network:
    """One pass, and what is done before it once an image."""
    import numpy as np
    from torch.utils.flop_counter import FlopCounterMode

    from whatwhere.backbones.capture import capture

    settings = {"revision": revision, "layers": layers, "options": json.loads(options), "upsample": 1}
    backbone = load_untrained(model, device="meta", **settings)
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
    handle = None
    if hasattr(model, "vae"):
        handle = model.vae.encoder.register_forward_hook(lambda *_: before.append(counter.get_total_flops()))
    try:
        yield before
    finally:
        if handle:
            handle.remove()
