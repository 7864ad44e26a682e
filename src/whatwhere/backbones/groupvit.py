"""GroupViT (Xu et al., CVPR 2022) in transformers' layout: a rival that was trained to segment by texts (Table 7).

Between its layers, group tokens take the image's tokens for themselves, and the groups go on in their place: 784
tokens of an image of 448 px become 64 groups, then 8. Naming every token by its last group is GroupViT's own
segmentation. Its attention does not call torch's primitive, so that none of its layers can be read.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.backbone import Backbone, Language
from whatwhere.backbones.contrastive import read_model
from whatwhere.backbones.repository import Repository, channel_numbers
from whatwhere.backbones.texts import embedder, learned_scale

#: Its type in config.json.
KIND = "groupvit"


def load(
    name: str,
    *,
    repository: Repository,
    weights: str = "hub",
    seed: int = 0,
    layers: tuple[str, ...] = (),
    options: dict[str, Any] | None = None,
    device: str = "cpu",
) -> Backbone:
    """A `GroupViTModel`; positions are interpolated bicubically to other image sizes.

    The final features are, for each token, the embedding of the group that it belongs to, in the space that groups
    share with texts; `language.project` answers them as they are. `options` override keys of the vision tower's
    configuration.

    Raises `InputError` for `layers` to read, a damaged file, or weights that do not fit.
    """
    if layers:
        raise InputError(
            f"backbone {name}: expected no `layers`, as GroupViT's attention is not torch's "
            f"scaled_dot_product_attention, got {list(layers)}; leave them out"
        )
    config = repository.read_json("config.json")
    # the text tower masks what comes later itself, and only in this implementation
    network, source = read_model(
        name,
        "GroupViT",
        config,
        repository,
        weights=weights,
        seed=seed,
        options=options or {},
        device=device,
        attention="eager",
    )
    vision = network.config.vision_config
    if not any(vision.num_group_tokens):
        raise InputError(
            f"backbone {name}: expected stages that group, got num_group_tokens {list(vision.num_group_tokens)} in "
            "config.json; the configuration is damaged"
        )
    preprocessing = repository.read_json("preprocessor_config.json")
    return Backbone(
        name=name,
        model=network,
        run=lambda pixels, _seeds=None: _token_embeddings(network, pixels),
        image_tokens=lambda tokens: slice(0, tokens),
        mean=channel_numbers(name, preprocessing, "image_mean"),
        std=channel_numbers(name, preprocessing, "image_std"),
        patch_px=int(vision.patch_size),
        size_px=2 * int(vision.image_size),
        weights=source,
        layers=(),
        language=Language(embedder(repository, network), lambda features: features.final, learned_scale(network)),
    )


def _token_embeddings(network: Any, pixels: Float[Tensor, "image 3 y x"]) -> Float[Tensor, "image token channel"]:
    """Of each token its group's last state in the joint space."""
    vision = network.vision_model
    # by its parts: the tower as a whole does not interpolate positions
    tokens = vision.embeddings(pixels, interpolate_pos_encoding=True)
    grouped = vision.encoder(tokens, output_hidden_states=False, output_attentions=True, return_dict=True)
    states = vision.layernorm(grouped.last_hidden_state)
    embeddings = network.visual_projection(states.flatten(0, 1)).unflatten(0, states.shape[:2])
    return torch.take_along_dim(embeddings, group_of_tokens(grouped.attentions)[..., None], dim=1)


def group_of_tokens(stages: tuple[Float[Tensor, "image _ _"], ...]) -> Int[Tensor, "image token"]:
    """The group of the last stage that holds most of each token; a stage: `[image, group, token or earlier group]`.

    A stage shares every token out among its groups; over several stages the shares multiply. ASSUME: the greatest
    share at the tokens' own resolution; the authors first interpolate the shares to pixels.
    """
    return reduce(lambda after, before: after @ before, reversed(stages)).argmax(dim=1)
