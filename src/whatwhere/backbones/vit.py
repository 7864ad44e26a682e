"""Vision transformers of timm, by name: the paper's DINO and MAE, and any other plain ViT."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.catalogue import near
from whatwhere.backbones.converted import packaged_tensors
from whatwhere.backbones.packaged import Packaged
from whatwhere.backbones.repository import Repository, built, channel_numbers, moved, unwritten
from whatwhere.backbones.weights import fingerprint, first_line, load_weights, read_checkpoint
from whatwhere.backbones.wrapped import encoder

#: Tensors of a classifier, which no backbone needs.
CLASSIFIER = ("head.", "fc_norm.", "head_dist.")
#: How learned positions are brought to other image sizes: as timm does, or bicubically and no more.
POSITIONS = ("antialiased", "bicubic")


def load(
    name: str,
    *,
    model: str | None = None,
    repository: Repository | None = None,
    weights: str | Packaged = "hub",
    revision: str = "main",
    seed: int = 0,
    layers: tuple[str, ...] = ("*",),
    options: dict[str, Any] | None = None,
    device: str = "cpu",
    download: bool = True,
) -> Backbone:
    """A timm vision transformer, ready to capture: by timm's name, or from a `repository` in timm's layout.

    `model` is timm's name (`vit_small_patch16_224.dino`); `weights` is `hub` (timm's own repository at
    `revision`, or `repository`'s file), `random` (initialised from `seed`), a checkpoint's path or what a
    distribution of the package index holds; `options` go to the model's constructor, all but `positions`, one of
    `POSITIONS`. Without `download` only the hub's cache is read. Learned positions are interpolated bicubically to
    other image sizes (appendix B.1); rotary ones are computed for them.

    ASSUME: antialiased, as timm does it (Keys' kernel with a = -1/2, widened where the grid shrinks), unless
    `positions` is `bicubic`: torch's plain one (a = -3/4, never widened), which is how DINOv2's authors bring its
    37 × 37 positions to every other grid. The two differ by up to 0.41 of 8.4 in DINOv2's tokens at 224 px.

    Raises `InputError` for an unknown name, a model without a patch grid, or weights that do not fit.
    """
    options = dict(options or {})
    plain = _is_plain(name, options.pop("positions", POSITIONS[0]))
    described: dict[str, Any] = repository.read_json("config.json") if repository else {"architecture": model}
    arguments = {**_section(name, described, "model_args"), **options}

    def make() -> nn.Module:
        """The network, with random weights where none follow."""
        create = partial(_create, name, described["architecture"], arguments)
        return (unwritten(create) if weights != "random" else None) or create()

    network: Any = built(name, make, seed=seed, device=device)
    config: dict[str, Any] = {**network.pretrained_cfg, **_section(name, described, "pretrained_cfg")}
    source = f"random (seed {seed})"
    if weights == "hub":
        found = repository or _repository(name, described["architecture"], config, revision, download)
        source = found.origin(found.fill(network, found.file("model.safetensors"), optional=CLASSIFIER))
    elif isinstance(weights, Packaged):
        load_weights(network, packaged_tensors(weights), name=name, optional=CLASSIFIER)
        source = weights.origin()
    elif weights != "random":
        source = _fill(network, Path(weights), name)
    moved(network, name, device)
    return Backbone(
        name=name,
        model=network,
        run=lambda pixels, _seeds=None: _final(network, pixels, plain=plain),
        image_tokens=lambda tokens: slice(prefix_tokens(network), tokens),
        mean=channel_numbers(name, config, "mean"),
        std=channel_numbers(name, config, "std"),
        patch_px=int(network.patch_embed.patch_size[0]),
        size_px=2 * int(config["input_size"][-1]),
        weights=source,
        layers=layers,
    )


def _fill(network: Any, checkpoint: Path, name: str) -> str:
    """Puts the encoder of a checkpoint into the network and answers its origin: the file, and which part of it."""
    part = encoder(read_checkpoint(checkpoint), network, name=name)
    load_weights(network, dict(part.tensors), name=name, optional=CLASSIFIER)
    origin = f"{checkpoint.name} (sha256 {fingerprint(checkpoint)})"
    return f"{origin}, {words}" if (words := part.words()) else origin


def prefix_tokens(network: Any) -> int:
    """How many class and register tokens stand before the image's."""
    return int(network.num_prefix_tokens)


def _section(name: str, described: dict[str, Any], key: str) -> dict[str, Any]:
    found = described.get(key) or {}
    if not isinstance(found, dict):
        raise InputError(f"backbone {name}: expected an object as {key}, got {found!r}; config.json is damaged")
    return found


def _create(name: str, model: str, options: dict[str, Any]) -> nn.Module:
    from whatwhere.backbones.uncompiled import timm

    if not timm.is_model(model):
        known = [*near(model), *timm.list_models(f"*{model.split('.')[0][:10]}*")[:3]]
        raise InputError(
            f"backbone {name}: expected the name of a timm model or of `whatwhere backbones`, got {model!r}"
            + (f"; near it are {', '.join(known)}" if known else "; see timm.list_models()")
        )
    try:
        # fixed here, so that no configuration can name another file to load
        fixed: dict[str, Any] = {
            "pretrained": False,
            "checkpoint_path": None,
            "num_classes": 0,
            "dynamic_img_size": True,
        }
        network = timm.create_model(model, **fixed, **options)
    except Exception as error:  # timm refuses names and options with whatever its constructors raise
        raise InputError(
            f"backbone {name}: expected a plain vision transformer for images of any size, timm's {model} with "
            f"options {options} cannot be one ({first_line(error)}); see `whatwhere backbones`"
        ) from error
    if not hasattr(network, "patch_embed") or not hasattr(network, "num_prefix_tokens"):
        raise InputError(
            f"backbone {name}: expected a vision transformer with a patch grid, got timm's {model}; "
            "see `whatwhere backbones`"
        )
    return network


def _repository(name: str, model: str, config: dict[str, Any], revision: str, download: bool) -> Repository:
    """timm's own repository of a model."""
    if not config.get("hf_hub_id"):
        raise InputError(
            f"backbone {name}: timm names no hub repository for {model}; name a pre-trained variant "
            "(such as vit_small_patch16_224.dino), or give `weights: random` or a checkpoint's path"
        )
    return Repository(config["hf_hub_id"], None, revision, download)


def _is_plain(name: str, positions: Any) -> bool:
    if positions not in POSITIONS:
        raise InputError(
            f"backbone {name}: expected `positions` {' or '.join(POSITIONS)}, got {positions!r}; correct `options`"
        )
    return positions == POSITIONS[1]


class _PlainlyBicubic(TorchFunctionMode):
    """Interpolation without antialiasing, whoever asks for it: of a transformer's forward pass only positions do."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The call itself, but for that one argument."""
        asked = dict(kwargs or {})
        return func(*args, **({**asked, "antialias": False} if func is F.interpolate else asked))


def _final(network: Any, pixels: Tensor, *, plain: bool) -> Tensor:
    with _PlainlyBicubic() if plain else nullcontext():
        return network.forward_features(pixels)[:, prefix_tokens(network) :]
