"""Loading: the hub's own layout, local files, other sizes; and refusal of what is damaged, foreign or live."""

import pickle

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from whatwhere.backbones import PRESETS, load_backbone
from whatwhere.capture import capture
from whatwhere.errors import InputError
from whatwhere.zoo import members

MODEL = "vit_small_patch16_224.dino"
TINY = {"embed_dim": 24, "depth": 2, "num_heads": 3}


def network(seed=0, **changes):
    torch.manual_seed(seed)
    return timm.create_model(MODEL, pretrained=False, num_classes=0, **(TINY | changes))


def same(backbone, other):
    ours, theirs = backbone.model.state_dict(), other.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def load(**settings):
    return load_backbone("tiny", model=MODEL, options=TINY, **settings)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An offline hub cache; answers where a repository's revision keeps its files."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / f"models--timm--{MODEL}"
    commit = "0" * 40
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    return snapshot


def test_weights_from_the_hubs_cache(hub):
    theirs = network()
    save_file(theirs.state_dict(), hub / "model.safetensors")
    backbone = load(weights="hub")
    assert same(backbone, theirs)
    assert backbone.weights.startswith(f"timm/{MODEL}@main (sha256 ")


def test_no_network_says_what_to_do(hub):
    with pytest.raises(InputError, match="cannot be reached; connect once, or download it elsewhere") as caught:
        load(weights="hub")
    assert "\n" not in str(caught.value)


def test_weights_from_local_files(tmp_path):
    theirs = network()
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    torch.save({"teacher": theirs.state_dict(), "epoch": 3}, tmp_path / "wrapped.pth")
    for name in ("w.safetensors", "w.pth", "wrapped.pth"):
        assert same(load(weights=str(tmp_path / name)), theirs), name


def test_a_classifier_head_is_left_out(tmp_path):
    theirs = network()
    save_file({**theirs.state_dict(), "head.weight": torch.zeros(5, 24)}, tmp_path / "w.safetensors")
    assert same(load(weights=str(tmp_path / "w.safetensors")), theirs)


class Explosive:
    def __reduce__(self):
        return (print, ("executed",))


def write_damaged(path, kind):
    good = path.with_suffix(".safetensors")
    save_file(network().state_dict(), good)
    content = good.read_bytes()
    if kind == "truncated":
        good.write_bytes(content[: len(content) // 2])
    elif kind == "not a checkpoint":
        good.write_bytes(b"<html>not found</html>")
    elif kind == "another depth":
        save_file(network(depth=3).state_dict(), good)
    elif kind == "another width":
        save_file(network(embed_dim=48).state_dict(), good)
    elif kind == "live pickle":
        torch.save({"state": Explosive()}, path.with_suffix(".pth"))
        return path.with_suffix(".pth")
    elif kind == "old pickle":
        path.with_suffix(".pth").write_bytes(pickle.dumps(Explosive()))
        return path.with_suffix(".pth")
    elif kind == "missing":
        good.unlink()
    return good


DAMAGED = {
    "truncated": "readable checkpoint of tensors",
    "not a checkpoint": "readable checkpoint of tensors",
    "another depth": r"unexpected \(blocks\.2.*belongs to another model",
    "another width": r"of another shape \(.*instead of",
    "live pickle": "readable checkpoint of tensors",
    "old pickle": "torch zip checkpoint",
    "missing": "expected a checkpoint file, found none",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_and_foreign_checkpoints_are_refused_and_never_executed(tmp_path, capsys, kind):
    path = write_damaged(tmp_path / "w", kind)
    with pytest.raises(InputError, match=DAMAGED[kind]) as caught:
        load(weights=str(path))
    assert "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out


def test_wrong_options_and_devices_are_refused():
    for options in ({"depht": 3}, {"embed_dim": 25, "num_heads": 3}):
        with pytest.raises(InputError, match=r"with options .* cannot be one"):
            load_backbone("tiny", model=MODEL, weights="random", options=options)
    with pytest.raises(InputError, match="expected a device of this machine, got 'cudaa'"):
        load(weights="random", device="cudaa")


def test_random_weights_follow_their_seed_and_leave_the_global_one_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (load(weights="random", seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert same(first, again.model)
    assert not same(first, other.model)


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (256, 320)])
def test_positional_embeddings_are_interpolated_bicubically(size):
    backbone = load(weights="random")
    model = backbone.model
    torch.nn.init.normal_(model.pos_embed)
    torch.nn.init.zeros_(model.patch_embed.proj.weight)
    torch.nn.init.zeros_(model.patch_embed.proj.bias)
    seen = []
    handle = model.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    backbone.run(torch.zeros(1, 3, *size))
    handle.remove()
    grid = [s // 16 for s in size]
    learned = model.pos_embed[:, 1:].reshape(1, 14, 14, -1).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(learned, grid, mode="bicubic", antialias=True)
    torch.testing.assert_close(seen[0][:, 1:], expected.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_pixels_are_normalised_as_the_model_was_trained():
    backbone = load(weights="random")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    mean, std = (np.array(backbone.model.pretrained_cfg[k]) for k in ("mean", "std"))
    expected = ((images / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(backbone.prepare(images).numpy(), expected, atol=1e-5)


#: Self-attention layers where there are not twelve.
LAYERS = {"zoo-dino": 6, "zoo-mae": 6, "zoo-clip": 6, "zoo-diffusion": 7}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_built_and_captured(name):
    if name.startswith("zoo-") and name.removeprefix("zoo-") not in members():
        pytest.skip(f"{name} is not shipped yet")
    backbone = load_backbone(name, weights="random", device="meta")
    side = 2 * backbone.patch_px
    features = capture(backbone, np.zeros((1, side, side, 3), np.uint8))
    assert len(features.layers) == LAYERS.get(name, 12)
    assert features.final_grid == ((4, 4) if name == "zoo-diffusion" else (2, 2))  # its second up block is the finest


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vit_smal_patch16_224", "expected the name of a timm model"),
        ("resnet18", "plain vision transformer|patch grid"),
        ("vit_small_patch16_224.nothing", "cannot be one"),
        ("swin_tiny_patch4_window7_224", "vision transformer"),
    ],
)
def test_models_without_plain_attention_are_refused(model, message):
    with pytest.raises(InputError, match=message) as caught:
        load_backbone("other", model=model, weights="random")
    assert "\n" not in str(caught.value)
