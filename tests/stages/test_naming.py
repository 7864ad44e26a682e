"""Names of classes to names of regions: planted directions are recognised, counted and scored as they were planted."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.stages.test_drawing import write
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store, create
from whatwhere.datasets import IGNORE
from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate.counted import counted_table
from whatwhere.evaluate.matching import (
    COUNTS,
    bootstrap_interval,
    class_intervals,
    class_iou,
    counted,
    matching_counts,
    mean_iou,
)
from whatwhere.evaluate.names import asked, in_names
from whatwhere.evaluate.zeroshot import TEMPLATES, text_embeddings
from whatwhere.stages import naming_scores
from whatwhere.stages.named import NAMED, write_confusion, write_named
from whatwhere.stages.naming_scores import by_image, counts_of, draw_classes, notes, worst_first
from whatwhere.stages.texts import write_texts

KNOWN = ("background", "cat", "dog", "bus")
#: Two of the classes; what is neither is background.
NAMES = ("dog", "cat")
GRID = (4, 6)
BANDS = np.arange(4).repeat(6)
SURE = {"threshold": 0.7, "measure": "probability", "most": None}


# ------------------------------------------------------------------------------------------- helpers


def embed(texts):
    """An embedding that only knows what text it is."""
    rows = np.stack([np.random.default_rng(list(text.encode())).normal(size=8) for text in texts])
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def reader(language=True):
    """What the stage needs of a backbone; without a language, one that reads no texts."""
    speaks = SimpleNamespace(embed=embed, scale=50.0) if language else None
    return SimpleNamespace(name="model", weights="planted weights", language=speaks)


def texts_of(path, known=KNOWN, backbone=None, **choice):
    asked_for = {"classes": None, "phrases": {}, "templates": None, **choice}
    write_texts(known, backbone or reader(), path, **asked_for, settings=asked_for)
    return Store(path)


def text_store(path, scale=50.0):
    """A text along an axis for each of `NAMES`."""
    vectors = np.eye(2, 8)
    with create(path, {}, {"known": list(KNOWN), "scale": scale}, {"text": list(NAMES)}) as store:
        store.array("texts", vectors.shape, "float32", ("text", "width"))[:] = vectors
    return Store(path)


def feature_store(path, joint, grid=GRID, ids=None):
    """The space shared with texts, `[image, token, channel]`, as a store of features has it."""
    ids = ids or [f"image-{i}" for i in range(len(joint))]
    with create(path, {}, {"dataset": "planted"}, {"image": ids}) as store:
        store.group("tokens", {"grid": list(grid)})
        store.array("tokens/joint", joint.shape, "float16", ("image", "token", "width"))[:] = joint
    return Store(path)


def region_store(path, partitions, chosen, grid=GRID):
    ids = [f"image-{i}" for i in range(len(partitions))]
    names = list(range(2, 2 + partitions.shape[1]))
    along = {"partition": names, "chosen": ("image", [names[number] for number in chosen])}
    arrays = {"regions": (("partition", "token"), partitions.astype(np.int16))}
    return Store(write(path, ids, {"grid": list(grid)}, along, **arrays))


def named_of(features, regions, texts, output, **choice):
    write_named(features, regions, texts, output, choice={**SURE, **choice}, settings={})
    return Store(output)


def bands_of(*directions, images=1, noise=0.0, seed=0):
    """Tokens of four bands, each along one of the eight axes."""
    noisy = noise * np.random.default_rng(seed).normal(size=(images, 24, 8))
    return np.eye(8)[np.array(directions)[BANDS]] + noisy


def label_store(path, labels, annotators=1, classes=KNOWN, ids=None):
    """Images with labels `[image, y, x]`."""
    ids = ids or [f"image-{i}" for i in range(len(labels))]
    attributes, along = {"dataset": "planted", "classes": list(classes)}, {"annotators": [annotators] * len(labels)}
    along = {name: ("image", values) for name, values in along.items()}
    arrays = {"labels": (("annotator", "y", "x"), labels[:, None].astype(np.int16))}
    return Store(write(path, ids, attributes, along, **arrays))


def named_store(path, named, grid=GRID, names=NAMES, known=KNOWN):
    ids = [f"image-{i}" for i in range(len(named))]
    attributes = {"grid": list(grid), "names": ["background", *names], "known": list(known)}
    return Store(write(path, ids, attributes, named=(("token",), named.astype(np.int16))))


def confused(images, named, output):
    write_confusion(images, named, output)
    return pd.read_parquet(output)


def counts_file(path, images):
    """Counts of names `[name, name]` by image, as `write_confusion` leaves them."""
    table = counted_table([counted(np.array(counts), name, NAMED) for name, counts in images.items()], COUNTS)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)
    return str(path)


def random_counts(images=6, names=3, seed=0):
    rng = np.random.default_rng(seed)
    return {f"i{i}": rng.integers(1, 90, (names, names)) for i in range(images)}


# --------------------------------------------------------------------------------------------- texts


class TestAsked:
    def test_all_but_the_background_unless_some_are_wanted(self):
        assert asked(KNOWN, None) == ("cat", "dog", "bus")
        assert asked(KNOWN, ["bus", "background", "cat"]) == ("bus", "cat")

    @pytest.mark.parametrize(
        ("known", "wanted", "fault"),
        [
            (KNOWN, ["dog", "cow", "ant"], r"expected classes of the data set \(background, cat, .*got ant, cow; "),
            ((), None, "expected a data set whose classes have names, got none; "),
            (KNOWN, ["background"], "expected a data set whose classes have names, got none; "),
        ],
    )
    def test_classes_that_are_not_there_are_one_line(self, known, wanted, fault):
        with pytest.raises(InputError, match=fault) as caught:
            asked(known, wanted)
        assert "\n" not in str(caught.value)

    def test_a_class_that_is_wanted_twice_is_asked_about_once(self):
        assert asked(KNOWN, ["dog", "cat", "dog"]) == ("dog", "cat")

    def test_labels_become_numbers_of_names(self):
        labels = np.array([[0, 1, 2], [3, IGNORE, 1]], np.int16)
        np.testing.assert_array_equal(in_names(labels, KNOWN, NAMES), [[0, 2, 1], [0, IGNORE, 2]])
        without = labels[:, :1] * 0 + 2  # the third class; no class of this data set is the background
        np.testing.assert_array_equal(in_names(without, ("a", "b", "c"), ("c", "a")), [[1], [1]])


class TestTexts:
    def test_a_row_for_each_name_and_what_reads_them(self, tmp_path):
        store = texts_of(tmp_path / "t.json")
        expected = text_embeddings(lambda some: embed(some).numpy(), ["cat", "dog", "bus"], TEMPLATES)
        np.testing.assert_allclose(store.read("texts"), expected, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(store.read("texts"), axis=1), 1, atol=1e-6)
        assert store.description["arrays"]["texts"]["dims"] == ["text", "width"]
        known = store.attributes
        assert (store.coordinate("text"), known["known"]) == (["cat", "dog", "bus"], list(KNOWN))
        assert (known["scale"], known["weights"]) == (50.0, "planted weights")

    def test_phrases_and_templates_are_ones_own_and_names_stay(self, tmp_path):
        choice = {"classes": ["bus", "cat"], "phrases": {"bus": "red bus"}, "templates": ["a {}!"]}
        store = texts_of(tmp_path / "t.json", **choice)
        np.testing.assert_allclose(store.read("texts"), embed(["a red bus!", "a cat!"]), atol=1e-6)
        assert store.coordinate("text") == ["bus", "cat"]

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ({"backbone": reader(language=False)}, "backbone model: expected one that reads texts"),
            ({"phrases": {"buss": "red bus"}}, "expected phrases for classes of the data set, got buss"),
            ({"classes": ["cow"]}, "got cow; correct `classes`"),
            ({"templates": ["a photo"]}, "got 'a photo'"),
        ],
    )
    def test_what_cannot_be_asked_is_one_line_and_leaves_nothing(self, tmp_path, change, fault):
        with pytest.raises(InputError, match=fault) as caught:
            texts_of(tmp_path / "sub" / "t.json", **change)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "sub").exists()


# --------------------------------------------------------------------------------------------- named


class TestNamed:
    @pytest.fixture
    def texts(self, tmp_path):
        """`dog` is the first axis, `cat` the second."""
        return text_store(tmp_path / "texts.json")

    def test_regions_along_a_text_have_its_name(self, tmp_path, texts):
        features = feature_store(tmp_path / "f.json", bands_of(1, 0, 5, 1, images=2, noise=0.05))
        regions = region_store(tmp_path / "r.json", BANDS[None, None].repeat(2, 0), [0, 0])
        store = named_of(features, regions, texts, tmp_path / "n.json")
        np.testing.assert_array_equal(store.read("named")[:, BANDS != 2], np.tile(np.repeat([2, 1, 2], 6), (2, 1)))
        assert (store.read("scores")[:, BANDS != 2] > 0.99).all()
        known = store.attributes
        assert known["names"] == ["background", *NAMES]
        assert (known["known"], known["grid"], store.ids) == (list(KNOWN), list(GRID), features.ids)

    def test_what_is_along_no_text_is_background(self, tmp_path, texts):
        features = feature_store(tmp_path / "f.json", bands_of(1, 0, 5, 1))
        regions = region_store(tmp_path / "r.json", BANDS[None, None], [0])
        store = named_of(features, regions, texts, tmp_path / "n.json")
        np.testing.assert_array_equal(store.read("named")[0], np.array([2, 1, 0, 2])[BANDS])
        np.testing.assert_allclose(store.read("scores")[0][BANDS == 2], 0.5, atol=1e-6)

    def test_a_region_is_named_by_its_mean_and_by_nothing_else(self, tmp_path, texts):
        """Half of a band's tokens along `cat`, a quarter along `dog`: one name; token by token two."""
        joint = bands_of(1, 1, 1, 1)
        joint[:, ::4] = np.eye(8)[0]
        features = feature_store(tmp_path / "f.json", joint)
        regions = region_store(tmp_path / "r.json", BANDS[None, None], [0])
        whole = named_of(features, regions, texts, tmp_path / "whole.json").read("named")[0]
        tokens = named_of(features, None, texts, tmp_path / "tokens.json").read("named")[0]
        assert set(whole) == {2}
        np.testing.assert_array_equal(tokens, np.where(np.arange(24) % 4 == 0, 1, 2))

    def test_each_image_has_its_own_partition(self, tmp_path, texts):
        features = feature_store(tmp_path / "f.json", bands_of(0, 0, 1, 1, images=2))
        partitions = np.stack([BANDS // 2, 0 * BANDS, BANDS])[None].repeat(2, 0)
        store = named_of(features, region_store(tmp_path / "r.json", partitions, [0, 1]), texts, tmp_path / "n.json")
        np.testing.assert_array_equal(store.read("named")[0], 1 + BANDS // 2)
        assert set(store.read("named")[1]) == {0}  # of both halves the mean, which is neither

    def test_numbers_of_regions_do_not_matter(self, tmp_path, texts):
        features = feature_store(tmp_path / "f.json", bands_of(1, 0, 5, 1, noise=0.1))
        found = [
            named_of(features, region_store(tmp_path / f"r{i}.json", numbers[BANDS][None, None], [0]), texts, out)
            for i, numbers in enumerate((np.arange(4), np.array([9, 2, 0, 5])))
            for out in [tmp_path / f"n{i}.json"]
        ]
        for array in ("named", "scores"):
            np.testing.assert_array_equal(found[0].read(array), found[1].read(array))

    def test_tokens_are_regions_of_their_own_on_the_features_grid(self, tmp_path, texts):
        rng = np.random.default_rng(0)
        directions = rng.integers(0, 2, (3, 24))
        store = named_of(feature_store(tmp_path / "f.json", np.eye(8)[directions]), None, texts, tmp_path / "n.json")
        np.testing.assert_array_equal(store.read("named"), directions + 1)
        assert store.attributes["grid"] == list(GRID)

    def test_regions_of_a_finer_grid_take_the_features_at_their_place(self, tmp_path, texts):
        features = feature_store(tmp_path / "f.json", bands_of(1, 0, 0, 1))
        fine = np.arange(96).reshape(8, 12)  # every token a region
        regions = region_store(tmp_path / "r.json", fine.reshape(1, 1, -1), [0], grid=(8, 12))
        store = named_of(features, regions, texts, tmp_path / "n.json")
        expected = np.array([2, 1, 1, 2])[BANDS].reshape(GRID).repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(store.read("named")[0].reshape(8, 12), expected)
        assert store.attributes["grid"] == [8, 12]

    def test_the_choice_is_heard(self, tmp_path, texts):
        """A mixture of both texts, nearer to the second."""
        mixed = np.zeros((1, 24, 8))
        mixed[..., 0], mixed[..., 1] = 0.6, 0.8
        features = feature_store(tmp_path / "f.json", mixed)

        def found(texts=texts, **choice):
            store = named_of(features, None, texts, tmp_path / "n.json", **choice)
            return set(store.read("named")[0]), store.read("scores")[0, 0]

        names, score = found()
        assert (names, score) == ({2}, pytest.approx(1 / (1 + np.exp(-50 * 0.2)), abs=1e-3))
        names, score = found(measure="cosine", threshold=0.85)
        assert (names, score) == ({0}, pytest.approx(0.8, abs=1e-3))
        assert found(measure="cosine", threshold=0.75)[0] == {2}
        flat = text_store(tmp_path / "flat.json", scale=1.0)  # the scale is the model's
        assert found(flat) == ({0}, pytest.approx(1 / (1 + np.exp(-0.2)), abs=1e-3))

    def test_only_the_most_probable_of_the_image_compete(self, tmp_path, texts):
        features = feature_store(tmp_path / "f.json", bands_of(1, 1, 1, 0))
        regions = region_store(tmp_path / "r.json", BANDS[None, None], [0])
        choice = {"measure": "cosine", "threshold": -0.5}
        for most, last in ((None, 1), (2, 1), (1, 2)):  # of the image as a whole, `cat` is the most probable
            found = named_of(features, regions, texts, tmp_path / "n.json", most=most, **choice).read("named")[0]
            np.testing.assert_array_equal(found, np.array([2, 2, 2, last])[BANDS])


# ----------------------------------------------------------------------------------------- confusion


class TestConfusion:
    def test_counts_every_scored_pixel_once(self, tmp_path):
        rng = np.random.default_rng(0)
        labels = rng.integers(-1, 4, (3, 4, 6)).repeat(4, 1).repeat(4, 2)
        named = rng.integers(0, 3, (3, 24))
        images = label_store(tmp_path / "i.json", labels)
        table = confused(images, named_store(tmp_path / "n.json", named), tmp_path / "c.parquet")
        truth = np.array([0, 2, 1, 0, IGNORE])[labels]  # -1 is the last
        found = [tokens_to_pixels(one.reshape(GRID).astype(np.int16), 16, 24) for one in named]
        expected = [matching_counts(f, t, clusters=3, classes=3) for f, t in zip(found, truth, strict=True)]
        pieces = [counted(counts, f"image-{i}", "named") for i, counts in enumerate(expected)]
        pd.testing.assert_frame_equal(table, counted_table(pieces, COUNTS), check_dtype=False)
        assert list(table.columns) == COUNTS
        ids, counts = counts_of([str(tmp_path / "c.parquet")])
        assert ids == images.ids
        np.testing.assert_array_equal(counts, expected)
        np.testing.assert_array_equal(counts.sum((1, 2)), (labels != IGNORE).sum((1, 2)))

    def test_classes_that_nobody_asked_about_are_background(self, tmp_path):
        images = label_store(tmp_path / "i.json", np.array([[[0, 3]] * 2]))  # background and bus
        named = named_store(tmp_path / "n.json", np.zeros((1, 2)), grid=(1, 2))
        table = confused(images, named, tmp_path / "c.parquet")
        assert table[["cluster", "label", "pixels"]].to_numpy().tolist() == [[0, 0, 4]]
        assert by_image([str(tmp_path / "c.parquet")]) == {"image-0": 1.0}

    @pytest.mark.parametrize("given", [{"annotators": 0}, {"classes": ()}])
    def test_without_labels_with_names_the_table_is_empty(self, tmp_path, given):
        images = label_store(tmp_path / "i.json", np.zeros((2, 4, 6)), **given)
        table = confused(images, named_store(tmp_path / "n.json", np.zeros((2, 24))), tmp_path / "c.parquet")
        assert list(table.columns) == COUNTS
        assert table.empty
        assert counts_of([str(tmp_path / "c.parquet")])[0] == []
        assert notes([str(tmp_path / "c.parquet")]) == {}


class TestThroughTheStages:
    def test_what_is_planted_is_found_counted_and_right(self, tmp_path):
        """Texts of the stage itself, tokens along them, and labels of the same classes."""
        texts = texts_of(tmp_path / "t.json", classes=list(NAMES))
        rows = np.concatenate([-texts.read("texts").sum(0, keepdims=True), texts.read("texts")])
        truth = np.array([0, 1, 2, 0])[BANDS].reshape(1, *GRID)
        features = feature_store(tmp_path / "f.json", rows[truth.reshape(1, -1)])
        regions = region_store(tmp_path / "r.json", BANDS[None, None], [0])
        choice = {"measure": "cosine", "threshold": 0.5}
        named = named_of(features, regions, texts, tmp_path / "n.json", **choice)
        in_classes = np.array([0, KNOWN.index("dog"), KNOWN.index("cat")])[truth]
        confused(label_store(tmp_path / "i.json", in_classes), named, tmp_path / "c.parquet")
        assert by_image([str(tmp_path / "c.parquet")]) == {"image-0": 1.0}


# -------------------------------------------------------------------------------------------- scores


class TestScores:
    RIGHT, HALF, WRONG = [[4, 0], [0, 4]], [[4, 0], [4, 0]], [[0, 4], [4, 0]]

    def test_every_image_by_itself_and_the_worst_first(self, tmp_path):
        files = [
            counts_file(tmp_path / "0.parquet", {"c": self.RIGHT, "a": self.HALF}),
            counts_file(tmp_path / "1.parquet", {}),  # a shard without labels
            counts_file(tmp_path / "2.parquet", {"d": self.WRONG, "b": self.HALF}),
        ]
        # HALF: the second name has all its pixels, the first half of them and the other's too
        assert by_image(files) == {"a": 0.25, "b": 0.25, "c": 1.0, "d": 0.0}
        assert worst_first(files) == ["d", "a", "b", "c"]  # of equal ones by name
        assert notes(files)["c"] == "mIoU 1.00"

    def test_shards_do_not_matter(self, tmp_path):
        images = random_counts()
        whole = counts_of([counts_file(tmp_path / "w.parquet", images)])
        parts = [counts_file(tmp_path / f"{name}.parquet", {name: images[name]}) for name in reversed(images)]
        assert counts_of(parts)[0] == whole[0] == sorted(images)
        np.testing.assert_array_equal(counts_of(parts)[1], whole[1])
        np.testing.assert_array_equal(whole[1], np.stack(list(images.values())))


class TestClassIntervals:
    def test_are_the_percentiles_over_resamples_spelled_out(self):
        counts, same = np.stack(list(random_counts().values())), np.arange(3)
        found = class_intervals(counts, same, resamples=80, rng=np.random.default_rng(3))
        times = np.random.default_rng(3).multinomial(6, np.full(6, 1 / 6), size=80)
        each = [class_iou(np.tensordot(weights, counts, 1), same) for weights in times]
        np.testing.assert_allclose(found, np.percentile(each, [2.5, 97.5], axis=0))
        assert found.shape == (2, 3)
        assert (found[0] < class_iou(counts.sum(0), same)).all()
        assert (found[1] > class_iou(counts.sum(0), same)).all()

    def test_equal_images_have_no_spread_and_a_class_of_none_has_no_ends(self, recwarn):
        counts = np.array([[[5, 1, 0], [2, 6, 0], [0, 0, 0]]] * 4)
        low, high = class_intervals(counts, np.arange(3), resamples=30, rng=np.random.default_rng(0))
        np.testing.assert_allclose(low, [5 / 8, 6 / 9, np.nan])
        np.testing.assert_array_equal(low, high)
        assert not recwarn.list


class TestClassesFigure:
    @pytest.fixture
    def drawn(self, monkeypatch):
        """The groups of bars that the figure would have, and what it says."""
        sheets = []
        monkeypatch.setattr(naming_scores, "draw_bars", lambda groups, output, **words: sheets.append((groups, words)))
        return sheets

    def settings(self, *bars, resamples=60):
        return {"namings": {bar: {} for bar in bars}, "seed": 5, "resamples": resamples, "title": "t"}

    def test_a_bar_a_naming_in_every_class(self, tmp_path, drawn):
        images = [random_counts(seed=seed) for seed in (0, 1)]
        given = {f"bar{n}": [counts_file(tmp_path / f"{n}.parquet", found)] for n, found in enumerate(images)}
        texts = [str(text_store(tmp_path / "t.json").manifest)]
        given |= {"texts0": texts, "texts1": texts}
        draw_classes(tmp_path / "a.png", given, self.settings("Ours", "Theirs"))
        ((groups, words),) = drawn
        assert list(groups) == ["background", *NAMES, "mean"]
        for number, method in enumerate(("Ours", "Theirs")):
            counts, same = np.stack(list(images[number].values())), np.arange(3)
            rng = np.random.default_rng(seed_for(5, "bootstrap", method))
            ends = class_intervals(counts, same, resamples=60, rng=rng)
            for i, name in enumerate(("background", *NAMES)):
                bar = groups[name][method]
                assert (bar.value, bar.low, bar.high) == (class_iou(counts.sum(0), same)[i], *ends[:, i])
            mean = groups["mean"][method]
            expected = bootstrap_interval(counts, same, resamples=60, rng=rng)
            assert (mean.value, mean.low, mean.high) == (mean_iou(counts.sum(0), same), *expected)
        assert "60 resamples" in words["caption"]

    def test_without_labels_bars_are_not_scored(self, tmp_path, drawn):
        given = {
            "bar0": [counts_file(tmp_path / "0.parquet", {})],
            "texts0": [text_store(tmp_path / "t.json").manifest],
        }
        draw_classes(tmp_path / "a.png", given, self.settings("Ours"))
        groups = drawn[0][0]
        assert list(groups) == ["background", *NAMES, "mean"]
        assert all(np.isnan(groups[name]["Ours"].value) for name in groups)

    def test_the_page_is_the_same_to_the_byte(self, tmp_path):
        given = {"bar0": [counts_file(tmp_path / "0.parquet", random_counts())]}
        given["texts0"] = [str(text_store(tmp_path / "t.json").manifest)]
        for name in ("a.png", "b.png"):
            draw_classes(tmp_path / name, given, self.settings("Ours"))
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
