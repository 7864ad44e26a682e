"""Texts and image tokens in one space: CLIP's texts as transformers embeds them, MaskCLIP's tokens by hand."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from whatwhere.app.show import describe
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store
from whatwhere.backbones import load_backbone, texts
from whatwhere.backbones.capture import capture
from whatwhere.backbones.features import Features
from whatwhere.datasets.images import View
from whatwhere.datasets.record import Dataset, Record
from whatwhere.evaluate.zeroshot import TEMPLATES, region_features, text_embeddings
from whatwhere.scenes.render import render
from whatwhere.scenes.world import CLASSES
from whatwhere.stages.features import extract
from whatwhere.stages.images import write_images
from whatwhere.zoo.training.words import learn_tokenizer

WORDS = ["a red car", "a view of the sea", "a car", "the red sea"]
LAST = "vision_model.encoder.layers.1.self_attn"


@pytest.fixture(scope="module")
def tokenizer():
    return learn_tokenizer(["a red car on a road", "a view of the sea"], vocabulary=120)


def write_clip(folder, tokenizer, *, heads=3, positions=12):
    from transformers import CLIPConfig, CLIPModel

    end = tokenizer.eos_token_id
    sizes = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": heads}
    ids = {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id, "eos_token_id": end}
    text = {**sizes, **ids, "pad_token_id": end, "max_position_embeddings": positions}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
        for parameter in model.parameters():  # else biases are zero, and which is left out does not show
            if parameter.ndim:
                torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.3] * 3}))


@pytest.fixture(scope="module")
def original(tmp_path_factory, tokenizer):
    """A tiny CLIP with every file; read only."""
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder, tokenizer)
    return folder


@pytest.fixture
def folder(tmp_path, tokenizer):
    """One that a test may change."""
    write_clip(tmp_path, tokenizer)
    return tmp_path


def load(folder, **settings):
    return load_backbone("tiny", model=str(folder), **settings)


def images(height=32, width=32, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def transformers_own(folder):
    from transformers import CLIPModel, CLIPTokenizer

    return CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(str(folder))


# Texts


def test_texts_are_embedded_as_transformers_does_at_unit_length(original):
    model, tokenizer = transformers_own(original)
    with torch.no_grad():
        ids = tokenizer(WORDS, padding="max_length", max_length=12, return_tensors="pt")
        expected = F.normalize(model.get_text_features(**ids).pooler_output, dim=-1)
    found = load(original).language.embed(WORDS)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(4))
    assert not found.requires_grad


def test_a_text_is_embedded_alike_whatever_stands_beside_it(original, monkeypatch):
    embed = load(original).language.embed
    together = embed(WORDS)
    monkeypatch.setattr(texts, "BATCH_TEXTS", 3)
    torch.testing.assert_close(embed(WORDS), together, atol=1e-5, rtol=1e-5)
    for i, word in enumerate(WORDS):
        torch.testing.assert_close(embed([word])[0], together[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["a car", "car " * 11], r"text 'car car .*': expected at most 12 tokens, got 13; shorten it"),
        (["the 3 cars"], r"text 'the 3 cars': expected letters that the model's tokenizer knows"),
        ([], "expected texts to embed, got none"),
    ],
)
def test_a_text_that_would_not_be_read_whole_is_refused(original, words, fault):
    with pytest.raises(InputError, match=fault) as caught:
        load(original).language.embed(words)
    assert "\n" not in str(caught.value)


def test_the_longest_text_and_a_foreign_mark_at_its_end_are_read(original):
    embed = load(original).language.embed
    assert embed(["car " * 10]).shape == (1, 8)
    torch.testing.assert_close(embed(["a car."]), embed(["a car"]))


def test_the_old_layout_of_a_tokenizer_reads_alike(original, folder):
    learned = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(learned["vocab"]))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, learned["merges"]), ""]))
    torch.testing.assert_close(load(folder).language.embed(WORDS), load(original).language.embed(WORDS))


def other_vocabulary(folder):
    """The tokenizer of a model with more words."""
    learn_tokenizer(["many other words, long and short, of another model"] * 2, vocabulary=300).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 9
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), r"expected tokenizer\.json or merges\.txt in"),
        (lambda f: (f / "tokenizer_config.json").unlink(), r"expected tokenizer_config\.json in"),
        (
            lambda f: (f / "tokenizer.json").write_text('{"version": '),
            "expected the text encoder's tokenizer in .*, got",
        ),
        (other_vocabulary, r"expected the text encoder's tokenizer in .*, got token \d+ of 9; fetch it again"),
    ],
)
def test_a_damaged_tokenizer_shows_with_the_first_text_only(folder, spoil, fault):
    spoil(folder)
    backbone = load(folder, weights="random")  # the model itself is whole, also without tokenizer files
    assert capture(backbone, images(), joint=True).joint.shape == (2, 16, 8)
    with pytest.raises(InputError, match=fault) as caught:
        backbone.language.embed(["a car"])
    assert "\n" not in str(caught.value)


def test_code_beside_a_tokenizer_is_never_imported(folder, original, tmp_path):
    (folder / "modeling_live.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\nclass Live: pass\n")
    path = folder / "tokenizer_config.json"
    mapped = {"auto_map": {"AutoTokenizer": ["modeling_live.Live", None]}, "trust_remote_code": True}
    path.write_text(json.dumps({**json.loads(path.read_text()), **mapped}))
    assert torch.equal(load(folder).language.embed(WORDS), load(original).language.embed(WORDS))
    assert not (tmp_path / "executed").exists()
    assert not any("modeling_live" in name for name in sys.modules)


@pytest.mark.parametrize(("logarithm", "scale"), [(0.0, 1.0), (2.5, np.exp(2.5)), (4.7, 100.0)])
def test_the_scale_is_the_learned_one_and_no_sharper_than_in_training(folder, logarithm, scale):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "logit_scale": torch.tensor(logarithm)}, folder / "model.safetensors")
    assert load(folder).language.scale == pytest.approx(scale, rel=1e-6)


def test_without_memory_there_is_no_scale(original):
    backbone = load(original, weights="random", device="meta")
    assert np.isnan(backbone.language.scale)
    assert capture(backbone, images(), joint=True).joint.shape == (2, 16, 8)


# Tokens


def by_hand(model, pixels):
    """The values of the last layer, from its own input, through what stands behind them."""
    vision, seen = model.vision_model, {}
    layer = vision.encoder.layers[-1]
    handle = layer.register_forward_pre_hook(
        lambda _, args, given: seen.update(x=args[0] if args else given["hidden_states"]), with_kwargs=True
    )
    with torch.no_grad():
        vision(pixel_values=pixels, interpolate_pos_encoding=True)
        handle.remove()
        values = layer.self_attn.v_proj(layer.layer_norm1(seen["x"]))
        tokens = vision.post_layernorm(layer.self_attn.out_proj(values))
        return model.visual_projection(tokens)[:, 1:]


@pytest.mark.parametrize("size", [(32, 32), (48, 64)])
def test_tokens_are_the_last_layers_values_in_the_space_of_the_texts(original, size):
    backbone = load(original)
    model, _ = transformers_own(original)
    features = capture(backbone, images(*size), joint=True)
    torch.testing.assert_close(features.joint, by_hand(model, backbone.prepare(images(*size))), atol=1e-5, rtol=1e-5)
    assert features.joint.shape == (2, features.final.shape[1], 8)
    assert torch.equal(backbone.language.project(features), features.joint)
    assert not features.joint.requires_grad


def test_where_every_token_attends_to_itself_alone_the_reading_is_the_models_own(tmp_path, tokenizer):
    """Equal queries and keys of equal length (LayerNorm's), very long: then attention is the identity."""
    write_clip(tmp_path, tokenizer, heads=1)
    backbone = load(tmp_path)
    vision, seen = backbone.model.vision_model, {}
    layer = vision.encoder.layers[-1]
    torch.nn.init.ones_(layer.layer_norm1.weight)
    torch.nn.init.zeros_(layer.layer_norm1.bias)
    for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
        torch.nn.init.eye_(part.weight).mul_(1000)
        torch.nn.init.zeros_(part.bias)
    layer.self_attn.register_forward_hook(lambda _, args, output: seen.update(output=output[0]))
    features = capture(backbone, images(), joint=True)
    expected = backbone.model.visual_projection(vision.post_layernorm(seen["output"]))[:, 1:]
    torch.testing.assert_close(features.joint, expected, atol=1e-4, rtol=1e-4)


def test_joint_features_ask_for_no_values_of_others(original):
    backbone = load(original)
    bare, whole = (capture(backbone, images(), values=values, joint=True) for values in (False, True))
    assert torch.equal(bare.joint, whole.joint)
    assert all(layer.value is None for layer in bare.layers)
    assert all(layer.value is not None for layer in whole.layers)
    assert capture(backbone, images()).joint is None


def test_joint_features_stay_on_the_grid_of_the_final_ones(original):
    plain, fine = (capture(load(original, upsample=n), images(), joint=True) for n in (1, 2))
    assert {layer.grid for layer in fine.layers} == {(8, 8)}
    assert torch.equal(fine.joint, plain.joint)


def test_features_of_one_image_carry_its_joint_ones(original):
    together = capture(load(original), images(count=3), joint=True)
    alone = capture(load(original), images(count=3)[1:2], joint=True)
    assert torch.equal(together.image(1).joint, together.joint[1:2])
    torch.testing.assert_close(together.image(1).joint, alone.joint, atol=1e-5, rtol=1e-5)


def test_tokens_are_not_read_from_what_was_not_captured(original):
    backbone = load(original)
    project, features = backbone.language.project, capture(backbone, images())
    with pytest.raises(InputError, match=rf"values of its last layer {LAST}, got only its queries and keys"):
        project(capture(backbone, images(), values=False))
    with pytest.raises(InputError, match=rf"{LAST}, got 1 others; let `layers` match it"):
        project(replace(features, layers=features.layers[:1]))
    with pytest.raises(InputError, match=r"interpolated from \(4, 4\) to \(8, 8\); capture with joint=True"):
        project(capture(load(original, upsample=2), images()))
    first = load(original, layers=("vision_model.encoder.layers.0.*",))
    assert len(capture(first, images()).layers) == 1
    with pytest.raises(InputError, match=rf"{LAST}, got .* others; let `layers` match it"):
        capture(first, images(), joint=True)


@pytest.mark.parametrize("settings", [{"model": "vit_tiny_patch16_224", "weights": "random"}, {"model": "zoo/mae"}])
def test_a_model_that_reads_no_texts_is_told_which_do(settings):
    backbone = load_backbone("mute", **settings)
    assert backbone.language is None
    with pytest.raises(InputError, match=r"mute: expected a model that .* texts.*clip-vit-b16, zoo-clip, groupvit"):
        capture(backbone, images(64, 64), joint=True)


def test_siglip_has_no_such_space(tmp_path):
    import transformers

    sizes = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    transformers.SiglipConfig(text_config={**sizes, "vocab_size": 50}, vision_config=vision).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.3] * 3}))
    assert load(tmp_path, weights="random").language is None


# The store


def test_a_store_holds_joint_features_beside_the_final_ones_when_asked(original, tmp_path):
    pictures = images(count=3)
    records = tuple(Record(str(i), lambda i=i: pictures[i]) for i in range(3))
    data = Dataset("mine", records, ("thing",))
    ids = [record.id for record in records]
    given = {"numbers": {name: i for i, name in enumerate(ids)}, "view": View("none", 1, 8), "run_images": 2}
    write_images(data, ids, tmp_path / "i.json", tmp_path / "c.json", **given, settings={})
    backbone, stored = load(original), {}
    for joint in (False, True):
        choice = {"values": False, "joint": joint, "batch_images": 2, "run_images": 2, "seed": 0, "settings": {}}
        extract(Store(tmp_path / "i.json"), backbone, tmp_path / f"{joint}.json", **choice)
        stored[joint] = Store(tmp_path / f"{joint}.json")
    names = {joint: set(store.description["arrays"]) for joint, store in stored.items()}
    assert names[True] - names[False] == {"tokens/joint"}
    assert names[False] == {"tokens/final", "4x4/q", "4x4/k"}
    found = stored[True].read("tokens/joint")
    expected = capture(backbone, pictures, joint=True).joint
    assert found.dtype == np.float16
    assert tuple(stored[True].attributes_of("tokens")["grid"]) == (4, 4)
    torch.testing.assert_close(torch.from_numpy(found).float(), expected, atol=1e-2, rtol=1e-2)
    assert np.array_equal(found[1], stored[True].read("tokens/joint", 1))
    assert "(image: 3, token: 16, width: 8)" in describe(tmp_path / "True.zarr")  # which xarray reads as a whole


# What is shipped


def test_the_zoos_clip_names_true_regions_better_than_by_chance():
    backbone = load_backbone("zoo-clip")
    assert 10 < backbone.language.scale <= 100
    names = text_embeddings(lambda some: backbone.language.embed(some).numpy(), CLASSES, TEMPLATES)
    assert names.shape == (len(CLASSES), 96)
    right, regions = 0, 0
    for seed in range(8):
        scene = render(seed, size_px=128)
        joint = capture(backbone, scene.image[None], values=False, joint=True).joint[0].numpy()
        truth = scene.labels[4::8, 4::8].ravel()
        present = np.unique(truth)
        cosines = region_features(joint, truth)[present] @ names.T
        right += (cosines.argmax(1) == present).sum()
        regions += len(present)
    assert right > 3 * regions / len(CLASSES)  # chance is one in sixteen


def test_features_have_no_joint_part_unless_it_is_given():
    assert Features((), torch.zeros(1, 4, 2), (2, 2)).joint is None
