"""Texts as models read them: tokenizers from a repository's files, and embeddings of whole sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.repository import Repository
from whatwhere.backbones.weights import first_line

#: Texts in one pass of a text tower.
BATCH_TEXTS = 128
#: CLIP's training keeps the factor of its cosines below this; GroupViT's authors cut it off in evaluation too.
SHARPEST = 100.0


def read_tokenizer(repository: Repository, folder: str = "", *, t5: bool = False) -> Any:
    """CLIP's tokenizer, or T5's, from the files in a folder of the repository; nothing of them is executed.

    Raises `InputError` where one is missing or damaged.
    """
    from transformers import CLIPTokenizer, T5Tokenizer

    kind: Any = T5Tokenizer if t5 else CLIPTokenizer
    place = _fetched(repository, f"{folder}/" if folder else "", words=not t5)
    try:
        return kind.from_pretrained(str(place))
    except Exception as error:  # the tokenizer's reader reports damage with many types
        raise _damaged(repository, place, first_line(error)) from error


def token_ids(
    repository: Repository, tokenizer: Any, texts: Sequence[str], *, vocabulary: int, length: int | None = None
) -> Int[Tensor, "text token"]:
    """The numbers of the texts' tokens, filled up to `length`, or else to the longest text.

    Raises `InputError` where the tokenizer is another model's, whose table has `vocabulary` tokens.
    """
    fill = {"padding": "max_length", "max_length": length} if length else {"padding": True}
    try:
        ids = tokenizer(list(texts), **fill, return_tensors="pt").input_ids
        fault = f"token {int(ids.max())} of {vocabulary}" if ids.max() >= vocabulary else None
    except Exception as error:
        fault = first_line(error)
    if fault:
        raise _damaged(repository, tokenizer.name_or_path, fault)
    return ids


def embedder(repository: Repository, model: Any) -> Callable[[Sequence[str]], Float[Tensor, "text channel"]]:
    """`Language.embed` of a CLIP-like model: its text tower's pooled state in the joint space, at unit length.

    The text tower looks only back, so that it makes no difference how far a text is filled up.
    """
    config = model.config.text_config
    tokenizer = cache(lambda: read_tokenizer(repository))

    def embed(texts: Sequence[str]) -> Float[Tensor, "text channel"]:
        """See `Language.embed`; raises `InputError` for no texts at all and for one that is too long."""
        if not texts:
            raise InputError(f"model {repository.name}: expected texts to embed, got none")
        ids = token_ids(repository, tokenizer(), texts, vocabulary=config.vocab_size)
        for text in texts:
            _check_whole(tokenizer(), text, config.max_position_embeddings)
        with torch.no_grad():
            batches = ids.to(model.logit_scale.device).split(BATCH_TEXTS)
            pooled = [model.text_model(input_ids=batch).pooler_output for batch in batches]
            return F.normalize(model.text_projection(torch.cat(pooled)), dim=-1)

    return embed


def learned_scale(model: Any) -> float:
    """`Language.scale` of a CLIP-like model, which learns its logarithm."""
    scale = model.logit_scale
    return float("nan") if scale.is_meta else min(float(scale.exp()), SHARPEST)


def _check_whole(tokenizer: Any, text: str, longest: int) -> None:
    """Raises `InputError` for a text of which the model would read only the beginning."""
    ids = tokenizer(text).input_ids
    if len(ids) > longest:
        raise InputError(f"text {text!r}: expected at most {longest} tokens, got {len(ids)}; shorten it")
    end = tokenizer.eos_token_id  # also what a tokenizer of few letters makes of the others; the tower stops at it
    if any(token != end for token in ids[ids.index(end) if end in ids else 0 :]):
        raise InputError(
            f"text {text!r}: expected letters that the model's tokenizer knows, got others before its end; reword it"
        )


def _damaged(repository: Repository, place: Path | str, fault: str) -> InputError:
    return InputError(
        f"model {repository.name}: expected the text encoder's tokenizer in {place}, got {fault}; fetch it again"
    )


def _fetched(repository: Repository, folder: str, *, words: bool) -> Path:
    """The tokenizer's folder with all its files; `words`: it may be in two files, as CLIP's first were."""
    newest = f"{folder}tokenizer.json"
    if repository.file(newest, *([f"{folder}merges.txt"] if words else [])).name == "merges.txt":
        repository.file(f"{folder}vocab.json")
    with suppress(InputError):  # older tokenizers say in a file of its own what fills a text up; others have none
        repository.file(f"{folder}special_tokens_map.json")
    return repository.file(f"{folder}tokenizer_config.json").parent
