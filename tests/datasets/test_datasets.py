"""One contract for every data set, then what is particular to each."""

from __future__ import annotations

import os
import re
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.datasets import bsds500, camvid, folder, load_dataset, photos, scenes
from whatwhere.datasets.images import read_image
from whatwhere.datasets.record import IGNORE

DATA = Path(os.environ.get("WHATWHERE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


class DatasetContract:
    """What every data set must do. A subclass names its data set with a fixture `load`:
    a function of no arguments that answers the data set."""

    @pytest.fixture
    def dataset(self, load):
        return load()

    @pytest.fixture
    def some(self, dataset):
        """The first, the last and a few records between: pixels of all would take long."""
        steps = np.linspace(0, len(dataset.records) - 1, min(len(dataset.records), 5))
        return [dataset.records[int(step)] for step in steps]

    def test_it_has_records(self, dataset):
        assert dataset.name == "any"
        assert isinstance(dataset.records, tuple)
        assert dataset.records

    def test_classes_are_distinct(self, dataset):
        assert isinstance(dataset.classes, tuple)
        assert len(set(dataset.classes)) == len(dataset.classes)

    def test_ids_are_unique_file_names_on_any_system(self, dataset):
        ids = [record.id for record in dataset.records]
        assert len({id_.casefold() for id_ in ids}) == len(ids)
        for id_ in ids:
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", id_), id_

    def test_loading_again_gives_the_same_order(self, dataset, load):
        assert [record.id for record in load().records] == [record.id for record in dataset.records]

    def test_images(self, some):
        for record in some:
            image = record.image()
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3
            assert image.std() > 0

    def test_labels_fit_the_image(self, some, dataset):
        for record in some:
            labels = record.labels()
            assert isinstance(labels, tuple)
            for one in labels:
                assert one.dtype == np.int16
                assert one.shape == record.image().shape[:2]
                assert one.min() >= IGNORE
                assert not dataset.classes or one.max() < len(dataset.classes)

    def test_labels_score_something(self, some, dataset):
        maps = [one for record in some for one in record.labels()]
        assert bool(maps) or not dataset.classes
        assert all((one != IGNORE).any() for one in maps)

    def test_instances_lie_in_the_image(self, some, dataset):
        for record in some:
            for instance in record.instances():
                assert instance.mask.dtype == bool
                assert instance.mask.shape == record.image().shape[:2]
                assert instance.mask.any()
                assert 0 <= instance.category < len(dataset.classes)

    def test_captions_are_words(self, some):
        assert all(isinstance(caption, str) and caption.strip() for r in some for caption in r.captions())

    def test_reading_again_gives_the_same(self, some, load):
        again = {record.id: record for record in load().records}
        for record in some:
            np.testing.assert_array_equal(record.image(), again[record.id].image())
            for one, other in zip(record.labels(), again[record.id].labels(), strict=True):
                np.testing.assert_array_equal(one, other)
            for one, other in zip(record.instances(), again[record.id].instances(), strict=True):
                assert one.category == other.category
                np.testing.assert_array_equal(one.mask, other.mask)

    def test_a_reader_may_write_into_what_it_got(self, some):
        kept = some[0].image().copy()
        some[0].image()[:] = 0
        np.testing.assert_array_equal(some[0].image(), kept)


def shared(name):
    if not (DATA / name).is_dir():
        pytest.skip(f"no {DATA / name}; set WHATWHERE_DATA to the folder that holds {name}")
    return DATA / name


def noise(seed, height=6, width=9):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def refused(function, *words):
    with pytest.raises(InputError) as caught:
        function()
    message = str(caught.value)
    assert "\n" not in message
    for word in ("expected", "got", ";", *words):
        assert word in message, message


# ----------------------------------------------------------------------------------------------- photos


class TestPhotos(DatasetContract):
    @pytest.fixture
    def load(self):
        return partial(photos.load, "any")

    def test_the_wheels_hold_no_other_colour_photograph(self):
        not_photographs = {"color.png", "logo.png"}
        endings = (*folder.SUFFIXES, ".ppm", ".pgm")
        listed = {(package, file) for package, _, file in photos.PHOTOGRAPHS}
        found = set()
        for package in ("skimage", "sklearn"):
            files = Path(find_spec(package).submodule_search_locations[0]).rglob("*")
            for path in files:
                if path.suffix.lower() in endings and path.name not in not_photographs and is_colour(path):
                    found.add((package, path.name))
        assert found == listed

    def test_nothing_has_labels(self, dataset):
        assert not any(record.labels() or record.instances() for record in dataset.records)

    def test_a_missing_file_is_named(self, monkeypatch):
        monkeypatch.setattr(photos, "PHOTOGRAPHS", (("sklearn", "datasets/images", "gone.jpg"),))
        refused(lambda: photos.load("any"), "gone.jpg")

    def test_a_missing_package_is_named(self, monkeypatch):
        monkeypatch.setattr(photos, "PHOTOGRAPHS", (("no_such_wheel", "data", "a.jpg"),))
        refused(lambda: photos.load("any"), "no_such_wheel")


def is_colour(path):
    try:
        image = read_image(path)
    except InputError:  # scikit-image's test files hold shapes that are no images
        return False
    # Two of its test files are some 15 pixels wide.
    return image.size > 10_000 and bool((image.min(axis=2) != image.max(axis=2)).any())


# ----------------------------------------------------------------------------------------------- folder


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Images of several kinds and depths, label maps beside them, and what is neither."""
    root = tmp_path_factory.mktemp("album")
    names = [
        "b.png",
        "a.JPG",
        "A.png",
        "sub dir/c.jpeg",
        "sub dir/ü.webp",
        "sub_dir/c.bmp",
        "日本.tif",
        "d.gif",
    ]
    for seed, name in enumerate(names):
        write(root / name, noise(seed))
        labels = np.random.default_rng(seed).choice([0, 1, 2, 255], (6, 9)).astype(np.uint8)
        write((root / "maps" / name).with_suffix(".png"), labels)
    write(root / ".hidden" / "x.png", noise(0))
    write(root / "._a.jpg", noise(0))
    (root / "notes.txt").write_text("none")
    return root


class TestFolder(DatasetContract):
    @pytest.fixture
    def load(self, album):
        return partial(folder.load, "any", root=album, labels_root=album / "maps", classes=["x", "y", "z"])

    def test_ids_follow_the_sorted_paths(self, dataset):
        ids = ["A", "a-2", "b", "d", "sub_dir_c", "sub_dir__", "sub_dir_c-2", "u65e5u672c"]
        assert [record.id for record in dataset.records] == ids

    def test_ids_of_other_scripts_are_traceable_and_stay(self, tmp_path):
        write(tmp_path / "\u5199\u771f 1.png", noise(0))
        before = [record.id for record in folder.load("any", root=tmp_path).records]
        write(tmp_path / "\u4e1c\u4eac 1.png", noise(0))
        assert before == ["u5199u771f_1"]
        assert [record.id for record in folder.load("any", root=tmp_path).records] == ["u4e1cu4eac_1", *before]

    def test_two_images_of_one_label_map_are_one_line(self, tmp_path):
        for name in ("x/a.jpg", "x/a.png", "maps/x/a.png"):
            write(tmp_path / name, noise(0)[..., 0])
        with pytest.raises(InputError, match=r"got x/a\.png for both x/a\.jpg and x/a\.png; rename") as caught:
            folder.load("any", root=tmp_path, labels_root=tmp_path / "maps")
        assert "\n" not in str(caught.value)

    def test_label_maps_are_found_by_their_path(self, dataset, album):
        stored = np.asarray(Image.open(album / "maps" / "sub_dir" / "c.png")).astype(int)
        labels = dataset.records[6].labels()
        assert len(labels) == 1
        np.testing.assert_array_equal(labels[0], np.where(stored == 255, IGNORE, stored))

    def test_another_ignored_label(self, album):
        load = partial(folder.load, "any", root=album, labels_root=album / "maps")
        plain, other = load().records[0].labels()[0], load(ignore_label=2).records[0].labels()[0]
        np.testing.assert_array_equal(other == IGNORE, plain == 2)
        np.testing.assert_array_equal(other == 255, plain == IGNORE)

    def test_without_labels(self, album):
        records = folder.load("any", root=album / "sub dir").records
        assert [record.labels() for record in records] == [(), ()]

    def test_label_maps_elsewhere_do_not_hide_images(self, tmp_path):
        write(tmp_path / "images" / "a.png", noise(0))
        write(tmp_path / "a.png", noise(0)[..., 0])
        (record,) = folder.load("any", root=tmp_path / "images", labels_root=tmp_path).records
        assert record.labels()[0].shape == (6, 9)

    def test_a_missing_label_map_is_named_when_read(self, tmp_path):
        write(tmp_path / "images" / "a.png", noise(0))
        (tmp_path / "maps").mkdir()
        (record,) = folder.load("any", root=tmp_path / "images", labels_root=tmp_path / "maps").records
        refused(record.labels, "images/a.png", "maps/a.png")

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            (np.zeros((6, 8), np.uint8), ("6 × 9 px", "6 × 8")),
            (np.full((6, 9), 3, np.uint8), ("0 to 2", "got 3", "ignore_label")),
        ],
    )
    def test_label_maps_that_do_not_fit(self, tmp_path, labels, words):
        write(tmp_path / "a.png", noise(0))
        write(tmp_path / "maps" / "a.png", labels)
        (record,) = folder.load("any", root=tmp_path, labels_root=tmp_path / "maps", classes="xyz").records
        refused(record.labels, "maps/a.png", *words)

    def test_labels_of_a_turned_photograph_are_upright(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(noise(0)).save(tmp_path / "a.jpg", exif=exif)
        write(tmp_path / "maps" / "a.png", np.zeros((9, 6), np.uint8))
        (record,) = folder.load("any", root=tmp_path, labels_root=tmp_path / "maps").records
        assert record.labels()[0].shape == record.image().shape[:2] == (9, 6)

    def test_nothing_to_read(self, tmp_path):
        (tmp_path / "notes.txt").touch()
        refused(lambda: folder.load("any", root=tmp_path), "1 files", "jpg", "webp", str(tmp_path))
        refused(lambda: folder.load("any", root=tmp_path / "gone"), "got nothing", "gone")
        refused(lambda: folder.load("any", root=tmp_path / "notes.txt"), "got a file")

    def test_label_maps_need_their_own_directory(self, album):
        refused(lambda: folder.load("any", root=album, labels_root=album), "labels_root")
        refused(lambda: folder.load("any", root=album, labels_root=album / "gone"), "gone", "check labels_root")
        refused(
            lambda: folder.load("any", root=album / "no", labels_root=album / "no" / "maps"), "images", "check root"
        )

    def test_long_paths_become_short_ids(self, tmp_path):
        for end in "ab":
            write(tmp_path / ("x" * 100) / ("y" * 150 + end) / "z.png", noise(0))
        ids = [record.id for record in folder.load("any", root=tmp_path).records]
        assert len(set(ids)) == 2
        assert max(map(len, ids)) <= 128

    def test_numbered_names_do_not_collide(self):
        ids = folder.safe_ids([Path(name) for name in ("a.bmp", "a-2.bmp", "a.jpg", "A.png")])
        assert ids == ["a", "a-2", "a-3", "A-4"]


# ---------------------------------------------------------------------------------------------- BSDS500


def write_mat(path, maps):
    from scipy.io import savemat

    cells = np.empty((1, len(maps)), dtype=object)
    for i, segments in enumerate(maps):
        cells[0, i] = {"Segmentation": segments, "Boundaries": np.zeros(segments.shape, np.uint8)}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"groundTruth": cells})


def write_bsds(data, split="val"):
    for seed, name in enumerate(("8023", "101085", "3096")):
        rng = np.random.default_rng(seed)
        maps = [rng.permutation(np.arange(54) % 4 + 1).reshape(6, 9).astype(np.uint16) for _ in range(seed + 1)]
        write(data / "images" / split / f"{name}.jpg", noise(seed))
        write_mat(data / "groundTruth" / split / f"{name}.mat", maps)
    (data / "images" / split / "Thumbs.db").touch()
    return data


class TestBsds500(DatasetContract):
    @pytest.fixture
    def load(self, tmp_path):
        return partial(bsds500.load, "any", root=write_bsds(tmp_path / "bsds"))

    def test_one_map_per_annotator_from_zero(self, dataset):
        assert [record.id for record in dataset.records] == ["101085", "3096", "8023"]
        assert [len(record.labels()) for record in dataset.records] == [2, 3, 1]
        first = np.random.default_rng(1).permutation(np.arange(54) % 4 + 1).reshape(6, 9)
        np.testing.assert_array_equal(dataset.records[0].labels()[0], first - 1)

    @pytest.mark.parametrize("nesting", ["data", "BSDS500/data", "BSR/BSDS500/data"])
    def test_the_archive_as_unpacked(self, tmp_path, nesting):
        write_bsds(tmp_path / nesting, split="test")
        records = bsds500.load("any", root=tmp_path, split="test").records
        assert [len(record.labels()) for record in records] == [2, 3, 1]

    def test_gaps_in_the_numbers_are_closed(self, tmp_path):
        write_bsds(tmp_path)
        write_mat(tmp_path / "groundTruth/val/8023.mat", [np.arange(54).reshape(6, 9) // 18 * 40_000])
        labels = bsds500.load("any", root=tmp_path).records[2].labels()[0]
        np.testing.assert_array_equal(labels, np.arange(54).reshape(6, 9) // 18)

    def test_what_is_missing(self, tmp_path):
        refused(lambda: bsds500.load("any", root=tmp_path), "images/val")
        write_bsds(tmp_path)
        refused(lambda: bsds500.load("any", root=tmp_path, split="test"), "images/test")
        (tmp_path / "groundTruth/val/8023.mat").unlink()
        refused(bsds500.load("any", root=tmp_path).records[2].labels, "8023.mat", "no file")

    @pytest.mark.parametrize("damage", ["empty", "short", "text", "other", "size"])
    def test_damaged_segmentations(self, tmp_path, damage):
        from scipy.io import savemat

        path = write_bsds(tmp_path) / "groundTruth/val/8023.mat"
        whole = path.read_bytes()
        if damage in ("empty", "short", "text"):
            path.write_bytes({"empty": b"", "short": whole[:200], "text": b"no\nmatlab" * 50}[damage])
        elif damage == "other":
            savemat(path, {"segments": np.zeros((6, 9))})
        else:
            write_mat(path, [np.zeros((9, 6), np.uint16)])
        refused(bsds500.load("any", root=tmp_path).records[2].labels, "8023.mat", "fetch")

    def test_a_reader_s_two_lines_become_one(self, tmp_path, monkeypatch):
        def fail(_):
            raise ValueError("bad\nheader")

        monkeypatch.setattr("scipy.io.loadmat", fail)
        refused(bsds500.load("any", root=write_bsds(tmp_path)).records[0].labels, "ValueError: bad header")


class TestBsds500Real(DatasetContract):
    @pytest.fixture
    def load(self):
        return partial(bsds500.load, "any", root=shared("bsds500"))

    def test_counts(self, dataset):
        annotators = [len(record.labels()) for record in dataset.records]
        assert len(annotators) == 100
        assert 4 <= min(annotators) <= max(annotators) <= 9
        assert len(set(annotators)) > 1


# ----------------------------------------------------------------------------------------------- CamVid


def write_camvid(root):
    for seed, name in enumerate(("0016E5_07961", "0016E5_07959")):
        write(root / "val" / f"{name}.png", noise(seed))
        write(root / "valannot" / f"{name}.png", (np.arange(54) % 12).reshape(6, 9).astype(np.uint8))
    return root


class TestCamvid(DatasetContract):
    @pytest.fixture
    def load(self, tmp_path):
        return partial(camvid.load, "any", root=write_camvid(tmp_path / "camvid"))

    def test_eleven_classes_and_what_is_ignored(self, dataset):
        names = "sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist"
        assert ", ".join(dataset.classes) == names
        assert [record.id for record in dataset.records] == ["0016E5_07959", "0016E5_07961"]
        labels = dataset.records[0].labels()[0].ravel()
        np.testing.assert_array_equal(labels[:12], [*range(11), IGNORE])

    def test_what_is_missing(self, tmp_path):
        refused(lambda: camvid.load("any", root=tmp_path), f"{str(tmp_path / 'val')!r}")
        root = write_camvid(tmp_path)
        refused(lambda: camvid.load("any", root=root, split="test"), f"{str(root / 'test')!r}")
        (root / "valannot").rename(root / "elsewhere")
        refused(lambda: camvid.load("any", root=root), "label maps", f"{str(root / 'valannot')!r}")
        (root / "elsewhere").rename(root / "valannot")
        (root / "valannot" / "0016E5_07959.png").unlink()
        refused(camvid.load("any", root=root).records[0].labels, "0016E5_07959.png")

    def test_labels_of_another_release_are_refused(self, tmp_path):
        root = write_camvid(tmp_path)
        write(root / "valannot" / "0016E5_07959.png", np.full((6, 9), 31, np.uint8))
        refused(camvid.load("any", root=root).records[0].labels, "0 to 10", "31")


class TestCamvidReal(DatasetContract):
    @pytest.fixture
    def load(self):
        return partial(camvid.load, "any", root=shared("camvid"))

    def test_counts(self, dataset):
        assert len(dataset.records) == 101

    def test_roads_lie_below_the_sky(self, some, dataset):
        for record in some:
            labels = record.labels()[0]
            rows = [np.nonzero(labels == dataset.classes.index(name))[0].mean() for name in ("sky", "road")]
            assert rows[0] < rows[1]


# ----------------------------------------------------------------------------------------------- scenes


class TestScenes(DatasetContract):
    @pytest.fixture
    def load(self):
        return partial(scenes.load, "any", images=3, size_px=64, first_seed=0)


def test_what_skip_leaves_out_is_what_limit_takes(tmp_path):
    for name in "abcde":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    settings = {"kind": "folder", "root": tmp_path}
    ids = [record.id for record in load_dataset("all", **settings).records]
    first = load_dataset("first", **settings, limit=2)
    rest = load_dataset("rest", **settings, skip=2)
    assert [record.id for record in (*first.records, *rest.records)] == ids
    assert "without the first 2" in rest.took
    assert [record.id for record in load_dataset("some", **settings, skip=1, limit=3).records] == ids[1:4]
    with pytest.raises(InputError, match="data set late: expected more than the 5 images that skip leaves out, got 5"):
        load_dataset("late", **settings, skip=5)
