"""The capture contract: a record reproduces what the layer returned, for every architecture we claim."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import load_backbone
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.capture import as_batch, capture, record_attention

TINY = {"embed_dim": 24, "depth": 2, "num_heads": 3}


def images(height=64, width=64, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def timm_case(model, **options):
    backbone = load_backbone("tiny", model=model, weights="random", options=TINY | options)
    return backbone.model, lambda: backbone.run(backbone.prepare(images())), TINY["depth"]


def unet_case():
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=8,
        norm_num_groups=8,
    ).eval()
    latents, text = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 8)
    # one down, one mid, two up blocks with self- and cross-attention each
    return unet, lambda: unet(latents, 10, encoder_hidden_states=text), 8


def sd3_case():
    from diffusers import SD3Transformer2DModel

    model = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=3,
        joint_attention_dim=16,
        caption_projection_dim=24,
        pooled_projection_dim=16,
        out_channels=4,
        qk_norm="rms_norm",
    ).eval()
    given = {
        "encoder_hidden_states": torch.randn(2, 5, 16),
        "pooled_projections": torch.randn(2, 16),
        "timestep": torch.tensor([10, 10]),
    }
    return model, lambda: model(torch.randn(2, 4, 8, 8), **given), 2


def clip_case():
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=3,
        image_size=32,
        patch_size=8,
        attn_implementation="sdpa",
    )
    model = CLIPVisionModel(config).eval()
    return model, lambda: model(torch.randn(2, 3, 32, 32)), 2


CASES = {
    "vit": lambda: timm_case("vit_tiny_patch16_224"),
    "clip-timm": lambda: timm_case("vit_base_patch16_clip_224"),
    "dinov2": lambda: timm_case("vit_small_patch14_dinov2", img_size=64, patch_size=16),
    "dinov2-registers": lambda: timm_case("vit_small_patch14_reg4_dinov2", img_size=64, patch_size=16),
    "dinov3": lambda: timm_case("vit_small_patch16_dinov3"),
    "eva02": lambda: timm_case("eva02_tiny_patch14_224", patch_size=16, img_size=64),
    "siglip": lambda: timm_case("vit_base_patch16_siglip_224"),
    "clip-transformers": clip_case,
    "diffusers-unet": unet_case,
    "diffusers-sd3": sd3_case,
}


@pytest.mark.parametrize("case", CASES)
def test_record_reproduces_the_output(case):
    torch.manual_seed(0)
    model, run, expected_calls = CASES[case]()
    calls, _ = record_attention(model, run)
    assert len(calls) == expected_calls
    assert len({call.name for call in calls}) == len(calls)
    modules = dict(model.named_modules())
    for call in calls:
        attention = torch.softmax(call.query @ call.key.transpose(-1, -2) * call.scale, -1)
        torch.testing.assert_close(attention @ call.value, call.output, atol=1e-5, rtol=1e-5)
        assert call.name.split("#")[0] in modules


def test_capture_does_not_change_the_model():
    backbone = load_backbone("tiny", model="vit_tiny_patch16_224", weights="random", options=TINY)
    pixels = backbone.prepare(images())
    before = backbone.run(pixels)
    features = capture(backbone, images())
    assert torch.equal(before, features.final)
    assert torch.equal(before, backbone.run(pixels))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in backbone.model.modules())


@pytest.mark.parametrize("model", ["vit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"])
def test_prefix_tokens_are_cut_and_the_grid_follows_the_image(model):
    options = TINY | ({"patch_size": 16, "img_size": 64} if "dinov2" in model else {})
    backbone = load_backbone("tiny", model=model, weights="random", options=options)
    features = capture(backbone, images(height=96, width=64))
    assert features.final_grid == (6, 4)
    for layer in features.layers:
        assert layer.grid == (6, 4)
        assert layer.query.shape == layer.key.shape == layer.value.shape == (2, 3, 24, 8)


def test_cut_tokens_are_the_images_own():
    backbone = load_backbone("tiny", model="vit_tiny_patch16_224", weights="random", options=TINY)
    calls, _ = record_attention(backbone.model, lambda: backbone.run(backbone.prepare(images())))
    features = capture(backbone, images())
    assert [layer.name for layer in features.layers] == ["blocks.0.attn", "blocks.1.attn"]
    for call, layer in zip(calls, features.layers, strict=True):
        assert torch.equal(call.query[:, :, 1:], layer.query)  # one class token stands before the image's


def test_layers_are_selected_by_pattern():
    settings = {"model": "vit_tiny_patch16_224", "weights": "random", "options": TINY}
    chosen = load_backbone("tiny", layers=("blocks.1*",), **settings)
    assert [layer.name for layer in capture(chosen, images()).layers] == ["blocks.1.attn"]
    with pytest.raises(InputError, match=r"matching \['none'\].*blocks\.0\.attn"):
        capture(load_backbone("tiny", layers=("none",), **settings), images())


def test_cross_attention_is_dropped():
    unet, run, calls_expected = unet_case()
    backbone = Backbone(
        name="unet",
        model=unet,
        run=lambda pixels, seeds=None: run().sample.flatten(2).transpose(1, 2),
        image_tokens=lambda tokens: slice(0, tokens),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        patch_px=8,
        weights="random",
        excluded=("*.attn2",),
    )
    layers = capture(backbone, images()).layers
    assert len(layers) == calls_expected // 2
    assert all(layer.name.endswith("attn1") for layer in layers)
    assert {layer.grid for layer in layers} == {(8, 8), (4, 4)}


def test_a_layer_that_runs_twice_keeps_both_calls():
    class Attend(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Attend()

        def forward(self, x):
            return self.inner(self.inner(x))

    model = Twice()
    calls, _ = record_attention(model, lambda: model(torch.randn(1, 2, 4, 3)))
    assert [call.name for call in calls] == ["inner", "inner#2"]


def test_grouped_query_attention_is_expanded():
    q, kv = torch.randn(1, 4, 6, 8), torch.randn(1, 2, 6, 8)

    class Grouped(nn.Module):
        def forward(self, q, kv):
            return nn.functional.scaled_dot_product_attention(q, kv, kv, scale=0.3, enable_gqa=True)

    model = Grouped()
    (call,), output = record_attention(model, lambda: model(q, kv))
    again = torch.softmax(call.query @ call.key.transpose(-1, -2) * call.scale, -1) @ call.value
    assert call.scale == 0.3
    torch.testing.assert_close(again, output, atol=1e-5, rtol=1e-5)


def test_a_model_without_the_primitive_is_refused():
    model = nn.Conv2d(3, 4, 16, 16)
    backbone = Backbone(
        name="convolution",
        model=model,
        run=lambda pixels, seeds=None: model(pixels).flatten(2).transpose(1, 2),
        image_tokens=lambda tokens: slice(0, tokens),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        patch_px=16,
        weights="random",
    )
    with pytest.raises(InputError, match="scaled_dot_product_attention, got none"):
        capture(backbone, images())


def test_a_masked_layer_is_refused():
    class Causal(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.Conv2d(3, 8, 16, 16)

        def forward(self, x, _seeds=None):
            x = self.project(x).flatten(2).transpose(1, 2)
            return nn.functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], is_causal=True)[:, 0]

    model = Causal()
    backbone = Backbone("causal", model, model, lambda n: slice(0, n), (0.5,) * 3, (0.5,) * 3, 16, "random")
    with pytest.raises(InputError, match="without a mask"):
        capture(backbone, images())


# ------------------------------------------------------------------------------------------------- one image


def tiny():
    return load_backbone("tiny", model="vit_tiny_patch16_224", weights="random", options=TINY)


def test_one_image_is_a_batch_of_one():
    backbone, (first, _) = tiny(), images()
    alone, batch = capture(backbone, first), capture(backbone, first[None])
    assert alone.final.shape == batch.final.shape == (1, 16, 24)
    for one, other in zip(alone.layers, batch.layers, strict=True):
        assert torch.equal(one.query, other.query)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("photo.jpg", "got str; read_image reads a file"),
        (np.zeros((64, 64, 3), np.float32), r"got float32 \[64, 64, 3\]"),
        (np.zeros((64, 64), np.uint8), r"got uint8 \[64, 64\]"),
        (np.zeros((3, 64, 64), np.uint8), r"got uint8 \[3, 64, 64\]"),
        (np.zeros((60, 64, 3), np.uint8), r"multiples of 16 px, the patches of tiny, got 60 × 64; view_image brings"),
    ],
)
def test_what_is_no_image_is_one_line(given, words):
    with pytest.raises(InputError, match=words) as caught:
        as_batch(given, tiny())
    assert "\n" not in str(caught.value)


def test_what_the_steps_answer_is_printed_in_a_line():
    from whatwhere.steps import cluster, orthogonalise, random_walk, solve

    backbone = tiny()
    features = capture(backbone, images())
    walks = random_walk(features)
    solution = solve(walks, vectors=4)
    regions = cluster(orthogonalise(solution.vectors), candidates=[2, 3])
    expected = [
        (backbone, r"Backbone\(tiny: 0\.0 M parameters, patches of 16 px; .*\)"),
        (features, r"Features\(2 images, 2 layers: blocks\.0\.attn … blocks\.1\.attn; final 4 × 4 × 24\)"),
        (features.layers[0], r"Attention\(blocks\.0\.attn: 3 heads, 4 × 4 tokens, 8 channels, 2 images\)"),
        (walks, r"Walks\(6 graphs of 2 layers, 4×4\)"),
        (walks.layers[0], r"LayerWalk\(blocks\.0\.attn: 3 heads, 4 × 4 tokens, normalised\)"),
        (walks.folds[0], r"Fold\(4 × 4 tokens, eigenvalues at most 1\)"),
        (solution, r"Solution\(4 vectors on 4 × 4 tokens, values \S+ … \S+; .*\)"),
        (regions, r"Regions\([23] of 16 tokens; silhouettes \{2: \S+, 3: \S+\}\)"),
    ]
    for what, pattern in expected:
        assert re.fullmatch(pattern, repr(what)), repr(what)
