"""Clusters of a data set after a CRF: interpolated probabilities by hand, and planted edges."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from tests.stages.test_matching_stage import image_stores, matched
from tests.stages.test_segments import clustered, names, vector_stores
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, create
from whatwhere.evaluate import crf
from whatwhere.evaluate.position import resize
from whatwhere.method.cluster import Centres
from whatwhere.stages import segments as stage
from whatwhere.stages.refining import write_refined

OFF = {
    "iterations": 3,
    "gaussian_px": 1.0,
    "gaussian_weight": 0.0,
    "bilateral_px": 10.0,
    "bilateral_rgb": 20.0,
    "bilateral_weight": 0.0,
}
MILD = {**OFF, "gaussian_weight": 1.0, "bilateral_weight": 8.0}


def centres_store(path, centres, spread, images, *, grid, unit_rows=False, ids=None):
    """Segments of which only the centres matter; of scores where there are none."""
    found = [] if centres is None else [centres]
    described = {
        "dataset": "planted",
        "grid": grid,
        "graphs": "4 graphs",
        "unit_rows": unit_rows,
        "spreads": [spread for _ in found],
    }
    along = {"image": ids or names(images), "partition": [len(c) for c in found] or [3]}
    with create(path, {}, described, along) as store:
        store.array("regions", (images, 1, grid[0] * grid[1]), "int16", ("image", "partition", "token"))[:] = 0
        for c in found:
            store.array("centres", (1, *c.shape), "float32", ("partition", "cluster", "vector"))[:] = c[None]
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
        wanted = {"dataset": "planted", "grid": [4, 4], "graphs": "4 graphs"}
        assert wanted.items() <= found.attributes.items()
        assert (found.ids, found.coordinate("partition")) == (names(3), [4])
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

    def test_scores_keep_their_lengths_also_where_rows_are_brought_to_unit_length(self, tmp_path):
        X = 5 * scattered(channels=4)
        vectors, stores = vector_stores(tmp_path, X, grid=(4, 4)), self.stores(tmp_path)
        segments = clustered(vectors, tmp_path / "s.json", scores=True, unit_rows=True)
        found = refined(stores, vectors, segments, tmp_path / "r.json").read("pixels")
        as_they_are, at_unit_length = (
            np.stack([interpolated(softmax(rows, axis=1), self.side).argmax(0) for rows in given])
            for given in (X, X / np.linalg.norm(X, axis=2, keepdims=True))
        )
        np.testing.assert_array_equal(found, as_they_are)
        assert (as_they_are != at_unit_length).any()

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
