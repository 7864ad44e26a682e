"""The empty prompt, read by a pipeline's own tokenizers and text encoders."""

from __future__ import annotations

from typing import Any

import torch

from whatwhere.backbones.diffusion.family import Family, Prompt
from whatwhere.backbones.repository import Repository, moved
from whatwhere.backbones.texts import read_tokenizer, token_ids


def empty_prompt(name: str, repository: Repository, network: Any, family: Family, device: str) -> Prompt:
    """What the denoiser is told. A T5 is let go afterwards: it has billions of weights and is not needed again.

    ASSUME: no words, as the text encoders read them, for every family, also where training left texts out by zeros.

    Raises `InputError` where a tokenizer is damaged or of another model, or the device is none.
    """

    def read(part: str, tokens: int | None = None) -> Any:
        """What a text encoder answers to no words."""
        encoder = network.get_submodule(part)
        folder, config = part.replace("text_encoder", "tokenizer"), encoder.config
        tokenizer = read_tokenizer(repository, folder, t5=config.model_type == "t5")
        longest = tokens or config.max_position_embeddings
        ids = token_ids(repository, tokenizer, [""], vocabulary=config.vocab_size, length=longest)
        moved(encoder, name, device)
        return encoder(ids.to(encoder.device), output_hidden_states=True)

    with torch.no_grad():
        prompt = family.prompt(network, read)
    for part in [part for part, kind in family.parts.items() if kind == "T5EncoderModel" and hasattr(network, part)]:
        delattr(network, part)
    return prompt
