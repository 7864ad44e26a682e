"""CLIP: images and sentences meet in one space, by the symmetric InfoNCE loss.

After Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021),
with transformers' own `CLIPModel` and tokenizer.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from whatwhere.zoo.training import pairs
from whatwhere.zoo.training.scenes import TrainingScenes
from whatwhere.zoo.training.trainer import Trainer
from whatwhere.zoo.training.vit import MEAN, STD
from whatwhere.zoo.training.words import LONGEST_TOKENS

SIZE_PX = 64
VISION = {
    "hidden_size": 160,
    "intermediate_size": 640,
    "num_hidden_layers": 6,
    "num_attention_heads": 5,
    "image_size": SIZE_PX,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": LONGEST_TOKENS,
}
PROJECTION = 96
#: Greatest factor on the cosines, as in the paper.
SHARPEST = 100.0


def text_ids(tokenizer: CLIPTokenizer) -> dict[str, Any]:
    """What a text encoder's configuration needs to know of its tokenizer."""
    end = tokenizer.eos_token_id
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": end,
        "pad_token_id": end,
    }


class Clip(Trainer):
    """transformers' model, both towers in training, and the tokenizer of the scenes' captions."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        config = CLIPConfig(
            text_config={**TEXT, **text_ids(tokenizer)}, vision_config=VISION, projection_dim=PROJECTION
        )
        self.model = CLIPModel(config).train()

    def trained(self) -> nn.Module:
        """See `Trainer.trained`: both towers."""
        return self.model

    def losses(
        self, scenes: TrainingScenes, chosen: Int[np.ndarray, "image"], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """InfoNCE over the batch in both directions; `chosen_right` is how often an image's own text wins.

        ASSUME: a prompt that is also true of another image of the batch is left out there, as its pair is
        not a negative; the paper's batches are of captions that rarely repeat.
        """
        batch = pairs.draw(scenes, chosen, SIZE_PX, generator)
        words = self.tokenizer(batch.texts, padding=True, truncation=True, return_tensors="pt").to(self.device)
        found = self.model(**words, pixel_values=batch.pixels.to(self.device))
        cosines = found.image_embeds.float() @ found.text_embeds.float().T
        logits = cosines * self.model.logit_scale.float().exp().clamp(max=SHARPEST)
        logits = logits.masked_fill(also_true(batch).to(self.device), float("-inf"))
        own = torch.arange(len(chosen), device=self.device)
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        return {"loss": loss, "chosen_right": (logits.argmax(1) == own).float().mean()}

    def export(self, folder: Path) -> None:
        """A repository of transformers' layout: configuration, float16 weights, tokenizer, preprocessing."""
        copy.deepcopy(self.model).half().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        preprocessing = {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": SIZE_PX},
            "crop_size": {"height": SIZE_PX, "width": SIZE_PX},
            "image_mean": MEAN,
            "image_std": STD,
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=1) + "\n", "utf-8")


def also_true(batch: pairs.Pairs) -> Bool[Tensor, "image text"]:
    """Where a prompt of classes is true of another image than its own."""
    false = batch.named.float() @ (~batch.present).float().T > 0  # text i names a class absent from image j
    repeated = ~false & batch.is_prompt[:, None]
    return repeated.T & ~torch.eye(len(batch.texts), dtype=torch.bool)
