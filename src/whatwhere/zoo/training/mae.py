"""MAE: from a quarter of an image's patches, a light decoder paints the other three quarters.

After He et al., "Masked Autoencoders Are Scalable Vision Learners" (CVPR 2022); pixels of a patch are
normalised by the patch's own mean and deviation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from whatwhere.zoo.training.scenes import TrainingScenes, flip
from whatwhere.zoo.training.trainer import Trainer
from whatwhere.zoo.training.vit import MODEL_ARGS, export_timm, small_vit

MASKED = 0.75
SIDES_PX = (52, 112)
DECODER_WIDTH, DECODER_DEPTH, DECODER_HEADS = 96, 2, 3
PATCH, SIZE, WIDTH = MODEL_ARGS["patch_size"], MODEL_ARGS["img_size"], MODEL_ARGS["embed_dim"]
TOKENS = (SIZE // PATCH) ** 2


class Mae(Trainer):
    """timm's encoder, which is kept, and a decoder, which is not."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = small_vit()
        self.narrow = nn.Linear(WIDTH, DECODER_WIDTH)
        self.hidden = nn.Parameter(0.02 * torch.randn(1, 1, DECODER_WIDTH))
        self.places = nn.Parameter(0.02 * torch.randn(1, TOKENS, DECODER_WIDTH))
        blocks = (Block(DECODER_WIDTH, DECODER_HEADS, qkv_bias=True) for _ in range(DECODER_DEPTH))
        self.decoder = nn.Sequential(*blocks, nn.LayerNorm(DECODER_WIDTH), nn.Linear(DECODER_WIDTH, 3 * PATCH**2))

    def trained(self) -> nn.Module:
        """See `Trainer.trained`: encoder and decoder."""
        return self

    def losses(
        self, scenes: TrainingScenes, chosen: Int[np.ndarray, "image"], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Squared error of the hidden patches' normalised pixels; 1 is a guess of each patch's mean."""
        boxes = scenes.boxes(len(chosen), *SIDES_PX, generator=generator)
        pixels = flip(scenes.crops(chosen, boxes, SIZE), generator).to(self.device)
        order = torch.rand(len(chosen), TOKENS, generator=generator).argsort(1).to(self.device)
        kept = order[:, : round(TOKENS * (1 - MASKED))]
        painted = self._paint(self._encode(pixels, kept), kept)
        wanted = rearrange(pixels, "i c (r y) (s x) -> i (r s) (y x c)", y=PATCH, x=PATCH)
        wanted = (wanted - wanted.mean(-1, keepdim=True)) / (wanted.var(-1, keepdim=True) + 1e-6).sqrt()
        errors = ((painted.float() - wanted) ** 2).mean(-1)
        hidden = torch.ones_like(errors).scatter(1, kept, 0)
        return {"loss": (errors * hidden).sum() / hidden.sum()}

    def _encode(
        self, pixels: Float[Tensor, "image 3 y x"], kept: Int[Tensor, "image token"]
    ) -> Float[Tensor, "image token channel"]:
        """The encoder on the kept patches only; its class token goes along and is cut here."""
        vit: Any = self.encoder
        tokens = vit.patch_embed(pixels).flatten(1, 2) + vit.pos_embed[:, 1:]
        tokens = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[-1]))
        first = (vit.cls_token + vit.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        return vit.norm(vit.blocks(torch.cat([first, tokens], 1)))[:, 1:]

    def _paint(
        self, seen: Float[Tensor, "image token channel"], kept: Int[Tensor, "image token"]
    ) -> Float[Tensor, "image patch pixel"]:
        seen = self.narrow(seen)
        where = kept[..., None].expand(-1, -1, DECODER_WIDTH)
        canvas = self.hidden.to(seen.dtype).expand(len(seen), TOKENS, -1).scatter(1, where, seen)
        return self.decoder(canvas + self.places)

    def export(self, folder: Path) -> None:
        """See `Trainer.export`: the encoder, in timm's layout."""
        export_timm(self.encoder, folder, tag="whatwhere_mae")
