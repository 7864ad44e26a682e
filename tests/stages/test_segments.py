"""Clusters of a data set: the planted ones, and the same however its images are divided among stores."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from whatwhere.app.show import describe
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, create
from whatwhere.stages import segments as stage
from whatwhere.stages.centres import Some, rows_of, unit
from whatwhere.stages.segments import blocks, centres_of, write_segments

GRID = (4, 6)
#: Stores of so many images each.
DIVISIONS = [(7,), (3, 4), (1, 5, 1), (1,) * 7]


def in_stores(folder, sizes, arrays, dims, along, **attributes):
    """Stores of so many consecutive images each, of arrays whose first axis is the image, as what lies along it is."""
    stores, first = [], 0
    for number, size in enumerate(sizes):
        images = slice(first, first := first + size)
        here = {name: ("image", values[images]) for name, values in along.items()}
        here["image"] = here["image"][1]
        path = folder / f"{'-'.join(map(str, sizes))}.{number}.json"
        with create(path, {}, attributes, here) as store:
            for name, array in arrays.items():
                part = array[images]
                store.array(name, part.shape, str(array.dtype), ("image", *dims[name]), run_images=size)[:] = part
        stores.append(Store(path))
    return stores


def vector_stores(folder, X, sizes=None, grid=GRID, ids=None):
    """Stores of X `[image, token, vector]`."""
    along, described = {"image": ids or names(len(X))}, {"dataset": "planted", "grid": grid, "graphs": "4 graphs"}
    return in_stores(folder, sizes or (len(X),), {"vectors": X}, {"vectors": ("token", "vector")}, along, **described)


def names(images):
    return [f"image-{i}" for i in range(images)]


def planted(images=7, seed=0, tokens=24):
    """X of three clusters, each of two halves nearer to each other: rows, clusters and halves of each image."""
    rng = np.random.default_rng(seed)
    halves = rng.choice(6, (images, tokens), p=[0.3, 0.23, 0.17, 0.14, 0.1, 0.06])
    centres = np.concatenate([20 * np.eye(3).repeat(2, axis=0), 3 * np.tile([[1], [-1]], (3, 1))], axis=1)
    rows = centres[halves] + 0.3 * rng.standard_normal((images, tokens, 4))
    return rows.astype(np.float32), halves // 2, halves


def crowd(images=7, tokens=24, seed=0):
    """Rows without clusters: every boundary runs through a crowd."""
    return np.random.default_rng(seed).standard_normal((images, tokens, 5)).astype(np.float32)


def clustered(stores, output, **changes):
    choice = {"classes": 3, "scores": False, "unit_rows": False, "restarts": 2, "fitted_locations": 10**6, "seed": 0}
    write_segments(stores, output, **{**choice, **changes}, settings={})
    return Store(output)


def drawn(stores, locations, seed=0):
    each = max(1, locations // sum(len(store.ids) for store in stores))
    parts = [Some(store, here, each, False, seed) for store, here, _ in stage._slices(stores)]
    return np.concatenate([rows_of(part) for part in parts])


def image_of(X, rows):
    """Which image of X each row is of."""
    flat = X.reshape(-1, X.shape[2])
    (place,) = np.nonzero((flat == rows[:, None]).all(2).any(0))
    assert len(place) == len(rows), "a row was drawn twice"
    return place // X.shape[1]


class TestPartitions:
    @pytest.mark.parametrize("locations", [10**6, 100])
    def test_are_the_planted_clusters_and_their_halves(self, tmp_path, locations):
        X, clusters, halves = planted()
        found = clustered(vector_stores(tmp_path, X), tmp_path / "s.json", fitted_locations=locations)
        assert found.coordinate("partition") == [3, 6]
        for partition, truth in enumerate((clusters, halves)):
            regions = found.read("regions")[:, partition]
            assert adjusted_rand_score(truth.ravel(), regions.ravel()) == 1
            if locations == 10**6:  # of some rows only, the numbers follow their sizes
                np.testing.assert_array_equal(regions, truth)  # the planted sizes decrease

    def test_draws_stand_one_after_the_other_and_the_first_is_that_of_one(self, tmp_path):
        stores = vector_stores(tmp_path, crowd())
        one, three = (clustered(stores, tmp_path / f"{n}.json", classes=4, draws=n) for n in (1, 3))
        assert three.coordinate("partition") == [4, 8] * 3
        regions = three.read("regions")
        np.testing.assert_array_equal(regions[:, :2], one.read("regions"))
        assert not any((regions[:, i] == regions[:, j]).all() for i, j in ((0, 2), (2, 4), (1, 3)))
        for partition in range(6):
            assigned = centres_of(three, partition).assign(crowd().reshape(-1, 5))
            np.testing.assert_array_equal(assigned.reshape(7, 24), regions[:, partition])

    def test_say_what_they_are_of(self, tmp_path):
        X, *_ = planted()
        stores = vector_stores(tmp_path, X, (3, 4))
        found = clustered(stores, tmp_path / "s.json", unit_rows=True)
        wanted = {"dataset": "planted", "grid": [4, 6], "graphs": "4 graphs", "unit_rows": True}
        assert wanted.items() <= found.attributes.items()
        assert (found.ids, found.coordinate("chosen")) == (names(7), [found.coordinate("partition")[0]] * 7)
        assert found.description["arrays"]["regions"]["dims"] == ["image", "partition", "token"]

    def test_are_the_nearest_of_the_stored_centres(self, tmp_path):
        X = crowd()
        found = clustered(vector_stores(tmp_path, X), tmp_path / "s.json", classes=4)
        for partition, clusters in enumerate((4, 8)):
            centres = centres_of(found, partition)
            assert centres.centres.shape == (clusters, 5)
            np.testing.assert_array_equal(
                centres.assign(X.reshape(-1, 5)).reshape(7, 24), found.read("regions")[:, partition]
            )
            own = centres.centres[found.read("regions")[:, partition]]
            assert centres.spread == pytest.approx(((X - own) ** 2).mean(), rel=1e-3)

    def test_are_shown_with_their_centres(self, tmp_path):
        clustered(vector_stores(tmp_path, crowd()), tmp_path / "s.json", classes=4)
        assert "(partition: 2, cluster: 8, vector: 5)" in describe(tmp_path / "s.zarr")

    def test_numbers_follow_the_size_in_the_whole_set(self, tmp_path):
        """In the first images the cluster that is rare elsewhere is the largest."""
        X, clusters, _ = planted(9)
        X[:2] = 0.001 * X[:2] + [0, 0, 20, 3]
        found = clustered(vector_stores(tmp_path, X), tmp_path / "s.json").read("regions")[:, 0]
        assert (found[:2] == found[0, 0]).all()
        assert (np.diff(np.bincount(found.ravel(), minlength=3)) <= 0).all()
        assert adjusted_rand_score(clusters[2:].ravel(), found[2:].ravel()) == 1

    def test_follow_the_seed(self, tmp_path):
        stores = vector_stores(tmp_path, crowd())
        one, same, other = (clustered(stores, tmp_path / f"{i}.json", seed=s) for i, s in enumerate((1, 1, 2)))
        assert one.description["content"] == same.description["content"] != other.description["content"]


class TestDivision:
    @pytest.mark.parametrize("locations", [10**6, 21])
    @pytest.mark.parametrize("block", [1, 3, 64])
    def test_changes_nothing(self, tmp_path, monkeypatch, block, locations):
        X = crowd()
        settings = {"classes": 4, "fitted_locations": locations, "restarts": 1}
        whole = clustered(vector_stores(tmp_path, X), tmp_path / "whole.json", **settings)
        monkeypatch.setattr(stage, "BLOCK_IMAGES", block)
        for i, sizes in enumerate(DIVISIONS[1:]):
            found = clustered(vector_stores(tmp_path, X, sizes), tmp_path / f"{i}.json", **settings)
            for array in ("centres", "regions"):
                np.testing.assert_array_equal(found.read(array), whole.read(array), err_msg=f"{sizes}, {array}")
            assert found.attributes == whole.attributes

    @pytest.mark.parametrize("sizes", DIVISIONS)
    def test_blocks_hold_every_image_once_and_few_at_a_time(self, tmp_path, monkeypatch, sizes):
        X = crowd()
        monkeypatch.setattr(stage, "BLOCK_IMAGES", 2)
        found = list(blocks(vector_stores(tmp_path, X, sizes), unit_rows=False))
        np.testing.assert_array_equal(np.concatenate([block for _, block in found]), X)
        assert [i for images, _ in found for i in range(images.start, images.stop)] == list(range(7))
        assert max(len(block) for _, block in found) <= 2

    def test_order_of_the_stores_changes_the_order_only(self, tmp_path):
        X, *_ = planted()
        stores = vector_stores(tmp_path, X, (3, 2, 2))
        forwards = clustered(stores, tmp_path / "f.json")
        backwards = clustered(stores[::-1], tmp_path / "b.json")
        assert backwards.ids == [name for store in stores[::-1] for name in store.ids]
        back = [backwards.ids.index(name) for name in forwards.ids]
        np.testing.assert_array_equal(backwards.read("regions")[back], forwards.read("regions"))


class TestFittedLocations:
    @pytest.mark.parametrize(("locations", "each"), [(1, 1), (20, 2), (7 * 23, 23), (7 * 24, 24), (10**6, 24)])
    def test_are_as_many_of_every_image(self, tmp_path, locations, each):
        X = crowd()
        rows = drawn(vector_stores(tmp_path, X, (3, 4)), locations)
        np.testing.assert_array_equal(np.bincount(image_of(X, rows)), [each] * 7)

    def test_are_the_images_own_wherever_it_lies(self, tmp_path):
        """A draw depends on the seed and the image's id: not on its store, its place there or its neighbours."""
        X, ids = crowd(), names(7)
        expected = {tuple(row) for row in drawn(vector_stores(tmp_path, X, ids=ids), 35)}
        order = [4, 0, 6, 2, 5, 1, 3]
        shuffled = vector_stores(tmp_path, X[order], (2, 4, 1), ids=[ids[i] for i in order])
        assert {tuple(row) for row in drawn(shuffled, 35)} == expected
        part = vector_stores(tmp_path, X[2:4], ids=ids[2:4])
        assert {tuple(row) for row in drawn(part, 10)} == expected & {tuple(row) for row in X[2:4].reshape(-1, 5)}

    def test_follow_the_seed_and_differ_between_images(self, tmp_path):
        same = np.repeat(crowd(1), 7, axis=0)
        stores = vector_stores(tmp_path, same)
        np.testing.assert_array_equal(drawn(stores, 35), drawn(stores, 35))
        assert not np.array_equal(drawn(stores, 35), drawn(stores, 35, seed=1))
        assert len(np.unique(drawn(stores, 35), axis=0)) > 5  # not the same five places in each


class TestUnitRows:
    def test_only_the_direction_counts(self, tmp_path):
        X, rng = crowd(), np.random.default_rng(1)
        scaled = X * 2.0 ** rng.integers(-8, 8, (7, 24, 1)).astype(np.float32)
        found = [
            clustered(vector_stores(tmp_path, rows), tmp_path / f"{i}.json", unit_rows=True)
            for i, rows in enumerate((X, scaled))
        ]
        np.testing.assert_array_equal(found[0].read("regions"), found[1].read("regions"))
        as_they_are = clustered(vector_stores(tmp_path, scaled), tmp_path / "raw.json")
        assert not np.array_equal(as_they_are.read("regions"), found[1].read("regions"))

    @pytest.mark.parametrize("unit_rows", [True, False])
    def test_rows_of_zeros_are_one_cluster_and_no_nan(self, tmp_path, unit_rows):
        X, *_ = planted()
        X[:, ::5] = 0
        found = clustered(vector_stores(tmp_path, X), tmp_path / "s.json", classes=4, unit_rows=unit_rows)
        assert np.isfinite(found.read("centres", 0)[:4]).all()
        regions = found.read("regions")[:, 0]
        zero = regions[0, 0]
        assert (regions[:, ::5] == zero).all()
        assert (np.delete(regions, np.s_[::5], axis=1) != zero).all()

    def test_by_hand(self):
        rows = np.array([[3, 4], [0, 0], [0, -2]], np.float32)
        np.testing.assert_allclose(unit(rows), [[0.6, 0.8], [0, 0], [0, -1]], rtol=1e-6)
        assert unit(rows).dtype == np.float32


class TestScores:
    def test_the_largest_is_taken(self, tmp_path):
        X = crowd()
        X[0, 0] = [1, 7, 7, 0, 7]  # the lowest of those as large
        found = clustered(vector_stores(tmp_path, X, (3, 4)), tmp_path / "s.json", scores=True, classes=0)
        np.testing.assert_array_equal(found.read("regions")[:, 0], X.argmax(2))
        assert found.read("regions")[0, 0, 0] == 1
        assert (found.coordinate("partition"), found.attributes["spreads"]) == ([5], [])
        assert list(found.description["arrays"]) == ["regions"]


class TestBadInput:
    def refused(self, folder, stores, line, **changes):
        with pytest.raises(InputError, match=line) as caught:
            clustered(stores, folder / "s.json", **changes)
        assert "\n" not in str(caught.value)
        assert not list(folder.glob("s.*"))

    def test_fewer_different_rows_than_clusters_are_one_line(self, tmp_path):
        X = np.eye(5, dtype=np.float32)[np.arange(7 * 24).reshape(7, 24) % 5]
        line = "at least 6 different rows of X over the data set, got 5"
        self.refused(tmp_path, vector_stores(tmp_path, X), line)

    def test_no_classes_are_one_line(self, tmp_path):
        line = "data set planted: expected classes with names, .* got none"
        self.refused(tmp_path, vector_stores(tmp_path, crowd()), line, classes=0)

    @pytest.mark.parametrize("other", [(6, 4), (3, 8)])
    def test_another_grid_of_as_many_tokens_is_one_line(self, tmp_path, other):
        stores = [*vector_stores(tmp_path, crowd()), *vector_stores(tmp_path, crowd(2), grid=other)]
        line = f"data set planted: expected images of one size, got grids of 4×6 and {other[0]}×{other[1]}"
        self.refused(tmp_path, stores, line)
        self.refused(tmp_path, stores, line, scores=True)
