"""The tokenizer of the zoo's text encoders: CLIP's class with a vocabulary learned from the captions."""

from __future__ import annotations

import json
from string import ascii_lowercase
from typing import Any

from tokenizers import trainers
from transformers import CLIPTokenizer

from whatwhere.scenes.world import CLASSES

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
LONGEST_TOKENS = 64


def prompt(names: list[str]) -> str:
    """What CLIP is asked, and trained with: "a photo of a car", "a photo of a car, a sky"."""
    return "a photo of " + ", ".join(f"a {name}" for name in names)


def learn_tokenizer(captions: list[str], vocabulary: int = 400) -> CLIPTokenizer:
    """Byte-pair encoding of the captions and of every class's name; the same captions give the same tokens."""
    alphabet = list(ascii_lowercase + ",'")
    backend = CLIPTokenizer(vocab={BEGIN: 0, END: 1}, merges=[]).backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        # a word's last letters are numbered here, as the trainer would number them in an order of chance, by
        # which it then chooses among pairs that are equally frequent
        special_tokens=[BEGIN, END, *(f"{letter}</w>" for letter in alphabet)],
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    backend.train_from_iterator([*captions, prompt(list(CLASSES))], trainer)
    learned = json.loads(backend.to_str())["model"]
    merges: Any = [tuple(pair) for pair in learned["merges"]]
    return CLIPTokenizer(vocab=learned["vocab"], merges=merges, model_max_length=LONGEST_TOKENS)
