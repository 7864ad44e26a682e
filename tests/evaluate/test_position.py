"""Coordinate regression against planted answers and dense least squares."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate import position
from whatwhere.evaluate.position import CoordinateRegression, chance, label_features, resize


def coordinates(side):
    row, column = np.divmod(np.arange(side**2), side)
    return np.stack([column, row], axis=1).astype(float)


def half_informed(images, channels=5, side=8, seed=0):
    """Features of which some channels mix the coordinates, under noise."""
    rng = np.random.default_rng(seed)
    mixed = coordinates(side) @ rng.standard_normal((2, channels))
    return [mixed + 10 * rng.standard_normal(mixed.shape) for _ in range(images)]


def regress(images, side=8, grid=None, order=None, **settings):
    """Image i draws its cells from stream i, whatever the order."""
    regression = CoordinateRegression(side=side, **settings)
    for i in range(len(images)) if order is None else order:
        regression.add(images[i], grid or (side, side), np.random.default_rng(i))
    return regression


def dense_error(images, side=8, share=0.8, model=None):
    """The same cells, all held at once."""
    fitted = [np.random.default_rng(i).permutation(side**2) < round(share * side**2) for i in range(len(images))]
    features, targets = np.concatenate(images), np.tile(coordinates(side), (len(images), 1))
    fitted = np.concatenate(fitted)
    model = (model or LinearRegression()).fit(features[fitted], targets[fitted])
    return ((model.predict(features[~fitted]) - targets[~fitted]) ** 2).mean(0)


class TestError:
    def test_is_dense_least_squares(self):
        images = half_informed(7)
        found = regress(images).error()
        np.testing.assert_allclose([found.mse_column, found.mse_row], dense_error(images), rtol=1e-10)
        assert found.mse == pytest.approx((found.mse_column + found.mse_row) / 2)
        assert (found.cells_fitted, found.cells_tested) == (7 * 51, 7 * 13)

    def test_another_share(self):
        images = half_informed(7)
        found = regress(images, train_share=0.5).error()
        np.testing.assert_allclose([found.mse_column, found.mse_row], dense_error(images, share=0.5), rtol=1e-10)
        assert found.cells_fitted == found.cells_tested == 7 * 32

    def test_coordinates_are_perfect_and_noise_on_them_is_the_error(self):
        rng = np.random.default_rng(0)
        assert regress([coordinates(32)] * 2, side=32).error().mse < 1e-12
        # targets = features + noise would be 1; a little less, for the regression shrinks towards the mean
        noisy = [coordinates(32) + rng.standard_normal((1024, 2)) for _ in range(20)]
        assert regress(noisy, side=32).error().mse == pytest.approx(1 / (1 + 1 / chance()), rel=0.05)

    def test_each_coordinate_by_itself(self):
        found = regress([coordinates(16)[:, :1]] * 10, side=16).error()
        assert found.mse_column < 1e-12
        assert found.mse_row == pytest.approx(chance(16), rel=0.1)

    @pytest.mark.parametrize("value", [0.0, 3.7, -1e6])
    def test_features_that_know_nothing_are_at_chance(self, value):
        assert chance() == 85.25
        found = regress([np.full((1024, 3), value)] * 20, side=32).error()
        assert found.mse == pytest.approx(chance(), rel=0.05)

    def test_order_of_images_does_not_matter(self):
        images = half_informed(6)
        turned = regress(images, order=[3, 5, 0, 1, 4, 2]).error()
        assert turned.mse == pytest.approx(regress(images).error().mse, rel=1e-12)

    def test_another_draw_is_another_error(self):
        image = half_informed(1)[0]
        found = [regress([image] * 2, order=order).error().mse for order in ([0], [1])]
        assert found[0] != found[1]


class TestNumbers:
    def test_invertible_maps_and_offsets_of_features_do_not_matter(self):
        images, rng = half_informed(6), np.random.default_rng(1)
        expected = regress(images).error().mse
        mixing, scale = rng.standard_normal((5, 5)), np.array([1e-6, 1, 1e6, 1e3, 1e-3])
        assert regress([x @ mixing for x in images]).error().mse == pytest.approx(expected, rel=1e-8)
        assert regress([x * scale + 1e6 * scale for x in images]).error().mse == pytest.approx(expected, rel=1e-7)

    def test_collinear_and_constant_channels_change_nothing(self):
        images = half_informed(6)
        expected = regress(images).error().mse
        more = [np.concatenate([x, x[:, :1] - 2 * x[:, 1:2], np.full((64, 2), 3.7)], axis=1) for x in images]
        assert regress(more).error().mse == pytest.approx(expected, rel=1e-8)

    def test_a_faint_difference_of_channels_is_used(self):
        rng = np.random.default_rng(0)
        noise = [rng.standard_normal((64, 1)) for _ in range(4)]
        told = [np.concatenate([x, x + 1e-4 * coordinates(8)[:, :1]], axis=1) for x in noise]
        assert regress(told).error().mse_column < 1e-6

    def test_rounding_of_a_constant_channel_gives_nothing_away(self):
        rounded = 1e6 * (1 + 1e-14 * coordinates(16)[:, :1])
        assert np.ptp(rounded) > 0
        assert regress([rounded] * 20, side=16).error().mse == pytest.approx(chance(16), rel=0.05)

    def test_one_hot_labels_are_class_means(self):
        """The best guess of a cell is the mean position of its class; the one-hots are collinear with 1."""
        rng = np.random.default_rng(0)
        images = [np.eye(4)[np.repeat(rng.permutation(4), 16)] for _ in range(5)]
        found = regress(images).error()
        dropped = dense_error([x[:, 1:] for x in images])
        np.testing.assert_allclose([found.mse_column, found.mse_row], dropped, rtol=1e-8)

    def test_fewer_cells_than_channels(self):
        rng = np.random.default_rng(0)
        images = [rng.standard_normal((16, 40)) for _ in range(2)]
        expected = dense_error(images, side=4, model=make_pipeline(StandardScaler(), LinearRegression()))
        found = regress(images, side=4).error()
        np.testing.assert_allclose([found.mse_column, found.mse_row], expected, rtol=1e-6)

    def test_many_channels_of_float16(self):
        rng = np.random.default_rng(0)
        images = [(50 + rng.standard_normal((256, 768))).astype(np.float16) for _ in range(5)]
        for image in images:
            image[:, 0], image[:, 1] = 7, coordinates(16)[:, 0]
        found = regress(images, side=16).error()
        assert found.mse_column < 1e-6
        # 1,025 cells fit 768 weights: worse than chance by the textbook's factor, and no more
        assert found.mse_row == pytest.approx(chance(16) * (1 + 768 / (1025 - 768)), rel=0.3)


class TestMemory:
    def test_sums_are_kept_by_group_where_images_are_many(self, monkeypatch):
        images = half_informed(11)
        each = regress(images)
        monkeypatch.setattr(position, "GROUP_BYTES", 0)
        monkeypatch.setattr(position, "LEAST_GROUPS", 4)
        grouped = regress(images)
        assert len(each._tests) == 11
        assert len(grouped._tests) == 4
        assert grouped.error().mse == pytest.approx(each.error().mse, rel=1e-12)
        assert grouped.error().cells_tested == each.error().cells_tested

    def test_interval_of_groups_is_much_like_that_of_images(self, monkeypatch):
        images = half_informed(200)
        by_image = width(regress(images))
        monkeypatch.setattr(position, "GROUP_BYTES", 0)
        assert width(regress(images)) == pytest.approx(by_image, rel=0.5)


def interval(regression, seed=0):
    return regression.bootstrap_interval(resamples=500, rng=np.random.default_rng(seed))


def width(regression):
    low, high = interval(regression)
    return high - low


class TestInterval:
    def test_contains_the_error_and_shrinks(self):
        few, many = (regress(half_informed(n)) for n in (10, 160))
        for regression in (few, many):
            low, high = interval(regression)
            assert low < regression.error().mse < high
        assert width(many) < width(few) / 2

    def test_is_that_of_the_images_errors(self):
        """Half of the images tell all and half nothing: weights aside, images have two errors only."""
        rng = np.random.default_rng(0)
        told, untold = coordinates(8), np.zeros((64, 2))
        regression = regress([told if i % 2 else untold for i in range(40)])
        squares = regression._test_squares()[0].mean(1) / 13
        drawn = rng.choice(squares, (4000, 40)).mean(1)
        np.testing.assert_allclose(interval(regression), np.percentile(drawn, [2.5, 97.5]), rtol=0.05)
        assert squares.mean() == pytest.approx(regression.error().mse)

    def test_follows_its_generator(self):
        regression = regress(half_informed(10))
        assert interval(regression) == interval(regression)
        assert interval(regression) != interval(regression, seed=1)

    def test_one_image_has_no_spread(self):
        regression = regress(half_informed(1))
        assert interval(regression) == pytest.approx((regression.error().mse,) * 2)


class TestResize:
    @pytest.mark.parametrize("grid", [(16, 16), (5, 7), (40, 28), (64, 64), (1, 3), (32, 16)])
    def test_is_bilinear_at_half_pixels(self, grid):
        import torch
        import torch.nn.functional as F

        features = np.random.default_rng(0).standard_normal((grid[0] * grid[1], 3))
        planes = torch.from_numpy(features.reshape(1, *grid, 3)).permute(0, 3, 1, 2)
        expected = F.interpolate(planes, (32, 32), mode="bilinear", align_corners=False)
        np.testing.assert_allclose(resize(features, grid, 32), expected[0].flatten(1).T, atol=1e-12)

    def test_equal_grids_are_left_alone(self):
        features = np.random.default_rng(0).standard_normal((64, 3))
        np.testing.assert_array_equal(resize(features, (8, 8), 8), features)
        np.testing.assert_array_equal(position._interpolation(8, 8), np.eye(8))

    def test_rows_are_rows(self):
        """A feature of a coarse grid that is its column predicts columns; edges are continued, hence not exactly."""
        column = np.tile(np.arange(7.0), 5)[:, None]
        found = regress([column] * 8, side=32, grid=(5, 7)).error()
        assert found.mse_column < 0.3
        assert found.mse_row == pytest.approx(chance(), rel=0.1)


class TestLabelFeatures:
    def test_by_hand(self):
        labels = np.array([[0, 0, 2, 2], [0, 0, 2, -1]], np.int16)
        found = label_features(labels, 3, side=2)
        # rows at 0.5 and 1.5, columns at 1 and 3: the pixel that begins there
        np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]])

    def test_of_quadrants_leave_the_variance_inside_them(self):
        labels = np.kron(np.array([[0, 1], [2, 3]]), np.ones((160, 160))).astype(np.int16)
        found = regress([label_features(labels, 4)] * 20, side=32).error()
        assert found.mse == pytest.approx(chance(16), rel=0.05)

    @pytest.mark.parametrize(("label", "got"), [(2, "0 to 2"), (-2, "-2 to 0")])
    def test_label_out_of_range_is_one_line(self, label, got):
        with pytest.raises(InputError, match=f"labels: expected 0 to 1, got {got}"):
            label_features(np.array([[0, label]], np.int16), 2, side=2)


class TestBadInput:
    @pytest.mark.parametrize(
        ("features", "line"),
        [
            (np.zeros((65, 5)), "image 2: expected 64 tokens of a grid of 8 × 8, got 65; cut prefix tokens"),
            (np.zeros((64, 4)), "image 2: expected 5 channels as in the images before it, got 4"),
            (np.full((64, 5), np.inf), "image 2: expected finite features, got NaN or infinity"),
        ],
    )
    def test_is_one_line_and_counts_for_nothing(self, features, line):
        regression = regress(half_informed(1))
        before = regression.error()
        with pytest.raises(InputError, match=line):
            regression.add(features, (8, 8), np.random.default_rng(0))
        assert regression.error() == before

    def test_no_image_is_one_line(self):
        for ask in (CoordinateRegression().error, lambda: interval(CoordinateRegression())):
            with pytest.raises(InputError, match="expected at least one image, got none"):
                ask()

    @pytest.mark.parametrize(("side", "share"), [(32, 0.0), (32, 1.0), (1, 0.8), (2, 0.99)])
    def test_nothing_to_fit_or_test_is_one_line(self, side, share):
        with pytest.raises(InputError, match="expected cells to fit and cells to test"):
            CoordinateRegression(side=side, train_share=share)
