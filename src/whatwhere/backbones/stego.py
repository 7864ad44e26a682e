"""STEGO (Hamilton et al., ICLR 2022): DINO's ViT-B/8 under a small head that was trained to keep its correspondences.

Of a token's normalised feature f in the last layer the head makes the code s = L f + W₂ max(W₁ f, 0); the cluster
probe, a direction c for each cluster, gives the token the c of the largest cosine s·c / |s||c|. The paper takes the
code as features ("K-Means (STEGO)", Table 4; Table 5) and the probe as a rival ("STEGO", Tables 3 and 4).
The authors publish whole training checkpoints, which `pickled` reads without running anything of them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

import whatwhere.backbones.vit as vit
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.pickled import read_pickled_tensors
from whatwhere.backbones.repository import built, moved
from whatwhere.backbones.weights import fingerprint, load_weights

#: timm's name of the architecture, which is STEGO's but for the head.
TRANSFORMER = "vit_base_patch8_224.dino"
#: What the authors publish (`src/download_models.py` of github.com/mhamilton723/STEGO).
FILES = ("cocostuff27_vit_base_5.ckpt", "cityscapes_vit_base_1.ckpt")
#: Of random weights: as the first of `FILES`. All others' are read from their tensors.
CHANNELS, CLUSTERS = 90, 27
#: ASSUME: 64 channels a head, as in all of DINO's transformers: no tensor says how its channels are split.
HEAD_CHANNELS = 64
#: The authors' evaluation takes the softmax of twice the cosines.
SHARPNESS = 2.0
#: Beginnings of the checkpoint's names and of ours. The transformer's own names are timm's; other parts of the
#: training (the linear probe, which has seen labels; the decoder; the clusters that are not evaluated) are left out.
RENAMED = {
    "net.model.": "",
    "net.cluster1.0.": "head.linear.",
    "net.cluster2.": "head.nonlinear.",
    "cluster_probe.": "head.",
}


class Head(nn.Module):
    """The two branches, and the clusters' directions `[cluster, channel]`. What was dropout in training is absent."""

    def __init__(self, width: int, channels: int, clusters: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, channels)
        self.nonlinear = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, channels))
        self.clusters = nn.Parameter(nn.init.normal_(self.linear.weight.new_empty(clusters, channels)))

    def forward(self, features: Float[Tensor, "image token width"]) -> Float[Tensor, "image token channel"]:
        """The code of each token."""
        return self.linear(features) + self.nonlinear(features)

    def log_probabilities(self, code: Float[Tensor, "image token channel"]) -> Float[Tensor, "image token cluster"]:
        """Of each cluster, by the cosine of its direction with the code."""
        cosines = F.normalize(code, dim=-1) @ F.normalize(self.clusters, dim=-1).T
        return F.log_softmax(SHARPNESS * cosines, dim=-1)


def load(
    name: str,
    *,
    model: str = "stego",
    weights: str = "hub",
    revision: str = "main",
    seed: int = 0,
    layers: tuple[str, ...] = ("*",),
    options: dict[str, Any] | None = None,
    device: str = "cpu",
    download: bool = True,
) -> Backbone:
    """STEGO, ready to capture: the attention layers are DINO's, under timm's names; the final features are the head's.

    `weights` is the path of a training checkpoint, whose tensors say width, depth, patch, code and clusters, or
    `random` (as published, initialised from `seed`); no hub has any, so that `model`, `revision` and `download`, which
    every loader takes, change nothing. `options`: `output`, which is `code` (`[image, token, channel]`, the default)
    or `clusters` (log-probabilities `[image, token, cluster]`; STEGO's answer is the largest); the others go to the
    transformer's constructor, of which checkpoints need `num_heads` at most (`HEAD_CHANNELS`).

    ASSUME: the probe answers for each token of one view, as the features of every backbone here; the authors average
    the codes of image and mirror image and interpolate them to pixels before it. Positions are interpolated as
    `vit.load` does for every transformer; at 320 px the authors' bicubic rule (another kernel, a shift of a tenth of a
    token) differs by a few hundredths on smooth ones.

    Raises `InputError` for `hub`, for a missing, damaged or foreign file, and for options that do not fit.
    """
    given = dict(options or {})
    output = given.pop("output", "code")
    if output not in ("code", "clusters"):
        raise InputError(f"backbone {name}: expected `output` code or clusters, got {output!r}; correct `options`")
    tensors, source = ({}, f"random (seed {seed})") if weights == "random" else _read(name, weights)
    clusters, channels = tensors["head.clusters"].shape if tensors else (CLUSTERS, CHANNELS)
    sizes = {**(_transformer_sizes(name, tensors, given) if tensors else {}), **given}
    backbone = vit.load(
        name, model=TRANSFORMER, weights="random", seed=seed, layers=layers, options=sizes, device=device
    )
    network: Any = backbone.model
    network.head = built(name, lambda: Head(network.embed_dim, channels, clusters), seed=seed, device=device)
    moved(network, name, device)
    if tensors:
        load_weights(network, tensors, name=name, optional=())

    def run(pixels: Tensor, _seeds: Any = None) -> Tensor:
        """The head's code, or the log-probabilities of its clusters."""
        code = network.head(backbone.run(pixels))
        return code if output == "code" else network.head.log_probabilities(code)

    return replace(backbone, run=run, weights=source)


def _read(name: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """A checkpoint's tensors under our names, and where they came from."""
    if weights == "hub":
        raise InputError(
            f"backbone {name}: expected `weights` as the path of a training checkpoint of STEGO's, got hub, which has "
            f"none; download {' or '.join(FILES)} from {_storage()} and give its path as `weights`"
        )
    found = read_pickled_tensors(Path(weights))
    tensors = {
        ours + key.removeprefix(theirs): _without_kernel(tensor) if ours else tensor
        for key, tensor in found.items()
        for theirs, ours in RENAMED.items()
        if key.startswith(theirs)
    }
    needed = {"patch_embed.proj.weight": 4, "pos_embed": 3, "blocks.0.mlp.fc1.weight": 2, "head.clusters": 2}
    wrong = [key for key, axes in needed.items() if key not in tensors or tensors[key].ndim != axes]
    if wrong or not all(tensors[key].numel() for key in needed):
        raise InputError(
            f"weights {weights}: expected a training checkpoint of STEGO's (net.model.…, net.cluster1.…, "
            f"cluster_probe.clusters), got {len(found)} tensors without a fitting {wrong[0] if wrong else 'size'}; "
            f"give the path of {' or '.join(FILES)}"
        )
    return tensors, f"{Path(weights).name} (sha256 {fingerprint(Path(weights))})"


def _storage() -> str:
    """Where `FILES` are."""
    # no plain import: the code of all data sets would count as that of every backbone (`codehash`)
    sources = import_module("whatwhere.datasets.sources").SOURCES
    return sources["stego-cocostuff27"].urls[0].removesuffix(FILES[0])


def _without_kernel(tensor: Tensor) -> Tensor:
    """A convolution of 1 × 1 pixels as the matrix that it is."""
    return tensor[:, :, 0, 0] if tensor.ndim == 4 and tensor.shape[2:] == (1, 1) else tensor


def _transformer_sizes(name: str, tensors: dict[str, Tensor], given: dict[str, Any]) -> dict[str, Any]:
    """What the transformer's tensors say of it, in timm's words."""
    width, _, _, patch_px = tensors["patch_embed.proj.weight"].shape
    if width % HEAD_CHANNELS and "num_heads" not in given:
        raise InputError(
            f"backbone {name}: expected heads of {HEAD_CHANNELS} channels, got {width} channels in all, which these do "
            "not divide; give `num_heads` in `options`"
        )
    return {
        "embed_dim": width,
        "depth": len({key.split(".")[1] for key in tensors if key.startswith("blocks.")}),
        "num_heads": width // HEAD_CHANNELS,
        "mlp_ratio": tensors["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "patch_size": patch_px,
        "img_size": patch_px * math.isqrt(max(1, tensors["pos_embed"].shape[1] - 1)),
    }
