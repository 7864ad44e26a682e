"""What is counted of the clusters of a data set: planted segmentations, edges and coordinates."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp, softmax
from test_segments import clustered, in_stores, names, vector_stores

from whatwhere.cluster import Centres
from whatwhere.datasets import IGNORE
from whatwhere.errors import InputError
from whatwhere.evaluate import crf
from whatwhere.evaluate.position import CoordinateRegression, chance, label_features, resize
from whatwhere.evaluate.spatial import left_right
from whatwhere.images import tokens_to_pixels
from whatwhere.seeding import seed_for
from whatwhere.stages import segments as stage
from whatwhere.stages.judging import COUNTS, write_coordinates, write_matching, write_refined
from whatwhere.store import Store, create, read_json

GRID, PIXELS = (3, 4), (12, 16)
CLASSES = ("sky", "road", "car")
OFF = {
    "iterations": 3,
    "gaussian_px": 1.0,
    "gaussian_weight": 0.0,
    "bilateral_px": 10.0,
    "bilateral_rgb": 20.0,
    "bilateral_weight": 0.0,
}
MILD = {**OFF, "gaussian_weight": 1.0, "bilateral_weight": 8.0}


# ------------------------------------------------------------------------------------------- helpers


def image_stores(folder, labels, sizes=None, *, images=None, annotators=None, classes=CLASSES, ids=None):
    """Stores of images and labels `[image, annotator, y, x]`, of images alone where `labels` are None."""
    count = len(images if labels is None else labels)
    if images is None:
        images = np.zeros((count, *labels.shape[2:], 3), np.uint8)
    arrays = {"image": images} | ({} if labels is None else {"labels": labels.astype(np.int16)})
    if annotators is None:
        annotators = [0 if labels is None else 1] * count
    ids = ids or names(count)
    sizes, first, stores = sizes or (count,), 0, []
    dims = {"image": ("y", "x", "channel"), "labels": ("annotator", "y", "x")}
    for part in pairwise(np.cumsum([0, *sizes])):
        here = slice(*map(int, part))
        described = {"dataset": "planted", "classes": list(classes), "annotators": annotators[here], "ids": ids[here]}
        mine = {name: array[here] for name, array in arrays.items()}
        into = folder / f"images-{'-'.join(map(str, sizes))}-{first}"
        stores += in_stores(into, (here.stop - here.start,), mine, dims, **described)
        first = here.stop
    return stores


def segment_store(path, clusters, *, grid=GRID, ids=None, **arrays):
    """A store of `regions` `[image, partition, token]`, or of refined `pixels` `[image, y, x]`."""
    ((name, array),) = arrays.items()
    described = {
        "ids": ids or names(len(array)),
        "dataset": "planted",
        "grid": grid,
        "graphs": "",
        "clusters": clusters,
    }
    dims = {"regions": ("partition", "token"), "pixels": ("y", "x")}[name]
    with create(path, {}, described) as store:
        store.array(name, array.shape, "int16", ("image", *dims))[:] = array.astype(np.int16)
    return Store(path)


def random_regions(images=4, clusters=3, grid=GRID, seed=0):
    """A random partition of `clusters`, and one of twice as many."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, k, (images, grid[0] * grid[1])) for k in (clusters, 2 * clusters)], axis=1)


def random_labels(images=4, classes=3, pixels=PIXELS, seed=0):
    """Blocks of 4 × 4 pixels of one label, a few of them ignored."""
    coarse = np.random.default_rng(seed).integers(-1, classes, (images, 1, pixels[0] // 4, pixels[1] // 4))
    return coarse.repeat(4, axis=2).repeat(4, axis=3)


def matched(images, segments, output, least_px=0, ambiguous=0.0):
    write_matching(images, segments, output, least_px=least_px, ambiguous=ambiguous)
    return pd.read_parquet(output)


def counted(found, truth, name, target, clusters, classes):
    """The rows of one image, pixel by pixel."""
    pairs = [(c, t) for c, t in zip(found.ravel(), truth.ravel(), strict=True) if t != IGNORE]
    rows = [[name, target, classes, clusters, c, t, pairs.count((c, t))] for c, t in sorted(set(pairs))]
    return pd.DataFrame(rows, columns=COUNTS)


def in_order(table):
    return table.sort_values(COUNTS).reset_index(drop=True)


def assert_counts(found, frames):
    expected = in_order(pd.concat(frames))
    pd.testing.assert_frame_equal(in_order(found), expected, check_dtype=False)


# ----------------------------------------------------------------------------------------- matching


class TestMatching:
    def test_counts_every_labelled_pixel_once(self, tmp_path):
        labels, regions = random_labels(), random_regions()
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=regions)
        found = matched(image_stores(tmp_path, labels), segments, tmp_path / "m.parquet")
        frames = []
        for i, name in enumerate(names(4)):
            for target, partition, truth, most in (
                ("what", 0, labels[i, 0], 3),
                ("where", 1, left_right(labels[i, 0].astype(np.int16), 3, least_px=0, ambiguous=0.0), 6),
            ):
                pixels = tokens_to_pixels(regions[i, partition].reshape(GRID), *PIXELS)
                frames.append(counted(pixels, truth, name, target, most, most))
        assert_counts(found, frames)
        what = found[found.target == "what"]
        assert what.groupby("image").pixels.sum().to_dict() == {
            name: (labels[i] != IGNORE).sum() for i, name in enumerate(names(4))
        }

    def test_images_without_labels_are_left_out(self, tmp_path):
        labels = random_labels()
        labels[2] = IGNORE  # labelled, and all of it ignored
        stores = image_stores(tmp_path, labels, (2, 2), annotators=[1, 0, 1, 1])
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=random_regions())
        found = matched(stores, segments, tmp_path / "m.parquet")
        assert set(found.image) == {"image-0", "image-3"}
        assert set(found.target) == {"what", "where"}

    @pytest.mark.parametrize("classes", [CLASSES, ()])
    def test_nothing_to_count_is_an_empty_table(self, tmp_path, classes):
        labels = random_labels() if not classes else None  # labels without names; or none at all
        pictures = np.zeros((4, *PIXELS, 3), np.uint8)
        stores = image_stores(tmp_path, labels, images=pictures, classes=classes)
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=random_regions())
        found = matched(stores, segments, tmp_path / "m.parquet")
        assert list(found.columns) == COUNTS
        assert found.empty

    def test_the_first_annotator_counts(self, tmp_path):
        labels, regions = random_labels(), random_regions()
        both = np.concatenate([labels, random_labels(seed=1)], axis=1)
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=regions)
        one, two = (
            matched(image_stores(tmp_path / str(i), each, annotators=[1 + i] * 4), segments, tmp_path / f"{i}.parquet")
            for i, each in enumerate((labels, both))
        )
        pd.testing.assert_frame_equal(one, two)

    def test_where_splits_labels_as_it_is_told(self, tmp_path):
        """One class in three regions: at the left, small at the right, and near the middle."""
        labels = np.full((1, 1, 12, 20), IGNORE)
        labels[0, 0, :, :4], labels[0, 0, :2, 16:18], labels[0, 0, 6:, 10:14] = 1, 1, 1
        regions = np.zeros((1, 2, 12), int)
        regions[0, 1] = np.arange(12) % 4
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=regions)

        def where(**settings):
            found = matched(image_stores(tmp_path, labels), segments, tmp_path / "m.parquet", **settings)
            found = found[found.target == "where"]
            assert set(found.classes) == set(found.clusters) == {6}
            return found.groupby("label").pixels.sum().to_dict()

        assert where(least_px=4, ambiguous=0.05) == {1: 48, 1 + 3: 4 + 24}
        assert where(least_px=5, ambiguous=0.05) == {1: 48, 1 + 3: 24}
        assert where(least_px=5, ambiguous=0.2) == {1: 48}

    def test_refined_pixels_are_counted_as_they_are(self, tmp_path):
        labels = random_labels()
        pixels = np.random.default_rng(1).integers(0, 3, (4, *PIXELS))
        segments = segment_store(tmp_path / "s.json", [3, 6], pixels=pixels)
        stores = image_stores(tmp_path, labels, (1, 3))[::-1]
        found = matched(stores, segments, tmp_path / "m.parquet")
        assert_counts(found, [counted(pixels[i], labels[i, 0], name, "what", 3, 3) for i, name in enumerate(names(4))])

    def test_scores_have_no_where(self, tmp_path):
        segments = segment_store(tmp_path / "s.json", [5], regions=random_regions(clusters=5)[:, :1])
        found = matched(image_stores(tmp_path, random_labels()), segments, tmp_path / "m.parquet")
        assert set(found.target) == {"what"}
        assert (set(found.clusters), set(found.classes)) == ({5}, {3})

    @pytest.mark.parametrize("sizes", [(1, 3), (2, 1, 1)])
    @pytest.mark.parametrize("backwards", [False, True])
    def test_division_and_order_of_the_stores_do_not_matter(self, tmp_path, sizes, backwards):
        labels = random_labels()
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=random_regions())
        whole = matched(image_stores(tmp_path, labels), segments, tmp_path / "whole.parquet")
        stores = image_stores(tmp_path, labels, sizes)[:: -1 if backwards else 1]
        pd.testing.assert_frame_equal(matched(stores, segments, tmp_path / "parts.parquet"), whole)

    def test_an_image_that_is_not_there_is_one_line(self, tmp_path):
        stores = image_stores(tmp_path, random_labels(3))
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=random_regions())
        with pytest.raises(InputError, match=r"s\.zarr: expected the images of .*, got image-3, which") as caught:
            matched(stores, segments, tmp_path / "m.parquet")
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("*m.parquet*"))


# ---------------------------------------------------------------------------------------------- CRF


def centres_store(path, centres, spread, images, *, grid, unit_rows=False, ids=None):
    """Segments of which only the centres matter; of scores where there are none."""
    found = [] if centres is None else [centres]
    described = {
        "ids": ids or names(images),
        "dataset": "planted",
        "grid": grid,
        "graphs": "4 graphs",
        "unit_rows": unit_rows,
        "clusters": [len(c) for c in found] or [3],
        "spreads": [spread for _ in found],
    }
    with create(path, {}, described) as store:
        store.array("regions", (images, 1, 1), "int16", ("image", "partition", "token"))[:] = 0
        for c in found:
            store.array("centres0", c.shape, "float32", ("cluster", "vector"))[:] = c
    return Store(path)


def refined(images, vectors, segments, output, **settings):
    write_refined(images, vectors, segments, output, crf={**OFF, **settings}, settings={})
    return Store(output)


def scattered(images=3, tokens=16, channels=3, seed=0):
    return np.random.default_rng(seed).standard_normal((images, tokens, channels)).astype(np.float32)


def interpolated(probabilities, side):
    """`[token, cluster]` of a 4 × 4 grid to `[cluster, y, x]`."""
    return resize(probabilities.astype(float), (4, 4), side).T.reshape(-1, side, side)


def edge(side=24, at=11, images=2, seed=0):
    """Photographs of two noisy colours that meet between tokens, and their labels."""
    labels = np.broadcast_to((np.arange(side) >= at).astype(int), (images, side, side))
    noise = np.random.default_rng(seed).integers(0, 8, (images, side, side, 3))
    return (np.array([[30, 60, 90], [200, 150, 40]])[labels] + noise).astype(np.uint8), labels


def noisy_rows(labels, grid=(6, 6), seed=0):
    """Rows about one of two centres, as the pixel in the middle of each token says, with every seventh wrong."""
    rows, columns = (labels.shape[1] // grid[0], labels.shape[2] // grid[1])
    own = labels[:, rows // 2 :: rows, columns // 2 :: columns].reshape(len(labels), -1)
    rng = np.random.default_rng(seed)
    wrong = rng.random(own.shape) < 1 / 7
    assert wrong.any(axis=1).all()
    return (np.eye(2)[own ^ wrong] + 0.4 * rng.standard_normal((*own.shape, 2))).astype(np.float32)


class TestRefined:
    side = 16

    def stores(self, folder, images=3, sizes=None):
        return image_stores(folder, None, sizes, images=np.zeros((images, self.side, self.side, 3), np.uint8))

    @pytest.mark.parametrize("unit_rows", [False, True])
    @pytest.mark.parametrize("spread", [0.05, 1.0])
    def test_without_weights_is_the_largest_interpolated_probability(self, tmp_path, spread, unit_rows):
        X, centres = scattered(), scattered(1, 4, seed=1)[0]
        segments = centres_store(tmp_path / "s.json", centres, spread, 3, grid=(4, 4), unit_rows=unit_rows)
        found = refined(self.stores(tmp_path), vector_stores(tmp_path, X, grid=(4, 4)), segments, tmp_path / "r.json")
        for rows, pixels in zip(X, found.read("pixels"), strict=True):
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit_rows else rows
            shares = interpolated(np.exp(Centres(centres, spread).log_probabilities(rows)), self.side)
            np.testing.assert_array_equal(pixels, shares.argmax(0))
        wanted = {"ids": names(3), "dataset": "planted", "grid": [4, 4], "graphs": "4 graphs", "clusters": [4]}
        assert wanted.items() <= found.attributes.items()
        assert found.description["arrays"]["pixels"]["dims"] == ["image", "y", "x"]

    def test_a_sure_token_weighs_no_more_than_an_unsure_one(self, tmp_path):
        """By hand: A leads B by 0.9 in one token and B leads A by 0.38 in the next, so A has 0.9 / 1.28 of the way."""
        probabilities = np.tile([[0.95, 0.05, 0.0], [0.1, 0.48, 0.42]], (8, 1))
        X = np.log(probabilities + 1e-9).astype(np.float32)[None]
        segments = centres_store(tmp_path / "s.json", None, 0, 1, grid=(4, 4))
        found = refined(
            self.stores(tmp_path, 1), vector_stores(tmp_path, X, grid=(4, 4)), segments, tmp_path / "r.json"
        )
        # pixels 4 and 5 lie at 0.625 and 0.875 of it
        np.testing.assert_array_equal(found.read("pixels")[0, 0, :8], [0, 0, 0, 0, 0, 1, 1, 0])
        np.testing.assert_array_equal(found.read("pixels")[0], interpolated(probabilities, self.side).argmax(0))

    def test_scores_are_log_probabilities_of_their_own(self, tmp_path):
        X = 2 * scattered()
        X -= logsumexp(X, axis=2, keepdims=True)
        segments = centres_store(tmp_path / "s.json", None, 0, 3, grid=(4, 4))
        found = refined(self.stores(tmp_path), vector_stores(tmp_path, X, grid=(4, 4)), segments, tmp_path / "r.json")
        expected = [interpolated(softmax(rows, axis=1), self.side).argmax(0) for rows in X]
        np.testing.assert_array_equal(found.read("pixels"), expected)

    @pytest.mark.parametrize("scores", [False, True])
    def test_noisy_clusters_follow_the_edge_in_the_photograph(self, tmp_path, scores):
        photographs, labels = edge()
        X, grid = noisy_rows(labels), (6, 6)
        if scores:  # less sure than they are right
            X = np.log(softmax(2 * X, axis=2))
        vectors = vector_stores(tmp_path, X, grid=grid)
        segments = clustered(vectors, tmp_path / "s.json", classes=2, scores=scores)
        stores = image_stores(tmp_path, None, images=photographs)
        crf_off, crf_on = (
            refined(stores, vectors, segments, tmp_path / f"{i}.json", **settings).read("pixels")
            for i, settings in enumerate((OFF, MILD))
        )
        right = [max((found == labels).mean(), (found != labels).mean()) for found in (crf_off, crf_on)]
        assert right[0] < 0.9
        assert right[1] > 0.99

    @pytest.mark.parametrize("block", [1, 64])
    def test_division_does_not_matter(self, tmp_path, monkeypatch, block):
        photographs, labels = edge(images=4, at=np.array([7, 10, 13, 17])[:, None, None])
        X, grid = noisy_rows(labels), (6, 6)
        segments = centres_store(tmp_path / "s.json", np.eye(2, dtype=np.float32), 0.2, 4, grid=grid)

        def found(name, of_images, of_vectors):
            stores = image_stores(tmp_path, None, of_images, images=photographs)[::-1]
            vectors = vector_stores(tmp_path, X, of_vectors, grid=grid)
            return refined(stores, vectors, segments, tmp_path / f"{name}.json", **MILD).read("pixels")

        whole = found("whole", (4,), (4,))
        monkeypatch.setattr(stage, "BLOCK_IMAGES", block)
        np.testing.assert_array_equal(found("parts", (1, 3), (2, 2)), whole)
        assert len(np.unique(whole.reshape(4, -1), axis=0)) == 4  # each image's own

    def refused(self, folder, error, line, *, images=None, vectors=None, **settings):
        X = scattered()
        segments = centres_store(folder / "s.json", scattered(1, 4, seed=1)[0], 1.0, 3, grid=(4, 4))
        vectors = vectors or vector_stores(folder, X, grid=(4, 4))
        with pytest.raises(error, match=line) as caught:
            refined(images or self.stores(folder), vectors, segments, folder / "r.json", **settings)
        assert "\n" not in str(caught.value)
        assert not list(folder.glob("*r.*"))

    def test_a_wrong_setting_is_one_line(self, tmp_path):
        self.refused(tmp_path, InputError, "gaussian_px: expected a number above 0", gaussian_px=0.0)

    def test_nothing_half_written_stays(self, tmp_path, monkeypatch):
        times = iter(range(9))

        def breaks_at_the_third(image, maps, settings):
            if next(times) == 2:
                raise MemoryError("planted")
            return maps

        monkeypatch.setattr(crf, "refine", breaks_at_the_third)
        monkeypatch.setattr(stage, "BLOCK_IMAGES", 1)
        self.refused(tmp_path, MemoryError, "planted")
        assert next(times) == 3

    def test_an_image_that_is_not_there_is_one_line(self, tmp_path):
        line = "expected the images of .*, got image-2, which"
        self.refused(tmp_path, InputError, line, images=self.stores(tmp_path, 2))

    def test_vectors_of_other_images_are_one_line(self, tmp_path):
        X = scattered()
        swapped = vector_stores(tmp_path, X, grid=(4, 4), ids=["image-1", "image-0", "image-2"])
        line = r"expected X of the images of .*s\.zarr in their order"
        self.refused(tmp_path, InputError, line, vectors=swapped)

    def test_is_matched_like_other_segments(self, tmp_path):
        photographs, labels = edge()
        X = noisy_rows(labels)
        vectors, grid = vector_stores(tmp_path, X, grid=(6, 6)), (6, 6)
        stores = image_stores(tmp_path, labels[:, None], images=photographs, classes=("left", "right"))
        segments = centres_store(tmp_path / "s.json", np.eye(2, dtype=np.float32), 0.2, 2, grid=grid)
        found = matched(stores, refined(stores, vectors, segments, tmp_path / "r.json", **MILD), tmp_path / "m.parquet")
        assert set(found.target) == {"what"}
        own = found[found.cluster == found.label].pixels.sum()
        assert own / found.pixels.sum() > 0.99


# -------------------------------------------------------------------------------------- coordinates


def coordinates(images=2, side=32):
    row, column = np.divmod(np.arange(side**2), side)
    return np.repeat(np.stack([column, row], axis=1)[None], images, axis=0).astype(np.float32)


def regressed(images, vectors, output, *, unit_rows=False, seed=0, resamples=100):
    settings = {"unit_rows": unit_rows, "resamples": resamples, "seed": seed}
    write_coordinates(images, vectors, output, **settings, settings=settings)
    return read_json(output)


def half_informed(images=6, side=8, seed=0):
    """X of which every channel mixes the coordinates, under noise."""
    rng = np.random.default_rng(seed)
    mixed = coordinates(images, side) @ rng.standard_normal((2, 4))
    return (mixed + 3 * rng.standard_normal(mixed.shape)).astype(np.float32)


class TestCoordinates:
    def test_of_coordinates_are_perfect(self, tmp_path):
        found = regressed([], vector_stores(tmp_path, coordinates(), grid=(32, 32)), tmp_path / "c.json")
        assert found["mse"] < 1e-6
        assert found["settings"] == {"unit_rows": False, "resamples": 100, "seed": 0}

    def test_of_noise_are_at_chance(self, tmp_path):
        X = np.random.default_rng(0).standard_normal((20, 1024, 3)).astype(np.float32)
        found = regressed([], vector_stores(tmp_path, X, grid=(32, 32)), tmp_path / "c.json")
        assert chance() == 85.25
        assert found["mse"] == pytest.approx(85.25, rel=0.05)

    def test_are_those_of_the_regression_fed_by_hand(self, tmp_path):
        X = half_informed()
        regression = CoordinateRegression()
        for name, rows in zip(names(6), X, strict=True):
            regression.add(rows, (8, 8), np.random.default_rng(seed_for(0, "coordinates", name)))
        found = regressed([], vector_stores(tmp_path, X, grid=(8, 8)), tmp_path / "c.json")
        assert found["mse"] == regression.error().mse
        assert 1 < found["mse"] < 85

    def test_lie_in_their_interval(self, tmp_path):
        stores = vector_stores(tmp_path, half_informed(), grid=(8, 8))
        found = regressed([], stores, tmp_path / "c.json")
        assert found["low"] < found["mse"] < found["high"]

    def test_division_of_the_images_does_not_matter(self, tmp_path):
        X = half_informed()
        whole = regressed([], vector_stores(tmp_path, X, grid=(8, 8)), tmp_path / "whole.json")
        for sizes in ((2, 4), (1, 1, 1, 3)):
            stores = vector_stores(tmp_path, X, sizes, grid=(8, 8))
            assert regressed([], stores, tmp_path / "parts.json") == whole
            assert regressed([], stores[::-1], tmp_path / "r.json")["mse"] == pytest.approx(whole["mse"], rel=1e-9)

    def test_images_of_several_sizes_are_one_regression(self, tmp_path):
        wide = np.stack([coordinates(1, 32)[0].reshape(32, 32, 2)[::2].reshape(-1, 2)] * 2)  # 16 × 32 tokens
        stores = [
            *vector_stores(tmp_path, coordinates(), grid=(32, 32)),
            *vector_stores(tmp_path / "wide", wide, grid=(16, 32), ids=["wide-0", "wide-1"]),
        ]
        assert regressed([], stores, tmp_path / "c.json")["mse"] < 1

    def test_follow_the_seed(self, tmp_path):
        stores = vector_stores(tmp_path, half_informed(), grid=(8, 8))
        one, same, other = (regressed([], stores, tmp_path / f"{i}.json", seed=s) for i, s in enumerate((0, 0, 1)))
        assert one == same
        assert one["mse"] != other["mse"]

    def test_unit_rows_keep_the_direction_only(self, tmp_path):
        rng = np.random.default_rng(0)
        X = half_informed() + 20
        longer = X * 2.0 ** rng.integers(-6, 6, (6, 64, 1)).astype(np.float32)
        stores = [vector_stores(tmp_path / str(i), rows, grid=(8, 8)) for i, rows in enumerate((X, longer))]
        for unit_rows in (True, False):
            one, other = (regressed([], s, tmp_path / "c.json", unit_rows=unit_rows)["mse"] for s in stores)
            assert (one == other) is unit_rows


class TestTruth:
    """Without X the true labels are the features."""

    def test_is_the_regression_fed_by_hand(self, tmp_path):
        labels = random_labels(5, pixels=(24, 40))
        regression = CoordinateRegression()
        for name, (one,) in zip(names(5), labels.astype(np.int16), strict=True):
            features = label_features(one, 3)
            regression.add(features, (32, 32), np.random.default_rng(seed_for(0, "coordinates", name)))
        for sizes in ((5,), (2, 3)):
            found = regressed(image_stores(tmp_path, labels, sizes), [], tmp_path / "c.json")
            assert found["mse"] == regression.error().mse
        low, high = regression.bootstrap_interval(resamples=100, rng=np.random.default_rng(seed_for(0, "coordinates")))
        assert (found["low"], found["high"]) == (low, high)

    def test_of_quadrants_leaves_the_variance_inside_them(self, tmp_path):
        labels = np.kron(np.array([[0, 1], [2, 3]]), np.ones((16, 16), int))
        stores = image_stores(tmp_path, np.tile(labels, (20, 1, 1, 1)), classes=("a", "b", "c", "d"))
        assert regressed(stores, [], tmp_path / "c.json")["mse"] == pytest.approx(chance(16), rel=0.05)

    def test_unlabelled_images_are_left_out(self, tmp_path):
        labels = random_labels(4)
        some = regressed(image_stores(tmp_path, labels, annotators=[1, 0, 1, 0]), [], tmp_path / "c.json")
        ids = [names(4)[i] for i in (0, 2)]
        alone = regressed(image_stores(tmp_path / "alone", labels[::2], ids=ids), [], tmp_path / "a.json")
        assert some == alone

    @pytest.mark.parametrize("classes", [CLASSES, ()])
    def test_no_labels_with_names_are_one_line(self, tmp_path, classes):
        labels = random_labels() if not classes else None
        stores = image_stores(tmp_path, labels, images=np.zeros((4, *PIXELS, 3), np.uint8), classes=classes)
        with pytest.raises(InputError, match="data set planted: expected labels with names, got none") as caught:
            regressed(stores, [], tmp_path / "c.json")
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("*c.json*"))
