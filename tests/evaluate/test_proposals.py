"""Proposals: components and their tree against brute force, planted discs, what is dropped, and how ties fall."""

import numpy as np
import pytest
from scipy import ndimage

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate import proposals
from whatwhere.evaluate.proposals import components, from_masks, merge_tree, propose, tree_masks
from whatwhere.evaluate.silhouette import mask_scores

GRID = (16, 16)


def disc(row, column, radius, grid=GRID):
    rows, columns = np.indices(grid)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def planted(*masks, noise=0.1, channels=6, seed=0):
    """Background and masks, each along a direction of its own, and the label of each token."""
    labels = np.zeros(masks[0].shape, int)
    for number, mask in enumerate(masks, 1):
        labels[mask] = number
    spread = noise * np.random.default_rng(seed).standard_normal((labels.size, channels))
    return np.eye(channels)[labels.ravel()] + spread, labels


def speckled(grid, regions=5, seed=0):
    return np.random.default_rng(seed).integers(0, regions, grid)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def token_tree(features, labels):
    """All nodes of a partition's tree as masks of tokens, and its merges."""
    parts = components(labels)
    merges = merge_tree(features, parts)
    return tree_masks(parts, merges)[:, parts.ravel()], merges


def spread_within(features, masks):
    """Squared distances of tokens from the mean of their mask, over disjoint masks."""
    return sum(((features[m] - features[m].mean(0)) ** 2).sum() for m in masks)


LEFT, RIGHT = disc(5, 4, 2.5), disc(9, 11, 3)


class TestComponents:
    def test_every_region_falls_into_its_parts_the_first_too(self):
        labels = speckled(GRID)
        parts = components(labels)
        assert set(parts.ravel()) == set(range(parts.max() + 1))
        expected = {
            mask.tobytes()
            for region in range(5)
            for part, count in [ndimage.label(labels == region)]
            for mask in part == np.arange(1, count + 1)[:, None, None]
        }
        assert {(parts == number).tobytes() for number in range(parts.max() + 1)} == expected

    def test_region_numbers_do_not_matter(self):
        labels = speckled(GRID)
        for renamed in (labels - 3, labels + 7, 4 - labels):
            np.testing.assert_array_equal(components(renamed), components(labels))

    def test_corners_do_not_connect(self):
        np.testing.assert_array_equal(components(np.array([[0, 1], [1, 0]])), [[0, 1], [2, 3]])


class TestTree:
    @pytest.mark.parametrize("labels", [speckled((9, 11)), speckled((9, 11), 2), planted(LEFT, RIGHT)[1]])
    def test_a_merge_is_the_union_of_its_children_and_the_root_is_the_image(self, labels):
        features = np.random.default_rng(1).standard_normal((labels.size, 4))
        nodes, merges = token_tree(features, labels)
        leaves = len(nodes) - len(merges)
        assert len(merges) == leaves - 1
        for node, (left, right) in enumerate(merges, leaves):
            assert max(left, right) < node
            assert not (nodes[left] & nodes[right]).any()
            np.testing.assert_array_equal(nodes[node], nodes[left] | nodes[right])
        assert nodes[-1].all()
        np.testing.assert_array_equal(np.sort(merges.ravel()), np.arange(len(nodes) - 1))

    def test_every_node_is_connected(self):
        labels = speckled((9, 11))
        nodes, _ = token_tree(np.random.default_rng(1).standard_normal((labels.size, 4)), labels)
        assert all(ndimage.label(node)[1] == 1 for node in nodes.reshape(-1, *labels.shape))

    def test_each_merge_is_the_one_that_adds_least_spread(self):
        labels = speckled((6, 7), 3)
        features = np.random.default_rng(2).standard_normal((labels.size, 3))
        nodes, merges = token_tree(features, labels)
        active = list(range(len(nodes) - len(merges)))
        for node, chosen in enumerate(merges, len(active)):
            before = spread_within(features, nodes[active])
            best = {}
            for one in active:
                around = ndimage.binary_dilation(nodes[one].reshape(labels.shape)).ravel()
                for other in (o for o in active if o > one and (nodes[o] & around).any()):
                    rest = [nodes[a] for a in active if a not in (one, other)]
                    best[one, other] = spread_within(features, [*rest, nodes[one] | nodes[other]]) - before
            assert min(best, key=best.get) == tuple(chosen)
            active = [a for a in active if a not in chosen] + [node]

    def test_from_single_tokens_it_is_the_librarys(self):
        from sklearn.cluster import ward_tree
        from sklearn.feature_extraction.image import grid_to_graph

        features = np.random.default_rng(3).standard_normal((80, 4))
        theirs = ward_tree(features, connectivity=grid_to_graph(8, 10))[0]
        np.testing.assert_array_equal(merge_tree(features, np.arange(80).reshape(8, 10)), np.sort(theirs, 1))

    def test_one_region_has_no_merge(self):
        nodes, merges = token_tree(np.zeros((12, 2)), np.zeros((3, 4), int))
        assert merges.shape == (0, 2)
        assert nodes.tolist() == [[True] * 12]


class TestPropose:
    def test_two_discs_are_found_and_ranked_first(self):
        features, labels = planted(LEFT, RIGHT)
        noise = np.stack([labels.ravel(), *(speckled(labels.size, k, seed=k) for k in (2, 3, 4))])
        found = propose(features, noise, GRID, borders=2)
        assert {m.tobytes() for m in found.masks[:2]} == {LEFT.tobytes(), RIGHT.tobytes()}
        assert found.scores[1] > found.scores[2:].max(initial=0.2)
        everything = propose(features, noise, GRID)  # the background is one among them
        assert {m.tobytes() for m in everything.masks[:3]} > {LEFT.tobytes(), RIGHT.tobytes()}
        assert (np.diff(found.scores) <= 0).all()
        np.testing.assert_allclose(found.scores, mask_scores(features, found.masks), atol=1e-12)

    def test_an_object_is_merged_from_its_halves(self):
        features, labels = planted(LEFT, RIGHT)
        halves = np.where(labels == 2, 2 + (np.indices(GRID)[1] > 11), labels)
        found = propose(features, halves.reshape(1, -1), GRID, borders=2)
        assert any(np.array_equal(mask, RIGHT) for mask in found.masks[:2])

    def test_two_objects_of_one_region_are_two_masks(self):
        features, labels = planted(LEFT | RIGHT)
        found = propose(features, labels.reshape(1, -1), GRID, threshold=-1.0)
        assert {m.tobytes() for m in found.masks} >= {LEFT.tobytes(), RIGHT.tobytes()}

    def test_region_numbers_and_repeated_partitions_do_not_matter(self):
        features, labels = planted(LEFT, RIGHT, noise=0.4)
        once = propose(features, labels.reshape(1, -1), GRID)
        again = propose(features, np.stack([2 - labels.ravel()] * 3), GRID)
        np.testing.assert_array_equal(once.masks, again.masks)
        np.testing.assert_allclose(once.scores, again.scores)

    @pytest.mark.parametrize("seed", range(3))
    def test_all_that_is_kept_keeps_the_rules(self, seed):
        features = np.random.default_rng(seed).standard_normal((256, 3))
        partitions = np.stack([ndimage.median_filter(speckled(GRID, k, seed), 3).ravel() for k in (2, 3, 5)])
        found = propose(features, partitions, GRID, threshold=-0.2, overlap=0.5, least_share=0.05, most_share=0.6)
        assert len(found.masks) > 3
        assert found.scores.min() > -0.2
        shares = found.masks.mean((1, 2))
        assert (shares >= 0.05).all()
        assert (shares <= 0.6).all()
        assert all(iou(a, b) <= 0.5 for n, a in enumerate(found.masks) for b in found.masks[:n])
        fewer = propose(
            features, partitions, GRID, threshold=-0.2, overlap=0.5, least_share=0.05, most_share=0.6, most=3
        )
        np.testing.assert_array_equal(fewer.masks, found.masks[:3])

    def test_a_mask_found_twice_is_one_even_where_nothing_is_suppressed(self):
        features, labels = planted(LEFT, RIGHT)
        found = propose(features, np.stack([labels.ravel()] * 2), GRID, threshold=-1.0, overlap=1.0)
        assert len({mask.tobytes() for mask in found.masks}) == len(found.masks)

    def test_suppression_drops_only_what_overlaps_a_better_mask(self):
        features, labels = planted(LEFT, RIGHT, noise=0.5)
        partitions = np.stack([labels.ravel(), ndimage.median_filter(speckled(GRID), 3).ravel()])
        everything = propose(features, partitions, GRID, threshold=-1.0, overlap=1.0, most=1000)
        found = propose(features, partitions, GRID, threshold=-1.0, most=1000)
        kept = []
        for mask in everything.masks:
            if all(iou(mask, other) <= 0.7 for other in kept):
                kept.append(mask)
        assert len(kept) < len(everything.masks)
        np.testing.assert_array_equal(found.masks, kept)

    def test_a_score_at_the_threshold_is_dropped(self):
        features, labels = planted(LEFT, RIGHT)
        all_of_them = propose(features, labels.reshape(1, -1), GRID)
        fewer = propose(features, labels.reshape(1, -1), GRID, threshold=float(all_of_them.scores[1]))
        np.testing.assert_array_equal(fewer.masks, all_of_them.masks[:1])

    def test_distances_are_computed_once_an_image(self, monkeypatch):
        calls = []
        monkeypatch.setattr(proposals, "mask_scores", lambda f, m: calls.append(len(m)) or np.linspace(0.1, 1, len(m)))
        found = propose(*_features_and(planted(LEFT, RIGHT)[1], repeats=4), GRID)
        assert len(calls) == 1
        assert found.scores[0] == 1

    def test_equal_scores_larger_first_then_as_found(self, monkeypatch):
        rounding = 1e-12 * np.random.default_rng(0).standard_normal(10)
        monkeypatch.setattr(proposals, "mask_scores", lambda f, m: 0.5 + rounding[: len(m)])
        bands = np.repeat([0, 0, 0, 1, 1, 1, 2, 2], 8)  # rows of a grid of 8×8: two of 24 tokens, one of 16
        found = propose(np.repeat(np.eye(3), [24, 24, 16], 0), bands[None], (8, 8), overlap=0.2)
        sizes = found.masks.sum((1, 2)).tolist()
        assert sizes == sorted(sizes, reverse=True)
        alone = propose(np.repeat(np.eye(3), [24, 24, 16], 0), bands[None], (8, 8), most_share=0.4)
        assert [int(np.flatnonzero(m.any(1))[0]) for m in alone.masks] == [0, 3, 6]

    def test_one_region_or_features_without_a_difference_propose_nothing(self):
        found = propose(np.ones((256, 3)), np.zeros((2, 256), int), GRID)
        assert found.masks.shape == (0, *GRID)
        assert found.scores.shape == (0,)
        _, labels = planted(LEFT, RIGHT)
        assert not len(propose(np.ones((256, 3)), labels.reshape(1, -1), GRID).masks)

    def test_no_partition_proposes_nothing(self):
        assert not len(propose(np.ones((256, 3)), np.zeros((0, 256), int), GRID).scores)

    def test_speckles_do_not_multiply_the_candidates(self):
        grid, least = (24, 24), 0.02
        features = np.random.default_rng(0).standard_normal((576, 4))
        labels = np.where(disc(12, 12, 8, grid), speckled(grid, 6), 7)
        nodes, _ = token_tree(features, labels)
        masks = proposals._candidates(features, labels, least * 576, 0.9 * 576)
        assert len(nodes) > 2 / least
        assert 0 < len(masks) <= 3 / least
        assert masks.sum(1).min() >= least * 576

    def test_a_merge_stands_for_those_before_it_that_lacked_a_speck(self):
        grid, least = (24, 24), 0.02 * 576
        features = np.random.default_rng(1).standard_normal((576, 4))
        labels = np.where(disc(12, 12, 6, grid), speckled(grid, 6), 7 + (np.indices(grid)[1] > 11))
        nodes, merges = token_tree(features, labels)
        sibling = {int(a): int(b) for pair in merges for a, b in (pair, pair[::-1])}
        sizes, leaves = nodes.sum(1), len(nodes) - len(merges)
        wanted = [
            node
            for number, node in enumerate(nodes)
            if sizes[number] >= least and (number < leaves or number not in sibling or sizes[sibling[number]] >= least)
        ]
        found = proposals._candidates(features, labels, least, 576.0)
        np.testing.assert_array_equal(found, wanted)
        large = [number for number in range(leaves) if sizes[number] >= least]
        assert any(sizes[sibling[number]] < least for number in large)
        assert len(wanted) < (sizes >= least).sum()

    def test_without_specks_every_merge_is_a_candidate(self):
        labels = np.kron(np.arange(16).reshape(4, 4), np.ones((4, 4), int))
        features = np.random.default_rng(0).standard_normal((256, 4))
        nodes, _ = token_tree(features, labels)
        np.testing.assert_array_equal(proposals._candidates(features, labels, 2.56, 256.0), nodes)

    @pytest.mark.parametrize(
        ("change", "line"),
        [
            ({"grid": (16, 15)}, "features: expected 240 tokens for a grid of 16×15, got 256"),
            ({"partitions": np.zeros((2, 255), int)}, "partitions: expected 256 tokens .* got 255"),
            ({"features": np.full((256, 2), np.nan)}, "features: expected finite numbers, got 512 that are not"),
            ({"least_share": 0.0}, "least_share, most_share: expected shares"),
            ({"most_share": 1.1}, "least_share, most_share: expected shares"),
            ({"overlap": 1.5}, "overlap: expected an IoU from 0 to 1, got 1.5"),
            ({"borders": 0}, "borders: expected None or 1 to 4 borders, got 0"),
            ({"most": 0}, "most: expected at least 1 mask, got 0"),
        ],
    )
    def test_wrong_requests_are_one_line(self, change, line):
        request = {"features": np.ones((256, 2)), "partitions": np.zeros((1, 256), int), "grid": GRID} | change
        with pytest.raises(InputError, match=line) as caught:
            propose(**request)
        assert "\n" not in str(caught.value)


def _features_and(labels, repeats):
    return np.eye(3)[labels.ravel()], np.stack([labels.ravel()] * repeats)


class TestBorders:
    def touched(self, mask):
        return sum(bool(side.any()) for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))

    def proposed(self, *masks, borders):
        features, labels = planted(*masks, noise=0)
        return propose(features, labels.reshape(1, -1), GRID, borders=borders, threshold=-1.0, overlap=1.0).masks

    def test_masks_at_so_many_borders_go(self):
        corner = np.zeros(GRID, bool)
        corner[:5, :5] = True
        edge = np.zeros(GRID, bool)
        edge[11:, 8:12] = True
        everything = self.proposed(corner, edge, LEFT, borders=None)
        counts = [self.touched(mask) for mask in everything]
        assert {0, 1, 2, 4} <= set(counts)
        for borders in (1, 2, 3, 4):
            expected = [mask for mask, count in zip(everything, counts, strict=True) if count < borders]
            np.testing.assert_array_equal(self.proposed(corner, edge, LEFT, borders=borders), expected)

    def test_where_none_is_left_one_more_border_is_allowed(self):
        stripe = np.zeros(GRID, bool)
        stripe[:, 6:9] = True  # touches two borders, the parts beside it three
        left = self.proposed(stripe, borders=2)
        assert [self.touched(mask) for mask in left] == [2]
        corner = np.zeros(GRID, bool)
        corner[:8] = True  # two halves of the image, three borders each
        assert [self.touched(mask) for mask in self.proposed(corner, borders=2)] == [3, 3]

    def test_where_all_touch_three_or_more_all_stay(self):
        top = np.zeros(GRID, bool)
        top[:8] = True
        partitions = np.stack([top, ~disc(0, 0, 3)]).reshape(2, -1).astype(int)
        features = planted(top, noise=0)[0]
        found = propose(features, partitions, GRID, borders=2, threshold=-1.0, least_share=0.1, most_share=0.99)
        assert sorted(self.touched(mask) for mask in found.masks) == [3, 3, 4]


class TestFromMasks:
    def test_order_is_kept_and_empty_ones_are_dropped(self):
        masks = np.stack([RIGHT, np.zeros(GRID, bool), LEFT, LEFT]).reshape(4, -1)
        found = from_masks(masks, GRID)
        np.testing.assert_array_equal(found.masks, [RIGHT, LEFT, LEFT])
        np.testing.assert_array_equal(found.scores, [1.0, 1.0, 1.0])

    def test_none_at_all(self):
        assert from_masks(np.zeros((2, 256), bool), GRID).masks.shape == (0, *GRID)

    def test_another_grid_is_one_line(self):
        with pytest.raises(InputError, match="masks: expected 240 tokens for 16×15, got 256"):
            from_masks(np.zeros((1, 256), bool), (16, 15))
