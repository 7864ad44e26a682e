"""Weights out of an ONNX file: a graph of DINOv2 as torch exports transformers' one, its tensors under timm's names.

An exporter keeps the names of what it stores as it is, biases, norms, layer scales, the class token and the patch
projection, and loses those of what it transposes or folds: a matrix is known by the named bias that is added to its
product, the positions by their shape. The graph is read, never run; what it refers to outside the file is not opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whatwhere.artifacts.errors import InputError

#: Parts of transformers' names and of timm's, replaced one after the other.
RENAMED = {
    "embeddings.cls_token": "cls_token",
    "embeddings.patch_embeddings.projection.": "patch_embed.proj.",
    "encoder.layer.": "blocks.",
    ".attention.output.dense.": ".attn.proj.",
    ".attention.attention.": ".attn.",
    ".layer_scale1.lambda1": ".ls1.gamma",
    ".layer_scale2.lambda1": ".ls2.gamma",
    "layernorm.": "norm.",
}
#: What stands before the network's names; other parts of a graph (a head that was trained on it) are left out.
NETWORK = "backbone."
#: What the exporter calls that whose name it lost: `onnx::MatMul_1966`.
NAMELESS = "onnx::"
#: timm stacks these three.
STACKED = ("query", "key", "value")


def read_onnx(path: Path) -> dict[str, Tensor]:
    """The tensors of the network, float32.

    Raises `InputError` for a graph of something else and for tensors whose bytes are not what their shapes say; the
    library's own errors for what is no ONNX file.
    """
    import onnx

    graph = onnx.load_model(path, format="protobuf", load_external_data=False).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    network = {name: _array(stored[name], path) for name in stored if name.startswith(NETWORK)}
    network |= {weight: _array(stored[matrix], path).T for weight, matrix in _matrices(graph, stored)}
    named = {_renamed(name): array for name, array in network.items()}
    named["pos_embed"] = _positions(stored, path)
    return {name: torch.from_numpy(np.array(array, np.float32, order="C")) for name, array in _stacked(named)}


def _array(tensor: Any, path: Path) -> np.ndarray:
    """Checked before memory is taken: 32-bit floats inside the file, as many as the shape says."""
    from onnx import TensorProto

    size = 4 * math.prod(tensor.dims)
    inside = tensor.data_type == TensorProto.FLOAT and tensor.data_location == TensorProto.DEFAULT
    if not inside or min(tensor.dims, default=1) < 1 or len(tensor.raw_data) != size:
        got = f"{len(tensor.raw_data)} bytes of type {tensor.data_type}" if inside else "another kind of tensor"
        raise InputError(
            f"weights {path}: expected {tensor.name} {list(tensor.dims)} as 32-bit floats inside the file, got {got}; "
            "the file is damaged or no such graph: fetch it again"
        )
    return np.frombuffer(tensor.raw_data, "<f4").reshape(tensor.dims)


def _matrices(graph: Any, stored: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names of weights, and of the constants that they are: of each product that a named bias is added to."""
    products = {node.output[0]: node for node in graph.node if node.op_type == "MatMul" and node.output}
    for node in graph.node:
        biases = [name for name in node.input if name in stored and name.startswith(NETWORK)]
        found = [products[name] for name in node.input if name in products]
        matrices = [name for product in found for name in product.input if name in stored]
        if node.op_type == "Add" and len(biases) == len(matrices) == 1 and biases[0].endswith(".bias"):
            yield f"{biases[0].removesuffix('bias')}weight", matrices[0]


def _positions(stored: dict[str, Any], path: Path) -> np.ndarray:
    """`[1, 1 + token, channel]`, the class token's first."""
    nameless = [tensor for name, tensor in stored.items() if name.startswith(NAMELESS)]
    apart = [tensor for tensor in nameless if len(tensor.dims) == 3 and tensor.dims[0] == 1]
    apart.sort(key=lambda tensor: tensor.dims[1])
    if len(apart) != 2 or apart[0].dims[1] != 1 or apart[0].dims[2] != apart[1].dims[2]:
        got = ", ".join(str(list(tensor.dims)) for tensor in apart) or "none"
        raise InputError(
            f"weights {path}: expected positions of the class token and of the patches among the graph's constants, "
            f"got {got}; give an ONNX export of transformers' DINOv2, or a safetensors file"
        )
    return np.concatenate([_array(tensor, path) for tensor in apart], axis=1)


def _renamed(name: str) -> str:
    name = name.removeprefix(NETWORK)
    for theirs, timms in RENAMED.items():
        name = name.replace(theirs, timms)
    return name


def _stacked(named: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Query, key and value as the one tensor that timm has; what lacks one of them stays and will not fit."""
    for name, array in named.items():
        parts = [name.replace(f".{STACKED[0]}.", f".{part}.") for part in STACKED]
        if f".attn.{STACKED[0]}." in name and all(part in named for part in parts):
            yield name.replace(STACKED[0], "qkv"), np.concatenate([named[part] for part in parts])
        elif not any(f".attn.{part}." in name for part in STACKED[1:]):
            yield name, array
