"""Matching of clusters to classes over a data set, and silhouettes, against answers worked out by hand."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate.counted import counted_table
from whatwhere.evaluate.matching import (
    COUNTS,
    UNMATCHED,
    accuracy,
    bootstrap_interval,
    class_iou,
    counted,
    greedy,
    hungarian,
    matching_counts,
    mean_iou,
    stacked_counts,
)
from whatwhere.evaluate.silhouette import mask_scores


def random_counts(clusters=5, classes=5, seed=0):
    return np.random.default_rng(seed).integers(0, 100, (clusters, classes))


class TestCounts:
    def test_by_hand(self):
        regions, labels = np.array([[0, 0, 1], [1, 2, 2]]), np.array([[1, 1, 0], [-1, 0, 1]], np.int16)
        found = matching_counts(regions, labels, clusters=3, classes=2)
        np.testing.assert_array_equal(found, [[0, 2], [1, 0], [1, 1]])

    def test_images_add_up(self):
        rng = np.random.default_rng(0)
        regions, labels = rng.integers(0, 4, (3, 8, 8)), rng.integers(-1, 5, (3, 8, 8))
        sizes = {"clusters": 4, "classes": 5}
        total = sum(matching_counts(r, t, **sizes) for r, t in zip(regions, labels, strict=True))
        np.testing.assert_array_equal(total, matching_counts(regions, labels, **sizes))
        assert total.sum() == (labels >= 0).sum()

    def test_regions_of_ignored_pixels_may_be_anything(self):
        regions, labels = np.array([7, 0]), np.array([-1, 0])
        np.testing.assert_array_equal(matching_counts(regions, labels, clusters=1, classes=1), [[1]])

    @pytest.mark.parametrize(
        ("regions", "labels", "line"),
        [
            ([0, 4], [0, 0], "regions: expected 0 to 2, got 0 to 4"),
            ([-1, 1], [0, 0], "regions: expected 0 to 2, got -1 to 1"),
            ([0, 1], [0, 255], "labels: expected 0 to 1, got 0 to 255"),
        ],
    )
    def test_numbers_out_of_range_are_one_line(self, regions, labels, line):
        with pytest.raises(InputError, match=line):
            matching_counts(np.array(regions), np.array(labels), clusters=3, classes=2)


class TestMatching:
    def test_hungarian_shares_the_most_pixels(self):
        for seed in range(5):
            counts = random_counts(seed=seed)
            best = max(sum(counts[range(5), list(order)]) for order in permutations(range(5)))
            assert counts[range(5), hungarian(counts)].sum() == best

    def test_hungarian_and_greedy_differ_by_hand(self):
        counts = np.array([[10, 0], [9, 1]])
        np.testing.assert_array_equal(hungarian(counts), [0, 1])
        np.testing.assert_array_equal(greedy(counts), [0, 0])
        assert accuracy(counts, hungarian(counts)) == 11 / 20
        assert accuracy(counts, greedy(counts)) == 19 / 20
        np.testing.assert_allclose(class_iou(counts, hungarian(counts)), [10 / 19, 1 / 10])
        np.testing.assert_allclose(class_iou(counts, greedy(counts)), [19 / 20, 0])
        assert mean_iou(counts, greedy(counts)) == pytest.approx(19 / 40)

    @pytest.mark.parametrize("match", [hungarian, greedy])
    def test_renumbered_labels_are_perfect(self, match):
        rng = np.random.default_rng(0)
        labels, numbers = rng.integers(0, 6, (10, 10)), rng.permutation(6)
        counts = matching_counts(numbers[labels], labels, clusters=6, classes=6)
        assert mean_iou(counts, match(counts)) == accuracy(counts, match(counts)) == 1

    @pytest.mark.parametrize("match", [hungarian, greedy])
    def test_numbering_of_clusters_does_not_matter(self, match):
        counts, order = random_counts(), np.random.default_rng(1).permutation(5)
        assert mean_iou(counts, match(counts)) == pytest.approx(mean_iou(counts[order], match(counts[order])))

    def test_clusters_left_over_are_no_class(self):
        counts = np.array([[5, 0], [0, 4], [3, 0], [0, 0]])
        np.testing.assert_array_equal(hungarian(counts), [0, 1, UNMATCHED, UNMATCHED])
        np.testing.assert_array_equal(greedy(counts), [0, 1, 0, UNMATCHED])
        np.testing.assert_allclose(class_iou(counts, hungarian(counts)), [5 / 8, 1])
        assert accuracy(counts, hungarian(counts)) == 9 / 12

    def test_more_classes_than_clusters(self):
        counts = np.array([[5, 1, 0], [0, 4, 0]])
        np.testing.assert_array_equal(hungarian(counts), [0, 1])
        # the third class is in neither: it does not count
        assert mean_iou(counts, hungarian(counts)) == pytest.approx((5 / 6 + 4 / 5) / 2)
        counts[1, 2] = 1
        assert mean_iou(counts, hungarian(counts)) == pytest.approx((5 / 6 + 4 / 6 + 0) / 3)

    def test_the_mean_may_leave_the_first_classes_out(self):
        """Out of the mean, not out of the unions: their pixels count against the others."""
        counts, same = np.array([[6, 0, 1], [2, 4, 0], [0, 0, 3]]), np.arange(3)
        assert mean_iou(counts, same) == mean_iou(counts, same, first=0) == pytest.approx((6 / 9 + 4 / 6 + 3 / 4) / 3)
        assert mean_iou(counts, same, first=1) == pytest.approx((4 / 6 + 3 / 4) / 2)
        assert mean_iou(counts, same, first=2) == class_iou(counts, same)[2] == 3 / 4
        background = np.diag([9, 0, 0])  # no other class is true or given
        assert mean_iou(background, same) == 1
        assert np.isnan(mean_iou(background, same, first=1))

    @pytest.mark.parametrize("match", [hungarian, greedy])
    def test_nothing_scored_is_nan(self, match):
        counts = np.zeros((3, 2), int)
        assert np.isnan(mean_iou(counts, match(counts)))
        assert np.isnan(accuracy(counts, match(counts)))


def images_counted(images, clusters=4, seed=0):
    """Counts of images whose clusters are their classes, some better than others."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 30, (images, clusters, clusters)) * rng.integers(0, 3, (images, 1, 1))
    return 50 * np.eye(clusters, dtype=int) + noise


def interval(counts, match=hungarian, resamples=300, seed=0, **which):
    rng = np.random.default_rng(seed)
    return bootstrap_interval(counts, match(counts.sum(0)), resamples=resamples, rng=rng, **which)


def matched_anew(counts, match=hungarian, resamples=300, seed=0):
    """What an interval must not be: of resamples each matched by itself."""
    draws = np.random.default_rng(seed).integers(0, len(counts), (resamples, len(counts)))
    sums = [counts[draw].sum(0) for draw in draws]
    return np.percentile([mean_iou(one, match(one)) for one in sums], [2.5, 97.5])


class TestInterval:
    @pytest.mark.parametrize("match", [hungarian, greedy])
    def test_one_image_has_no_spread(self, match):
        counts = images_counted(1)
        assert interval(counts, match) == (mean_iou(counts[0], match(counts[0])),) * 2

    def test_equal_images_have_no_spread(self):
        counts = np.repeat(images_counted(1), 9, axis=0)
        np.testing.assert_allclose(interval(counts), mean_iou(counts[0], hungarian(counts[0])), rtol=1e-12)

    @pytest.mark.parametrize("match", [hungarian, greedy])
    def test_contains_the_value_and_shrinks(self, match):
        widths = []
        for images in (10, 160):
            counts = images_counted(images)
            low, high = interval(counts, match)
            assert low < mean_iou(counts.sum(0), match(counts.sum(0))) < high
            widths.append(high - low)
        assert widths[1] < widths[0] / 2

    def test_is_that_of_images_drawn_with_replacement(self):
        counts, rng = images_counted(12), np.random.default_rng(7)
        draws = [counts[rng.integers(0, 12, 12)].sum(0) for _ in range(1500)]
        given = hungarian(counts.sum(0))
        expected = np.percentile([mean_iou(one, given) for one in draws], [2.5, 97.5])
        np.testing.assert_allclose(interval(counts, resamples=1500), expected, atol=0.01)

    def test_large_counts_are_added_exactly(self):
        counts = images_counted(12)
        assert interval(counts * (10**12 + 1)) == interval(counts)

    def test_the_matching_of_the_whole_set_stays(self):
        """Two images with opposite clusters: each alone would be perfect, together they know nothing."""
        counts = np.array([[[5, 0], [0, 5]], [[0, 5], [5, 0]]])
        assert interval(counts) == (0, 1)
        assert matched_anew(counts)[0] == pytest.approx(1 / 3)

    def test_contains_the_value_where_matching_anew_would_not(self):
        """Clusters that know nothing: of every resample there is a matching that suits it better than the set's."""
        rng = np.random.default_rng(0)
        counts = rng.poisson(rng.gamma(1, 20, (100, 27, 27)))
        value = mean_iou(counts.sum(0), hungarian(counts.sum(0)))
        low, high = interval(counts)
        assert low < value < high
        assert value < matched_anew(counts)[0]

    def test_a_class_counts_where_it_has_a_true_or_a_given_pixel(self):
        """By hand: of the second image alone, the first class is in neither."""
        counts = np.array([[[4, 0], [0, 0]], [[0, 0], [0, 6]]])
        assert interval(counts) == (1, 1)
        counts[1, 1, 0] = 6  # now it has true pixels, and no others
        given = np.array([0, 1])
        drawn = {mean_iou(one, given) for one in (2 * counts[0], counts.sum(0), 2 * counts[1])}
        rng = np.random.default_rng(0)
        assert bootstrap_interval(counts, given, resamples=300, rng=rng) == (min(drawn), max(drawn))

    @pytest.mark.parametrize("match", [hungarian, greedy])
    def test_clusters_left_over_give_no_pixel(self, match):
        counts = np.random.default_rng(0).integers(0, 9, (1, 5, 3))
        counts[:, 4] = 0
        assert interval(counts, match) == (mean_iou(counts[0], match(counts[0])),) * 2

    def test_may_be_of_the_later_classes(self):
        counts = images_counted(12)
        given, whole = hungarian(counts.sum(0)), interval(counts)
        rng = np.random.default_rng(7)
        draws = [counts[rng.integers(0, 12, 12)].sum(0) for _ in range(1500)]
        expected = np.percentile([mean_iou(one, given, first=2) for one in draws], [2.5, 97.5])
        assert interval(counts, first=0) == whole
        found = interval(counts, resamples=1500, first=2)
        np.testing.assert_allclose(found, expected, atol=0.01)
        assert found[0] < mean_iou(counts.sum(0), given, first=2) < found[1]

    def test_resamples_without_a_class_are_left_out(self):
        """By hand: the first image has nothing but the first class."""
        counts, same = np.array([np.diag([5, 0]), [[0, 1], [0, 3]]]), np.arange(2)
        ends = bootstrap_interval(counts, same, resamples=50, rng=np.random.default_rng(0), first=1)
        assert ends == (3 / 4, 3 / 4)

    @pytest.mark.filterwarnings("error")
    def test_of_nothing_is_nan_and_silent(self):
        ends = bootstrap_interval(
            np.array([np.diag([5, 0, 0])] * 3), np.arange(3), resamples=20, rng=np.random.default_rng(0), first=1
        )
        assert np.isnan(ends).all()

    def test_follows_its_generator(self):
        counts = images_counted(8)
        assert interval(counts) == interval(counts)
        assert interval(counts) != interval(counts, seed=1)

    def test_images_weigh_as_their_pixels(self):
        """Counts are added before they are divided: an image of many pixels decides."""
        large, small = 1000 * np.array([[1, 0], [0, 1]]), np.array([[0, 1], [1, 0]])
        low, high = interval(np.stack([large, *[small] * 3]))
        assert low == 0  # of the small ones only
        assert 0.99 < high < 1


class TestFiles:
    def test_rows_and_counts_are_each_others_inverse(self):
        counts = random_counts(), np.triu(random_counts(seed=1), 2)  # the last clusters and first labels have none
        pieces = [counted(one, name, "what") for one, name in zip(counts[::-1], "ba", strict=True)]
        table = counted_table(pieces, COUNTS)
        assert list(table.columns) == COUNTS
        assert (table.pixels > 0).all()
        np.testing.assert_array_equal(stacked_counts(table), counts)


def three_groups(seed=0, channels=5):
    """Features around three centres, and their labels."""
    labels = np.repeat([0, 1, 2], [12, 20, 31])
    spread = np.random.default_rng(seed).standard_normal((63, channels))
    return 2 * np.eye(channels)[labels] + spread, labels


def balanced_by_definition(features, mask):
    """One token after the other: those of the mask, then as many of the outside tokens closest to any of them."""
    distances = np.linalg.norm(features[:, None] - features, axis=-1)
    inside, outside = np.flatnonzero(mask), np.flatnonzero(~mask)
    sample = outside[np.argsort([distances[t, inside].min() for t in outside])[: len(inside)]]
    rest = np.setdiff1d(np.arange(len(features)), sample)
    scores = []
    for own, other, tokens in ((inside, sample, inside), (outside, rest, sample)):
        for t in tokens:
            a, b = distances[t, own[own != t]].mean(), distances[t, other].mean()
            scores.append((b - a) / max(a, b))
    return np.mean(scores)


class TestMaskScores:
    def test_each_is_the_definition(self):
        features, labels = three_groups()
        far = features + 100 * (np.arange(63) % 7 == 0)[:, None]  # background that no sample takes counts too
        masks = np.stack([labels == 0, labels == 1, labels == 2, labels > 0]).reshape(4, 7, 9)
        for of in (features, far):
            expected = [balanced_by_definition(of, mask.ravel()) for mask in masks]
            np.testing.assert_allclose(mask_scores(of, masks), expected, atol=1e-12)

    def test_of_half_the_tokens_or_more_is_scikit_learns(self):
        features, labels = three_groups()
        masks = np.stack([np.arange(63) < 32, labels > 0, np.arange(63) > 0]).reshape(3, 7, 9)
        expected = [silhouette_score(features, mask.ravel()) for mask in masks]
        np.testing.assert_allclose(mask_scores(features, masks), expected, atol=1e-12)

    def test_equal_tokens_are_zero(self):
        masks = np.arange(9).reshape(1, 3, 3) < np.array([1, 3, 8]).reshape(3, 1, 1)
        np.testing.assert_array_equal(mask_scores(np.ones((9, 2)), masks), 0)

    def test_a_mask_does_not_depend_on_the_others(self):
        features, labels = three_groups()
        masks = np.stack([labels == 0, labels == 1]).reshape(2, 7, 9)
        np.testing.assert_allclose(mask_scores(features, masks[1:]), mask_scores(features, masks)[1:], atol=1e-12)

    def test_good_masks_score_above_random_ones(self):
        features, labels = three_groups()
        good = (labels == 1).reshape(1, 7, 9)
        random = np.random.default_rng(0).permutation(good.ravel()).reshape(1, 7, 9)
        assert mask_scores(features, good) > 0.15 > mask_scores(features, random)

    def test_nothing_inside_or_outside_is_nan(self):
        features, labels = three_groups()
        masks = np.stack([np.zeros(63, bool), np.ones(63, bool), labels == 0]).reshape(3, 7, 9)
        np.testing.assert_array_equal(np.isnan(mask_scores(features, masks)), [True, True, False])

    def test_a_wrong_grid_is_one_line(self):
        with pytest.raises(InputError, match="masks: expected 63 tokens as in the features, got a grid of 8×8"):
            mask_scores(three_groups()[0], np.zeros((2, 8, 8), bool))
