"""Pages over a folder of `discover`: connections are the library's, names are the person's, what is done stays done."""

import json
import os
import re
import shutil
from urllib.parse import urljoin

import numpy as np
import pytest
from PIL import Image

from tests.app.test_discover import picture, refused, write_album
from tests.explored import connections_of, facts_of, labels_of, photo_of
from whatwhere.app.cli import main
from whatwhere.app.discover.codebook import Codebook
from whatwhere.app.discover.maps import read_labelled
from whatwhere.app.discover.names import plain
from whatwhere.app.explore.album import Shown, data_file, patch_classes
from whatwhere.app.explore.album import write_album as write_index
from whatwhere.app.explore.folder import MOST, explore_found
from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import read_image
from whatwhere.method.joint.connections import Connections

SMALL = ["--size", "64", "--vectors", "6", "--backbone", "zoo-dino", "--borders", "tokens", "--classes", "3"]
#: Fewer than the sample's tokens: some are thinned out.
MARKS = 150
#: Half a step of a weight, and what is summed in another order.
STEP = 0.5 / 255 + 1e-3
#: What an index says of itself.
ABOUT = {"backbone": "", "weights": "", "most": 6, "classes": ""}


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "album"
    write_album(folder, range(4))
    return folder


@pytest.fixture(scope="module")
def once(album, tmp_path_factory):
    """Three photographs are the sample, the fourth is not; what `explore` leaves, for tests to copy."""
    out = tmp_path_factory.mktemp("found") / "o"
    main(["discover", str(album), "--out", str(out), *SMALL, "--sample", "3", "--landmarks", str(MARKS)])
    main(["explore", str(out)])
    return out


@pytest.fixture
def found(once, tmp_path):
    shutil.copytree(once, tmp_path / "o")
    return tmp_path / "o"


@pytest.fixture(scope="module")
def book(once):
    return Codebook.load(once / "codebook.json")


@pytest.fixture(scope="module")
def seen(album, book):
    """Each photograph as the network sees it, by name."""
    photos = {one.relative_to(album).with_suffix("").as_posix(): one for one in album.rglob("*.png")}
    return {name: book.seen(read_image(photo), pathway="both") for name, photo in photos.items()}


def index_of(out):
    return index_of_file(out / "explore" / "index.html")


def index_of_file(file):
    return facts_of(file.read_text("utf-8"))


def photos_of(out):
    """Of each name the facts in its file."""
    rows = index_of(out)["photos"]
    return {row[1]: photo_of((out / "explore" / "data" / f"{row[0]}.js").read_text("utf-8"))[1] for row in rows}


def marks_of(facts):
    """Name and patch of each landmark."""
    return [(facts["photos"][one[0]][1], patch) for one in facts["landmarks"] for patch in one[3]]


def files_of(out):
    folder = out / "explore"
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*.*") if one.is_file()}


def cosines(source, target, names):
    """The mean over layers, from half-precision vectors to doubles."""
    own, other = names
    layers = zip(source.layers, target.layers, strict=True)
    return np.mean([a.rows[own].double().numpy() @ b.rows[other].double().numpy().T for a, b in layers], 0)


def unseen(monkeypatch):
    monkeypatch.setattr(Codebook, "seen", lambda *_, **__: pytest.fail("seen again"))


# ---------------------------------------------------------------------------------------------- numbers


def test_landmarks_are_the_codebooks(once, book, seen):
    """Of the stored pathway the very vectors: so patches that are drawn again are those that were kept."""
    marks = marks_of(index_of(once))
    assert len(marks) == book.book.landmarks.count
    assert len(marks) < sum(one.grid[0] * one.grid[1] for one in seen.values())
    for number, anchor in enumerate(book.book.landmarks.anchors):
        own = np.stack([seen[name].layers[number].rows["v"][patch].float().numpy() for name, patch in marks])
        np.testing.assert_allclose(own, anchor.source.float().numpy(), atol=2e-3)


@pytest.mark.parametrize(("pathway", "names"), [("vv", ("v", "v")), ("qk", ("q", "k"))])
def test_connections_are_the_strongest_cosines_to_landmarks_elsewhere(once, seen, pathway, names):
    marks = marks_of(index_of(once))
    for name, facts in photos_of(once).items():
        all_of = {other: cosines(seen[name], one, names) for other, one in seen.items()}
        expected = np.stack([all_of[other][:, patch] for other, patch in marks], 1)
        expected[:, [other == name for other, _ in marks]] = -np.inf
        places, weights = connections_of(facts, pathway, len(marks))
        assert places.shape == (seen[name].grid[0] * seen[name].grid[1], MOST)
        assert all(marks[place][0] != name for place in places.ravel() if place >= 0)
        there = places >= 0
        assert there.mean() > 0.5
        of_these = np.take_along_axis(expected, np.maximum(places, 0), 1)
        np.testing.assert_allclose(weights[there], of_these[there], atol=STEP)
        best = -np.sort(-expected, 1)[:, :MOST]
        np.testing.assert_allclose(weights, np.where(best > 0, best, 0), atol=STEP)
        assert (there == (best > 0)).mean() > 0.99  # a cosine of nearly nothing


def test_both_pathways_differ(once):
    facts = photos_of(once)["p0"]
    assert facts["vv"] != facts["qk"]


def test_what_is_not_in_the_sample_is_no_landmark_but_connects(once, book, seen):
    (other,) = [name for name, one in seen.items() if one.id not in book.book.landmarks.ids]
    marks = marks_of(index_of(once))
    assert other not in {name for name, _ in marks}
    places, _ = connections_of(photos_of(once)[other], "vv", len(marks))
    assert {marks[place][0] for place in places.ravel()} == set(seen) - {other}


def test_the_label_map_is_discovers(once):
    for name, facts in photos_of(once).items():
        labels = read_labelled(once / "archive" / f"{name}.npz")[0].labels
        width, height = facts["size"]
        np.testing.assert_array_equal(labels_of(facts["labels"], (height, width)), labels)
        np.testing.assert_array_equal(
            labels_of(facts["classes"], tuple(facts["grid"])), patch_classes(labels, tuple(facts["grid"]))
        )
        with Image.open(once / "explore" / "thumbs" / f"{key_of(once, name)}.jpg") as thumb:
            assert thumb.size == (width, height)


def key_of(out, name):
    return next(row[0] for row in index_of(out)["photos"] if row[1] == name)


def test_a_patch_has_the_class_of_most_of_it():
    labels = np.zeros((6, 9), np.uint8)
    labels[:3, 3:] = 2
    labels[3:, :2] = 1
    assert patch_classes(labels, (2, 3)).tolist() == [[0, 2, 2], [1, 0, 0]]
    assert patch_classes(labels[::3, ::3], (4, 6))[::2, ::2].tolist() == labels[::3, ::3].tolist()  # more than pixels


# ---------------------------------------------------------------------------------------------- names


def test_names_colours_and_merges_are_the_persons(found, monkeypatch):
    before = files_of(found)
    unseen(monkeypatch)
    (found / "classes.yaml").write_text(
        '- {class: 0, name: "</script><b>sky", colour: "#010203"}\n- {class: 2, merge: 0}\n', "utf-8"
    )
    shares = {row[1]: dict(row[4]) for row in index_of(found)["photos"]}
    main(["explore", str(found)])
    facts, after = index_of(found), files_of(found)
    assert facts["names"][:2] == ["</script><b>sky", "class 1"]
    assert facts["colours"].startswith("010203")
    assert facts["shown"] == [0, 1, 0]
    assert "<b>sky" not in after["index.html"].decode()
    assert {name for name in before if before[name] != after[name]} == {"index.html"}
    for row in facts["photos"]:
        own = shares[row[1]]
        assert dict(row[4]).get(0, 0) == pytest.approx(own.get(0, 0) + own.get(2, 0), abs=6)
        assert 2 not in dict(row[4])


# ---------------------------------------------------------------------------------------------- once more


def test_what_is_done_is_not_done_again(found, monkeypatch):
    before = files_of(found)
    unseen(monkeypatch)
    monkeypatch.setattr(Codebook, "id_of", lambda *_: pytest.fail("looked for the sample again"))
    main(["explore", str(found)])
    assert files_of(found) == before


def test_what_was_interrupted_goes_on_to_the_same_bytes(found, capsys):
    before = files_of(found)
    (found / "explore" / "data" / f"{key_of(found, 'p2')}.js").unlink()
    (found / "explore" / "sample.json").write_text("{")
    main(["explore", str(found)])
    assert files_of(found) == before
    assert [line for line in capsys.readouterr().out.splitlines() if ".js" in line].pop().count("p2.png") == 1


def test_one_gone_and_one_changed_are_said_left_out_and_counted(album, once, tmp_path, capsys):
    own = tmp_path / "album"
    shutil.copytree(album, own)
    out = tmp_path / "o"
    main(["discover", str(own), "--out", str(out), *SMALL, "--sample", "3"])
    main(["explore", str(out)])
    (own / "p0.png").unlink()
    Image.fromarray(picture(60, 90, 30)).save(own / "p2.png")
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["explore", str(out)])
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert "p0.png: expected the photograph that was labelled, got none there any more" in said.err
    assert "p2.png: expected the photograph that was labelled, got a file that was changed since" in said.err
    assert len(said.err.strip().splitlines()) == 2
    assert "2 photographs, 2 left out ->" in said.out
    facts = index_of(out)
    assert [row[1] for row in facts["photos"]] == ["below/p1", "below/p3"]
    assert {name for name, _ in marks_of(facts)} <= {"below/p1", "below/p3"}
    assert {one.stem for one in (out / "explore" / "data").iterdir()} == {row[0] for row in facts["photos"]}


# ---------------------------------------------------------------------------------------------- refused


def test_a_folder_that_is_not_discovers(tmp_path, capsys):
    line = refused(["explore", tmp_path], capsys)
    assert "expected photographs, or a folder that whatwhere discover wrote" in line
    with pytest.raises(InputError, match="expected a folder that `whatwhere discover` wrote"):
        explore_found(tmp_path, tmp_path / "out", report=print)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "more", [["--backbone", "zoo-clip"], ["--size", "64"], ["--vectors", "20"], ["--seed", "0"], ["{album}"]]
)
def test_it_is_seen_as_its_codebook_was(album, once, capsys, more):
    line = refused(["explore", once, *(one.format(album=album) for one in more)], capsys)
    assert "expected a folder of whatwhere discover alone" in line


def test_a_damaged_codebook(found, capsys):
    (found / "codebook.json").write_text("{}")
    assert "codebook.json: expected" in refused(["explore", found], capsys)


@pytest.mark.parametrize("folder", [True, False])
def test_an_index_of_somebody_else_stays(album, once, tmp_path, capsys, monkeypatch, folder):
    unseen(monkeypatch)
    own = tmp_path / "index.html"
    own.write_text("<!DOCTYPE html><title>My home</title>")
    asked = [once] if folder else [album, "--backbone", "zoo-dino", "--size", "64"]
    assert "expected no index.html but whatwhere's own" in refused(["explore", *asked, "--out", tmp_path], capsys)
    assert list(tmp_path.iterdir()) == [own]
    assert own.read_text() == "<!DOCTYPE html><title>My home</title>"


def test_a_link_leads_to_the_page_of_classes_whatever_the_folders_name_is(found):
    odd = found.rename(found.parent / "a:b #1?")
    main(["explore", str(odd), "--out", str(found.parent)])
    base = (found.parent / "index.html").as_uri()
    link = urljoin(base, index_of_file(found.parent / "index.html")["classes"])
    assert link == (odd / "classes.html").as_uri().replace(":b", "%3Ab")


def test_names_that_are_no_utf_8_are_said_and_differ(tmp_path):
    names = [os.fsdecode(name) for name in (b"caf\xe8", b"caf\xe9", "café".encode())]
    photos = [Shown(f"{n:024x}", name, (2, 3), []) for n, name in enumerate(names)]
    file = write_index(tmp_path, photos, [], plain(3), title=names[0], about=ABOUT)
    said = [row[1] for row in index_of_file(file)["photos"]]
    assert said[2] == names[2]
    assert len(set(said)) == 3
    assert [name.encode().decode() for name in said] == said  # no lone surrogate, on which an address would fail


def test_without_its_page_of_classes_there_is_no_link_to_it(found):
    (found / "classes.html").unlink()
    main(["explore", str(found), "--out", str(found.parent / "elsewhere")])
    assert "classes.html" not in (found.parent / "elsewhere" / "index.html").read_text("utf-8")


# ---------------------------------------------------------------------------------------------- size


def test_the_page_asks_for_nothing_elsewhere(once):
    text = (once / "explore" / "index.html").read_text("utf-8")
    assert "://" not in text
    assert re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', text) == ["../classes.html"]
    assert (once / "explore" / "../classes.html").is_file()


def test_a_thousand_photographs_are_a_small_index(tmp_path):
    photos = [
        Shown(f"{n:024x}", f"holidays/IMG_{n:04}", (3024, 4032), [(c, 0.2) for c in range(5)]) for n in range(1000)
    ]
    least = write_index(tmp_path, [], [], plain(12), title="", about=ABOUT).stat().st_size
    file = write_index(tmp_path, photos, [], plain(12), title="", about=ABOUT)
    assert least < 50_000
    assert file.stat().st_size - least < 120 * 1000


def test_a_photograph_is_a_small_file():
    """32 × 32 patches, 2,048 landmarks: its connections are the least part."""
    rng = np.random.default_rng(0)
    image = np.full((480, 640, 3), 128, np.uint8)
    one = Connections(rng.integers(0, 2048, (1024, MOST)), rng.random((1024, MOST)))
    text = data_file("a", image, np.zeros((480, 640), np.uint8), (32, 32), {"vv": one, "qk": one}, 2048)
    facts = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert len(facts["vv"]) + len(facts["qk"]) < 42_000
    assert len(text) < 60_000
