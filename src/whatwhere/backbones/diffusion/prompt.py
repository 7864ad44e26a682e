"""The empty prompt, read by a pipeline's own tokenizers and text encoders."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from whatwhere.backbones.diffusion.family import Family, Prompt
from whatwhere.backbones.repository import Repository, moved
from whatwhere.backbones.weights import first_line
from whatwhere.errors import InputError


def empty_prompt(name: str, repository: Repository, network: Any, family: Family, device: str) -> Prompt:
    """What the denoiser is told. A T5 is let go afterwards: it has billions of weights and is not needed again.

    ASSUME: no words, as the text encoders read them, for every family, also where training left texts out by zeros.

    Raises `InputError` where a tokenizer is damaged or of another model, or the device is none.
    """

    def read(part: str, tokens: int | None = None) -> Any:
        encoder = network.get_submodule(part)
        ids = _token_ids(repository, part.replace("text_encoder", "tokenizer"), encoder.config, tokens)
        moved(encoder, name, device)
        return encoder(ids.to(encoder.device), output_hidden_states=True)

    with torch.no_grad():
        prompt = family.prompt(network, read)
    for part in [part for part, kind in family.parts.items() if kind == "T5EncoderModel" and hasattr(network, part)]:
        delattr(network, part)
    return prompt


def _token_ids(repository: Repository, folder_name: str, config: Any, tokens: int | None) -> Int[Tensor, "1 token"]:
    """The token numbers of no words at all, as long as a CLIP reads, or `tokens` for T5."""
    from transformers import CLIPTokenizer, T5Tokenizer

    kind: Any = T5Tokenizer if config.model_type == "t5" else CLIPTokenizer
    folder = _fetched(repository, folder_name, words=kind is CLIPTokenizer)
    try:
        tokenizer = kind.from_pretrained(str(folder))
        longest = tokens or config.max_position_embeddings
        ids = tokenizer("", padding="max_length", max_length=longest, return_tensors="pt").input_ids
        fault = f"token {int(ids.max())} of {config.vocab_size}" if ids.max() >= config.vocab_size else None
    except Exception as error:  # the tokenizer's reader reports damage with many types
        fault = first_line(error)
    if fault:
        raise InputError(
            f"model {repository.name}: expected the text encoder's tokenizer in {folder}, got {fault}; fetch it again"
        )
    return ids


def _fetched(repository: Repository, name: str, *, words: bool) -> Path:
    """The tokenizer's folder with all its files; `words`: it may be in two files, as CLIP's first were."""
    newest = f"{name}/tokenizer.json"
    if repository.file(newest, *([f"{name}/merges.txt"] if words else [])).name == "merges.txt":
        repository.file(f"{name}/vocab.json")
    with suppress(InputError):  # older tokenizers say in a file of its own what fills a text up; others have none
        repository.file(f"{name}/special_tokens_map.json")
    return repository.file(f"{name}/tokenizer_config.json").parent
