"""The catalogue: what a preset's name stands for, and each of its architectures at tiny size in the hub's layout."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from whatwhere.app.segment import segment_photos
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import PRESETS, Preset, load_backbone
from whatwhere.backbones.capture import capture, record_attention
from whatwhere.backbones.catalogue import PAPER, near
from whatwhere.backbones.weights import NotCachedError
from whatwhere.datasets.images import View, view_size
from whatwhere.zoo import members

#: Self-attention layers where there are not twelve.
LAYERS = {"zoo-dino": 6, "zoo-mae": 6, "zoo-clip": 6, "zoo-diffusion": 7}
TIMM = [name for name, preset in PRESETS.items() if "/" not in preset.model and preset.model != "stego"]
#: A smaller network of each kind; sides of the heads stay multiples of four, which rotary positions need.
SMALL = {"embed_dim": 24, "depth": 2, "num_heads": 3}


@pytest.fixture(autouse=True)
def no_hub(tmp_path, monkeypatch):
    """An empty cache, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def images(height=32, width=32, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


# What a name stands for


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_whole(name):
    preset = PRESETS[name]
    assert preset.licence
    assert "\n" not in preset.note
    assert preset.revision == "main" or re.fullmatch(r"[0-9a-f]{40}", preset.revision)
    multiple = 64 if preset.model.count("/") and not preset.model.startswith("zoo/") else 14
    assert view_size(View(*preset.view), 100, 150)[0] == preset.view[1]
    assert preset.view[0] == "short_side" or preset.view[1] % multiple == 0
    assert set(preset.settings()) == {"model", "revision", "weights", "upsample", "layers", "options"}


@pytest.mark.parametrize("name", TIMM)
def test_licences_are_those_that_timm_notes(name):
    preset = PRESETS[name]
    assert timm.is_model_pretrained(preset.model) or preset.weights == "random"
    if preset.weights != "random":
        assert timm.models.get_pretrained_cfg(preset.model).license == preset.licence


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_built_and_captured_or_says_that_it_must_be_fetched(name):
    preset = PRESETS[name]
    if name.startswith("zoo-") and name.removeprefix("zoo-") not in members():
        pytest.skip(f"{name} is not shipped yet")
    if "/" in preset.model and not preset.model.startswith("zoo/"):
        with pytest.raises(NotCachedError, match="not in the hub's cache"):
            load_backbone(name, weights="random", device="meta", download=False)
        return
    backbone = load_backbone(name, weights="random", device="meta")
    assert (backbone.size_px, backbone.upsample) == (preset.view[1], preset.upsample)
    side = 2 * backbone.patch_px
    features = capture(replace(backbone, upsample=1), np.zeros((1, side, side, 3), np.uint8))
    assert len(features.layers) == LAYERS.get(name, 12)
    assert {layer.grid for layer in features.layers} >= {(2, 2)}


def test_the_papers_images_are_shown_as_in_appendix_b():
    shown = {name: preset.shown() for name, preset in PAPER.items()}
    assert shown == {
        "stable-diffusion-v1-4": "square 512",
        "clip-vit-b16": "short side 448",
        "dino-vits16": "short side 448",
        "dino-vitb8": "short side 448",
        "mae-vitb16": "short side 224, upsampled ×2",
        "stego": "short side 320",
        "groupvit": "short side 448",
    }
    assert Preset("m", "l", ("none", 1)).shown() == "own size"
    mae = load_backbone("mae-vitb16", weights="random", options=SMALL)
    photo = view_size(View("short_side", mae.size_px, mae.patch_px), 300, 400)
    seen = capture(mae, np.zeros((1, *photo, 3), np.uint8)).layers
    dino = view_size(View("short_side", 448, 16), 300, 400)
    assert {layer.grid for layer in seen} == {(dino[0] // 16, 2 * (photo[1] // 16))} == {(28, 38)}


def test_a_presets_values_are_defaults():
    small = {"options": SMALL, "weights": "random"}
    here = load_backbone("mae-vitb16", **small)
    there = load_backbone("mine", model="mae-vitb16", **small)
    assert (there.name, there.upsample, there.size_px) == ("mine", 2, 224)
    assert all(torch.equal(a, b) for a, b in zip(here.model.parameters(), there.model.parameters(), strict=True))
    assert load_backbone("mae-vitb16", upsample=3, **small).upsample == 3
    assert load_backbone("mae-vitb16", layers=("blocks.1.*",), **small).layers == ("blocks.1.*",)
    assert load_backbone("mae-vitb16", upsample=None, layers=None, **small).upsample == 2  # None: not given
    assert load_backbone("untrained-vits16", options=SMALL).weights == "random (seed 0)"
    other = load_backbone("mae-vitb16", model="vit_tiny_patch16_224", **small)  # only a name
    assert (other.upsample, other.size_px) == (1, 448)


def test_segment_shows_photos_as_the_preset_says(tmp_path, monkeypatch):
    Image.fromarray(images(60, 90, 1)[0]).save(tmp_path / "photo.png")
    choice = {"vectors": 3, "clusters": 2, "pathway": "qk", "solver": "exact", "seed": 0, "report": lambda _: None}
    grids = {("short_side", 64): (4, 6), ("square", 48): (3, 3)}
    for i, (view, grid) in enumerate(grids.items()):
        preset = Preset("vit_tiny_patch16_224", "none", view, weights="random", upsample=i + 1, options=SMALL)
        monkeypatch.setitem(PRESETS, "mine", preset)
        photos, out = [tmp_path / "photo.png"], tmp_path / view[0]
        assert not segment_photos(photos, out, backbone="mine", backbone_settings={}, size_px=None, **choice)
        found = np.load(out / "photo.npz")
        assert found["vectors"].shape[:2] == tuple((i + 1) * side for side in grid)
        assert found["labels"].shape == (60, 90)


def test_revisions_reach_the_hub():
    with pytest.raises(InputError, match=rf"timm/{PRESETS['dinov2-vits14'].model}@{'4610ca14'}"):
        load_backbone("dinov2-vits14", weights="hub")
    with pytest.raises(InputError, match=r"CompVis/stable-diffusion-v1-4@133a221b"):
        load_backbone("stable-diffusion-v1-4")
    with pytest.raises(InputError, match="openai/clip-vit-base-patch16@v7"):
        load_backbone("clip-vit-b16", revision="v7")


def test_a_misspelt_name_is_answered_with_near_ones():
    with pytest.raises(InputError, match=r"got 'clip-vitb16'; near it are clip-vit-b16") as caught:
        load_backbone("clip-vitb16")
    assert "\n" not in str(caught.value)
    assert near("stable-difusion-1-4")[0] == "stable-diffusion-v1-4"
    assert near("CompVis/stable-diffusion-1-4")[0] == "stable-diffusion-v1-4"
    assert near("qqq") == []


@pytest.mark.parametrize("upsample", [0, -1, 1.5, True, "2"])
def test_upsample_is_a_whole_number(upsample):
    with pytest.raises(InputError, match="expected `upsample` as a whole number from 1"):
        load_backbone("dino-vits16", weights="random", device="meta", upsample=upsample)


# Its architectures, as the hub keeps them


def write_timm(folder, preset):
    """A small network of a preset's architecture, in timm's layout."""
    architecture, _, tag = preset.model.partition(".")
    network = timm.create_model(preset.model, pretrained=False, num_classes=0, img_size=56, **SMALL)
    for parameter in network.parameters():  # else what starts at zero (register tokens, layer scales) shows nothing
        torch.nn.init.normal_(parameter, std=0.2)
    save_file(network.state_dict(), folder / "model.safetensors")
    described = {"tag": tag, **{key: network.pretrained_cfg[key] for key in ("mean", "std")}}
    config = {"architecture": architecture, "num_classes": 0, "model_args": {**SMALL, "img_size": 56}}
    (folder / "config.json").write_text(json.dumps({**config, "pretrained_cfg": described}))


def write_contrastive(folder, kind):
    """A small CLIP or SigLIP, in transformers' layout."""
    import transformers

    sizes = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    vision = {**sizes, "image_size": 56, "patch_size": 14}
    text = {**sizes, "vocab_size": 50, "bos_token_id": 48, "eos_token_id": 49, "pad_token_id": 49}
    config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=vision)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    preprocessing = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """A repository for each architecture; read only."""
    folder = tmp_path_factory.mktemp("repositories")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name in TIMM:
            (folder / name).mkdir()
            write_timm(folder / name, PRESETS[name])
        for kind in ("CLIP", "Siglip"):
            (folder / kind).mkdir()
            write_contrastive(folder / kind, kind)
    return folder


ARCHITECTURES = [*TIMM, "CLIP", "Siglip"]
#: Class and register tokens before the image's.
BEFORE = {"dinov2-vits14-reg": 5, "dinov3-vits16": 5, "siglip-vitb16": 0, "Siglip": 0}


def wide(backbone):
    """Images of 3 × 5 patches."""
    return images(3 * backbone.patch_px, 5 * backbone.patch_px)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_only_the_images_own_tokens_are_captured_on_its_own_grid(repositories, name):
    backbone = load_backbone("tiny", model=str(repositories / name))
    features = capture(backbone, wide(backbone))
    assert len(features.layers) == 2  # and no attention pool
    assert {layer.grid for layer in features.layers} == {features.final_grid} == {(3, 5)}
    calls, _ = record_attention(backbone.model, lambda: backbone.run(backbone.prepare(wide(backbone))))
    inside = {call.name: call for call in calls}
    for layer in features.layers:
        call, before = inside[layer.name], BEFORE.get(name, 1)
        assert call.query.shape[-2] == before + 15
        assert torch.equal(layer.query, call.query[..., before:, :])
        assert torch.equal(layer.value, call.value[..., before:, :])
    assert features.final.shape == (2, 15, 24)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_record_reproduces_what_its_layer_returned(repositories, name):
    backbone = load_backbone("tiny", model=str(repositories / name))
    layers = {layer.name for layer in capture(backbone, wide(backbone)).layers}
    calls, _ = record_attention(backbone.model, lambda: backbone.run(backbone.prepare(wide(backbone))))
    recorded = [call for call in calls if call.name in layers]
    assert len(recorded) == 2
    for call in recorded:
        attention = torch.softmax(call.query @ call.key.transpose(-1, -2) * call.scale, -1)
        torch.testing.assert_close(attention @ call.value, call.output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", TIMM)
def test_final_features_are_timms_own(repositories, name):
    backbone = load_backbone("tiny", model=str(repositories / name))
    model = PRESETS[name].model
    theirs = timm.create_model(model, num_classes=0, img_size=56, dynamic_img_size=True, **SMALL).eval()
    theirs.load_state_dict(load_file(repositories / name / "model.safetensors"))
    assert {"mean": backbone.mean, "std": backbone.std}.items() <= theirs.pretrained_cfg.items()
    with torch.no_grad():
        expected = theirs.forward_features(backbone.prepare(wide(backbone)))[:, BEFORE.get(name, 1) :]
    torch.testing.assert_close(capture(backbone, wide(backbone)).final, expected, atol=1e-5, rtol=1e-5)


def test_siglips_features_are_its_vision_towers(repositories):
    from transformers import SiglipModel

    theirs = SiglipModel.from_pretrained(repositories / "Siglip").eval().vision_model
    backbone = load_backbone("tiny", model=str(repositories / "Siglip"))
    assert (backbone.mean, backbone.std, backbone.patch_px) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 14)
    with torch.no_grad():
        pixels = backbone.prepare(wide(backbone))
        expected = theirs(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(capture(backbone, wide(backbone)).final, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["mae-vitb16", "CLIP"])
def test_upsampling_interpolates_queries_keys_and_values_bicubically(repositories, name):
    coarse = load_backbone("tiny", model=str(repositories / name))
    fine = load_backbone("tiny", model=str(repositories / name), upsample=2)
    assert fine.upsample == 2
    before, after = (capture(backbone, wide(backbone)) for backbone in (coarse, fine))
    assert torch.equal(before.final, after.final)
    for old, new in zip(before.layers, after.layers, strict=True):
        assert (old.grid, new.grid) == ((3, 5), (6, 10))
        for part in ("query", "key", "value"):
            planes = getattr(old, part).transpose(-1, -2).unflatten(-1, (3, 5)).flatten(0, 1)
            expected = torch.nn.functional.interpolate(planes, (6, 10), mode="bicubic")
            found = getattr(new, part).transpose(-1, -2).unflatten(-1, (6, 10)).flatten(0, 1)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
