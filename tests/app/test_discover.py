"""Classes of a folder of photographs, by command and from Python: what is found, kept, named, exported, and refused."""

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from whatwhere.app.cli import main
from whatwhere.app.discover import folder as working
from whatwhere.app.discover import page as writing
from whatwhere.app.discover.codebook import Codebook, chosen_classes
from whatwhere.app.discover.folder import named_photos
from whatwhere.app.discover.maps import read_labelled
from whatwhere.app.discover.names import plain, read_names, write_names
from whatwhere.artifacts.errors import InputError
from whatwhere.datasets import folder as folder_data
from whatwhere.datasets.labels import read_labels

SMALL = ["--size", "64", "--vectors", "6", "--backbone", "zoo-dino", "--borders", "tokens", "--classes", "3"]
ASKED = {"backbone": "zoo-dino", "size_px": 64, "vectors": 6, "classes": 3, "landmarks": 0}


# ------------------------------------------------------------------------------------------- helpers


def picture(height, width, number):
    """Sky over grass, with a red box whose place depends on the number."""
    image = np.full((height, width, 3), (120, 170, 230), np.uint8)
    image[height // 2 :] = (60, 140, 60)
    top, left = (7 * number) % (height // 2), (11 * number) % (width // 2)
    image[top : top + height // 3, left : left + width // 3] = (200, 40, 40)
    rng = np.random.default_rng(number)
    return np.clip(image + rng.integers(-8, 9, image.shape), 0, 255).astype(np.uint8)


def write_album(folder, numbers=range(5)):
    (folder / "below").mkdir(parents=True)
    for number in numbers:
        size = ((60, 90), (84, 60), (64, 64))[number % 3]
        Image.fromarray(picture(*size, number)).save(folder / ("below" if number % 2 else "") / f"p{number}.png")


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "album"
    write_album(folder)
    (folder / "bad.png").write_bytes((folder / "p0.png").read_bytes()[:80])
    return folder


@pytest.fixture(scope="module")
def found_once(album, tmp_path_factory):
    """What `discover` leaves, which tests copy before they change it."""
    out = tmp_path_factory.mktemp("found") / "o"
    with pytest.raises(SystemExit) as caught:  # for the one that cannot be read
        main(["discover", str(album), "--out", str(out), "--panoptic", *SMALL])
    assert caught.value.code == 2
    return out


@pytest.fixture
def found(found_once, tmp_path):
    shutil.copytree(found_once, tmp_path / "o")
    return tmp_path / "o"


def again(album, out, *more):
    with pytest.raises(SystemExit):
        main(["discover", str(album), "--out", str(out), *SMALL, *more])


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(list(map(str, arguments)))
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.strip().split("\n")[-1]


def bytes_of(folder):
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


# ------------------------------------------------------------------------------------------- what it leaves


class TestFound:
    def test_every_photograph_has_a_map_at_its_own_size(self, album, found_once):
        names = named_photos(album, found_once)
        assert sorted(names.values()) == ["bad", "below/p1", "below/p3", "p0", "p2", "p4"]
        for photo, name in names.items():
            if name != "bad":
                labels = read_labels(found_once / "labels" / f"{name}.png")
                assert labels.shape == np.asarray(Image.open(photo)).shape[:2]
                np.testing.assert_array_equal(labels, read_labelled(found_once / "archive" / f"{name}.npz")[0].labels)

    def test_what_cannot_be_read_is_listed(self, found_once):
        (line,) = (found_once / "skipped.txt").read_text().splitlines()
        assert "bad.png" in line
        assert "expected an image file" in line

    def test_the_maps_say_what_the_codebook_does(self, album, found_once):
        book = Codebook.load(found_once / "codebook.json")
        (labels,) = book.predict([album / "p0.png"], borders="tokens")
        np.testing.assert_array_equal(labels, read_labels(found_once / "labels" / "p0.png"))

    def test_the_tables_add_up(self, found_once):
        with (found_once / "classes.csv").open() as file:
            classes = list(csv.DictReader(file))
        with (found_once / "photographs.csv").open() as file:
            photographs = list(csv.DictReader(file))
        assert len(classes) == 3
        assert len(photographs) == 5
        for row in classes:
            own = [float(photo[row["name"]]) for photo in photographs]
            assert float(row["share"]) == pytest.approx(np.mean(own), abs=2e-4)
            assert int(row["photographs"]) == sum(one >= 0.01 for one in own)
        assert sum(float(row["share"]) for row in classes) == pytest.approx(1, abs=1e-3)

    def test_the_page_fetches_nothing_and_shows_each_class(self, found_once):
        page = (found_once / "classes.html").read_text()
        assert not re.search(r"(src|href)=\"(?!data:|#)", page)
        assert "<script" not in page
        assert page.count('<article id="class-') == 3
        assert 'name="viewport"' in page
        assert page.count("data:image/webp;base64,") >= 3 * 3

    def test_the_folder_data_set_reads_the_maps(self, album, found_once, tmp_path):
        settings = yaml.safe_load((found_once / "dataset.yaml").read_text())["datasets"]["discovered"]
        root = tmp_path / "album"
        shutil.copytree(album, root)
        (root / "bad.png").unlink()
        data = folder_data.load("found", root=root, labels_root=settings["labels_root"], classes=settings["classes"])
        assert len(data.records) == 5
        for record in data.records:
            (labels,) = record.labels()
            assert labels.shape == record.image().shape[:2]
            assert 0 <= labels.min() <= labels.max() < len(settings["classes"]) == 3

    def test_panoptic_json_is_the_maps(self, album, found_once):
        said = json.loads((found_once / "panoptic.json").read_text())
        assert len(said["images"]) == len(said["annotations"]) == 5
        known = {one["id"] for one in said["categories"]}
        for image, annotation in zip(said["images"], said["annotations"], strict=True):
            assert image["id"] == annotation["image_id"]
            assert (album / image["file_name"]).is_file()
            coded = np.asarray(Image.open(found_once / "panoptic" / annotation["file_name"])).astype(int)
            ids = coded[:, :, 0] + 256 * coded[:, :, 1] + 256**2 * coded[:, :, 2]
            assert ids.shape == (image["height"], image["width"])
            assert {n: int((ids == n).sum()) for n in np.unique(ids).tolist()} == {
                one["id"]: one["area"] for one in annotation["segments_info"]
            }
            assert {one["category_id"] for one in annotation["segments_info"]} <= known
            labels = read_labels(found_once / "labels" / annotation["file_name"])
            np.testing.assert_array_equal(ids, labels + 1)


# ------------------------------------------------------------------------------------------- once more


class TestAgain:
    def test_what_is_done_is_not_done_again(self, album, found, monkeypatch):
        before = bytes_of(found / "archive")
        monkeypatch.setattr(Codebook, "extended", lambda *_: pytest.fail("solved again"))
        monkeypatch.setattr(Codebook, "fit", lambda *_, **__: pytest.fail("fitted again"))
        again(album, found)
        assert bytes_of(found / "archive") == before

    def test_what_was_interrupted_goes_on_to_the_same_bytes(self, album, found):
        before = bytes_of(found / "labels") | bytes_of(found / "archive")
        for lost in ("labels/p0.png", "archive/below/p1.npz"):
            (found / lost).unlink()
        (found / "archive" / "p2.npz").write_bytes(b"cut off")
        again(album, found)
        assert bytes_of(found / "labels") | bytes_of(found / "archive") == before

    def test_a_new_photograph_is_labelled_by_the_same_codebook(self, album, found, tmp_path):
        more = tmp_path / "more"
        shutil.copytree(album, more)
        Image.fromarray(picture(70, 60, 17)).save(more / "new.png")
        book = (found / "codebook.json").read_bytes()
        again(more, found)
        assert (found / "labels" / "new.png").is_file()
        assert (found / "codebook.json").read_bytes() == book

    def test_names_colours_and_merges_are_honoured(self, album, found, monkeypatch):
        monkeypatch.setattr(Codebook, "extended", lambda *_: pytest.fail("solved again"))
        raw = read_labelled(found / "archive" / "p0.npz")[0].labels
        (found / "classes.yaml").write_text(
            '- {class: 0, name: "sky & <air>", colour: "#010203"}\n- {class: 2, merge: "sky & <air>"}\n'
        )
        again(album, found)
        labels = read_labels(found / "labels" / "p0.png")
        np.testing.assert_array_equal(labels, np.array([0, 1, 0])[raw])
        with Image.open(found / "labels" / "p0.png") as drawn:
            assert drawn.getpalette()[:3] == [1, 2, 3]
        page = (found / "classes.html").read_text()
        assert "sky &amp; &lt;air&gt;" in page
        assert page.count('<article id="class-') == 2
        with (found / "classes.csv").open() as file:
            rows = {row["class"]: row for row in csv.DictReader(file)}
        assert rows["0"]["name"] == "sky & <air>"
        assert rows["0"]["merged from"] == "2"
        assert "2" not in rows

    def test_other_settings_are_another_folders(self, album, found, capsys):
        line = refused(["discover", album, "--out", found, *SMALL, "--classes", "4"], capsys)
        assert "expected a codebook of classes 4, got one of classes 3; choose another folder" in line

    def test_what_is_done_costs_two_looks_at_its_archive_and_no_label_map(self, album, found, monkeypatch):
        """However large the photographs, and with one more to be done: its cost is not theirs."""
        (found / "archive" / "p0.npz").unlink()
        opened, unpacked = Counter(), Counter()
        load, member = np.load, np.lib.npyio.NpzFile.__getitem__

        def opening(file, *rest, **more):
            opened[Path(file).stem] += 1
            return load(file, *rest, **more)

        def unpacking(archive, name):
            unpacked[name] += 1
            return member(archive, name)

        monkeypatch.setattr(np, "load", opening)
        monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", unpacking)
        monkeypatch.setattr(writing, "write_page", lambda *_, **__: None)  # which shows some photographs, however many
        again(album, found)
        assert {opened[name] for name in ("p1", "p2", "p3", "p4")} == {2}
        assert opened["p0"] <= 3
        assert unpacked["shares"] == 5
        assert unpacked["labels"] == 0

    def test_archives_of_earlier_versions_have_their_shares_in_the_labels(self, album, found):
        before = (found / "photographs.csv").read_bytes(), (found / "classes.csv").read_bytes()
        for file in (found / "archive").rglob("*.npz"):
            with np.load(file) as kept:
                arrays = {name: kept[name] for name in kept if name != "shares"}
            np.savez_compressed(file, **arrays)
        again(album, found)
        assert ((found / "photographs.csv").read_bytes(), (found / "classes.csv").read_bytes()) == before


class TestApply:
    def test_others_are_labelled_with_the_names(self, found, tmp_path, capsys):
        (found / "classes.yaml").write_text(
            "- {class: 0, name: zero}\n- {class: 1, name: one}\n- {class: 2, name: two}"
        )
        Image.fromarray(picture(60, 90, 40)).save(tmp_path / "new.png")
        out = tmp_path / "applied"
        main(["apply", str(found), str(tmp_path / "new.png"), "--out", str(out), "--borders", "tokens"])
        assert {one.name for one in out.iterdir()} == {"new_classes.png", "new_labels.png", "new.npz"}
        said = capsys.readouterr().out
        assert re.search(r"(zero|one|two) \d+%", said)
        (labels,) = Codebook.load(found / "codebook.json").predict([tmp_path / "new.png"], borders="tokens")
        np.testing.assert_array_equal(read_labels(out / "new_labels.png"), labels)
        assert read_labels(out / "new_labels.png").shape == (60, 90)

    def test_a_photograph_of_the_sample_has_the_same_map(self, album, found, tmp_path):
        out = tmp_path / "applied"
        main(["apply", str(found), str(album / "p0.png"), "--out", str(out), "--borders", "tokens"])
        np.testing.assert_array_equal(read_labels(out / "p0_labels.png"), read_labels(found / "labels" / "p0.png"))

    def test_noise_hardly_connects(self, found, tmp_path):
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
        book = Codebook.load(found / "codebook.json")
        ((_, _, strange),) = book.labelled([noise], borders="tokens")
        ((_, _, alike),) = book.labelled([picture(60, 90, 40)], borders="tokens")
        assert alike < 0.2 < strange

    def test_a_folder_of_something_else(self, tmp_path, album, capsys):
        line = refused(["apply", tmp_path, album / "p0.png", "--out", tmp_path / "o"], capsys)
        assert "expected a folder that `whatwhere discover` wrote" in line


# ------------------------------------------------------------------------------------------- from Python


@pytest.fixture(scope="module")
def book(album):
    return Codebook(**ASKED).fit([album / "p0.png", album / "below" / "p1.png", picture(64, 64, 2)])


class TestCodebook:
    def test_what_is_saved_answers_the_same(self, book, tmp_path, album):
        book.save(tmp_path / "book.json")
        read = Codebook.load(tmp_path / "book.json")
        assert read.asked == book.asked
        new = picture(60, 90, 8)
        np.testing.assert_array_equal(read.transform([new])[0], book.transform([new])[0])
        np.testing.assert_array_equal(read.predict([new])[0], book.predict([new])[0])

    def test_rows_are_on_the_photographs_own_grid(self, book):
        wide, square = book.transform([picture(60, 120, 3), picture(64, 64, 3)])
        assert wide.shape[:2] == (8, 16)
        assert square.shape[:2] == (8, 8)
        np.testing.assert_allclose(np.linalg.norm(wide, axis=-1), 1, atol=1e-5)

    def test_the_company_of_others_does_not_matter(self, book):
        pictures = [picture(60, 90, number) for number in (30, 31, 32)]
        together = book.transform(pictures)
        for alone, one in zip(pictures[::-1], together[::-1], strict=True):
            np.testing.assert_array_equal(book.transform([alone])[0], one)

    def test_one_photograph_only(self):
        book = Codebook(**ASKED).fit([picture(60, 90, 1)])
        (labels,) = book.predict([picture(60, 90, 1)], borders="tokens")
        assert labels.shape == (60, 90)
        assert len(np.unique(labels)) > 1

    def test_before_it_is_fitted(self):
        with pytest.raises(InputError, match="call fit first"):
            Codebook(**ASKED).predict([picture(60, 90, 1)])

    def test_more_classes_than_rows(self):
        with pytest.raises(InputError, match="clusters: expected at least 999 different rows"):
            Codebook(**{**ASKED, "classes": 999}).fit([picture(60, 90, 1)])

    def test_none_that_can_be_read(self, album):
        with pytest.raises(InputError, match="none that can be read among 1"):
            Codebook(**ASKED).fit([album / "bad.png"])

    def test_a_damaged_codebook(self, book, tmp_path):
        book.save(tmp_path / "book.json")
        chunk = next((tmp_path / "book.zarr" / "graph-0" / "source").rglob("c/*/*"))
        content = bytearray(chunk.read_bytes())
        content[len(content) // 2] ^= 1
        chunk.write_bytes(content)
        with pytest.raises(InputError, match=r"graph-0/source.*content that differs"):
            Codebook.load(tmp_path / "book.json")

    def test_a_store_of_something_else(self, tmp_path):
        from whatwhere.artifacts.store import create

        with create(tmp_path / "x.json", {}, {}) as store:
            store.array("rgb", (1, 2, 2, 3), "uint8", ("image", "y", "x", "channel"))[...] = 0
        with pytest.raises(InputError, match="expected a codebook of layout 1, got another store"):
            Codebook.load(tmp_path / "x.json")

    def test_other_weights_are_refused(self, book, tmp_path):
        book.save(tmp_path / "book.json")
        read = Codebook.load(tmp_path / "book.json")
        read.book.about["weights"] = "others"
        with pytest.raises(InputError, match="expected zoo-dino with the weights others"):
            read.predict([picture(60, 90, 1)])

    def test_auto_finds_a_number(self):
        auto = Codebook(**{**ASKED, "classes": "auto"}).fit([picture(64, 64, n) for n in range(3)])
        assert 2 <= auto.book.classes <= 32

    @pytest.mark.parametrize("blocks", [3, 5, 8])
    def test_auto_finds_planted_blocks(self, blocks):
        kinds = np.arange(400) % blocks
        X = np.concatenate([np.ones((400, 1)), np.eye(blocks)[kinds][:, 1:] - 1 / blocks], 1)
        U = np.linalg.qr(X)[0] + 0.002 * np.random.default_rng(0).standard_normal(X.shape)
        values = np.linspace(0.8, 0.6, blocks)
        assert chosen_classes(U, U / np.linalg.norm(U, axis=1, keepdims=True), values, 0) == blocks


# ------------------------------------------------------------------------------------------- names


class TestNames:
    def test_what_is_written_is_read(self, tmp_path):
        write_names(tmp_path / "c.yaml", plain(45))
        read = read_names(tmp_path / "c.yaml", 45)
        assert read.names == plain(45).names
        np.testing.assert_array_equal(read.colours, plain(45).colours)
        assert read.shown() == list(range(45))

    def test_merges_are_followed(self, tmp_path):
        (tmp_path / "c.yaml").write_text("[{class: 0, merge: 1}, {class: 1, merge: 2}, {class: 2, name: end}]")
        assert read_names(tmp_path / "c.yaml", 4).shown_as.tolist() == [2, 2, 2, 3]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[{class: 0, merge: 1}, {class: 1, merge: 0}]", "merges that end, got 0 into 1 into 0"),
            ("[{class: 7}]", "each class once"),
            ("[{class: 1}, {class: 1}]", "each class once"),
            ("[{class: 1, color: red}]", "each class once"),
            ("[{class: true}]", "each class once"),
            ("nothing", "each class once"),
            ("{", "a list of classes as YAML"),
            ("!!python/object/apply:os.system [ls]", "a list of classes as YAML"),
            ("[{class: 0, colour: red}]", "expected a colour"),
            ("[{class: 0, merge: nowhere}]", "a name that one class has, got 'nowhere'"),
        ],
    )
    def test_what_is_wrong_is_one_line(self, tmp_path, text, says):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(InputError, match=re.escape(says)):
            read_names(tmp_path / "c.yaml", 3)


# ------------------------------------------------------------------------------------------- what is refused


class TestRefused:
    def test_a_folder_without_photographs(self, tmp_path, capsys):
        assert "expected photographs" in refused(["discover", tmp_path, "--out", tmp_path / "o", *SMALL], capsys)

    def test_a_file_for_a_folder(self, album, tmp_path, capsys):
        line = refused(["discover", album / "p0.png", "--out", tmp_path / "o", *SMALL], capsys)
        assert "expected a folder of photographs, got a file" in line

    def test_its_own_maps_are_no_photographs(self, tmp_path):
        write_album(tmp_path / "album", range(2))
        out = tmp_path / "album" / "found"
        (out / "labels").mkdir(parents=True)
        Image.fromarray(picture(60, 60, 1)).save(out / "labels" / "p0.png")
        assert set(named_photos(tmp_path / "album", out).values()) == {"p0", "below/p1"}

    def test_two_photographs_of_one_name(self, tmp_path):
        for name in ("a.png", "a.jpg", "A.bmp"):
            Image.fromarray(picture(60, 60, 1)).save(tmp_path / name)
        said = []
        assert sorted(named_photos(tmp_path, tmp_path / "o", said.append).values()) == ["A", "a-2", "a-3"]
        assert said == []

    def test_what_is_no_photograph_is_counted(self, tmp_path):
        write_album(tmp_path / "album", range(2))
        for name in ("a.mov", "below/b.mov", "below/notes"):
            (tmp_path / "album" / name).touch()
        said = []
        named_photos(tmp_path / "album", tmp_path / "o", said.append)
        assert said == [f"{tmp_path / 'album'}: no photographs, and left out: 2 .mov, 1 file without an ending"]

    def test_a_full_disk_leaves_what_is_done_and_goes_on(self, album, found, monkeypatch, capsys):
        before = bytes_of(found / "labels")
        for name in ("p0", "p2"):
            (found / "labels" / f"{name}.png").unlink()
        write = working.write_map

        def full(file, *rest):
            if file.name == "p2.png":
                raise OSError(28, "No space left on device", str(file))
            write(file, *rest)

        monkeypatch.setattr(working, "write_map", full)
        again(album, found)
        assert "No space left on device" in capsys.readouterr().err
        assert not (found / "labels" / "p2.png").exists()
        monkeypatch.setattr(working, "write_map", write)
        again(album, found)
        assert bytes_of(found / "labels") == before
