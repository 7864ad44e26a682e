"""K-means and the choice of K, on planted clusters."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from whatwhere.cluster import cluster
from whatwhere.errors import InputError


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
