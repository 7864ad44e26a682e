"""CLIP and SigLIP in transformers' layout: the vision tower is read; CLIP's text tower is for those who ask in words.

MaskCLIP (Zhou et al., ECCV 2022) reads a name for every token out of CLIP: the values of the last attention layer go
through that layer's output projection as if each token attended to itself alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.backbone import Backbone, Language
from whatwhere.backbones.repository import Repository, built, channel_numbers, moved
from whatwhere.backbones.texts import embedder, learned_scale

if TYPE_CHECKING:
    from whatwhere.backbones.features import Attention, Features

#: By the type in config.json: the stem of transformers' class names, and the tokens before the image's.
KINDS = {"siglip": ("Siglip", 0), "clip": ("CLIP", 1)}
#: Buffers that older checkpoints carry and newer networks compute.
OPTIONAL = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")


def load(
    name: str,
    *,
    repository: Repository,
    weights: str = "hub",
    seed: int = 0,
    layers: tuple[str, ...] = ("*",),
    options: dict[str, Any] | None = None,
    device: str = "cpu",
) -> Backbone:
    """A `CLIPModel` or `SiglipModel`, ready to capture; positions are interpolated bicubically to other image sizes.

    `options` override keys of the vision tower's configuration. The final features are the tower's last tokens. CLIP
    has `language`; SigLIP, whose images are pooled by an attention of their own, has none.

    Raises `InputError` for another kind of model, a damaged file, or weights that do not fit.
    """
    config = repository.read_json("config.json")
    if config["model_type"] not in KINDS:
        kinds = " or ".join(f"of type {kind}" for kind in ("groupvit", *KINDS))
        raise InputError(f"backbone {name}: expected a model {kinds}, got {config['model_type']!r}")
    stem, before = KINDS[config["model_type"]]
    network, source = read_model(
        name, stem, config, repository, weights=weights, seed=seed, options=options or {}, device=device
    )
    preprocessing = repository.read_json("preprocessor_config.json")
    vision = network.vision_model

    def run(pixels: Tensor, _seeds: Any = None) -> Tensor:
        """The last hidden state of the image's tokens."""
        return vision(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[:, before:]

    return Backbone(
        name=name,
        model=network,
        run=run,
        image_tokens=lambda tokens: slice(before, tokens),
        mean=channel_numbers(name, preprocessing, "image_mean"),
        std=channel_numbers(name, preprocessing, "image_std"),
        patch_px=int(network.config.vision_config.patch_size),
        size_px=2 * int(network.config.vision_config.image_size),
        weights=source,
        layers=layers,
        language=_language(name, repository, network) if stem == "CLIP" else None,
    )


def read_model(
    name: str,
    stem: str,
    config: dict[str, Any],
    repository: Repository,
    *,
    weights: str,
    seed: int,
    options: dict[str, Any],
    device: str,
    attention: str = "sdpa",
) -> tuple[Any, str]:
    """transformers' model of two towers `{stem}Model` on its device, and where its weights came from."""
    network: Any = built(name, lambda: _create(name, stem, config, options, attention), seed=seed, device=device)
    source = f"random (seed {seed})"
    if weights != "random":
        path = repository.file("model.safetensors", "pytorch_model.bin")
        source = repository.origin(repository.fill(network, path, optional=OPTIONAL))
    moved(network, name, device)
    return network, source


def _create(name: str, stem: str, config: dict[str, Any], options: dict[str, Any], attention: str) -> Any:
    import transformers

    vision: Any = getattr(transformers, f"{stem}VisionConfig")
    unknown = [key for key in options if key not in vision().to_dict()]
    if unknown:
        raise InputError(
            f"backbone {name}: expected options of transformers' {vision.__name__}, got {', '.join(unknown)}; "
            "correct `options`"
        )
    described: Any = getattr(transformers, f"{stem}Config").from_dict(
        {**config, "vision_config": {**config["vision_config"], **options}}
    )
    described._attn_implementation = attention  # not the one in the file, which may name code of the hub
    return getattr(transformers, f"{stem}Model")(described)


def _language(name: str, repository: Repository, network: Any) -> Language:
    """CLIP's texts, and MaskCLIP's reading of its tokens.

    ASSUME: only the values, through the layer's output projection, the tower's last normalisation and the projection
    of images. MaskCLIP's text and the paper (appendix D.1) say no more; MaskCLIP's own code for ViT also adds the
    layer's input and its MLP, others' versions neither. Measured on zoo/clip, 40 scenes, tokens named one by one among
    16 classes: mIoU 7.7 % this way, 6.8 % with the input added, 5.3 % with the MLP after it, 3.1 % for final tokens.
    """
    layers = network.vision_model.encoder.layers
    last, attention = f"vision_model.encoder.layers.{len(layers) - 1}.self_attn", layers[-1].self_attn

    def project(features: Features) -> Float[Tensor, "image token channel"]:
        """The last layer's values through the head of the class token, as `Language.project`."""
        values = _last_values(name, last, features).to(attention.out_proj.weight)
        tokens = attention.out_proj(rearrange(values, "image head token channel -> image token (head channel)"))
        return network.visual_projection(network.vision_model.post_layernorm(tokens))

    return Language(embedder(repository, network), project, learned_scale(network))


def _last_values(name: str, last: str, features: Features) -> Float[Tensor, "image head token channel"]:
    """Raises `InputError` where the features do not hold them as the layer received them."""
    layer: Attention | None = next((layer for layer in features.layers if layer.name == last), None)
    if layer is None:
        got, help_ = f"{len(features.layers)} others", "let `layers` match it"
    elif layer.value is None:
        got, help_ = "only its queries and keys", "capture them, or capture with joint=True"
    elif layer.grid != features.final_grid:
        got, help_ = f"them interpolated from {features.final_grid} to {layer.grid}", "capture with joint=True"
    else:
        return layer.value
    raise InputError(f"backbone {name}: expected values of its last layer {last}, got {got}; {help_}")
