"""Weights of a pipeline's networks: one file each, or several that an index lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.diffusion.networks import LIBRARIES
from whatwhere.backbones.repository import Repository
from whatwhere.backbones.weights import fingerprint, load_weights, read_tensors

#: Names of a network's weights, as each library publishes them.
SAFE = {"diffusers": "diffusion_pytorch_model.safetensors", "transformers": "model.safetensors"}
BINARY = {"diffusers": "diffusion_pytorch_model.bin", "transformers": "pytorch_model.bin"}
#: Buffers that older checkpoints carry and newer networks compute.
OPTIONAL = ("text_model.embeddings.position_ids", "embeddings.position_ids")
#: T5 has one table of words under two names, and files may hold either.
TWINS = ("shared.weight", "encoder.embed_tokens.weight")


def fill(repository: Repository, network: nn.Module, parts: dict[str, str]) -> str:
    """Loads every part's checkpoint into `network`; answers where the weights came from.

    Raises `InputError` where a file is missing or damaged, an index lists what is no file beside it, or tensors do
    not fit.
    """
    hashes: list[str] = []
    for part, kind in parts.items():
        paths = _paths(repository, part, LIBRARIES[kind])
        _load(repository, network.get_submodule(part), part, paths)
        hashes += map(fingerprint, paths)
    return repository.origin(*hashes)


def _load(repository: Repository, network: nn.Module, part: str, paths: list[Path]) -> None:
    wanted = network.state_dict()
    tensors: dict[str, Tensor] = {}
    for path in paths:
        for found, tensor in read_tensors(path).items():
            tensors[next((name for name in (found, *_aliases(found)) if name in wanted), found)] = tensor
    for name, twin in (TWINS, TWINS[::-1]):
        if name in wanted and twin in tensors:
            tensors.setdefault(name, tensors[twin])
    load_weights(network, tensors, name=f"{repository.name} {part}", optional=OPTIONAL)


def _paths(repository: Repository, part: str, library: str) -> list[Path]:
    whole, listed = f"{part}/{SAFE[library]}", f"{part}/{SAFE[library]}.index.json"
    path = repository.file(whole, listed, f"{part}/{BINARY[library]}")
    return _shards(repository, part, listed) if path.suffix == ".json" else [path]


def _shards(repository: Repository, part: str, listed: str) -> list[Path]:
    names: Any = repository.read_json(listed).get("weight_map")
    names = list(names.values()) if isinstance(names, dict) else []
    # a name that is no plain file name could lead out of the repository
    wrong = [name for name in names if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+\.safetensors", name)]
    if wrong or not names:
        raise InputError(
            f"model {repository.name}: expected {listed} to list safetensors files beside it, got "
            f"{repr(wrong[0])[:80] if wrong else 'none'}; the index is damaged or no model's"
        )
    return [repository.file(f"{part}/{name}") for name in sorted(set(names))]


def _aliases(name: str) -> tuple[str, ...]:
    """Stable Diffusion 1.4 names its text encoder's and its autoencoder's attention as older libraries did."""
    modern = name
    for old, new in {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}.items():
        modern = modern.replace(f".{old}.", f".{new}.")
    return modern, name.removeprefix("text_model."), f"text_model.{name}"
