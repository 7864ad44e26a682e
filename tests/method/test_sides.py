"""Folds by sides: the same value and gradient as every graph by itself, on graphs with planted sinks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.planted import blocks, features, walks
from whatwhere.method.objective import data_term, orthogonality, pooled, quotients, resample
from whatwhere.method.solve import solve, solve_batch
from whatwhere.method.solve import terms as module
from whatwhere.method.solve.sides import fewer_at, sides_at
from whatwhere.method.solve.terms import DataTerm


@pytest.fixture(autouse=True)
def _no_dense_sets(monkeypatch):
    monkeypatch.setattr(module, "DENSE", 0)


def sunk(grids=((8, 6),), heads=3, seed=0):
    """Some layers with a sink, others without: a vector on it has quotients on both sides of 1."""
    layers = []
    for number, grid in enumerate(grids):
        for sinks in (0, 1, 0):
            (layer,) = blocks(grid, layers=1, heads=heads, sinks=sinks, sink_pull=9.0, seed=seed)[0].layers
            layers.append(replace(layer, name=f"layer{number}-{len(layers)}"))
    return walks(replace(blocks(grids[0])[0], layers=tuple(layers)), operator="walk")


def on_the_sink(graph, vectors=5, seed=0):
    """Columns of which the first sits on the sink, the second is longer than 1, and the others spread out."""
    tokens = graph.grid[0] * graph.grid[1]
    X = torch.randn(tokens, vectors, generator=torch.Generator().manual_seed(seed)) / tokens**0.5
    X[:, 0] = 0.05 * X[:, 0] + torch.eye(tokens)[0]
    X[:, 1] = 0.02 * X[:, 1] + (torch.arange(tokens) < tokens // 4) * 1.03 / (tokens // 4) ** 0.5
    return X.requires_grad_(True)


@pytest.mark.parametrize("g", [resample, pooled])
@pytest.mark.parametrize("grids", [((8, 6),), ((8, 6), (4, 3))])
def test_value_and_gradient_are_those_of_every_graph_by_itself(grids, g):
    graph = sunk(grids)
    X = on_the_sink(graph)
    above = quotients(X, graph, g) > 1
    assert above.any()
    assert (above.any(0) & ~above.all(0)).any()
    folded, unfolded = DataTerm([[graph]], g=g)(X[None])[0], data_term(quotients(X, graph, g))
    torch.testing.assert_close(folded, unfolded, atol=1e-6, rtol=1e-5)
    gradients = [torch.autograd.grad(value, X)[0] for value in (folded, unfolded)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


def test_a_column_above_in_most_graphs_keeps_those_that_are_below():
    graph = sunk()
    X = on_the_sink(graph)
    above = quotients(X, graph) > 1
    assert above[:, 1].float().mean() > 0.5 > above[:, 0].float().mean() > 0
    fewer = fewer_at(X, graph, resample)
    assert torch.equal(fewer[:, 0], above[:, 0])
    assert torch.equal(fewer[:, 1], ~above[:, 1])
    assert not fewer[:, 2:].any()


def test_matrices_are_made_anew_where_sides_changed_and_nowhere_else():
    graph = sunk()
    X = on_the_sink(graph).detach()
    first = sides_at(X, graph, resample)
    assert sides_at(0.9999 * X, graph, resample, first) is first
    moved = X.clone()
    moved[:, 2] = X[:, 0] * 1.1
    then = sides_at(moved, graph, resample, first)
    assert set(then.columns.tolist()) > set(first.columns.tolist())
    fresh = sides_at(moved, graph, resample)
    for grid, matrices in fresh.matrices.items():
        torch.testing.assert_close(then.matrices[grid], matrices)


@pytest.mark.parametrize("solver", ["gradient", "released"])
def test_a_descent_takes_the_same_path_though_sides_change(solver):
    graph = sunk()
    settings = {"vectors": 4, "solver": solver, "steps": 120, "check_every": 1}
    settings |= {"learning_rate": 0.01} if solver == "gradient" else {"accumulate": 1, "learning_rate": 0.005}
    folded, unfolded = (solve(graph, folded=folded, **settings) for folded in (True, False))
    # Adam tells a gradient of rounding from one of nothing: after many steps about a kink the paths part
    np.testing.assert_allclose(folded.history[:40], unfolded.history[:40], atol=1e-3)
    assert folded.history[-20:].mean() == pytest.approx(unfolded.history[-20:].mean(), rel=0.05)
    assert "0 of 120 passes unfolded" in folded.status
    by_sides = int(folded.status.split(", ")[-1].split()[0])
    assert 0 < by_sides < 120  # at some steps all graphs agree, at others they do not
    assert "120 of 120 passes unfolded" in unfolded.status


def test_sides_found_now_and_then_lead_near_the_same_place():
    """What is reached is judged by every graph by itself."""
    graph = sunk()
    reached = {}
    for every in (1, 20):
        X = solve(graph, solver="gradient", vectors=4, steps=600, learning_rate=1e-3, check_every=every).vectors
        reached[every] = float(data_term(quotients(X, graph)) + orthogonality(X[None])[0])
    assert reached[20] == pytest.approx(reached[1], rel=0.05)


def test_every_image_and_every_sample_has_its_own_sides():
    images = [[sunk(seed=i + 10 * j) for j in range(2)] for i in range(2)]
    X = torch.stack([on_the_sink(images[0][0], seed=i) for i in range(2)])
    term = DataTerm(images, check_every=10)
    for chosen in ((0, 1), (1, 0), (0, 0), (1, 1), (0, 1)):
        found = term(X, torch.tensor(chosen))
        expected = torch.stack([data_term(quotients(x, own[c])) for x, own, c in zip(X, images, chosen, strict=True)])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert term.status(0) == "0 of 5 passes unfolded, 5 folded by sides"


def test_images_with_and_without_sinks_share_a_batch():
    graphs = [sunk(), walks(features((8, 6)), operator="walk"), sunk(seed=4)]
    settings = {"vectors": 4, "solver": "gradient", "steps": 60, "learning_rate": 0.02, "check_every": 7}
    together = solve_batch(graphs, seeds=range(3), **settings)
    for graph, seed, expected in zip(graphs, range(3), together, strict=True):
        alone = solve(graph, seed=seed, **settings)
        torch.testing.assert_close(alone.vectors, expected.vectors, atol=1e-6, rtol=1e-5)
