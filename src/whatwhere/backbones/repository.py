"""A model repository - of the hub, a local folder or the zoo inside this package - and what its files say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.catalogue import PRESETS
from whatwhere.backbones.weights import (
    NoSuchFileError,
    NotCachedError,
    fingerprint,
    first_line,
    hub_file,
    load_weights,
    read_tensors,
)
from whatwhere.zoo import folder_of

Library = Literal["timm", "transformers", "diffusers"]


@dataclass(frozen=True)
class Repository:
    """Files by name, from `folder` or, where there is none, from the hub at `revision`.

    The first file from the hub decides which commit `revision` means, and all others come from that one. Without
    `download` only the hub's cache on this machine is read.
    """

    name: str
    folder: Path | None
    revision: str = "main"
    download: bool = True
    commits: list[str] = field(default_factory=list, compare=False)

    def file(self, *names: str) -> Path:
        """The first of `names` that exists. Raises `InputError` where none does, or none can be fetched."""
        if self.folder is not None:
            found = next((self.folder / name for name in names if (self.folder / name).is_file()), None)
            if found is None:
                raise InputError(
                    f"model {self.name}: expected {' or '.join(names)} in {self.folder}, found none; "
                    "the folder is incomplete or no model's"
                )
            return found
        faults: list[NotCachedError] = []
        for name in names:
            try:
                ask = self.download and not faults
                path = hub_file(self.name, name, revision=self._revision(), download=ask)
            except NoSuchFileError:
                continue
            except NotCachedError as error:
                faults.append(error)
                continue
            self.commits[:] = [path.parents[name.count("/")].name]  # …/snapshots/<commit>/<name>
            return path
        if faults:
            raise faults[0]
        raise InputError(
            f"model {self.name}@{self.revision}: expected {' or '.join(names)}, the hub has no such file in it; "
            "correct the model's name or `revision`, or give a local folder as `model`"
        )

    def _revision(self) -> str:
        return next(iter(self.commits), self.revision)

    def read_json(self, *names: str) -> dict[str, Any]:
        """A configuration file. Raises `InputError` where it is missing or damaged."""
        path = self.file(*names)
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"model {self.name}: expected JSON in {path}, got {error}; fetch it again") from error
        if not isinstance(content, dict):
            raise InputError(f"model {self.name}: expected an object in {path}, got {type(content).__name__}")
        return content

    def library(self) -> Library:
        """Which library's layout this is. Raises `InputError` where it is none's."""
        path = self._description()
        if path.name == "model_index.json":
            return "diffusers"
        config = self.read_json("config.json")
        if "architecture" in config:
            return "timm"
        if "model_type" in config:
            return "transformers"
        raise InputError(
            f"model {self.name}: expected timm's, transformers' or diffusers' layout, got a config.json "
            f"with neither `architecture` nor `model_type` ({', '.join(list(config)[:4])})"
        )

    def _description(self) -> Path:
        """The file that says what this is: of a model of the catalogue the one of its kind, of others either."""
        kinds = ("model_index.json", "config.json")
        known = [preset for preset in PRESETS.values() if preset.model == self.name]
        names = kinds[::-1] if known and not known[0].options else kinds  # a diffusion model has options
        try:
            return self.file(*names)
        except NotCachedError as error:
            asked = names[0] if known else " or ".join(names)
            raise NotCachedError(str(error).replace(f"file {names[0]}:", f"file {asked}:")) from error

    def fill(
        self,
        network: nn.Module,
        weights: Path,
        *,
        part: str = "",
        optional: tuple[str, ...] = (),
        aliases: Callable[[str], tuple[str, ...]] = lambda name: (),
    ) -> str:
        """Loads a checkpoint of this repository into `network`; answers its content hash.

        `aliases` are a tensor's names in other versions of the library: the first that `network` has counts.

        Raises `InputError` as `read_tensors` and `load_weights` do.
        """
        wanted = network.state_dict()
        tensors = {
            next((name for name in (found, *aliases(found)) if name in wanted), found): tensor
            for found, tensor in read_tensors(weights).items()
        }
        load_weights(network, tensors, name=f"{self.name} {part}".strip(), optional=optional)
        return fingerprint(weights)

    def origin(self, *hashes: str) -> str:
        """Where weights came from, word for word in every artifact's provenance."""
        text = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
        return f"{self.name}{'' if self.folder else f'@{self._revision()[:12]}'} (sha256 {text})"


def open_repository(model: str, revision: str = "main", *, download: bool = True) -> Repository:
    """`zoo/…` inside this package, a local folder, or else a repository of the hub.

    Raises `InputError` as `whatwhere.zoo.folder_of` does.
    """
    folder = folder_of(model)
    return Repository(model, folder, revision if folder is None else "main", download)


def built(name: str, make: Any, *, seed: int, device: str) -> Any:
    """A network made by `make()` from `seed`, without touching anyone else's random numbers.

    On the meta device it has shapes but no memory. Raises `InputError` where the configuration fits no network.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta" if device == "meta" else "cpu"):
        torch.default_generator.manual_seed(seed)
        try:
            return make().eval().requires_grad_(False)
        except InputError:
            raise
        except Exception as error:  # libraries refuse a wrong configuration with whatever their constructors raise
            raise InputError(
                f"backbone {name}: expected a configuration that its library can build, got "
                f"{type(error).__name__} ({first_line(error)}); "
                "the configuration is damaged or of another version"
            ) from error


def unwritten(make: Callable[[], nn.Module]) -> nn.Module | None:
    """A network whose memory is not yet written, as a checkpoint will follow: its numbers need not be drawn first.

    None where it computes some of its buffers, which no checkpoint would replace.
    """
    from whatwhere.backbones.uncompiled import without_compiler

    with without_compiler(), torch.device("meta"), _Undrawn():
        network = make()
    stored = network.state_dict()
    if any(name not in stored for name, _ in network.named_buffers()):
        return None
    # `to_empty`, whose `empty_like` of a tensor without memory imports torch's symbolic algebra
    return network._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))


class _Undrawn(TorchFunctionMode):
    """Drawing the numbers to start from does nothing: to tensors without memory, with all of torch's algebra of shapes
    imported for it, it would not either."""

    STEPS = frozenset(
        getattr(torch.Tensor, step)
        for step in ("normal_", "uniform_", "erfinv_", "mul_", "add_", "clamp_", "fill_", "zero_")
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"]
        return args[0] if func in self.STEPS else func(*args, **kwargs or {})


def moved(network: nn.Module, name: str, device: str) -> None:
    """Puts the network on a device. Raises `InputError` where this machine has none such."""
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"backbone {name}: expected a device of this machine, got {device!r} ({first_line(error)})"
        ) from error


def channel_numbers(name: str, config: dict[str, Any], key: str) -> tuple[float, float, float]:
    """A mean or deviation of red, green and blue. Raises `InputError` where the configuration has none."""
    found = config.get(key)
    try:
        red, green, blue = (float(number) for number in found or ())
    except (TypeError, ValueError) as error:
        raise InputError(
            f"backbone {name}: expected three numbers as {key}, got {found!r}; the configuration is damaged"
        ) from error
    return red, green, blue
