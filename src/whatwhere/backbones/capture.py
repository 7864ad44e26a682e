"""Records queries, keys and values of every self-attention call of a model (paper, section 3.2).

Nothing of a model's own code is patched: a function mode sees each call of the attention primitive
`torch.nn.functional.scaled_dot_product_attention` with the exact query, key, value and scale that it
receives - after any rotary embedding, normalisation or head split - and forward hooks on the modules
give the call its stable name. So one interceptor serves every library and every architecture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.features import Attention, Features
from whatwhere.datasets.images import token_grid

if TYPE_CHECKING:
    import numpy as np

    from whatwhere.backbones.backbone import Backbone

Result = TypeVar("Result")


@dataclass(frozen=True)
class Call:
    """One call of the attention primitive as it happened, all tokens included.

    `query`, `key`, `value`, `output`: `[image, head, token, channel]`; `scale` multiplies query·key.
    """

    name: str
    query: Float[Tensor, "image head token channel"]
    key: Float[Tensor, "image head source channel"]
    value: Float[Tensor, "image head source channel"]
    output: Float[Tensor, "image head token channel"]
    scale: float
    masked: bool


def capture(
    backbone: Backbone,
    images: UInt8[np.ndarray, "*image y x 3"],
    *,
    values: bool = True,
    joint: bool = False,
    seeds: Sequence[int] | None = None,
) -> Features:
    """One run of `images`, all of one size, with every selected self-attention layer recorded; one image, `[y, x, 3]`,
    is a batch of one.

    `seeds`, one for each image, are for what the model draws (see `Backbone.run`). Cross-attention (other token
    counts, or a name that the backbone excludes) is dropped; class, register and text tokens are cut before any
    softmax is taken. Nothing of a layer that is left out is kept. `joint` asks for the tokens in the space that they
    share with texts, for which the last layer's values are read, also without `values`, and not interpolated.

    Raises `InputError` for what is no image or does not fit the patches, where the model never calls the attention
    primitive, where no layer matches the backbone's selection (unless it selects none at all), where a selected call
    is masked (Eq. 5 has no mask), and for `joint` where the backbone has no such space or the selection leaves its
    last layer out.
    """
    images = as_batch(images, backbone)
    height, width = images.shape[1:3]
    project = _projection(backbone) if joint else None
    seen: list[str] = []
    last: list[Attention] = []

    def kept(call: Call) -> Attention | None:
        """The call cut to the image's tokens, or nothing where it is not selected."""
        seen.append(call.name)
        if not _selected(call, backbone):
            return None
        if project:
            last[:] = [_cut_to_image(call, replace(backbone, upsample=1), height, width, values=True)]
        return _cut_to_image(call, backbone, height, width, values)

    layers, final = record_attention(backbone.model, lambda: backbone.run(backbone.prepare(images), seeds), kept)
    if backbone.layers:
        _check_layers(backbone, layers, seen)
    grid = token_grid(final.shape[1], height, width)
    with torch.no_grad():
        shared = project(Features(tuple(last), final, grid)) if project else None
    return Features(_numbered(layers, backbone.samples), final, grid, shared)


def as_batch(images: Any, backbone: Backbone) -> UInt8[np.ndarray, "image y x 3"]:
    """`[image, y, x, 3]` of one image or several. Raises `InputError` for anything else."""
    shape: tuple[int, ...] = tuple(getattr(images, "shape", ()))
    kind = getattr(images, "dtype", type(images).__name__)
    if len(shape) not in (3, 4) or shape[-1] != 3 or str(kind) != "uint8" or not hasattr(images, "__array__"):
        got = f"{kind} {list(shape)}" if shape else str(kind)
        raise InputError(f"images: expected uint8 [image, y, x, 3] or [y, x, 3], got {got}; read_image reads a file")
    height, width = shape[-3:-1]
    if height % backbone.patch_px or width % backbone.patch_px:
        wish = f"sides that are multiples of {backbone.patch_px} px, the patches of {backbone.name}"
        raise InputError(f"images: expected {wish}, got {height} × {width}; view_image brings them to size")
    return images if len(shape) == 4 else images[None]


def _projection(backbone: Backbone) -> Callable[[Features], Tensor]:
    if backbone.language is None:
        raise InputError(
            f"backbone {backbone.name}: expected a model that was trained with texts, got one that shares no space "
            "with any; choose clip-vit-b16, zoo-clip, groupvit or another CLIP in transformers' layout"
        )
    return backbone.language.project


def _check_layers(backbone: Backbone, layers: list[Attention], seen: list[str]) -> None:
    if not seen:
        raise InputError(
            f"backbone {backbone.name}: expected calls of torch's scaled_dot_product_attention, got none; "
            "its attention cannot be read (choose a model that uses the primitive, e.g. a plain ViT)"
        )
    if not layers:
        raise InputError(
            f"backbone {backbone.name}: expected a self-attention layer matching {list(backbone.layers)}, "
            f"got only {seen}; correct `layers`"
        )


def record_attention(
    model: nn.Module, run: Callable[[], Result], keep: Callable[[Call], Any] = lambda call: call
) -> tuple[list[Any], Result]:
    """What `keep` makes of every call of the attention primitive during `run()`, in order, and what `run` returned.

    A call of which `keep` answers None is forgotten at once. A module that calls more than once has its later
    calls named `path#2`, `path#3` ….
    """
    with torch.no_grad(), _module_path(model) as path, _Recorder(path, keep) as recorder:
        result = run()
    return recorder.kept, result


class _Recorder(TorchFunctionMode):
    def __init__(self, path: list[str], keep: Callable[[Call], Any]) -> None:
        super().__init__()
        self.kept: list[Any] = []
        self._keep = keep
        self._path = path
        self._seen: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            kept = self._keep(_call(self._name(), output, *args, **(kwargs or {})))
            if kept is not None:
                self.kept.append(kept)
        return output

    def _name(self) -> str:
        path = self._path[-1] if self._path else ""
        self._seen[path] += 1
        return path if self._seen[path] == 1 else f"{path}#{self._seen[path]}"


def _call(
    name: str,
    output: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Call:
    """Mirrors the primitive's signature; grouped keys and values are repeated to one a query head."""
    if enable_gqa:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return Call(name, query, key, value, output, scale, attn_mask is not None or is_causal)


@contextmanager
def _module_path(model: nn.Module) -> Iterator[list[str]]:
    """A stack of the paths of the modules that are running, kept by forward hooks for the duration."""
    path: list[str] = []
    handles = []

    def leave(*_: Any) -> None:
        """Takes a module that has answered off the path."""
        path.pop()

    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: path.append(name)))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield path
    finally:
        for handle in handles:
            handle.remove()


def _selected(call: Call, backbone: Backbone) -> bool:
    is_self = call.query.shape[-2] == call.key.shape[-2]
    name = call.name.partition("#")[0]
    chosen = any(fnmatchcase(name, pattern) for pattern in backbone.layers)
    excluded = any(fnmatchcase(name, pattern) for pattern in backbone.excluded)
    return is_self and chosen and not excluded


def _cut_to_image(call: Call, backbone: Backbone, height: int, width: int, values: bool) -> Attention:
    if call.masked:
        raise InputError(
            f"backbone {backbone.name}, layer {call.name}: expected attention without a mask (Eq. 5), got a "
            "masked call; leave the layer out by `layers`"
        )
    keep = backbone.image_tokens(call.query.shape[-2])
    chosen = [call.query, call.key, *([call.value] if values else [])]
    grid = token_grid(len(range(call.query.shape[-2])[keep]), height, width)
    fine = (grid[0] * backbone.upsample, grid[1] * backbone.upsample)
    query, key, *value = (_upsampled(tensor[..., keep, :], grid, fine) for tensor in chosen)
    return Attention(call.name, query, key, value[0] if values else None, call.scale, fine)


def _upsampled(
    tensor: Float[Tensor, "image head token channel"], grid: tuple[int, int], fine: tuple[int, int]
) -> Float[Tensor, "image head fine_token channel"]:
    """Bicubic interpolation from `grid` to `fine`, channel by channel (appendix B.1)."""
    if grid == fine:
        return tensor
    planes = rearrange(tensor, "image head (row column) channel -> (image head) channel row column", row=grid[0])
    resized = F.interpolate(planes, size=fine, mode="bicubic", align_corners=False)
    return rearrange(
        resized, "(image head) channel row column -> image head (row column) channel", head=tensor.shape[1]
    )


def _numbered(layers: list[Attention], samples: int) -> tuple[Attention, ...]:
    """The layers with the number of the pass each belongs to: a layer is called equally often in every pass."""
    calls = Counter(layer.name.partition("#")[0] for layer in layers)
    seen: Counter[str] = Counter()
    numbered = []
    for layer in layers:
        name = layer.name.partition("#")[0]
        numbered.append(replace(layer, sample=seen[name] * samples // calls[name]))
        seen[name] += 1
    return tuple(numbered)
