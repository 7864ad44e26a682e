"""Single-graph baselines: dense references, planted blocks and objects, invariances."""

import ast
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg, ndimage, special

import whatwhere.baselines
from whatwhere.artifacts.errors import InputError
from whatwhere.baselines.maskcut import maskcut
from whatwhere.baselines.maskcut_refining import refined_masks
from whatwhere.baselines.ncut import attention_affinity, cosine_affinity, largest_entry, normalised_cut
from whatwhere.baselines.tokencut import bounding_box, part_around, tokencut, tokencuts
from whatwhere.evaluate.crf import MASKCUT, CrfSettings, refine

GRID = (12, 14)


def random_graph(tokens=40, seed=0):
    weights = np.random.default_rng(seed).random((tokens, tokens))
    return weights + weights.T


def planted_features(*objects, grid=GRID, noise=0.2, channels=16, seed=0):
    """A background and rectangles (rows, columns), each along a direction of its own; and the label of each token."""
    truth = np.zeros(grid, int)
    for number, place in enumerate(objects, start=1):
        truth[place] = number
    spread = noise * np.random.default_rng(seed).standard_normal((truth.size, channels))
    return np.eye(channels)[truth.ravel()] + spread / channels**0.5, truth


def same_blocks(truth, vectors):
    """Whether the rows of `vectors` are equal inside each block, and only there."""
    apart = np.abs(vectors[:, None] - vectors).max(-1) > 1e-6 * np.abs(vectors).max()
    return np.array_equal(apart, truth[:, None] != truth)


LARGE, MIDDLE, SMALL = np.s_[1:7, 1:8], np.s_[8:12, 3:7], np.s_[2:5, 10:13]


class TestNormalisedCut:
    def test_is_the_generalised_problem(self):
        graph = random_graph()
        degrees = np.diag(graph.sum(1))
        expected, columns = linalg.eigh(degrees - graph, degrees)
        values, vectors = normalised_cut(graph, 6)
        np.testing.assert_allclose(values, expected[1:7], atol=1e-12)
        np.testing.assert_allclose(np.abs(vectors), np.abs(columns[:, 1:7]), atol=1e-9)
        np.testing.assert_allclose((degrees - graph) @ vectors, degrees @ vectors * values, atol=1e-10)

    def test_scale_and_sign(self):
        graph = random_graph()
        _, vectors = normalised_cut(graph, 39)
        degrees = graph.sum(1)
        np.testing.assert_allclose(vectors.T @ (degrees[:, None] * vectors), np.eye(39), atol=1e-10)
        np.testing.assert_allclose(degrees @ vectors, 0, atol=1e-10)
        assert (np.abs(vectors).max(0) == vectors.max(0)).all()

    def test_permuting_tokens_permutes_the_vectors(self):
        graph, order = random_graph(), np.random.default_rng(1).permutation(40)
        values, vectors = normalised_cut(graph, 5)
        moved_values, moved = normalised_cut(graph[np.ix_(order, order)], 5)
        np.testing.assert_allclose(moved_values, values, atol=1e-12)
        np.testing.assert_allclose(moved, vectors[order], atol=1e-9)

    def test_scaling_the_graph_keeps_the_values(self):
        graph = random_graph()
        np.testing.assert_allclose(normalised_cut(7 * graph, 5)[0], normalised_cut(graph, 5)[0], atol=1e-12)

    @pytest.mark.parametrize("bridge", [0.02, 1e-6, 0.0])
    def test_separates_planted_blocks(self, bridge):
        truth = np.repeat(np.arange(4), [9, 12, 7, 16])
        graph = np.where(truth[:, None] == truth, 1.0, bridge)
        values, vectors = normalised_cut(graph, 4)
        assert values[2] < 0.3 < values[3]
        assert same_blocks(truth, vectors[:, :3])

    @pytest.mark.parametrize(
        ("graph", "vectors", "line"),
        [
            (np.ones((4, 5)), 2, "affinity: expected as many rows as columns, got 4×5"),
            (np.ones((4, 4)), 4, "vectors: expected 1 to 3 for a graph of 4 tokens, got 4"),
            (np.ones((4, 4)), 0, "vectors: expected 1 to 3"),
            (np.tril(np.ones((4, 4))), 2, "expected a symmetric graph"),
            (-np.ones((4, 4)), 2, "expected finite weights of at least 0"),
            (np.full((4, 4), np.nan), 2, "expected finite weights of at least 0"),
            (np.diag([1.0, 1, 1, 0]), 2, "expected an edge at every token, got 1 tokens without"),
        ],
    )
    def test_wrong_graphs_are_one_line(self, graph, vectors, line):
        with pytest.raises(InputError, match=line) as caught:
            normalised_cut(graph, vectors)
        assert "\n" not in str(caught.value)


def test_equal_entries_do_not_depend_on_rounding():
    assert largest_entry(np.array([1.0, 3 - 1e-14, 3.0, 3 + 1e-14])) == 1
    assert largest_entry(np.array([-5.0, -2, -3])) == 1


class TestCosineAffinity:
    def test_threshold(self):
        rows = np.array([[2.0, 0], [1, 1], [0, 3], [0, 0]])
        expected = [[1, 1, 0.1, 0.1], [1, 1, 1, 0.1], [0.1, 1, 1, 0.1], [0.1, 0.1, 0.1, 0.1]]
        np.testing.assert_array_equal(cosine_affinity(rows, threshold=0.5, epsilon=0.1), expected)

    def test_without_threshold_the_cosines_stay(self):
        rows = np.array([[2.0, 0], [1, 1], [-1, 0]])
        expected = [[1, 0.5**0.5, 1e-5], [0.5**0.5, 1, 1e-5], [1e-5, 1e-5, 1]]
        np.testing.assert_allclose(cosine_affinity(rows, threshold=None), expected)

    def test_lengths_do_not_matter(self):
        rows, lengths = np.random.default_rng(0).standard_normal((2, 20, 5)), np.linspace(0.1, 9, 20)[:, None]
        np.testing.assert_allclose(
            cosine_affinity(rows[0] * lengths, threshold=None), cosine_affinity(rows[0], threshold=None)
        )

    @pytest.mark.parametrize(
        ("rows", "settings", "line"),
        [
            (np.ones((3, 2)), {"threshold": 1.0}, "threshold: expected None or a cosine from 0 to below 1, got 1.0"),
            (np.ones((3, 2)), {"threshold": -0.1}, "threshold: expected"),
            (np.ones((3, 2)), {"threshold": 0.2, "epsilon": 0.0}, "epsilon: expected a weight between 0 and 1"),
            (np.array([[1.0, np.nan]]), {"threshold": 0.2}, "features: expected finite numbers, got 1 that are not"),
        ],
    )
    def test_wrong_requests_are_one_line(self, rows, settings, line):
        with pytest.raises(InputError, match=line):
            cosine_affinity(rows, **settings)


class TestAttentionAffinity:
    def test_is_the_mean_of_the_heads_made_symmetric(self):
        q, k = np.random.default_rng(0).standard_normal((2, 3, 10, 4))
        logits = np.exp(0.5 * np.einsum("hnc,hmc->hnm", q, k))
        mean = (logits / logits.sum(-1, keepdims=True)).mean(0)
        np.testing.assert_allclose(attention_affinity(q, k, 0.5), (mean + mean.T) / 2, atol=1e-12)

    def test_large_logits_do_not_overflow(self):
        q = 1e3 * np.eye(6, dtype=np.float32)[None]
        np.testing.assert_allclose(attention_affinity(q, q, 1.0), np.eye(6), atol=1e-12)

    def test_finds_planted_bands(self):
        truth = np.repeat(np.arange(3), 10)
        q = np.broadcast_to(np.eye(3)[truth], (2, 30, 3))
        _, vectors = normalised_cut(attention_affinity(q, q, 4.0), 2)
        assert same_blocks(truth, vectors)

    def test_unlike_queries_and_keys_are_one_line(self):
        with pytest.raises(InputError, match=r"keys: expected \(2, 5, 4\) .* got \(2, 6, 4\)"):
            attention_affinity(np.ones((2, 5, 4)), np.ones((2, 6, 4)), 1.0)


class TestTokenCut:
    @pytest.mark.parametrize("place", [LARGE, MIDDLE, SMALL])
    def test_finds_the_planted_object(self, place):
        features, truth = planted_features(place)
        cut = tokencut(features, GRID)
        np.testing.assert_array_equal(cut.mask, truth == 1)
        assert truth.flat[cut.seed] == 1
        assert cut.eigenvector.flat[cut.seed] == pytest.approx(np.abs(cut.eigenvector).max())
        assert (cut.eigenvector > cut.eigenvector.mean())[cut.mask].all()

    def test_box_is_in_pixels_of_the_patch(self):
        features, _ = planted_features(SMALL)
        assert tokencut(features, GRID).box == (10, 2, 13, 5)
        assert tokencut(features, GRID, patch_px=16).box == (160, 32, 208, 80)

    def test_only_the_part_around_the_seed_is_kept(self):
        features, truth = planted_features(LARGE, SMALL)
        features[truth.ravel() == 2] = features[truth.ravel() == 1][: (truth == 2).sum()]
        cut = tokencut(features, GRID)
        assert any(np.array_equal(cut.mask, truth == number) for number in (1, 2))

    def test_moving_the_object_moves_the_mask(self):
        features, _ = planted_features(MIDDLE)
        moved = np.roll(features.reshape(*GRID, -1), (-3, 5), axis=(0, 1)).reshape(features.shape)
        masks = [tokencut(f, GRID).mask for f in (features, moved)]
        np.testing.assert_array_equal(np.roll(masks[0], (-3, 5), axis=(0, 1)), masks[1])

    def test_a_wrong_grid_is_one_line(self):
        with pytest.raises(InputError, match="expected 130 tokens for a grid of 13×10, got 168"):
            tokencut(planted_features(LARGE)[0], (13, 10))


def test_corners_do_not_connect():
    side = np.array([[1, 0, 1], [0, 1, 1], [1, 0, 0]], bool)
    np.testing.assert_array_equal(part_around(side, 4), [[0, 0, 1], [0, 1, 1], [0, 0, 0]])
    assert not part_around(side, 1).any()
    assert bounding_box(part_around(side, 4), 10) == (10, 0, 30, 20)


class TestMaskCut:
    def test_finds_three_planted_objects_in_order_and_the_background_is_left(self):
        features, truth = planted_features(LARGE, MIDDLE, SMALL)
        objects = maskcut(features, GRID)
        assert sorted(m.sum() for m in objects.masks) == sorted((truth == n).sum() for n in (1, 2, 3))
        first = tokencut(features, GRID, threshold=0.15)
        np.testing.assert_array_equal(objects.masks[0], first.mask)
        np.testing.assert_allclose(objects.eigenvectors[0], first.eigenvector)
        np.testing.assert_array_equal(objects.masks.any(0), truth > 0)

    def test_each_mask_is_the_first_one_of_what_is_left(self):
        features, _ = planted_features(LARGE, MIDDLE, SMALL)
        masks = maskcut(features, GRID).masks
        features[masks[0].ravel()] = 0
        np.testing.assert_array_equal(masks[1:], maskcut(features, GRID, masks=2).masks)

    def test_fewer_masks_are_the_first_of_more(self):
        features, _ = planted_features(LARGE, MIDDLE, SMALL)
        np.testing.assert_array_equal(maskcut(features, GRID, masks=2).masks, maskcut(features, GRID).masks[:2])

    def test_what_repeats_is_empty_and_keeps_its_vector(self):
        features, truth = planted_features(LARGE, noise=0.02)
        objects = maskcut(features, GRID, masks=4)
        np.testing.assert_array_equal(objects.masks[0], truth == 1)
        assert not objects.masks[1:].any()
        assert np.abs(objects.eigenvectors[1]).max() > 0
        np.testing.assert_array_equal(objects.eigenvectors[2:], objects.eigenvectors[[1, 1]])

    def test_masks_are_disjoint(self):
        features = np.random.default_rng(3).standard_normal((168, 6))
        assert maskcut(features, GRID, masks=5).masks.sum(0).max() == 1

    def test_a_side_with_three_corners_is_the_background(self):
        frame = np.ones(GRID, bool)
        frame[1:-1, 1:-1] = False
        # the frame is the smaller side, so that its tokens have the largest entries, but it holds all corners
        features = np.where(frame.reshape(-1, 1), [[1.0, 0]], [[0, 1.0]])
        assert frame.sum() < (~frame).sum()
        np.testing.assert_array_equal(tokencut(features, GRID).mask, frame)
        objects = maskcut(features, GRID, masks=1)
        np.testing.assert_array_equal(objects.masks[0], ~frame)
        assert (objects.eigenvectors[0][~frame] > 0).all()

    @pytest.mark.parametrize(("tokens", "kept"), [(3, False), (4, True)])
    def test_a_later_mask_of_one_percent_is_dropped(self, tokens, kept):
        grid = (12, 25)  # 300 tokens: 3 are 1 %
        features, truth = planted_features(np.s_[2:9, 3:12], np.s_[4 : 4 + tokens, 20:21], grid=grid, noise=0)
        masks = maskcut(features, grid, masks=2).masks
        np.testing.assert_array_equal(masks[0], truth == 1)
        np.testing.assert_array_equal(masks[1], (truth == 2) & kept)

    def test_wrong_requests_are_one_line(self):
        features, _ = planted_features(LARGE)
        with pytest.raises(InputError, match="expected 130 tokens"):
            maskcut(features, (13, 10))
        with pytest.raises(InputError, match="masks: expected at least 1, got 0"):
            maskcut(features, GRID, masks=0)


class TestTokenCutSeveral:
    def test_the_first_is_the_one(self):
        features, _ = planted_features(LARGE, MIDDLE, SMALL)
        one, several = tokencut(features, GRID, patch_px=8), tokencuts(features, GRID, patch_px=8)
        assert len(several) == 3
        np.testing.assert_array_equal(several[0].mask, one.mask)
        np.testing.assert_allclose(several[0].eigenvector, one.eigenvector, atol=1e-9)
        assert (several[0].seed, several[0].box) == (one.seed, one.box)

    def test_each_eigenvector_is_split_as_the_first(self):
        features = np.random.default_rng(5).standard_normal((168, 6))
        _, columns = normalised_cut(cosine_affinity(features, threshold=0.2), 4)
        for cut, vector in zip(tokencuts(features, GRID, masks=4), columns.T, strict=True):
            np.testing.assert_allclose(cut.eigenvector.ravel(), vector, atol=1e-9)
            assert cut.seed == np.abs(vector).argmax()
            parts, _ = ndimage.label((vector > vector.mean()).reshape(GRID))
            np.testing.assert_array_equal(cut.mask, parts == parts.flat[cut.seed])
            assert cut.box == bounding_box(cut.mask)

    def test_several_planted_objects_are_found(self):
        features, truth = planted_features(LARGE, MIDDLE, SMALL)
        cuts = tokencuts(features, GRID)
        assert {int(truth.flat[cut.seed]) for cut in cuts} <= {1, 2, 3}
        seen = {number for number in (1, 2, 3) for cut in cuts if np.array_equal(cut.mask, truth == number)}
        assert len(seen) >= 2

    @pytest.mark.parametrize("masks", [0, 168])
    def test_wrong_numbers_of_masks_are_one_line(self, masks):
        with pytest.raises(InputError, match=f"masks: expected 1 to 167 for 168 tokens, got {masks}"):
            tokencuts(planted_features(LARGE)[0], GRID, masks=masks)


#: Without its two kernels a CRF answers what it was given.
NO_KERNELS = CrfSettings(1, 1.0, 0.0, 1.0, 1.0, 0.0)


class TestRefinedMasks:
    def grey_square(self, side=48):
        """A bright square of a third of the side on dark ground, and where it is."""
        square = np.zeros((side, side), bool)
        square[side // 3 : 2 * side // 3, side // 3 : 2 * side // 3] = True
        return np.repeat(np.where(square, 220, 30).astype(np.uint8)[..., None], 3, -1), square

    def test_outlines_follow_the_image(self):
        image, square = self.grey_square()
        coarse = np.zeros((1, 8, 8), bool)
        coarse[0, 3:6, 3:6] = True  # 18 to 36 pixels; the square is 16 to 32
        (found,) = refined_masks(coarse, image)
        np.testing.assert_array_equal(found, square)

    @pytest.mark.parametrize("size", [(24, 28), (30, 31), (7, 5)])
    def test_without_kernels_every_pixel_is_its_tokens(self, size):
        masks = np.random.default_rng(0).random((3, 12, 14)) < 0.5
        masks[2] = False
        found = refined_masks(masks, np.zeros((*size, 3), np.uint8), NO_KERNELS)
        rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(size, (12, 14), strict=True))
        for mask, refined in zip(masks, found, strict=True):
            np.testing.assert_array_equal(refined, ndimage.binary_fill_holes(mask[np.ix_(rows, columns)]))

    def test_holes_are_filled(self):
        ring = np.ones((1, 6, 6), bool)
        ring[0, [0, -1]] = ring[0, :, [0, -1]] = ring[0, 2:4, 2:4] = False
        (found,) = refined_masks(ring, np.zeros((12, 12, 3), np.uint8), NO_KERNELS)
        np.testing.assert_array_equal(np.argwhere(found)[[0, -1]], [[2, 2], [9, 9]])
        assert found.sum() == 64

    @pytest.mark.parametrize(("hole", "kept"), [(7, True), (8, False)])
    def test_what_changes_too_much_is_dropped(self, hole, kept):
        ring = np.zeros((1, 12, 12), bool)
        ring[0, 1:11, 1:11] = True
        ring[0, 2 : 2 + hole, 2 : 2 + hole] = False  # filling makes the IoU 51 %, or 36 %
        (found,) = refined_masks(ring, np.zeros((12, 12, 3), np.uint8), NO_KERNELS)
        assert found.sum() == (100 if kept else 0)

    def test_a_mask_that_the_image_does_not_bear_out_is_dropped(self):
        image, square = self.grey_square()
        speck = np.zeros((2, 24, 24), bool)
        speck[0, 2, 2] = True
        speck[1] = square[::2, ::2]
        found = refined_masks(speck, image)
        assert not found[0].any()
        np.testing.assert_array_equal(found[1], square)

    def test_the_crf_is_given_what_maskcut_gives_it(self):
        image = np.random.default_rng(1).integers(0, 255, (30, 30, 3), dtype=np.uint8)
        mask = np.random.default_rng(2).random((30, 30)) < 0.62
        mild = CrfSettings(3, 2.0, 0.8, 5.0, 60.0, 0.8)
        after = refine(image, special.log_softmax(np.stack([1.0 - mask, 1.0 * mask]), axis=0), mild)
        (found,) = refined_masks(mask[None], image, mild)
        assert 0 < (found != mask).sum() < 450
        np.testing.assert_array_equal(found, ndimage.binary_fill_holes(after[1] > after[0]))

    def test_is_maskcuts_crf_and_each_mask_is_alone(self):
        image = np.random.default_rng(0).integers(0, 255, (30, 30, 3), dtype=np.uint8)
        masks = np.zeros((2, 10, 10), bool)
        masks[0, 2:6, 2:7], masks[1, 4:9, 3:9] = True, True
        both = refined_masks(masks, image)
        np.testing.assert_array_equal(both, refined_masks(masks, image, MASKCUT))
        np.testing.assert_array_equal(both[1:], refined_masks(masks[1:], image))
        assert refined_masks(masks[:0], image).shape == (0, 30, 30)


def test_baselines_never_import_torch():
    for file in Path(whatwhere.baselines.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            assert "torch" not in [a.name for a in getattr(node, "names", ())] + [getattr(node, "module", "")]
