"""The graph that baselines cut: planted similarities give known weights, whatever their scale."""

import numpy as np
import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.baselines.graph import EPSILON, share_joined, weights
from whatwhere.baselines.maskcut import maskcut, objects_of
from whatwhere.baselines.ncut import cosine_affinity, cosines
from whatwhere.baselines.tokencut import cuts_of, tokencut


def two_parts(narrow=1.0, seed=0):
    """Rows of an object (rows 2 and 3 of a 6 × 6 grid) and of its surroundings; `narrow` adds what all have alike."""
    rng = np.random.default_rng(seed)
    inside = np.zeros((6, 6), bool)
    inside[2:4, 1:5] = True
    rows = np.where(inside.ravel()[:, None], [1.0, 0, 0], [0, 1.0, 0]) + 0.05 * rng.standard_normal((36, 3))
    return np.concatenate([rows, np.full((36, 1), narrow)], axis=1), inside


def test_a_threshold_is_that_of_the_cosines():
    rows = np.random.default_rng(0).standard_normal((20, 4))
    np.testing.assert_array_equal(weights(cosines(rows), threshold=0.2), cosine_affinity(rows, threshold=0.2))


def test_a_quantile_joins_so_many_pairs_whatever_the_scale():
    similarity = cosines(np.random.default_rng(0).standard_normal((40, 6)))
    for scale, shift in ((1.0, 0.0), (0.1, 0.88)):
        assert share_joined(weights(scale * similarity + shift, quantile=0.8)) == pytest.approx(0.2, abs=0.01)
    assert share_joined(weights(0.1 * similarity + 0.88, threshold=0.2)) == 1  # what breaks a published threshold
    assert share_joined(weights(0.1 * similarity, threshold=0.2)) == 0


def test_soft_weights_run_from_the_lowest_to_the_highest():
    found = weights(np.array([[1.0, 0.8], [0.8, 1.0]]), power=2.0)
    np.testing.assert_allclose(found, [[1, EPSILON], [EPSILON, 1]])
    found = weights(np.array([[1.0, 0.9, 0.8]] * 3), power=2.0)
    np.testing.assert_allclose(found[0], [1, 0.25, EPSILON])
    assert (weights(np.full((3, 3), 0.5), power=4.0) == 1).all()


def test_two_ways_at_once_are_one_line():
    with pytest.raises(InputError, match=r"one of threshold, quantile and power, got threshold 0\.2, quantile 0\.5"):
        weights(np.eye(3), threshold=0.2, quantile=0.5)


@pytest.mark.parametrize("how", [{"quantile": 0.5}, {"power": 4.0}])
def test_an_object_is_found_where_the_published_threshold_joins_everything(how):
    rows, inside = two_parts(narrow=3.0)  # all cosines are above 0.85
    assert cosines(rows).min() > 0.2
    graph = weights(cosines(rows), **how)
    assert not (tokencut(rows, (6, 6), threshold=0.2).mask == inside).all()
    found = cuts_of(graph, (6, 6), 1)[0].mask
    assert (found == inside).all() or (found == ~inside).all()
    np.testing.assert_array_equal(objects_of(graph, (6, 6), 1).masks[0], inside)


def test_maskcut_of_its_own_graph_is_maskcut():
    rows, _ = two_parts(narrow=0.3)
    own = objects_of(cosine_affinity(rows, threshold=0.15), (6, 6), 3)
    np.testing.assert_array_equal(own.masks, maskcut(rows, (6, 6), threshold=0.15, masks=3).masks)
