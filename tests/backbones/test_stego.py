"""STEGO: small checkpoints in the layout of the published ones, against the same network written out in the test."""

import hashlib
import math
import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import load_backbone
from whatwhere.backbones.capture import capture, record_attention
from whatwhere.backbones.stego import FILES
from whatwhere.config.methods import BackboneSettings

WIDTH, HIDDEN, DEPTH, PATCH, GRID, CODE, CLUSTERS = 128, 192, 3, 4, 3, 10, 5
HEADS = 2  # of 64 channels


class Executed:
    """Stands for a trainer's settings: unpickling it anywhere else would write a file."""

    def __init__(self, path):
        self.command = f"touch {path}"

    def __reduce__(self):
        return os.system, (self.command,)


def state(seed=0, width=WIDTH, **changed):
    """The `state_dict` of a training checkpoint, by the names of the published ones."""
    shapes = {
        "net.model.cls_token": (1, 1, width),
        "net.model.pos_embed": (1, GRID**2 + 1, width),
        "net.model.patch_embed.proj.weight": (width, 3, PATCH, PATCH),
        "net.model.patch_embed.proj.bias": (width,),
    }
    for i in range(DEPTH):
        linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        linear |= {"mlp.fc1": (HIDDEN, width), "mlp.fc2": (width, HIDDEN)}
        for part in ("norm1", "norm2"):
            shapes |= {f"net.model.blocks.{i}.{part}.{kind}": (width,) for kind in ("weight", "bias")}
        for part, shape in linear.items():
            shapes |= {f"net.model.blocks.{i}.{part}.weight": shape, f"net.model.blocks.{i}.{part}.bias": shape[:1]}
    shapes |= {f"net.model.norm.{kind}": (width,) for kind in ("weight", "bias")}
    for part, out, into in (
        ("net.cluster1.0", CODE, width),
        ("net.cluster2.0", width, width),
        ("net.cluster2.2", CODE, width),
        ("linear_probe", CLUSTERS, CODE),
        ("decoder", width, CODE),
    ):
        shapes |= {f"{part}.weight": (out, into, 1, 1), f"{part}.bias": (out,)}
    shapes |= {f"{part}.clusters": (CLUSTERS, CODE) for part in ("train_cluster_probe", "cluster_probe")}
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(shape, generator=generator) / shape[-1] ** 0.5 for name, shape in shapes.items()}
    return {name: tensor for name, tensor in (tensors | changed).items() if tensor is not None}


def write(path, tensors=None):
    trainer = {"hyper_parameters": Executed(path.with_name("executed")), "callbacks": {Executed: 1}}
    torch.save({**trainer, "epoch": 1, "state_dict": state() if tensors is None else tensors}, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small training checkpoint; read only."""
    return write(tmp_path_factory.mktemp("stego") / "tiny.ckpt")


def load(path, **settings):
    return load_backbone("tiny", model="stego", weights=str(path), **settings)


def images(rows=GRID, columns=GRID, count=2):
    shape = (count, PATCH * rows, PATCH * columns, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def dino(tensors, pixels, heads=HEADS):
    """The normalised patch tokens of the last layer, `[image, token, channel]`, from a checkpoint's own names."""

    def part(name, x, how=F.linear):
        return how(x, tensors[f"net.model.{name}.weight"], tensors[f"net.model.{name}.bias"])

    def norm(name, x):
        return part(name, x, lambda x, weight, bias: F.layer_norm(x, x.shape[-1:], weight, bias, 1e-6))

    patches = part("patch_embed.proj", pixels, lambda *given: F.conv2d(*given, stride=PATCH)).flatten(2).mT
    x = torch.cat([tensors["net.model.cls_token"].expand(len(pixels), -1, -1), patches], 1)
    x = x + tensors["net.model.pos_embed"]
    for i in range(DEPTH):
        q, k, v = part(f"blocks.{i}.attn.qkv", norm(f"blocks.{i}.norm1", x)).unflatten(-1, (3, heads, -1)).unbind(2)
        attention = torch.softmax(torch.einsum("ithc,ishc->ihts", q, k) / math.sqrt(q.shape[-1]), -1)
        x = x + part(f"blocks.{i}.attn.proj", torch.einsum("ihts,ishc->ithc", attention, v).flatten(2))
        x = x + part(f"blocks.{i}.mlp.fc2", F.gelu(part(f"blocks.{i}.mlp.fc1", norm(f"blocks.{i}.norm2", x))))
    return norm("norm", x)[:, 1:]


def code(tensors, features):
    """The head as convolutions of 1 × 1 pixels."""

    def convolution(name, x):
        return F.conv2d(x, tensors[f"net.{name}.weight"], tensors[f"net.{name}.bias"])

    pixels = features.mT[..., None]
    nonlinear = convolution("cluster2.2", F.relu(convolution("cluster2.0", pixels)))
    return (convolution("cluster1.0", pixels) + nonlinear)[..., 0].mT


# What is computed


def test_the_code_is_the_published_networks(checkpoint):
    backbone = load(checkpoint)
    final = capture(backbone, images()).final
    assert final.shape == (2, GRID**2, CODE)
    expected = code(state(), dino(state(), backbone.prepare(images())))
    torch.testing.assert_close(final, expected, atol=1e-4, rtol=1e-4)


def test_the_clusters_are_the_softmax_of_twice_the_cosines(checkpoint):
    codes = capture(load(checkpoint), images()).final
    final = capture(load(checkpoint, options={"output": "clusters"}), images()).final
    assert final.shape == (2, GRID**2, CLUSTERS)
    cosines = F.cosine_similarity(codes[:, :, None], state()["cluster_probe.clusters"], dim=-1)
    torch.testing.assert_close(final.exp(), torch.softmax(2 * cosines, -1), atol=1e-5, rtol=1e-5)
    assert torch.equal(final.argmax(-1), cosines.argmax(-1))


def test_pixels_are_normalised_as_for_dino(checkpoint):
    backbone = load(checkpoint)
    assert (backbone.mean, backbone.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_a_record_reproduces_what_its_layer_returned(checkpoint):
    backbone = load(checkpoint, options={"output": "clusters"})
    pixels = backbone.prepare(images(2, 5))
    calls, final = record_attention(backbone.model, lambda: backbone.run(pixels))
    assert [call.name for call in calls] == [f"blocks.{i}.attn" for i in range(DEPTH)]
    assert torch.equal(final, backbone.run(pixels))
    for call in calls:
        attention = torch.softmax(call.query @ call.key.transpose(-1, -2) * call.scale, -1)
        torch.testing.assert_close(attention @ call.value, call.output, atol=1e-5, rtol=1e-5)


def test_only_the_images_own_tokens_are_captured_on_its_own_grid(checkpoint):
    features = capture(load(checkpoint), images(2, 5))
    assert {layer.grid for layer in features.layers} == {features.final_grid} == {(2, 5)}
    assert {layer.query.shape for layer in features.layers} == {(2, HEADS, 10, 64)}
    chosen = capture(load(checkpoint, layers=("blocks.1.*",)), images()).layers
    assert [layer.name for layer in chosen] == ["blocks.1.attn"]


def test_a_batch_and_its_images_have_the_same_features(checkpoint):
    backbone = load(checkpoint)
    together = capture(backbone, images()).final
    alone = torch.cat([capture(backbone, images()[i : i + 1]).final for i in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


# What is read


def test_sizes_are_the_tensors_own(tmp_path):
    wide = {"net.cluster1.0.weight": torch.ones(7, WIDTH, 1, 1), "net.cluster1.0.bias": torch.ones(7)}
    wide |= {"net.cluster2.2.weight": torch.ones(7, WIDTH, 1, 1), "net.cluster2.2.bias": torch.ones(7)}
    backbone = load(write(tmp_path / "w.ckpt", state(**wide, **{"cluster_probe.clusters": torch.ones(4, 7)})))
    assert (backbone.patch_px, backbone.size_px) == (PATCH, 320)
    assert capture(backbone, images()).final.shape == (2, GRID**2, 7)
    assert backbone.model.head.clusters.shape == (4, 7)
    assert backbone.model.pos_embed.shape == (1, GRID**2 + 1, WIDTH)
    assert backbone.model.blocks[0].mlp.fc1.out_features == HIDDEN


def test_heads_are_of_64_channels_unless_told(checkpoint, tmp_path):
    told = load(checkpoint, options={"num_heads": 4})
    assert {layer.query.shape for layer in capture(told, images()).layers} == {(2, 4, GRID**2, 32)}
    expected = code(state(), dino(state(), told.prepare(images()), heads=4))
    torch.testing.assert_close(capture(told, images()).final, expected, atol=1e-4, rtol=1e-4)
    narrow = write(tmp_path / "narrow.ckpt", state(width=24))
    with pytest.raises(InputError, match=r"heads of 64 channels, got 24 channels in all.* give `num_heads`"):
        load(narrow)
    assert capture(load(narrow, options={"num_heads": 3}), images()).layers[0].query.shape[1] == 3


def test_half_precision_is_read(checkpoint, tmp_path):
    half = {name: tensor.half() for name, tensor in state().items()}
    final = capture(load(write(tmp_path / "half.ckpt", half)), images()).final
    assert final.dtype == torch.float32
    torch.testing.assert_close(final, capture(load(checkpoint), images()).final, atol=0.05, rtol=0.05)


def test_nothing_of_the_checkpoint_is_executed_and_its_origin_is_noted(checkpoint):
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert load(checkpoint).weights == f"tiny.ckpt (sha256 {sha256[:16]})"
    assert not checkpoint.with_name("executed").exists()


def test_loading_draws_no_random_numbers_and_freezes_everything(checkpoint):
    before = torch.get_rng_state()
    network = load(checkpoint).model
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(module.training for module in network.modules())


def test_random_weights_have_the_published_sizes():
    network = load("random", device="meta").model
    assert (network.embed_dim, len(network.blocks), network.blocks[0].attn.num_heads) == (768, 12, 12)
    assert network.patch_embed.patch_size == (8, 8)
    assert network.head.clusters.shape == (27, 90)


def test_random_weights_follow_their_seed():
    small = {"embed_dim": 24, "depth": 2, "num_heads": 3, "img_size": 32}
    photo = np.zeros((1, 16, 16, 3), np.uint8)
    same, again, other = (load("random", seed=seed, options=small) for seed in (1, 1, 2))
    assert torch.equal(capture(same, photo).final, capture(again, photo).final)
    assert not torch.allclose(capture(same, photo).final, capture(other, photo).final, atol=1e-3)
    assert same.weights == "random (seed 1)"


def test_it_goes_by_its_own_name(checkpoint):
    assert load_backbone("stego", weights=str(checkpoint)).name == "stego"


# What is refused


def refused(fault, path, **settings):
    with pytest.raises(InputError, match=fault) as caught:
        load(path, **settings)
    assert "\n" not in str(caught.value)


def test_without_a_file_it_says_which_to_fetch_from_where():
    for download in (True, False):
        refused(rf"download {FILES[0]} or {FILES[1]} from https://\S+ and give its path", "hub", download=download)
    refused("expected a checkpoint file, found none", "/nowhere/stego.ckpt")


def test_the_configuration_finds_the_checkpoint(checkpoint):
    settings = {"model": "stego", "view": "short"}
    assert BackboneSettings(**settings, weights=str(checkpoint)).local_files() == [str(checkpoint)]
    assert BackboneSettings(**settings).local_files() == BackboneSettings(**settings, weights="random").local_files()
    with pytest.raises(InputError, match="which is no file"):
        BackboneSettings(**settings, weights="/nowhere/stego.ckpt").local_files()


FOREIGN = {
    "another model": ({"model.weight": torch.ones(3)}, r"checkpoint of STEGO's .* without a fitting patch_embed\.proj"),
    "only dino": ({k: v for k, v in state().items() if "cluster" not in k}, r"without a fitting head\.clusters"),
    "clusters of rank 1": (state(**{"cluster_probe.clusters": torch.ones(3)}), r"without a fitting head\.clusters"),
    "no clusters": (state(**{"cluster_probe.clusters": torch.ones(0, CODE)}), "without a fitting size"),
    "linear head": (
        {k: v for k, v in state().items() if "cluster2" not in k},
        r"4 missing \(head\.nonlinear\.0\.weight",
    ),
    "another code": (
        state(**{"cluster_probe.clusters": torch.ones(5, 9)}),
        r"head\.linear\.weight \(10, 128\) instead",
    ),
    "large kernel": (
        state(**{"net.cluster1.0.weight": torch.ones(CODE, WIDTH, 3, 3)}),
        r"1 of another shape \(head\.linear\.weight \(10, 128, 3, 3\) instead of \(10, 128\)",
    ),
    "a layer short": ({k: v for k, v in state().items() if "blocks.1.mlp" not in k}, r"4 missing \(blocks\.1\.mlp"),
    "positions": (
        state(**{"net.model.pos_embed": torch.ones(1, 8, WIDTH)}),
        r"pos_embed \(1, 8, 128\) instead of \(1, 5",
    ),
    "another part": (state(**{"net.model.head.weight": torch.ones(3)}), r"1 unexpected \(head\.weight\)"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_stegos_is_refused_in_one_line(tmp_path, kind):
    tensors, fault = FOREIGN[kind]
    refused(fault, write(tmp_path / "w.ckpt", tensors))


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"output": "probe"}, "expected `output` code or clusters, got 'probe'"),
        ({"output": None}, "expected `output` code or clusters, got None"),
        ({"depht": 2}, "with options .* cannot be one"),
        ({"num_heads": 3}, "cannot be one"),
        ({"depth": 2}, r"unexpected \(blocks\.2"),
        ({"checkpoint_path": "x"}, "cannot be one"),
    ],
)
def test_options_that_do_not_fit_are_refused(checkpoint, options, fault):
    refused(fault, checkpoint, options=options)
