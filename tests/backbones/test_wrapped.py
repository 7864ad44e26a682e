"""Checkpoints of a transformer as training scripts leave them: the encoder is found, what is left out is said."""

import argparse

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.backbones.test_backbones import TINY, load, network, same
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import load_backbone


def prefixed(tensors, prefix):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def head(prefix="head."):
    return {f"{prefix}mlp.0.weight": torch.ones(8, 24), f"{prefix}last_layer.weight_g": torch.ones(4, 1)}


def decoder():
    return {"mask_token": torch.ones(1, 1, 16), "decoder_blocks.0.norm1.weight": torch.ones(16)}


#: What a file holds, given the wanted encoder and another; and what its provenance says after name and hash.
WRAPPED = {
    "bare": (lambda ours, _: ours, ""),
    "DistributedDataParallel": (lambda ours, _: prefixed(ours, "module."), ", its module"),
    "DINO's training": (
        lambda ours, other: {
            "student": prefixed(other, "module.backbone."),
            "teacher": prefixed(ours, "backbone."),
            "epoch": 3,
        },
        ", its teacher.backbone",
    ),
    "DINO's training with heads": (
        lambda ours, other: {
            "student": prefixed(other, "module.backbone.") | head("module.head."),
            "teacher": prefixed(ours, "backbone.") | head(),
            "args": argparse.Namespace(lr=np.float64(0.1), arch="vit_small"),
        },
        ", its teacher.backbone, without head",
    ),
    "an average beside the rest": (
        lambda ours, other: {"state_dict": other, "state_dict_ema": ours},
        ", its state_dict_ema",
    ),
    "MAE with its decoder": (
        lambda ours, _: {"model": ours | decoder()},
        ", its model, without decoder_blocks, mask_token",
    ),
    "MAE's training": (
        lambda ours, _: {"model": ours | decoder(), "optimizer": {"state": {}}, "args": argparse.Namespace(lr=1)},
        ", its model, without decoder_blocks, mask_token",
    ),
    "Meta's DINOv2": (lambda ours, _: ours | {"mask_token": torch.zeros(1, 24)}, ", without mask_token"),
    "part of a larger model": (
        lambda ours, _: {"state_dict": prefixed(ours, "visual.trunk.") | {"logit_scale": torch.ones(())}},
        ", its state_dict.visual.trunk, without logit_scale",
    ),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_the_encoder_is_found_and_the_rest_is_named(tmp_path, kind):
    theirs, file = network(), tmp_path / "w.pth"
    content, said = WRAPPED[kind]
    torch.save(content(theirs.state_dict(), network(seed=1).state_dict()), file)
    backbone = load(weights=str(file))
    assert same(backbone, theirs)
    assert backbone.weights.partition(")")[2] == said


def test_a_file_of_a_torch_before_zips_is_read(tmp_path):
    theirs, file = network(), tmp_path / "w.pth"
    torch.save({"model": theirs.state_dict()}, file, _use_new_zipfile_serialization=False)
    assert same(load(weights=str(file)), theirs)


def test_one_with_foreign_classes_says_how_to_convert_it(tmp_path, capsys):
    file = tmp_path / "w.pth"
    content = {"state_dict": network().state_dict(), "args": argparse.Namespace(lr=1)}
    torch.save(content, file, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"torch before 1\.6 and you trust it, save its tensors again: torch\.save"):
        load(weights=str(file))


@pytest.mark.parametrize("side", [7, 37])
def test_positions_of_another_image_size_are_kept_and_interpolated_once(tmp_path, side):
    """As the same network made for that size would see an image of any size."""
    theirs = network(img_size=16 * side, dynamic_img_size=True).eval()
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    backbone = load(weights=str(tmp_path / "w.safetensors"))
    assert same(backbone, theirs)
    pixels = torch.randn(1, 3, 80, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(backbone.run(pixels, None), theirs.forward_features(pixels)[:, 1:])


def test_registers_under_metas_name_and_the_class_tokens_position(tmp_path):
    model, small = "vit_small_patch14_reg4_dinov2", {"embed_dim": 24, "depth": 1, "num_heads": 3, "img_size": 56}
    torch.manual_seed(0)
    theirs = timm.create_model(model, pretrained=False, num_classes=0, **small)
    ours = dict(theirs.state_dict())
    registers, positions, token = ours.pop("reg_token"), ours.pop("pos_embed"), ours.pop("cls_token")
    own = torch.ones(1, 1, 24)
    ours |= {"register_tokens": registers, "pos_embed": torch.cat([own, positions], 1), "cls_token": token - own}
    torch.save(ours | {"mask_token": torch.zeros(1, 24)}, tmp_path / "w.pth")
    backbone = load_backbone("reg", model=model, options=small, weights=str(tmp_path / "w.pth"))
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(backbone.model.state_dict()[name], tensor)


def fine_tuned(ours):
    norms = {f"fc_{name}": ours.pop(name) for name in ("norm.weight", "norm.bias")}
    return {"model": ours | norms | {"head.weight": torch.ones(5, 24)}}


#: What is another model's, however it is wrapped.
FOREIGN = {
    "fine-tuned with average pooling": (fine_tuned, r"final norm .* got fc_norm\.weight: it was fine-tuned"),
    "registers that the network has not": (
        lambda ours: ours | {"register_tokens": torch.ones(1, 4, 24)},
        r"unexpected \(reg_token",
    ),
    "layer scale that it has not": (
        lambda ours: ours | {"blocks.0.ls1.gamma": torch.ones(24)},
        r"unexpected \(blocks\.0\.ls1",
    ),
    "a block less": (
        lambda ours: {name: tensor for name, tensor in ours.items() if not name.startswith("blocks.1.")},
        r"missing \(blocks\.1\.norm1",
    ),
    "positions of no square": (
        lambda ours: ours | {"pos_embed": torch.ones(1, 12, 24)},
        r"of another shape \(pos_embed \(1, 12",
    ),
    "positions of another width": (
        lambda ours: ours | {"pos_embed": torch.ones(1, 50, 48)},
        r"of another shape \(pos_embed",
    ),
    "nothing of a transformer": (
        lambda ours: {"conv1.weight": torch.ones(3)},
        r"expected tensors such as cls_token, got 'conv1",
    ),
    "no tensors": (lambda ours: {"epoch": 3}, r"expected tensors such as cls_token, got 'epoch'"),
    "one tensor": (lambda ours: torch.ones(3), "expected tensors under names, got Tensor"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_another_model_is_one_line(tmp_path, kind):
    content, line = FOREIGN[kind]
    torch.save(content(dict(network().state_dict())), tmp_path / "w.pth")
    with pytest.raises(InputError, match=line) as caught:
        load(weights=str(tmp_path / "w.pth"))
    assert "\n" not in str(caught.value)


def test_a_network_of_another_size_is_refused_by_its_shapes(tmp_path):
    torch.save({"module": prefixed(network(embed_dim=48).state_dict(), "backbone.")}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"of another shape \(.*instead of"):
        load(weights=str(tmp_path / "w.pth"))


assert TINY["depth"] == 2  # what "a block less" stands on
