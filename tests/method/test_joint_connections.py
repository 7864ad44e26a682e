"""Connections of patches to landmarks of other images: the strongest mean cosines, over layers of any grids."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from whatwhere.artifacts.errors import InputError
from whatwhere.method.joint.connections import connections, targets_of
from whatwhere.method.joint.landmarks import places_of
from whatwhere.method.joint.seen import Seen, SeenLayer

GRID, COARSE = (4, 6), (2, 3)


def image(name, *, grids=(GRID, GRID), names=("q", "k", "v")):
    """Unit vectors drawn by the name, in half precision as they are seen."""
    draw = torch.Generator().manual_seed(sum(map(ord, name)))

    def rows(grid):
        return {one: F.normalize(torch.randn(grid[0] * grid[1], 8, generator=draw), dim=-1).half() for one in names}

    return Seen(name, tuple(SeenLayer(f"layer-{n}", grid, rows(grid)) for n, grid in enumerate(grids)))


def all_of(one):
    return np.arange(one.grid[0] * one.grid[1])


def dense(source, target, names):
    own, other = names
    pairs = zip(source.layers, target.layers, strict=True)
    return np.mean([a.rows[own].double().numpy() @ b.rows[other].double().numpy().T for a, b in pairs], 0)


@pytest.mark.parametrize(("pathway", "names"), [("vv", ("v", "v")), ("qk", ("q", "k"))])
def test_the_strongest_of_all_others(pathway, names):
    images = [image(name) for name in "abc"]
    targets = targets_of((one, all_of(one)) for one in images)
    for number, one in enumerate(images):
        cosines = np.concatenate([dense(one, other, names) for other in images], 1)
        cosines[:, 24 * number : 24 * (number + 1)] = -np.inf
        found = connections(targets, one, pathway=pathway, count=5)
        np.testing.assert_array_equal(found.places, np.argsort(-cosines, 1)[:, :5])
        np.testing.assert_allclose(found.cosines, -np.sort(-cosines, 1)[:, :5], atol=1e-6)


def test_what_is_not_strong_enough_is_dropped():
    one, other = image("a"), image("b")
    targets = targets_of([(other, np.array([3]))])
    cosines = dense(one, other, ("v", "v"))[:, 3]
    found = connections(targets, one, pathway="vv", count=5, threshold=0.1)
    assert found.places.shape == (24, 1)
    np.testing.assert_array_equal(found.places[:, 0], np.where(cosines > 0.1, 0, -1))
    np.testing.assert_allclose(found.cosines[:, 0], np.where(cosines > 0.1, cosines, 0), atol=1e-6)
    never = connections(targets, one, pathway="vv", count=5, threshold=-1.0)
    assert ((never.places >= 0) == (never.cosines > 0)).all()
    assert (never.places < 0).any()


def test_a_layer_of_a_coarser_grid_says_of_each_patch_what_it_says_of_where_that_lies():
    """Alone, constant over the picture: cosines are those of its one vector, at every patch of the finer grid."""
    one, other = (image(name, grids=(GRID, COARSE)) for name in "ab")
    for each in (one, other):
        for rows in (each.layers[1].rows["v"],):
            rows[:] = rows[0].clone()
    fine = one.layers[0].rows["v"].double() @ other.layers[0].rows["v"].double().T
    coarse = float(one.layers[1].rows["v"][0].double() @ other.layers[1].rows["v"][0].double())
    expected = (fine.numpy() + coarse) / 2
    found = connections(targets_of([(other, all_of(other))]), one, pathway="vv", count=24)
    order = np.where(found.places >= 0, found.places, 0)
    taken = np.take_along_axis(expected, order, 1)
    np.testing.assert_allclose(found.cosines[found.places >= 0], taken[found.places >= 0], atol=2e-3)
    assert ((expected > 2e-3).sum(1) <= (found.places >= 0).sum(1)).all()


def test_an_image_that_is_no_landmarks_has_no_own():
    targets = targets_of([(image("a"), all_of(image("a")))])
    assert (connections(targets, image("b"), pathway="qk", count=3).places >= 0).any()
    assert (connections(targets, image("a"), pathway="qk", count=3).places < 0).all()


def test_locations_are_drawn_by_the_image_alone():
    first = places_of("a", 100, 30, 0)
    assert first.tolist() == sorted(set(first.tolist()))
    np.testing.assert_array_equal(first, places_of("a", 100, 30, 0))
    assert first.tolist() != places_of("b", 100, 30, 0).tolist()
    assert first.tolist() != places_of("a", 100, 30, 1).tolist()


def test_other_layers_are_refused():
    targets = targets_of([(image("a"), all_of(image("a")))])
    with pytest.raises(InputError, match="expected the layers layer-0, layer-1, got layer-0 of b"):
        connections(targets, image("b", grids=(GRID,)), pathway="vv", count=3)
    with pytest.raises(InputError, match="expected images that they are of, got none"):
        targets_of([])
