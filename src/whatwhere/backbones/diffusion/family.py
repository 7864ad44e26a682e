"""What a family of pipelines must say to be read: its networks, its prompt, and how its denoiser is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from whatwhere.artifacts.errors import InputError


@dataclass(frozen=True)
class Prompt:
    """What the text encoders make of no words: token by token, and in one vector where the family has one."""

    tokens: Float[Tensor, "1 text channel"]
    pooled: Float[Tensor, "1 width"] | None = None

    def to(self, precision: torch.dtype) -> Prompt:
        """The same in another type of number."""
        return Prompt(self.tokens.to(precision), None if self.pooled is None else self.pooled.to(precision))


@dataclass(frozen=True)
class Denoiser:
    """A denoising network with its prompt.

    `read(noisy latents, noise steps)` makes one pass and answers the final features, image tokens only.
    `image_tokens`: as in `Backbone`. `cell`: latents' sides must be multiples of it. `side`: that of the latents
    that it was trained on. `excluded`: name patterns of attention that is no self-attention of the image.
    """

    read: Callable[[Float[Tensor, "image channel row column"], Int[Tensor, "image"]], Tensor]
    image_tokens: Callable[[int], slice]
    cell: int
    side: int
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """A kind of pipeline.

    `parts`: diffusers' name of each network -> its class, in the order in which they are built; those in `optional`
    may be absent. `flow`: noise is mixed in as in flow matching, not as in diffusion. `check(name, network)` raises
    `InputError` where the networks do not fit each other. `prompt(network, read)` reads the empty prompt, where
    `read(part, tokens)` is what a text encoder answers to it. `denoiser(name, network, prompt)`: what is read.
    """

    parts: dict[str, str]
    flow: bool
    check: Callable[[str, Any], None]
    prompt: Callable[[Any, Callable[..., Any]], Prompt]
    denoiser: Callable[[str, Any, Prompt], Denoiser]
    optional: tuple[str, ...] = ()


class Widths(NamedTuple):
    """Channels of the latents, of a text's tokens, and of its one vector (None without; a word if it is another)."""

    latents: int
    texts: int
    pooled: int | str | None


def check_widths(name: str, kind: str, asked: Widths, given: Widths) -> None:
    """Raises `InputError` where a denoiser asks for other widths than the other networks give."""
    if asked != given:
        raise InputError(
            f"backbone {name}: expected a {kind} for latents of {given.latents} channels and texts of "
            f"{given.texts}{_pooled(given)}, got one for {asked.latents} and {asked.texts}{_pooled(asked)}; "
            "choose a plain text-to-image model"
        )


def halvings(network: Any) -> int:
    """By how much a network shrinks an image: a half after every block but the last."""
    return 2 ** (len(network.config.block_out_channels) - 1)


def output_of(module: nn.Module, run: Callable[[], Any]) -> Tensor:
    """What `module` returns during `run()`."""
    found: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _given, returned: found.append(returned))
    return _during(run, handle, found)


def input_of(module: nn.Module, run: Callable[[], Any]) -> Tensor:
    """The first thing that `module` is given during `run()`."""
    found: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _module, given: found.append(given[0]))
    return _during(run, handle, found)


def _during(run: Callable[[], Any], handle: Any, found: list[Tensor]) -> Tensor:
    try:
        run()
    finally:
        handle.remove()
    return found[0]


def _pooled(widths: Widths) -> str:
    return "" if widths.pooled is None else f" (pooled {widths.pooled})"
