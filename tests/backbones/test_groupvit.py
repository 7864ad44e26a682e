"""GroupViT in the hub's layout: tokens take their groups' embeddings as transformers groups them, texts its texts'."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import PRESETS, load_backbone
from whatwhere.backbones.capture import capture
from whatwhere.backbones.groupvit import group_of_tokens
from whatwhere.zoo.training.words import learn_tokenizer

WORDS = ["a red car", "a view of the sea", "a car"]
VISION = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_attention_heads": 3,
    "num_hidden_layers": 4,
    "depths": [2, 1, 1],
    "num_group_tokens": [9, 4, 0],
    "num_output_groups": [9, 4, 4],
    "image_size": 32,
    "patch_size": 8,
}


def write_groupvit(folder, positions=12):
    """Tiny, with weights so large that groups differ and tokens spread over them."""
    from transformers import GroupViTConfig, GroupViTModel

    tokenizer = learn_tokenizer(["a red car on a road", "a view of the sea"], vocabulary=120)
    end = tokenizer.eos_token_id
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"vocab_size": len(tokenizer), "max_position_embeddings": positions}
    text |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": end, "pad_token_id": end}
    sizes = {"projection_dim": 8, "projection_intermediate_dim": 20}
    model = GroupViTModel(GroupViTConfig(text_config=text, vision_config=VISION, **sizes))
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            torch.nn.init.uniform_(tensor, 0.5, 2)
        elif tensor.is_floating_point() and tensor.ndim:
            wide = any(part in name for part in ("assign.q_proj", "group_token", "position_embeddings"))
            torch.nn.init.normal_(tensor, std=2 if wide else 0.4)
        if name.endswith(("norm_x.bias", "assign.k_proj.bias")):  # else all tokens prefer the same group
            torch.nn.init.zeros_(tensor)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.3] * 3}))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Read only."""
    folder = tmp_path_factory.mktemp("groupvit")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        write_groupvit(folder)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    """One that a test may change."""
    return Path(shutil.copytree(original, tmp_path / "groupvit"))


def load(folder, **settings):
    return load_backbone("tiny", model=str(folder), **settings)


def images(height=32, width=32, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_vision(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    edit(folder / "config.json", vision_config={**config["vision_config"], **changes})


def transformers_own(folder):
    from transformers import CLIPTokenizer, GroupViTModel

    return GroupViTModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(str(folder))


# Tokens


def test_tokens_belong_to_the_groups_that_transformers_finds_and_take_their_embeddings(original):
    from transformers.models.groupvit.modeling_groupvit import get_grouping_from_attentions

    model, tokenizer = transformers_own(original)
    backbone = load(original)
    with torch.no_grad():
        words = tokenizer(WORDS, padding=True, return_tensors="pt")
        found = model(**words, pixel_values=backbone.prepare(images()), output_segmentation=True)
        vision = found.vision_model_output
        groups = get_grouping_from_attentions(vision.attentions, (4, 4)).flatten(2).argmax(1)
        embeddings = model.visual_projection(vision.last_hidden_state.flatten(0, 1)).unflatten(0, (2, 4))
    assert all(len(image.unique()) > 1 for image in groups)
    assert torch.equal(group_of_tokens(vision.attentions), groups)
    final = capture(backbone, images()).final
    for image in range(2):
        torch.testing.assert_close(final[image], embeddings[image, groups[image]], atol=1e-5, rtol=1e-5)


def test_cosines_of_tokens_are_those_of_transformers_segmentation_with_hard_groups(original, monkeypatch):
    from transformers.models.groupvit import modeling_groupvit as theirs

    soft = theirs.get_grouping_from_attentions

    def hard(attentions, _):
        """Each token's own group, and no pixels between tokens."""
        return F.one_hot(soft(attentions, (4, 4)).argmax(1), 4).permute(0, 3, 1, 2).float()

    monkeypatch.setattr(theirs, "get_grouping_from_attentions", hard)
    model, tokenizer = transformers_own(original)
    backbone = load(original)
    with torch.no_grad():
        given = tokenizer(WORDS, padding=True, return_tensors="pt")
        pixels = backbone.prepare(images())
        logits = model(**given, pixel_values=pixels, output_segmentation=True).segmentation_logits
    tokens, language = F.normalize(capture(backbone, images(), joint=True).joint, dim=-1), backbone.language
    assert all(len(image.unique(dim=0)) > 1 for image in tokens)
    expected = logits.flatten(2).transpose(1, 2) / language.scale**2  # theirs multiplies by it twice
    torch.testing.assert_close(tokens @ language.embed(WORDS).T, expected, atol=1e-5, rtol=1e-4)


def test_shares_of_several_stages_multiply():
    """The first group of stage one holds all tokens; of it the second stage makes two, and gives most to the last."""
    first = torch.tensor([[[0.6, 0.9, 0.1], [0.4, 0.1, 0.9]]])  # group, token
    second = torch.tensor([[[0.2, 0.9], [0.8, 0.1]]])  # group, earlier group
    expected = [[1, 1, 0]]  # 0.6·0.8 + 0.4·0.1 = 0.52 for the last; 0.73; 0.17
    assert group_of_tokens((first, second)).tolist() == expected
    assert group_of_tokens((first,)).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(("size", "grid"), [((32, 32), (4, 4)), ((64, 64), (8, 8)), ((48, 80), (6, 10))])
def test_images_of_other_sizes_have_tokens_on_their_grid(original, size, grid):
    backbone = load(original)
    assert (backbone.patch_px, backbone.size_px) == (8, 64)
    features = capture(backbone, images(*size), joint=True)
    assert features.final_grid == grid
    assert features.final.shape == (2, grid[0] * grid[1], 8)
    rows = [{tuple(row) for row in image.tolist()} for image in features.final]
    assert all(len(groups) <= 4 for groups in rows)  # one for each group of the last stage, at most
    alone = capture(backbone, images(*size)[1:]).final
    torch.testing.assert_close(alone[0], features.final[1], atol=1e-4, rtol=1e-4)


def test_no_layer_is_read_and_the_joint_features_are_the_final_ones(original):
    backbone = load(original)
    features = capture(backbone, images(), joint=True)
    assert features.layers == backbone.layers == ()
    assert torch.equal(features.joint, features.final)
    assert capture(backbone, images()).joint is None
    with pytest.raises(InputError, match=r"expected no `layers`.*got \['\*'\]; leave them out"):
        load(original, layers=("*",))


# Texts


def test_texts_are_embedded_as_transformers_does_at_unit_length(original):
    model, tokenizer = transformers_own(original)
    with torch.no_grad():
        words = tokenizer(WORDS, padding="max_length", max_length=12, return_tensors="pt")
        expected = F.normalize(model.get_text_features(**words).pooler_output, dim=-1)
    language = load(original).language
    torch.testing.assert_close(language.embed(WORDS), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(language.embed(WORDS[2:]), expected[2:], atol=1e-5, rtol=1e-5)
    assert language.scale == pytest.approx(float(model.logit_scale.detach().exp()))


def test_no_word_changes_what_stands_before_it(original):
    """The text tower looks back only, also where the configuration asks for code of the hub's."""
    model = load(original).model.text_model
    with torch.no_grad():
        first, second = (model(input_ids=torch.tensor([[0, 5, 7, last]])).last_hidden_state for last in (8, 9))
    torch.testing.assert_close(first[:, :3], second[:, :3])
    assert not torch.allclose(first[:, 3], second[:, 3])


def test_no_configuration_chooses_code_for_attention(original, folder):
    edit(folder / "config.json", attn_implementation="owner/kernel")
    assert torch.equal(load(folder).language.embed(WORDS), load(original).language.embed(WORDS))
    assert torch.equal(capture(load(folder), images()).final, capture(load(original), images()).final)


# Files


def test_the_published_layout_is_read_without_executing_it(original, folder):
    """A zip of torch's with a buffer that newer networks compute."""
    tensors = load_file(folder / "model.safetensors")
    tensors["text_model.embeddings.position_ids"] = torch.arange(12)[None]
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert torch.equal(capture(load(folder), images()).final, capture(load(original), images()).final)


def test_random_weights_follow_the_seed_and_need_no_memory_for_their_shapes(original):
    before = torch.get_rng_state()
    one, same, other = (load(original, weights="random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(capture(one, images()).final, capture(same, images()).final)
    assert not torch.equal(capture(one, images()).final, capture(other, images()).final)
    shapes = capture(load(original, weights="random", device="meta"), images(), joint=True)
    assert shapes.joint.shape == (2, 16, 8)


class Explosive:
    def __reduce__(self):
        return (print, ("executed",))


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def turn(path, name):
    tensors = load_file(path)
    save_file({**tensors, name: tensors[name].T.contiguous()}, path)


def live(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": Explosive()}, folder / "pytorch_model.bin")


DAMAGED = {
    "weights cut": (lambda f: cut(f / "model.safetensors"), r"model\.safetensors: expected a readable"),
    "weights missing": (
        lambda f: (f / "model.safetensors").unlink(),
        r"expected model\.safetensors or pytorch_model\.bin in",
    ),
    "live pickle": (live, r"pytorch_model\.bin: expected a readable checkpoint of tensors"),
    "matrix turned": (
        lambda f: turn(f / "model.safetensors", "visual_projection.0.weight"),
        r"of another shape \(visual_projection\.0\.weight",
    ),
    "no tower": (lambda f: edit(f / "config.json", vision_config=None), "that its library can build"),
    "heads": (lambda f: edit_vision(f, num_attention_heads=7), "that its library can build"),
    "other groups": (lambda f: edit_vision(f, num_group_tokens=[8, 4, 0]), "of another shape"),
    "no groups": (lambda f: edit_vision(f, num_group_tokens=[0, 0, 0]), r"unexpected \(vision_model\.encoder\.stages"),
    "colours": (lambda f: edit(f / "preprocessor_config.json", image_std=[1]), "three numbers as image_std"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_refused_in_one_line_and_nothing_is_executed(folder, capsys, damage):
    spoil, fault = DAMAGED[damage]
    spoil(folder)
    with pytest.raises(InputError, match=fault) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out


def test_a_model_that_groups_nothing_is_refused(folder):
    edit_vision(folder, num_group_tokens=[0, 0, 0])
    with pytest.raises(InputError, match=r"expected stages that group, got num_group_tokens \[0, 0, 0\]"):
        load(folder, weights="random")


def test_options_are_those_of_the_vision_tower(original):
    assert load(original, weights="random", options={"patch_size": 4}).patch_px == 4
    with pytest.raises(InputError, match="expected options of transformers' GroupViTVisionConfig, got depth; "):
        load(original, options={"depth": 3})


def test_the_preset_is_the_papers_rival():
    preset = PRESETS["groupvit"]
    assert (preset.model, preset.view, preset.layers) == ("nvidia/groupvit-gcc-yfcc", ("short_side", 448), ())
    with pytest.raises(InputError, match=r"nvidia/groupvit-gcc-yfcc@751f6d9a"):
        load_backbone("groupvit", download=False)
