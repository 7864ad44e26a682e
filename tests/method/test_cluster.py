"""K-means, the choice of K and the centres of a data set, on planted clusters."""

import warnings

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score, silhouette_score

from tests.planted import blocks, walks
from whatwhere.artifacts.errors import InputError
from whatwhere.method.choosing import diffusion_map, modularities
from whatwhere.method.cluster import Centres, cluster, fit_centres
from whatwhere.method.orthogonalise import orthogonalise
from whatwhere.method.rules import AUTO
from whatwhere.method.solve import solve


def planted(clusters, seed=0, each=20):
    rng = np.random.default_rng(seed)
    sizes = each + 3 * np.arange(clusters)
    truth = np.repeat(np.arange(clusters), sizes)
    centres = 8 * np.eye(clusters, 12)
    return centres[truth] + rng.standard_normal((len(truth), 12)), truth


@pytest.mark.parametrize("clusters", [2, 3, 5, 8, 10])
def test_auto_finds_the_planted_number(clusters):
    rows, truth = planted(clusters)
    regions = cluster(rows)
    assert regions.clusters == clusters
    assert adjusted_rand_score(truth, regions.labels) > 0.97


@pytest.mark.parametrize("clusters", [1, 2, 3, 5, 8])
def test_the_rule_for_photographs_finds_the_planted_blocks_of_a_graph(clusters):
    features, truth = blocks(grid=(24, 16), clusters=clusters)
    solution = solve(walks(features), vectors=10)
    given = {"values": solution.values.numpy(), "restarts": 2}
    regions = cluster(orthogonalise(solution.vectors), choose=AUTO, **given)
    assert regions.clusters == clusters
    assert set(regions.partitions) == set(range(1, 11))
    if clusters > 1:
        assert adjusted_rand_score(truth.numpy(), regions.labels) > 0.95
    else:
        assert not regions.labels.any()


@pytest.mark.parametrize("rule", ["modularity", "eigengap"])
def test_other_rules_find_the_blocks_of_a_clean_graph(rule):
    features, _ = blocks(grid=(12, 8), clusters=4, noise=0.05)
    solution = solve(walks(features), vectors=10)
    X, values = orthogonalise(solution.vectors), solution.values.numpy()
    assert cluster(X[:, :5], values=values[:5], choose=rule).clusters == 4
    with pytest.raises(InputError, match=f"choose: expected eigenvectors with eigenvalues for {rule}, got none"):
        cluster(X, choose=rule)


def test_a_silhouette_beside_chance_finds_the_planted_number():
    rows, _ = planted(4)
    assert cluster(rows, choose="shuffled").clusters == cluster(rows, choose="diffusion").clusters == 4
    X, values = np.random.default_rng(0).standard_normal((60, 3)), np.array([1.0, 0.5, -0.1])
    np.testing.assert_allclose(diffusion_map(7 * X, values, 3), X * [0, 0.125, 0] / np.linalg.norm(X, axis=0))


def test_modularity_is_newmans():
    """Of two cliques: λ and u are the graph's own, and the sum over edges is done by hand."""
    A = np.kron(np.eye(2), np.ones((5, 5))) / 5
    values, columns = np.linalg.eigh(A)
    labels = {1: np.zeros(10, int), 2: np.repeat([0, 1], 5), 3: np.arange(10) % 3}
    found = modularities(columns, values, labels)
    for k, own in labels.items():
        same = own[:, None] == own
        assert found[k] == pytest.approx(((A - 1 / 10) * same).sum() / 10)
    assert found[1] == pytest.approx(0)
    assert found[2] == pytest.approx(0.5)


def test_rows_without_a_difference_are_one_region_where_the_rule_may_say_so():
    assert cluster(np.ones((6, 3)), choose="diffusion").clusters == 1
    with pytest.raises(InputError, match="expected 1 to 1"):
        cluster(np.ones((6, 3)))


def test_silhouettes_are_scikit_learns():
    rows, _ = planted(4)
    regions = cluster(rows, clusters=3)
    assert regions.silhouettes[3] == pytest.approx(silhouette_score(rows, regions.labels), abs=1e-9)


def test_all_candidates_are_scored_and_the_best_kept():
    rows = np.random.default_rng(0).standard_normal((60, 4))
    regions = cluster(rows)
    assert set(regions.silhouettes) == set(range(2, 11))
    assert regions.silhouettes[regions.clusters] == max(regions.silhouettes.values())


def test_regions_are_numbered_by_size():
    rows, _ = planted(5)
    assert (np.diff(np.bincount(cluster(rows, clusters=5).labels)) <= 0).all()


def test_rotation_and_permutation_of_the_rows_do_not_matter():
    rows, _ = planted(4)
    rng = np.random.default_rng(1)
    rotated = rows @ np.linalg.qr(rng.standard_normal((12, 12)))[0]
    order = rng.permutation(len(rows))
    labels = cluster(rows).labels
    assert adjusted_rand_score(labels, cluster(rotated).labels) == 1
    assert adjusted_rand_score(labels[order], cluster(rows[order]).labels) == 1


def test_small_grids_try_only_what_fits():
    rows = np.random.default_rng(0).standard_normal((5, 3))
    assert set(cluster(rows).silhouettes) <= {2, 3, 4}
    with pytest.raises(InputError, match="expected 1 to 5"):
        cluster(rows, clusters=6)


def test_equal_rows_are_one_token():
    rows = np.repeat([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], 5, axis=0)
    assert set(cluster(rows).silhouettes) <= {2, 3}
    with pytest.raises(InputError, match="expected 1 to 3"):
        cluster(rows, clusters=4)
    with pytest.raises(InputError, match="expected 1 to 1"):
        cluster(np.ones((6, 2)))


def test_one_region_is_allowed():
    regions = cluster(np.random.default_rng(0).standard_normal((5, 3)), clusters=1)
    assert regions.clusters == 1
    assert not regions.labels.any()


def fitted(rows, clusters, restarts=3, seed=0):
    return fit_centres(rows.astype(np.float32), clusters=clusters, restarts=restarts, seed=seed)


def scattered(rows=200, channels=5, seed=0):
    """Rows without clusters: every boundary runs through a crowd."""
    return np.random.default_rng(seed).standard_normal((rows, channels)).astype(np.float32)


def brute_squares(rows, centres):
    return ((rows[:, None].astype(float) - centres.astype(float)) ** 2).sum(-1)


class TestCentres:
    @pytest.mark.parametrize("clusters", [2, 5, 9])
    def test_are_the_planted_ones_by_decreasing_size(self, clusters):
        rows, truth = planted(clusters, each=60)
        found = fitted(rows, clusters)
        # the planted sizes increase: the last cluster is the largest
        np.testing.assert_array_equal(found.assign(rows), clusters - 1 - truth)
        means = np.stack([rows[truth == k].mean(0) for k in reversed(range(clusters))])
        np.testing.assert_allclose(found.centres, means, atol=1e-4)
        own = brute_squares(rows, means)[np.arange(len(rows)), clusters - 1 - truth]
        assert found.spread == pytest.approx(own.mean() / 12, rel=1e-4)
        assert found.centres.dtype == np.float32

    def test_sizes_decrease_without_clusters_too(self):
        rows = scattered()
        assert (np.diff(np.bincount(fitted(rows, 7).assign(rows))) <= 0).all()

    def test_follow_the_seed(self):
        rows = scattered()
        one, same, other = (fitted(rows, 7, restarts=1, seed=seed) for seed in (3, 3, 4))
        np.testing.assert_array_equal(one.centres, same.centres)
        assert one.spread == same.spread
        assert not np.array_equal(one.centres, other.centres)

    def test_are_the_best_of_the_restarts(self):
        rows = scattered()
        once, often = ([fitted(rows, 7, restarts=n, seed=s).spread for s in range(4)] for n in (1, 8))
        assert (np.array(often) <= once).all()
        assert often != once

    @pytest.mark.parametrize("places", [(0, 1), (0, 299)])
    def test_too_few_rows_are_one_line(self, places):
        rows = np.zeros((300, 2), np.float32)
        rows[list(places)] = [[1, 2], [3, 4]]
        assert fitted(rows, 3, restarts=1).centres.shape == (3, 2)
        with pytest.raises(InputError, match=r"expected at least 4 different rows .* got 3; take more") as caught:
            fitted(rows, 4)
        assert "\n" not in str(caught.value)


class TestAssignment:
    def test_is_the_nearest_centre(self):
        rows, centres = scattered(), Centres(scattered(6, seed=1), 1.0)
        found = centres.assign(rows)
        np.testing.assert_array_equal(found, brute_squares(rows, centres.centres).argmin(1))
        assert found.dtype == np.int16

    def test_far_from_the_origin_too(self):
        """Distances of features with a large common part: the squares alone would drown them in rounding."""
        rows, centres = scattered() + 3000, Centres(scattered(6, seed=1) + 3000, 1.0)
        expected = brute_squares(rows, centres.centres)
        np.testing.assert_array_equal(centres.assign(rows), expected.argmin(1))
        expected = -expected / 2 - logsumexp(-expected / 2, axis=1, keepdims=True)
        np.testing.assert_allclose(centres.log_probabilities(rows), expected, rtol=1e-3, atol=1e-3)

    def test_of_two_as_near_is_the_lower(self):
        rows = np.array([[1.0, 0.0], [0.0, 5.0]], np.float32)
        for centres in ([[0, 0], [2, 0]], [[2, 0], [0, 0]]):
            assert Centres(np.array(centres, np.float32), 1.0).assign(rows)[0] == 0

    @pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
    def test_probabilities_are_a_mixtures_of_gaussians(self, spread):
        rows, centres = scattered(), scattered(6, seed=1)
        each = np.stack([multivariate_normal(c, spread * np.eye(5)).logpdf(rows) for c in centres.astype(float)], 1)
        found = Centres(centres, spread).log_probabilities(rows)
        np.testing.assert_allclose(found, each - logsumexp(each, axis=1, keepdims=True), rtol=1e-4, atol=1e-4)
        assert found.dtype == np.float32

    @pytest.mark.parametrize("spread", [0.0, 1e-12, 0.3, 20.0])
    def test_probabilities_sum_to_one_and_the_nearest_has_most(self, spread):
        """Without spread, as where features are few distinct rows, the nearest is certain."""
        rows, centres = scattered(), Centres(scattered(6, seed=1), spread)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = centres.log_probabilities(rows)
        np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)
        np.testing.assert_array_equal(found.argmax(1), centres.assign(rows))
        if spread < 1e-6:
            np.testing.assert_array_equal(found.max(1), 0)
