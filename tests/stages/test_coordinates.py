"""Coordinate regression from the X of a data set, and from its labels: planted coordinates."""

import numpy as np
import pytest

from tests.stages.test_matching_stage import CLASSES, PIXELS, image_stores, random_labels
from tests.stages.test_segments import names, vector_stores
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import read_json
from whatwhere.evaluate.position import CoordinateRegression, chance, label_features
from whatwhere.stages.centres import unit
from whatwhere.stages.coordinates import write_coordinates


def coordinates(images=2, side=32):
    row, column = np.divmod(np.arange(side**2), side)
    return np.repeat(np.stack([column, row], axis=1)[None], images, axis=0).astype(np.float32)


def regressed(images, vectors, output, *, seed=0):
    write_coordinates(images, vectors, output, seed=seed, settings={"seed": seed})
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
        assert found["settings"] == {"seed": 0}

    def test_of_noise_are_at_chance(self, tmp_path):
        X = np.random.default_rng(0).standard_normal((20, 1024, 3)).astype(np.float32)
        found = regressed([], vector_stores(tmp_path, X, grid=(32, 32)), tmp_path / "c.json")
        assert chance() == 85.25
        assert found["mse"] == pytest.approx(85.25, rel=0.05)

    def test_are_those_of_regressions_fed_by_hand(self, tmp_path):
        """Of X as it is, and of its rows at unit length on the same cells."""
        X = half_informed()
        found = regressed([], vector_stores(tmp_path, X, grid=(8, 8)), tmp_path / "c.json")
        for answer, features in ((found, X), (found["unit"], unit(X))):
            regression = CoordinateRegression()
            for name, rows in zip(names(6), features, strict=True):
                regression.add(rows, (8, 8), np.random.default_rng(seed_for(0, "coordinates", name)))
            squares, cells = regression.tested()
            assert answer["mse"] == regression.error().mse
            assert (answer["squares"], answer["cells"]) == (squares.tolist(), cells.tolist())
        assert found["images"] == names(6)
        assert 1 < found["mse"] < 85

    def test_are_the_mean_of_what_is_said_of_each_image(self, tmp_path):
        stores = vector_stores(tmp_path, half_informed(), grid=(8, 8))
        found = regressed([], stores, tmp_path / "c.json")
        for answer in (found, found["unit"]):
            assert answer["mse"] == pytest.approx(sum(answer["squares"]) / sum(answer["cells"]))

    def test_sums_of_images_stand_under_their_names(self, tmp_path):
        X, ids = half_informed(), names(6)
        order = [3, 0, 5, 1, 2, 4]
        one = regressed([], vector_stores(tmp_path / "a", X, grid=(8, 8)), tmp_path / "a.json")
        stores = vector_stores(tmp_path / "b", X[order], grid=(8, 8), ids=[ids[i] for i in order])
        other = regressed([], stores, tmp_path / "b.json")
        assert one["images"] == other["images"] == ids
        np.testing.assert_allclose(one["squares"], other["squares"], rtol=1e-6)

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
        one, other = (regressed([], s, tmp_path / "c.json") for s in stores)
        assert one["unit"] == other["unit"]
        assert one["mse"] != other["mse"]


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
        assert found["squares"] == regression.tested()[0].tolist()
        assert "unit" not in found  # one-hot rows have no length to lose

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
