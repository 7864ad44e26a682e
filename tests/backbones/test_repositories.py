"""Loading by repository: tiny real checkpoints in the layouts of timm, transformers and diffusers, and their damage."""

import json
import shutil
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from whatwhere import zoo
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import load_backbone
from whatwhere.backbones.capture import capture, record_attention
from whatwhere.zoo.training.words import learn_tokenizer

KINDS = ("timm", "clip", "diffusion")
FAMILIES = ("dino", "mae", "clip", "diffusion")
TIMM = {"embed_dim": 24, "depth": 2, "num_heads": 3, "img_size": 32, "patch_size": 8}
UNET = {
    "sample_size": 16,
    "block_out_channels": (8, 16, 24),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}
VAE = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "scaling_factor": 0.4,
}
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
PARTS = {
    "vae": "diffusion_pytorch_model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


def text_settings(tokenizer):
    end = tokenizer.eos_token_id
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": end, "pad_token_id": end}
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return {**sizes, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 12}


def write_timm(folder, _):
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, **TIMM).half()
    save_file(network.state_dict(), folder / "model.safetensors")
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 0, "model_args": TIMM}
    config["pretrained_cfg"] = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (folder / "config.json").write_text(json.dumps(config))


def write_clip(folder, tokenizer):
    from transformers import CLIPConfig, CLIPModel

    vision = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    vision |= {"image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text_settings(tokenizer), vision_config=vision, projection_dim=8)
    CLIPModel(config).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    preprocessing = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))


def write_diffusion(folder, tokenizer):
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    StableDiffusionPipeline(
        vae=AutoencoderKL(**VAE),
        unet=UNet2DConditionModel(**UNET),
        text_encoder=CLIPTextModel(CLIPTextConfig(**text_settings(tokenizer))),
        tokenizer=tokenizer,
        scheduler=PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(torch.float16).save_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer():
    made = learn_tokenizer(["a red car on a road", "a view of the sea"], vocabulary=120)
    made.model_max_length = 12
    return made


@pytest.fixture(scope="module")
def originals(tmp_path_factory, tokenizer):
    """One repository of each kind; read only."""
    folder = tmp_path_factory.mktemp("repositories")
    writers = {"timm": write_timm, "clip": write_clip, "diffusion": write_diffusion}
    for seed, (kind, write) in enumerate(writers.items()):
        (folder / kind).mkdir()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            write(folder / kind, tokenizer)
    return folder


@pytest.fixture
def copy(originals, tmp_path):
    """A repository that a test may change."""
    return lambda kind: Path(shutil.copytree(originals / kind, tmp_path / kind))


def images(height=32, width=32, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def load(folder, **settings):
    return load_backbone("tiny", model=str(folder), **settings)


def final(backbone, pictures=None):
    return capture(backbone, images() if pictures is None else pictures).final


def edit(path, **changes):
    """Changes keys of a JSON file; `None` removes one."""
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


# Where a repository is


def by_cache(source, tmp_path, monkeypatch):
    """An offline hub cache that holds the repository at revision `v2`."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder, commit = tmp_path / "models--owner--name", "1" * 40
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "v2").write_text(commit)
    shutil.copytree(source, folder / "snapshots" / commit)
    return {"model": "owner/name", "revision": "v2"}


def by_zoo(source, tmp_path, monkeypatch):
    shutil.copytree(source, tmp_path / "member")
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    return {"model": "zoo/member"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("place", "origin"), [(by_cache, "owner/name@111111111111 (sha256 "), (by_zoo, "zoo/member (sha256 ")]
)
def test_the_hubs_cache_and_the_zoo_give_what_a_folder_gives(originals, tmp_path, monkeypatch, kind, place, origin):
    here = load(originals / kind)
    there = load_backbone("tiny", **place(originals / kind, tmp_path, monkeypatch))
    ours, theirs = here.model.state_dict(), there.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(final(here), final(there))
    assert there.weights.startswith(origin)
    assert here.weights.split("(")[1] == there.weights.split("(")[1]


@pytest.mark.parametrize(
    ("model", "settings", "fault"),
    [
        ("zoo/nothing", {}, "model zoo/nothing: expected one of"),
        ("./nowhere", {}, "model ./nowhere: expected a folder"),
        ("one/two/three", {}, "model one/two/three: expected a folder"),
        ("owner/no name!", {"revision": "x"}, "weights owner/no name!@x.*expected owner/name"),
        ("owner/absent", {}, "owner/absent@main.*not in the local cache and the hub cannot be reached; connect once"),
    ],
)
def test_what_is_no_repository_is_refused(tmp_path, monkeypatch, model, settings, fault):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=fault) as caught:
        load_backbone("tiny", model=model, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_repository_takes_no_other_weights_beside_its_own(originals, kind):
    with pytest.raises(InputError, match=r"expected weights hub or random beside .*, got 'other\.pth'"):
        load(originals / kind, weights="other.pth")


# What is read


def test_timms_features_are_timms_own(originals):
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=0, **TIMM, dynamic_img_size=True).eval()
    theirs.load_state_dict(load_file(originals / "timm" / "model.safetensors"))
    backbone = load(originals / "timm")
    assert (backbone.mean, backbone.std, backbone.patch_px) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 8)
    for size in ((32, 32), (48, 64)):
        pixels = backbone.prepare(images(*size))
        with torch.no_grad():
            expected = theirs.forward_features(pixels)[:, 1:]
        torch.testing.assert_close(final(backbone, images(*size)), expected, atol=1e-5, rtol=1e-5)


def test_clips_features_are_the_vision_towers_without_the_class_token(originals):
    from transformers import CLIPModel

    theirs = CLIPModel.from_pretrained(originals / "clip", dtype=torch.float32).eval().vision_model
    backbone = load(originals / "clip")
    assert (backbone.mean, backbone.std, backbone.patch_px) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 8)
    for size, grid in (((32, 32), (4, 4)), ((48, 64), (6, 8))):
        features = capture(backbone, images(*size))
        pixels = backbone.prepare(images(*size))
        with torch.no_grad():
            expected = theirs(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state
        torch.testing.assert_close(features.final, expected[:, 1:], atol=1e-5, rtol=1e-5)
        assert features.final_grid == grid
        assert {layer.grid for layer in features.layers} == {grid}


def by_hand(folder, pixels, step, seed):
    """The UNet's state between its second and third up block, from diffusers' own pipeline."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    betas = torch.linspace(BETAS["beta_start"] ** 0.5, BETAS["beta_end"] ** 0.5, 1000) ** 2
    keep = torch.cumprod(1 - betas, 0)[step]
    seen = {}
    pipeline.unet.up_blocks[2].register_forward_pre_hook(lambda _, args, given: seen.update(given), with_kwargs=True)
    with torch.no_grad():
        latents = pipeline.vae.encode(pixels).latent_dist.mean * 0.4
        noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(seed))
        prompt, _ = pipeline.encode_prompt("", "cpu", 1, do_classifier_free_guidance=False)
        pipeline.unet(keep.sqrt() * latents + (1 - keep).sqrt() * noise, step, prompt.expand(len(pixels), -1, -1))
    return seen["hidden_states"].flatten(2).transpose(1, 2)


def test_diffusions_features_are_those_after_the_second_up_block(originals):
    for step, seed in ((250, 0), (40, 3)):
        backbone = load(originals / "diffusion", seed=seed, options={"step": step})
        pixels = backbone.prepare(images())
        expected = by_hand(originals / "diffusion", pixels, step, seed)
        torch.testing.assert_close(final(backbone), expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(
        final(load(originals / "diffusion")), final(load(originals / "diffusion", options={"step": 250}))
    )


def test_diffusion_is_captured_in_the_unets_self_attention_only(originals):
    backbone = load(originals / "diffusion")
    assert backbone.patch_px == 8
    calls, _ = record_attention(backbone.model, lambda: backbone.run(backbone.prepare(images(32, 64))))
    layers = capture(backbone, images(32, 64)).layers
    unet = [call.name for call in calls if call.name.startswith("unet.")]
    assert any(call.name.startswith("vae.") for call in calls)
    assert {name.rsplit(".", 1)[1] for name in unet} == {"attn1", "attn2"}
    assert [layer.name for layer in layers] == [name for name in unet if name.endswith("attn1")]
    assert {name.split(".")[1] for name in unet} == {"down_blocks", "mid_block", "up_blocks"}
    assert {layer.grid for layer in layers} == {(16, 32), (8, 16), (4, 8)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_reproduces_what_its_layer_returned(originals, kind):
    backbone = load(originals / kind)
    calls, _ = record_attention(backbone.model, lambda: backbone.run(backbone.prepare(images())))
    names = {layer.name for layer in capture(backbone, images()).layers}
    recorded = [call for call in calls if call.name in names]
    assert len(recorded) == len(names) > 1
    for call in recorded:
        attention = torch.softmax(call.query @ call.key.transpose(-1, -2) * call.scale, -1)
        torch.testing.assert_close(attention @ call.value, call.output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_an_image_depend_on_neither_its_batch_nor_on_time(originals, kind):
    backbone = load(originals / kind)
    together = final(backbone, images(count=3))
    assert torch.equal(together, final(backbone, images(count=3)))
    for i in range(3):
        torch.testing.assert_close(final(backbone, images(count=3)[i : i + 1])[0], together[i], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "pattern", "chosen"), [
    ("timm", "blocks.1.*", 1),
    ("clip", "vision_model.encoder.layers.0.*", 1),
    ("diffusion", "unet.mid_block*", 1),
    ("diffusion", "unet.up_blocks.2.*", 2),
])  # fmt: skip
def test_layers_are_selected_by_pattern(originals, kind, pattern, chosen):
    whole, some = (capture(load(originals / kind, layers=p), images()).layers for p in (("*",), (pattern,)))
    assert len(some) == chosen < len(whole)
    by_name = {layer.name: layer for layer in whole}
    assert all(torch.equal(layer.query, by_name[layer.name].query) for layer in some)


# Stable Diffusion 1.4 as it is on the hub


OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def old_name(part, name):
    if part == "text_encoder":
        return f"text_model.{name.removeprefix('text_model.')}"
    for new, old in OLD.items() if part == "vae" else ():
        name = name.replace(f".{new}.", f".{old}.")
    return name


OLD_BIN = {
    "vae": "diffusion_pytorch_model.bin",
    "unet": "diffusion_pytorch_model.bin",
    "text_encoder": "pytorch_model.bin",
}


def as_stable_diffusion_14(folder, *, binary):
    """Names of tensors as in 2022, a tokenizer of two files, parts that we do not read."""
    for part, file in PARTS.items():
        tensors = {old_name(part, name): t for name, t in load_file(folder / part / file).items()}
        if part == "text_encoder":
            tensors["text_model.embeddings.position_ids"] = torch.arange(12)[None]
        (folder / part / file).unlink()
        if binary:
            torch.save(tensors, folder / part / OLD_BIN[part])
        else:
            save_file(tensors, folder / part / file)
    learned = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(learned["vocab"]))
    merges = [" ".join(pair) for pair in learned["merges"]]
    (folder / "tokenizer" / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    edit(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
    )
    return folder


@pytest.mark.parametrize("binary", [False, True])
def test_stable_diffusion_as_it_was_published_reads_the_same(originals, copy, binary):
    old = as_stable_diffusion_14(copy("diffusion"), binary=binary)
    vae = load_file(originals / "diffusion" / "vae" / PARTS["vae"])
    assert any(".to_q." in name for name in vae)  # else there was nothing to rename
    assert torch.equal(final(load(old)), final(load(originals / "diffusion")))


def test_the_published_layout_reads_from_the_hubs_cache(originals, copy, tmp_path, monkeypatch):
    old = as_stable_diffusion_14(copy("diffusion"), binary=False)
    backbone = load_backbone("tiny", **by_cache(old, tmp_path / "hub", monkeypatch))
    assert torch.equal(final(backbone), final(load(originals / "diffusion")))


# Options and random weights


def test_options_are_checked(originals):
    diffusion, clip = originals / "diffusion", originals / "clip"
    early, late = (final(load(diffusion, options={"step": step})) for step in (0, 999))
    assert not torch.allclose(early, late, atol=1e-3)
    wrong = [(diffusion, options) for options in ({"step": 1000}, {"step": -1}, {"step": 2.5}, {"stop": 1})]
    wrong += [(clip, {"depth": 3}), (clip, {"num_attention_heads": 7}), (originals / "timm", {"depht": 3})]
    for folder, options in wrong:
        with pytest.raises(InputError, match="expected") as caught:
            load(folder, options=options)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_random_weights_follow_their_seed_and_need_no_file(copy, kind):
    folder = copy(kind)
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (load(folder, weights="random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)  # nobody else's random numbers were drawn
    assert torch.equal(final(first), final(again))
    assert not torch.allclose(final(first), final(other), atol=1e-3)
    assert first.weights == "random (seed 1)"


@pytest.mark.parametrize("kind", KINDS)
def test_loading_and_capturing_draw_no_random_numbers(originals, kind):
    before = torch.get_rng_state()
    final(load(originals / kind))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_can_be_asked_for_without_memory(originals, kind):
    names = [layer.name for layer in capture(load(originals / kind), images()).layers]
    shapes = capture(load(originals / kind, weights="random", device="meta"), images())
    assert [layer.name for layer in shapes.layers] == names


# Damage


class Explosive:
    def __reduce__(self):
        return (print, ("executed",))


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def turn(path, name):
    """Turns one matrix on its side."""
    tensors = load_file(path)
    save_file({**tensors, name: tensors[name].T.contiguous()}, path)


def live(path, instead_of):
    instead_of.unlink()
    torch.save({"state_dict": Explosive()}, path)


DAMAGED = {
    "timm weights cut": ("timm", lambda f: cut(f / "model.safetensors"), r"model\.safetensors: expected a readable"),
    "timm matrix turned": (
        "timm",
        lambda f: turn(f / "model.safetensors", "blocks.0.mlp.fc1.weight"),
        r"1 of another shape \(blocks\.0\.mlp\.fc1\.weight \(24, 96\) instead of \(96, 24\)",
    ),
    "timm weights missing": ("timm", lambda f: (f / "model.safetensors").unlink(), r"expected model\.safetensors in"),
    "timm config missing": ("timm", lambda f: (f / "config.json").unlink(), r"model_index\.json or config\.json in"),
    "timm config cut": ("timm", lambda f: cut(f / "config.json"), r"expected JSON in .*config\.json"),
    "timm config a list": ("timm", lambda f: (f / "config.json").write_text("[]"), "expected an object in .*got list"),
    "timm config binary": ("timm", lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "expected JSON in"),
    "timm nobody's": ("timm", lambda f: edit(f / "config.json", architecture=None), "neither `architecture` nor"),
    "timm no vit": ("timm", lambda f: edit(f / "config.json", architecture="resnet18"), "plain vision transformer"),
    "timm no name": ("timm", lambda f: edit(f / "config.json", architecture=5), "that its library can build"),
    "timm depth": ("timm", lambda f: edit(f / "config.json", model_args={**TIMM, "depth": 3}), r"missing \(blocks\.2"),
    "timm width": ("timm", lambda f: edit(f / "config.json", model_args={**TIMM, "embed_dim": -4}), "cannot be one"),
    "timm arguments": ("timm", lambda f: edit(f / "config.json", model_args=[1]), "expected an object as model_args"),
    "timm colours": ("timm", lambda f: edit(f / "config.json", pretrained_cfg={"mean": [1]}), "three numbers as mean"),
    "clip weights cut": ("clip", lambda f: cut(f / "model.safetensors"), r"model\.safetensors: expected a readable"),
    "clip weights missing": (
        "clip",
        lambda f: (f / "model.safetensors").unlink(),
        r"expected model\.safetensors or pytorch_model\.bin in",
    ),
    "clip live pickle": (
        "clip",
        lambda f: live(f / "pytorch_model.bin", f / "model.safetensors"),
        r"pytorch_model\.bin: expected a readable checkpoint of tensors",
    ),
    "clip another type": ("clip", lambda f: edit(f / "config.json", model_type="bert"), "of type clip, got 'bert'"),
    "clip no tower": ("clip", lambda f: edit(f / "config.json", vision_config=None), "vision_config"),
    "clip heads": (
        "clip",
        lambda f: edit(f / "config.json", vision_config={"hidden_size": 24, "num_attention_heads": 7}),
        "that its library can build",
    ),
    "clip colours": (
        "clip",
        lambda f: edit(f / "preprocessor_config.json", image_std=["a", 1, 1]),
        "three numbers as image_std",
    ),
    "clip preprocessing missing": (
        "clip",
        lambda f: (f / "preprocessor_config.json").unlink(),
        r"expected preprocessor_config\.json in",
    ),
    "diffusion unet cut": (
        "diffusion",
        lambda f: cut(f / "unet" / PARTS["unet"]),
        "unet/diffusion_pytorch_model.safetensors: expected a readable",
    ),
    "diffusion text matrix turned": (
        "diffusion",
        lambda f: turn(f / "text_encoder" / PARTS["text_encoder"], "embeddings.token_embedding.weight"),
        r"text_encoder: expected .* of another shape \(\S*embeddings\.token_embedding\.weight",
    ),
    "diffusion autoencoder missing": (
        "diffusion",
        lambda f: (f / "vae" / PARTS["vae"]).unlink(),
        r"expected vae/diffusion_pytorch_model\.safetensors or .* or vae/diffusion_pytorch_model\.bin in",
    ),
    "diffusion live pickle": (
        "diffusion",
        lambda f: live(f / "vae" / OLD_BIN["vae"], f / "vae" / PARTS["vae"]),
        "vae/diffusion_pytorch_model.bin: expected a readable checkpoint of tensors",
    ),
    "diffusion another unet": (
        "diffusion",
        lambda f: edit(f / "model_index.json", unet=["diffusers", "UNet3DConditionModel"]),
        "whose unet is diffusers's UNet2DConditionModel, got .*UNet3DConditionModel",
    ),
    "diffusion code of its own": (
        "diffusion",
        lambda f: edit(f / "model_index.json", unet=["modeling_live", "UNet2DConditionModel"]),
        "whose unet is diffusers's",
    ),
    "diffusion empty part": ("diffusion", lambda f: edit(f / "model_index.json", vae=[]), "whose vae is diffusers's"),
    "diffusion inpainting": (
        "diffusion",
        lambda f: edit(f / "unet" / "config.json", in_channels=9),
        "UNet for latents of 4 channels and texts of 16, got one for 9 and 16",
    ),
    "diffusion other words": (
        "diffusion",
        lambda f: edit(f / "unet" / "config.json", cross_attention_dim=20),
        "UNet for latents of 4 channels and texts of 16, got one for 4 and 20",
    ),
    "diffusion one block": (
        "diffusion",
        lambda f: edit(
            f / "unet" / "config.json",
            block_out_channels=[8],
            down_block_types=["CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D"],
        ),
        "UNet of at least two up blocks, got 1",
    ),
    "diffusion widths": (
        "diffusion",
        lambda f: edit(f / "unet" / "config.json", block_out_channels=[8, 16, -1]),
        "that its library can build",
    ),
    "diffusion schedule": (
        "diffusion",
        lambda f: edit(f / "scheduler" / "scheduler_config.json", beta_schedule="wavy"),
        "noise schedule in scheduler/scheduler_config.json, got .*wavy",
    ),
    "diffusion betas": (
        "diffusion",
        lambda f: edit(f / "scheduler" / "scheduler_config.json", beta_schedule="linear", beta_start=-3.0),
        "noise schedule in .*betas outside 0 and 1",
    ),
    "diffusion schedule missing": (
        "diffusion",
        lambda f: (f / "scheduler" / "scheduler_config.json").unlink(),
        "expected scheduler/scheduler_config.json in",
    ),
    "diffusion tokens cut": (
        "diffusion",
        lambda f: cut(f / "tokenizer" / "tokenizer.json"),
        "expected the text encoder's tokenizer in .*tokenizer, got",
    ),
    "diffusion tokens missing": (
        "diffusion",
        lambda f: (f / "tokenizer" / "tokenizer.json").unlink(),
        r"expected tokenizer/tokenizer\.json or tokenizer/merges\.txt in",
    ),
    "diffusion vocabulary missing": (
        "diffusion",
        lambda f: (as_stable_diffusion_14(f, binary=False) / "tokenizer" / "vocab.json").unlink(),
        r"expected tokenizer/vocab\.json in",
    ),
    "diffusion another vocabulary": (
        "diffusion",
        lambda f: another_vocabulary(f / "tokenizer"),
        "expected the text encoder's tokenizer in .*, got token 999 of 120",
    ),
}


def another_vocabulary(folder):
    """A tokenizer whose end of text is beyond the text encoder's table."""
    content = json.loads((folder / "tokenizer.json").read_text())
    end = content["model"]["vocab"]["<|endoftext|>"]
    text = json.dumps(content).replace(f'"<|endoftext|>": {end}', '"<|endoftext|>": 999')
    text = text.replace(f'"id": {end}, "content": "<|endoftext|>"', '"id": 999, "content": "<|endoftext|>"')
    (folder / "tokenizer.json").write_text(text)


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_refused_in_one_line_and_nothing_is_executed(copy, capsys, damage):
    kind, spoil, fault = DAMAGED[damage]
    folder = copy(kind)
    spoil(folder)
    with pytest.raises(InputError, match=fault) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out


def test_no_configuration_can_name_another_file_to_load(copy, capsys):
    folder = copy("timm")
    torch.save({"state_dict": Explosive()}, folder / "live.pth")
    edit(folder / "config.json", model_args={**TIMM, "checkpoint_path": str(folder / "live.pth")})
    with pytest.raises(InputError, match="checkpoint_path") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["clip", "diffusion"])
def test_code_in_the_folder_is_never_imported(originals, copy, tmp_path, kind):
    folder = copy(kind)
    for place in [folder, *(path for path in folder.iterdir() if path.is_dir())]:
        (place / "modeling_live.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\nclass Live: pass\n")
        for path in place.glob("*config.json"):
            mapped = dict.fromkeys(("AutoConfig", "AutoModel", "AutoTokenizer"), "modeling_live.Live")
            edit(path, auto_map=mapped, trust_remote_code=True)
    assert torch.equal(final(load(folder)), final(load(originals / kind)))
    assert not (tmp_path / "executed").exists()
    assert not any("modeling_live" in name for name in sys.modules)


def test_no_configuration_chooses_code_for_attention(originals, copy):
    """transformers would fetch a kernel of that name from the hub."""
    clip, diffusion = copy("clip"), copy("diffusion")
    edit(clip / "config.json", attn_implementation="owner/kernel")
    edit(diffusion / "text_encoder" / "config.json", attn_implementation="owner/kernel")
    for folder in (clip, diffusion):
        assert torch.equal(final(load(folder)), final(load(originals / folder.name)))


# What is shipped


def shipped(family):
    if family not in zoo.members():
        pytest.skip(f"zoo/{family} is not shipped yet")
    return zoo.ZOO / family


@pytest.mark.parametrize("family", FAMILIES)
def test_a_member_of_the_zoo_reads_as_its_folder(family):
    here = load(shipped(family))
    there = load_backbone(f"zoo-{family}")
    pictures = images(64, 96, count=1)
    assert torch.equal(final(there, pictures), final(here, pictures))
    assert final(here, pictures).isfinite().all()
    assert there.weights.startswith(f"zoo/{family} (sha256 ")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_members_weights_are_small_half_precision_safetensors(family):
    files = list(shipped(family).rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in files) <= 6e6
    for path in files:
        assert {t.dtype for t in load_file(path).values() if t.is_floating_point()} == {torch.float16}
    assert not [path for path in shipped(family).rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".py")]


def test_the_zoo_is_small_together_and_all_of_it_is_installed():
    files = {path for family in zoo.members() for path in (zoo.ZOO / family).rglob("*") if path.is_file()}
    if not files:
        pytest.skip("no member of the zoo is shipped yet")
    assert sum(path.stat().st_size for path in files if path.suffix == ".safetensors") <= 18e6
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    patterns = tomllib.loads(pyproject.read_text())["tool"]["setuptools"]["package-data"]
    package = zoo.ZOO.parent
    roots = {name: package.parent.joinpath(*name.split(".")) for name in patterns}
    packed = {path for name, root in roots.items() for pattern in patterns[name] for path in root.glob(pattern)}
    assert files <= packed
