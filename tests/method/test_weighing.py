"""Weights of layers that their graphs choose, and columns as long as a walk leaves them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from tests.planted import blocks, features, subspace_distance, walks
from whatwhere.artifacts.errors import InputError
from whatwhere.method.choosing import diffusion_map
from whatwhere.method.cluster import cluster
from whatwhere.method.solve import solve
from whatwhere.method.walk import Walks

RULES = ("trace", "agreement")


def with_noise(layers=2, noisy=6):
    """Two layers that know the bands, and several that see noise only."""
    source, truth = blocks(layers=layers, noise=0.1)
    noise, _ = blocks(layers=noisy, strength=0.5, noise=3.0, seed=5)
    return Walks((*walks(source).layers, *walks(noise).layers)), truth


@pytest.mark.parametrize("rule", RULES)
class TestEachRule:
    """What both ways to weigh owe."""

    def test_shares_of_all_layers(self, rule):
        found = solve(walks(), vectors=4, weights=rule)
        assert found.weights.shape == (2,)
        assert found.weights.sum() == pytest.approx(1)
        assert (found.weights > 0).all()

    def test_layers_that_say_the_same_count_alike(self, rule):
        layer = walks().layers[0]
        twice = Walks((layer, replace(layer, name="again")))
        found, equal = solve(twice, vectors=4, weights=rule), solve(twice, vectors=4)
        np.testing.assert_allclose(found.weights, 0.5, atol=1e-6)
        assert subspace_distance(found.vectors, equal.vectors) < 1e-3
        torch.testing.assert_close(found.values, equal.values)

    def test_noise_counts_less(self, rule):
        graph, truth = with_noise()
        found = solve(graph, vectors=4, weights=rule)
        assert found.weights[:2].min() > found.weights[2:].max()
        assert adjusted_rand_score(truth, cluster(found.vectors, clusters=4).labels) == 1

    def test_the_order_of_layers_does_not_matter(self, rule):
        graph, _ = with_noise()
        found = solve(graph, vectors=4, weights=rule)
        turned = solve(Walks(graph.layers[::-1]), vectors=4, weights=rule)
        np.testing.assert_allclose(turned.weights[::-1], found.weights, atol=1e-5)

    def test_layers_of_several_grids(self, rule):
        graph = walks(features(grids=[(6, 5), (3, 5), (3, 2)]))
        found = solve(graph, vectors=3, weights=rule)
        assert found.weights.shape == (3,)
        assert torch.isfinite(found.vectors).all()
        assert found.vectors.shape == (30, 3)


def test_equal_says_no_weights():
    assert solve(walks(), vectors=4).weights.shape == (0,)


def test_auto_is_one_of_the_rules():
    graph, _ = with_noise()
    found = solve(graph, vectors=4, weights="auto").weights
    assert any(np.array_equal(found, solve(graph, vectors=4, weights=rule).weights) for rule in RULES)


@pytest.mark.parametrize("time", [0.5, 1, 2])
def test_columns_are_as_long_as_the_walk_leaves_them(time):
    plain, found = solve(walks(), vectors=4), solve(walks(), vectors=4, time=time)
    torch.testing.assert_close(found.values, plain.values)
    torch.testing.assert_close(found.vectors.norm(dim=0), plain.values.clamp_min(0) ** time)
    torch.testing.assert_close(found.vectors, plain.vectors * plain.values.clamp_min(0) ** time)


def test_a_diffusion_map_does_not_depend_on_the_columns_lengths():
    plain, longer = solve(walks(), vectors=4), solve(walks(), vectors=4, time=2)
    values = plain.values.numpy()
    one, other = (diffusion_map(found.vectors.double().numpy(), values) for found in (plain, longer))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_other_rules_are_refused():
    with pytest.raises(InputError, match=r"weights: expected one of .*agreement.*, got 'best'"):
        solve(walks(), vectors=4, weights="best")
