"""A vision transformer's tensors in a checkpoint as training scripts leave it: under keys, behind prefixes, with more.

What is looked for is the network itself: a group of tensors whose names, behind one prefix, are those of the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

from torch import Tensor

from whatwhere.artifacts.errors import InputError

#: Of several groups that fit alike the average of a training, which is what its authors evaluate, before all others.
_AVERAGED = ("teacher", "ema")
#: What a transformer may have and another lack, though no module of that name is in it; without it, it is another.
_STRUCTURE = ("cls_token", "dist_token", "reg_token", "pos_embed", "norm_pre", "fc_norm")
#: How others call the same tensor.
_CALLED = {"register_tokens": "reg_token", "storage_tokens": "reg_token"}
_DEEPEST = 4


@dataclass(frozen=True)
class Encoder:
    """The tensors of a network by its own names; under which keys and prefix they were found, and what was left out."""

    tensors: Mapping[str, Tensor]
    place: str
    left_out: tuple[str, ...]

    def words(self) -> str:
        """For provenance: which part of the file it is and what was not needed; nothing of a file of it alone."""
        modules = sorted({name.partition(".")[0] for name in self.left_out})
        parts = [f"its {self.place}"] if self.place else []
        parts += [f"without {', '.join(modules)}"] if modules else []
        return ", ".join(parts)


def encoder(content: Mapping[str, Any], network: Any, *, name: str) -> Encoder:
    """The group of tensors in a checkpoint that fits a network of timm best, for `load_weights` to put into it.

    Positions of another image size give the network their grid, from which they are interpolated as for any size.

    Raises `InputError` where no group has any tensor of the network, and for one of the same kind but another shape:
    what is left out belongs to modules that the network has none of (heads, decoders, mask tokens).
    """
    wanted = network.state_dict()
    found = [_stripped(group, place, wanted) for place, group in _groups(content)]
    best = max(found, key=lambda one: _fit(one, wanted), default=None)
    if best is None or not any(key in wanted for key in best.tensors):
        keys = ", ".join(map(repr, content))[:80] or "nothing that is named"
        raise InputError(
            f"weights for {name}: expected tensors such as {next(iter(wanted))}, got {keys}; "
            "this checkpoint belongs to another model: correct `model` or `weights`"
        )
    tensors = {_CALLED.get(key, key): tensor for key, tensor in best.tensors.items()}
    own = {key: tensor for key, tensor in tensors.items() if key in wanted or _belongs(key, wanted)}
    if "fc_norm.weight" in own and "norm.weight" in wanted and "norm.weight" not in own:
        raise InputError(
            f"weights for {name}: expected the final norm of a pre-trained encoder (norm.weight), got fc_norm.weight: "
            "it was fine-tuned with average pooling, which leaves none; give the checkpoint before fine-tuning"
        )
    own = {key: tensor for key, tensor in own.items() if not key.startswith("fc_norm.") or key in wanted}
    own |= _without_class(own, network)
    _take_grid(network, own.get("pos_embed"))
    return Encoder(own, best.place, (*best.left_out, *(key for key in tensors if key not in own)))


def _groups(content: Mapping[str, Any], place: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping of the checkpoint that holds tensors, by its keys from the outside."""
    if tensors := {str(key): value for key, value in content.items() if isinstance(value, Tensor)}:
        yield place, tensors
    for key, value in content.items() if depth < _DEEPEST else ():
        if isinstance(value, Mapping):
            yield from _groups(value, f"{place}.{key}" if place else str(key), depth + 1)


def _stripped(group: Mapping[str, Tensor], place: str, wanted: Mapping[str, Tensor]) -> Encoder:
    """The group without the prefix behind which most of its names are wanted; what has another prefix is left out."""
    ends = {f".{key}" for key in list(wanted)[:8]} | {f".{key}" for key in list(wanted)[-4:]}
    prefixes = {"", *(key[: -len(end) + 1] for key in group for end in ends if key.endswith(end))}
    kept = {
        prefix: {key.removeprefix(prefix): tensor for key, tensor in group.items() if key.startswith(prefix)}
        for prefix in sorted(prefixes, key=len)
    }
    best = max(kept, key=lambda prefix: sum(key in wanted for key in kept[prefix]))
    where = ".".join(part for part in (place, best.rstrip(".")) if part)
    return Encoder(kept[best], where, tuple(key for key in group if not key.startswith(best)))


def _fit(one: Encoder, wanted: Mapping[str, Tensor]) -> tuple[int, int, int]:
    """How well a group fits: by what it has of the network, whether it is an average, and how near the outside."""
    have = sum(key in wanted and tensor.shape == wanted[key].shape for key, tensor in one.tensors.items())
    return have, any(word in one.place for word in _AVERAGED), -one.place.count(".")


def _belongs(key: str, wanted: Mapping[str, Tensor]) -> bool:
    """Whether a tensor that the network does not know is of a part that it has, or would change what it answers."""
    module = key.partition(".")[0]
    return module in _STRUCTURE or any(other.partition(".")[0] == module for other in wanted)


def _without_class(own: Mapping[str, Tensor], network: Any) -> dict[str, Tensor]:
    """Positions of the image's tokens alone, where the network has no others: that of the class token goes to it."""
    positions, token = own.get("pos_embed"), own.get("cls_token")
    if positions is None or token is None or not getattr(network, "no_embed_class", False) or positions.ndim != 3:
        return {}
    if isqrt(positions.shape[1]) ** 2 == positions.shape[1]:
        return {}
    return {"cls_token": token + positions[:, :1], "pos_embed": positions[:, 1:]}


def _take_grid(network: Any, positions: Tensor | None) -> None:
    """Gives the network the grid that learned positions were made for, where that is a square and another."""
    own = getattr(network, "pos_embed", None)
    if positions is None or own is None or positions.ndim != 3 or positions.shape == own.shape:
        return
    prefix = own.shape[1] - int(network.patch_embed.num_patches)
    side = isqrt(max(positions.shape[1] - prefix, 0))
    if positions.shape[2] == own.shape[2] and side > 0 and side**2 == positions.shape[1] - prefix:
        patch = network.patch_embed.patch_size
        network.set_input_size(img_size=(side * patch[0], side * patch[1]))
