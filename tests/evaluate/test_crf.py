"""The dense CRF: its Gaussian sums and mean field against dense ones, planted edges, and the public package."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate.crf import LEAST_PROBABILITY, MASKCUT, STEGO, CrfSettings, refine
from whatwhere.evaluate.lattice import gaussian_filter

#: Wide enough for a small image, weak enough to leave probabilities between 0 and 1.
MILD = CrfSettings(5, 2.0, 2.0, 10.0, 30.0, 2.0)
OFF = replace(MILD, gaussian_weight=0.0, bilateral_weight=0.0)


def positions(height, width, px):
    y, x = np.indices((height, width)).reshape(2, -1)
    return (np.stack([x, y], 1) / px).astype(np.float32)


def bilateral(image, px, rgb):
    return np.hstack([positions(*image.shape[:2], px), (image.reshape(-1, 3) / rgb).astype(np.float32)])


def scattered(dimensions, points=300, spread=0.5, seed=0):
    return (spread * np.random.default_rng(seed).standard_normal((points, dimensions))).astype(np.float32)


def noise(points, channels=4, seed=0):
    return np.random.default_rng(seed).random((points, channels), np.float32)


def exact_kernel(features):
    """D^-½ K D^-½ with every pair of points."""
    squares = ((features[:, None].astype(float) - features) ** 2).sum(-1)
    kernel = np.exp(-squares / 2)
    scale = kernel.sum(1) ** -0.5
    return scale[:, None] * kernel * scale


def lattice_kernel(features):
    return gaussian_filter(features).normalised()(np.eye(len(features), dtype=np.float32))


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def softmax(logits):
    powers = np.exp(logits - logits.max(0))
    return powers / powers.sum(0)


def textured_image(size=24):
    y, x = np.indices((size, size))
    colours = [8 * x + (x * y) % 5, 9 * y + (x + 2 * y) % 7, 3 * (x + y) + 40 * (x > y)]
    return np.stack(colours, -1).astype(np.uint8)


def wavy_log_probabilities(size=24, clusters=3):
    y, x = np.indices((size, size)) / 4
    logits = np.stack([2 * np.sin(x * (k + 1) + k) + np.cos(y * (3 - k)) for k in range(clusters)])
    return np.log(softmax(logits))


def exact_mean_field(image, log_probabilities, settings):
    unary = log_probabilities.reshape(len(log_probabilities), -1)
    near = exact_kernel(positions(*image.shape[:2], settings.gaussian_px))
    alike = exact_kernel(bilateral(image, settings.bilateral_px, settings.bilateral_rgb))
    kernel = settings.gaussian_weight * near + settings.bilateral_weight * alike
    found = softmax(unary)
    for _ in range(settings.iterations):
        found = softmax(unary + found @ kernel)
    return found.reshape(log_probabilities.shape)


class TestFilter:
    # what the lattice reaches: its kernel is piecewise linear, wider in the middle and cut off at the ends
    @pytest.mark.parametrize(("dimensions", "sums", "entries"), [(1, 0.02, 0.05), (2, 0.02, 0.08), (5, 0.04, 0.2)])
    def test_scattered_points_against_all_pairs(self, dimensions, sums, entries):
        features, values = scattered(dimensions), noise(300)
        expected = exact_kernel(features)
        assert relative(gaussian_filter(features).normalised()(values), expected @ values) < sums
        assert relative(lattice_kernel(features), expected) < entries

    @pytest.mark.parametrize("px", [1, 3])
    def test_pixels_against_all_pairs(self, px):
        features, values = positions(16, 20, px), noise(320)
        assert relative(gaussian_filter(features).normalised()(values), exact_kernel(features) @ values) < 0.03

    def test_pixels_with_colours_against_all_pairs(self):
        features, values = bilateral(textured_image(16), 10, 40), noise(256)
        assert relative(gaussian_filter(features).normalised()(values), exact_kernel(features) @ values) < 0.05

    def test_one_colour_leaves_the_spatial_kernel(self):
        image = np.full((16, 16, 3), (200, 10, 90), np.uint8)
        expected = exact_kernel(positions(16, 16, 5)) @ noise(256)
        assert relative(gaussian_filter(bilateral(image, 5, 3)).normalised()(noise(256)), expected) < 0.04

    def test_colours_far_apart_do_not_mix(self):
        image = np.zeros((8, 8, 3), np.uint8)
        image[:, 4:] = 255
        kernel = lattice_kernel(bilateral(image, 20, 5)).reshape(8, 8, 8, 8)
        assert (kernel[:, :4, :, 4:] == 0).all()
        assert (kernel[:, 4:, :, :4] == 0).all()
        assert (kernel[:, :4, :, :4] > 0).all()

    @pytest.mark.parametrize("dimensions", [1, 2, 5])
    def test_weights_of_a_point_are_barycentric(self, dimensions):
        cut = gaussian_filter(scattered(dimensions, spread=20)).cut
        np.testing.assert_allclose(cut.sum(1), 1, atol=1e-5)
        assert cut.data.min() > -1e-5
        assert (np.diff(cut.indptr) == dimensions + 1).all()

    def test_is_linear_and_channels_are_apart(self):
        apply, one, other = gaussian_filter(scattered(5)), noise(300), noise(300, seed=1)
        np.testing.assert_allclose(apply(2 * one - 3 * other), 2 * apply(one) - 3 * apply(other), rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(apply(one)[:, [2]], apply(one[:, [2]]), rtol=1e-6)

    def test_kernel_is_symmetric_but_for_the_order_of_blurs(self):
        line = lattice_kernel(scattered(1))
        np.testing.assert_allclose(line, line.T, atol=1e-7)
        for features in (positions(16, 16, 3), scattered(5), bilateral(textured_image(16), 10, 40)):
            apply, every = gaussian_filter(features).normalised(), np.eye(len(features), dtype=np.float32)
            backwards = replace(apply, blurs=apply.blurs[::-1])
            np.testing.assert_allclose(apply(every), backwards(every).T, atol=1e-6)
            assert relative(apply(every).T, apply(every)) < 0.2

    def test_order_of_points_does_not_matter(self):
        features, values, order = scattered(3), noise(300), np.random.default_rng(1).permutation(300)
        found = gaussian_filter(features[order]).normalised()(values[order])
        np.testing.assert_allclose(found, gaussian_filter(features).normalised()(values)[order], rtol=1e-4)

    def test_weight_scales(self):
        apply = gaussian_filter(scattered(2))
        np.testing.assert_allclose(apply.normalised(3.0)(noise(300)), 3 * apply.normalised()(noise(300)), rtol=1e-5)


class TestMeanField:
    @pytest.mark.parametrize(
        "settings", [MILD, replace(MILD, bilateral_weight=0.0), replace(MILD, gaussian_weight=0.0)]
    )
    def test_is_near_the_exact_one(self, settings):
        image, unary = textured_image(), wavy_log_probabilities()
        found, expected = refine(image, unary, settings), exact_mean_field(image, unary, settings)
        assert abs(expected - np.exp(unary)).mean() > 0.03
        assert abs(found - expected).mean() < 0.01
        assert (found.argmax(0) != expected.argmax(0)).mean() < 0.02

    @pytest.mark.parametrize("settings", [STEGO, MASKCUT, MILD])
    def test_is_a_distribution(self, settings):
        found = refine(textured_image(), wavy_log_probabilities(), settings)
        assert found.dtype == np.float32
        assert found.min() >= 0
        np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)

    def test_regions_move_to_the_edge_of_colours(self):
        rng = np.random.default_rng(0)
        labels = np.repeat([[0, 1]], [27, 37], axis=1).repeat(48, axis=0)
        image = (rng.normal(0, 2, (48, 64, 3)) + np.array([[60, 80, 40], [150, 90, 140]])[labels]).astype(np.uint8)
        blocks = labels[::8, 4::8] + rng.normal(0, 0.6, (6, 8))
        share = np.kron(np.clip(blocks, 0.1, 0.9), np.ones((8, 8)))
        unary = np.log(np.stack([1 - share, share]))
        before = (unary.argmax(0) != labels).mean()
        after = (refine(image, unary).argmax(0) != labels).mean()
        assert before > 0.1
        assert after < 0.002
        blind = refine(image, unary, replace(STEGO, bilateral_weight=0.0))
        assert (blind.argmax(0) != labels).mean() > 0.05

    def test_numbering_of_clusters_does_not_matter(self):
        image, unary, order = textured_image(), wavy_log_probabilities(clusters=5), [3, 0, 4, 1, 2]
        np.testing.assert_allclose(refine(image, unary[order]), refine(image, unary)[order], atol=1e-4)

    def test_without_weights_or_iterations_it_is_the_unary(self):
        image, unary = textured_image(), wavy_log_probabilities()
        for settings in (OFF, replace(STEGO, iterations=0)):
            np.testing.assert_allclose(refine(image, unary, settings), np.exp(unary), atol=1e-6)

    def test_shape_may_be_any_and_precision_half(self):
        image, unary = textured_image()[:5, :17], wavy_log_probabilities()[:, :5, :17]
        found = refine(image, unary, MILD)
        turned = refine(image.transpose(1, 0, 2), unary.transpose(0, 2, 1), MILD).transpose(0, 2, 1)
        assert abs(turned - found).mean() < 0.04
        np.testing.assert_allclose(refine(image, unary.astype(np.float16), MILD), found, atol=0.01)
        assert (refine(image, unary[:1] * 0) == 1).all()
        assert refine(image[:1, :1], unary[:, :1, :1]).shape == (3, 1, 1)

    def test_what_is_given_is_left_alone(self):
        image, unary = textured_image(), wavy_log_probabilities().astype(np.float32)
        image_before, unary_before = image.copy(), unary.copy()
        for settings in (STEGO, OFF):
            refine(image, unary, settings)
        np.testing.assert_array_equal(image, image_before)
        np.testing.assert_array_equal(unary, unary_before)

    def test_impossible_clusters_have_the_least_probability(self):
        unary = np.broadcast_to(np.array([0, -np.inf])[:, None, None], (2, 4, 4))
        found = refine(textured_image(4), unary, OFF)
        np.testing.assert_allclose(found[1], LEAST_PROBABILITY / (1 + LEAST_PROBABILITY), rtol=1e-3)

    def test_probabilities_are_made_to_sum_to_1(self):
        image, unary = textured_image(), wavy_log_probabilities()
        np.testing.assert_allclose(refine(image, unary - 40, MILD), refine(image, unary, MILD), atol=1e-4)


#: The first cluster at every eighth row and sixth column, as pydensecrf2 1.1 answered for this file's image and unary.
ANSWERED = {
    STEGO: [[0.0044, 0.0008, 0.0001, 0.0002], [0.0051, 0.9991, 0.0, 0.0004], [0.9992, 0.9761, 0.0002, 0.0028]],
    MILD: [[0.6031, 0.781, 0.0026, 0.0063], [0.5173, 0.967, 0.0015, 0.0268], [0.9572, 0.929, 0.0119, 0.0441]],
}


class TestPublicPackage:
    @pytest.mark.parametrize("settings", ANSWERED)
    def test_its_recorded_answers_are_ours(self, settings):
        found = refine(textured_image(), wavy_log_probabilities(), settings)
        np.testing.assert_allclose(found[0, 3::8, 3::6], ANSWERED[settings], atol=2e-4)

    @pytest.mark.parametrize("settings", [STEGO, MASKCUT, MILD, OFF])
    @pytest.mark.parametrize("size", [24, 61])
    def test_its_answers_are_ours(self, settings, size):
        pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 (extra: crf) is not installed")
        image, unary = textured_image(size), wavy_log_probabilities(size)
        found = refine(image, unary, settings)
        expected = refine(image, unary, replace(settings, library="pydensecrf"))
        assert abs(found - expected).max() < 0.02
        assert abs(found - expected).mean() < 1e-4
        np.testing.assert_array_equal(found.argmax(0), expected.argmax(0))

    def test_where_it_is_missing_the_line_says_how_to_install_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
        with pytest.raises(InputError, match=r"^library: expected pydensecrf.*pip install 'whatwhere\[crf\]'"):
            refine(textured_image(), wavy_log_probabilities(), replace(STEGO, library="pydensecrf"))


def with_entry(value, *, everywhere=False):
    """Log-probabilities of three clusters with `value` at y 2, x 1, in one cluster or in all."""
    unary = wavy_log_probabilities(4)
    unary[slice(None) if everywhere else 1, 2, 1] = value
    return unary


class TestFaults:
    @pytest.mark.parametrize(
        ("unary", "line"),
        [
            (wavy_log_probabilities(5), "log_probabilities: expected 4×4 pixels as in the image, got 5×5"),
            (wavy_log_probabilities(4)[:0], "expected a cluster and a pixel at least"),
            (with_entry(np.nan), "got nan at y 2, x 1"),
            (with_entry(0.01), "got 0.01 at y 2, x 1"),
            (with_entry(np.inf), "got inf at y 2, x 1"),
            (with_entry(-np.inf, everywhere=True), "got -inf at y 2, x 1"),
        ],
    )
    def test_log_probabilities(self, unary, line):
        with pytest.raises(InputError, match=line):
            refine(textured_image(4), unary)

    def test_no_pixel(self):
        with pytest.raises(InputError, match="a pixel at least"):
            refine(textured_image(4)[:0], wavy_log_probabilities(4)[:, :0])

    @pytest.mark.parametrize(
        ("name", "value", "line"),
        [
            ("gaussian_px", 0.0, "gaussian_px: expected a number above 0, got 0"),
            ("bilateral_rgb", -1.0, "bilateral_rgb: expected a number above 0"),
            ("bilateral_px", float("nan"), "bilateral_px: expected a number above 0, got nan"),
            ("bilateral_weight", -1.0, "bilateral_weight: expected 0 or more, got -1"),
            ("iterations", -1, "iterations: expected 0 or more, got -1"),
        ],
    )
    def test_settings(self, name, value, line):
        with pytest.raises(InputError, match=line):
            replace(STEGO, **{name: value})

    def test_gaussians_too_narrow_to_number_the_lattice(self):
        with pytest.raises(InputError, match="too narrow"):
            refine(textured_image(), wavy_log_probabilities(), replace(STEGO, bilateral_px=1e-3, bilateral_rgb=1e-3))


def without_type_checks(script):
    """Run by a fresh interpreter, where annotations are not enforced as they are in tests."""
    return subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)


def test_torch_is_not_imported():
    assert without_type_checks("import sys, whatwhere.evaluate.crf; sys.exit('torch' in sys.modules)").returncode == 0


def test_another_library_is_one_line():
    script = "from whatwhere.evaluate.crf import CrfSettings; CrfSettings(10, 1, 3, 67, 3, 4, library='other')"
    assert "library: expected own or pydensecrf, got other" in without_type_checks(script).stderr
