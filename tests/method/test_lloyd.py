"""K-means by blocks: scikit-learn's clusters, and the same to the byte however rows are divided."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from whatwhere.artifacts.errors import InputError
from whatwhere.method import lloyd
from whatwhere.method.lloyd import fit, summed


def crowd(rows=600, channels=5, seed=0):
    """Rows without clusters, entries of many sizes: every boundary runs through a crowd."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, channels)) * 10.0 ** rng.uniform(-4, 0, (rows, 1))).astype(np.float32)


def fitted(rows, ends, *, some=None, restarts=2, clusters=(4, 7), seeds=(0, 1)):
    """Centres of rows that are added up in blocks with these ends."""
    largest = float(np.abs(rows).max())

    def over(centres):
        return [summed(block, centres, largest=largest, of=len(rows)) for block in np.split(rows, ends)]

    return fit(rows if some is None else some, over, clusters=clusters, restarts=restarts, seeds=seeds)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 3000.0])
def test_finds_the_clusters_that_scikit_learn_finds(scale):
    rows = (scale * crowd()).astype(np.float32)
    for found, clusters, seed in zip(fitted(rows, [100]), (4, 7), (0, 1), strict=True):
        theirs = KMeans(clusters, n_init=2, random_state=seed).fit(rows.astype(np.float64))
        order = np.argsort(-np.bincount(theirs.labels_), kind="stable")
        np.testing.assert_allclose(found.centres, theirs.cluster_centers_[order], atol=1e-6 * scale)
        assert found.spread == pytest.approx(theirs.inertia_ / rows.size, rel=1e-6)
        np.testing.assert_array_equal(order[found.assign(rows)], theirs.labels_)


def test_blocks_change_nothing():
    rows = crowd()
    whole = fitted(rows, [])
    for ends in ([1], [300], range(7, 600, 7)):
        for one, same in zip(fitted(rows, ends), whole, strict=True):
            assert one.centres.tobytes() == same.centres.tobytes()
            assert one.spread == same.spread


def test_sums_of_floats_would_depend_on_blocks_but_these_do_not():
    rows, centres = crowd(4000), crowd(3, seed=1).astype(float)
    given = {"largest": float(np.abs(rows).max()), "of": len(rows)}
    (whole,) = summed(rows, [centres], **given)
    parts = [summed(part, [centres], **given)[0] for part in np.split(rows, range(13, 4000, 13))]
    total = parts[-1]
    for part in parts[-2::-1]:  # backwards
        total = total + part
    np.testing.assert_array_equal(total.sums, whole.sums)
    assert total.inertia == whole.inertia
    assert total.counts.sum() == len(rows)
    np.testing.assert_allclose(whole.sums.sum(0), rows.astype(float).sum(0), rtol=1e-6)


def test_some_rows_may_choose_where_to_begin():
    rows = np.concatenate([crowd(300, seed=n) * 0.01 + 5 * np.eye(5)[n] for n in range(4)]).astype(np.float32)
    (all_of_them,) = fitted(rows, [500], clusters=[4], seeds=[0])
    (few,) = fitted(rows, [500], some=rows[::40], clusters=[4], seeds=[0])
    np.testing.assert_allclose(np.sort(few.centres, 0), np.sort(all_of_them.centres, 0), atol=1e-6)


def test_a_cluster_without_rows_stays_where_it_is(monkeypatch):
    rows = np.array([[0.0], [1.0], [10.0]], np.float32)
    far = [np.array([[0.5], [10.0], [99.0]])]
    monkeypatch.setattr(lloyd, "_begun", lambda *_: far)
    (found,) = fitted(rows, [], clusters=[3], seeds=[0], restarts=1)
    np.testing.assert_array_equal(found.centres, [[0.5], [10.0], [99.0]])


def test_too_few_different_rows_are_one_line():
    with pytest.raises(InputError, match=r"expected at least 4 different rows .* got 3; take more"):
        fitted(np.repeat(crowd(3), 50, axis=0), [], clusters=[4], seeds=[0])
