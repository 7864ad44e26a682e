"""Loading: the hub's own layout, local files, other sizes; and refusal of what is damaged, foreign or live."""

import errno
import hashlib
import json
import pickle
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import load_backbone
from whatwhere.backbones.weights import NotCachedError

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
    assert backbone.weights.startswith(f"timm/{MODEL}@{'0' * 12} (sha256 ")


def test_no_network_says_what_to_do(hub):
    with pytest.raises(InputError, match=r"cannot be reached; connect once .*, or give a local folder as") as caught:
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
    "live pickle": "expected tensors such as cls_token, got 'state'",
    "old pickle": "a torch checkpoint of tensors, got neither",
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


# A hub on this machine


COMMIT = "c0ffee" + 34 * "1"


def send(handler, status, headers, content=b"", part=1.0):
    """An answer; of a GET only a `part` of the content arrives before the connection is closed."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(content[: int(part * len(content))])
    handler.close_connection = True


class Answers(BaseHTTPRequestHandler):
    """The hub's answers for one repository, `owner/tiny`, or what the server's `fault` makes of them."""

    def do_HEAD(self):
        filename = self.path.partition("/resolve/")[2].partition("/")[2]
        self.server.log.append((self.command, filename, self.headers.get("Range")))
        fault = self.server.fault
        if not (fault and fault(self, filename)):
            self.give(filename)

    do_GET = do_HEAD  # noqa: N815 (the server's own name)

    def give(self, filename, part=1.0):
        content = self.server.files.get(filename)
        if content is None:
            return send(self, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        name = hashlib.sha256 if filename.endswith(".safetensors") else hashlib.sha1
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{name(content).hexdigest()}"'}
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return send(self, 206 if start else 200, headers, content[start:], part)

    def log_message(self, *_):
        pass


@pytest.fixture
def tiny_hub(tmp_path, monkeypatch):
    """A hub with one repository in timm's layout, which this machine's client asks instead of the real one."""
    from huggingface_hub import constants, file_download

    save_file(network().state_dict(), tmp_path / "model.safetensors")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    config = {"architecture": MODEL.partition(".")[0], "model_args": TINY}
    server.files = {"config.json": json.dumps(config).encode()}
    server.files["model.safetensors"] = (tmp_path / "model.safetensors").read_bytes()
    server.log, server.fault = [], None
    address = f"http://127.0.0.1:{server.server_port}"
    settings = {
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_ETAG_TIMEOUT": 0.3,
        "HF_HUB_DOWNLOAD_TIMEOUT": 0.3,
        "DOWNLOAD_CHUNK_SIZE": 1024,
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)  # between the client's attempts
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(**settings):
    return load_backbone("owner/tiny", **settings)


def one_line(fault):
    """That loading fails with `fault`, in a line that names the way without the hub."""
    with pytest.raises(InputError, match=fault) as caught:
        fetch()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("or give a local folder as `model`")


class Interrupted:
    """Half of the weights arrive, then nothing more until the server is well again."""

    def __init__(self):
        self.broken = False

    def __call__(self, handler, filename):
        if handler.command == "HEAD" or filename != "model.safetensors":
            return False
        if not self.broken:
            handler.give(filename, part=0.5)
        self.broken = handler.close_connection = True
        return True


def test_a_download_that_broke_off_is_continued_by_the_next_call(tiny_hub, tmp_path):
    size = len(tiny_hub.files["model.safetensors"])
    tiny_hub.fault = Interrupted()
    one_line(f"weights owner/tiny@{COMMIT}, file model.safetensors: the download broke off .* goes on from there")
    assert not list(tmp_path.glob("cache/models--owner--tiny/snapshots/*/model.safetensors"))
    tiny_hub.fault, tiny_hub.log[:] = None, []
    backbone = fetch()
    ranges = [asked for command, name, asked in tiny_hub.log if (command, name) == ("GET", "model.safetensors")]
    assert ranges == [f"bytes={size // 2 // 1024 * 1024}-"]
    assert same(backbone, network())
    assert backbone.weights.startswith(f"owner/tiny@{COMMIT[:12]} (sha256 ")
    assert not list(tmp_path.glob("cache/**/*.incomplete"))


def test_what_is_there_is_not_fetched_again_and_needs_no_network(tiny_hub):
    first = fetch()
    tiny_hub.log[:] = []
    assert same(fetch(), network())
    assert {command for command, _, _ in tiny_hub.log} == {"HEAD"}  # `main` may have moved
    tiny_hub.log[:] = []
    assert same(fetch(revision=COMMIT), network())
    assert same(fetch(download=False), network())
    assert not tiny_hub.log
    tiny_hub.fault = lambda handler, _: send(handler, 503, {}) or True
    assert fetch().weights == first.weights


def test_nothing_is_asked_of_the_hub_without_leave(tiny_hub):
    with pytest.raises(NotCachedError, match=r"config\.json|model_index\.json"):
        fetch(download=False)
    assert not tiny_hub.log


def test_damaged_content_is_not_kept(tiny_hub, tmp_path):
    good = tiny_hub.files["model.safetensors"]

    def garble(handler, filename):
        if handler.command == "GET" and filename == "model.safetensors":
            return send(handler, 200, {}, bytes(len(good))) or True
        return False

    tiny_hub.fault = garble
    one_line("what arrived is not what the hub announced")
    assert not list(tmp_path.glob("cache/**/blobs/*.incomplete"))
    tiny_hub.fault = None
    assert same(fetch(), network())


def refuse(status, code="", message=""):
    return lambda handler, _: send(handler, status, {"X-Error-Code": code, "X-Error-Message": message}) or True


FAULTS = {
    "permission": (refuse(401, "GatedRepo"), r"accept its terms on http.*/owner/tiny and set HF_TOKEN"),
    "token": (refuse(401, "", "Invalid credentials in Authorization header"), "refuses you .*HF_TOKEN to a valid"),
    "forbidden": (refuse(403), r"refuses you \(status 403\); set HF_TOKEN"),
    "repository": (refuse(404, "RepoNotFound"), "no such repository, or not for you; correct the name"),
    "revision": (refuse(404, "RevisionNotFound"), "no such revision of it; correct `revision`"),
    "file": (refuse(404, "EntryNotFound"), "no such file in it; correct the model's name or `revision`"),
    "down": (refuse(503), "answers with status 503; try again later"),
    "too many": (refuse(429), "answers with status 429; try again later"),
    "closed": (lambda handler, _: setattr(handler, "close_connection", True) or True, "hub cannot be reached"),
    "silent": (lambda *_: Event().wait(0.5) or True, "hub cannot be reached; connect once"),
    "no hub": (lambda handler, _: send(handler, 200, {}, b"<html>") or True, "hub cannot be reached"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_every_failure_of_the_hub_is_one_line_that_says_what_to_do(tiny_hub, kind):
    tiny_hub.fault, fault = FAULTS[kind]
    one_line(fault)


def test_no_hub_at_all_is_one_line(tiny_hub):
    tiny_hub.shutdown()
    tiny_hub.server_close()
    one_line("not in the local cache and the hub cannot be reached; connect once")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_or_forbidden_disk_is_one_line(tiny_hub, monkeypatch, number):
    from huggingface_hub import file_download

    def fail(*_, **__):
        raise OSError(number, "no")

    monkeypatch.setattr(file_download, "http_get", fail)
    one_line(r"(is full; make room or|cannot write to .*) set HF_HOME to a folder")


def test_a_cache_that_is_no_folder_is_one_line(tiny_hub, tmp_path):
    (tmp_path / "cache").write_text("mine")
    one_line("cannot write to .*cache .*set HF_HOME to a folder of yours")
    assert (tmp_path / "cache").read_text() == "mine"


def test_a_token_is_sent_and_a_preset_of_a_like_name_proposed(tiny_hub, monkeypatch):
    sent = []
    monkeypatch.setenv("HF_TOKEN", "secret")
    tiny_hub.fault = lambda handler, _: sent.append(handler.headers["Authorization"])
    fetch()
    assert set(sent) == {"Bearer secret"}
    tiny_hub.fault = refuse(404, "RepoNotFound")
    with pytest.raises(InputError, match=r"near it: stable-diffusion-v1-4"):
        load_backbone("CompVis/stable-diffusion-v14")
