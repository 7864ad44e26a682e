"""Solvers: one contract for all, planted answers, and the dense reference."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from tests.planted import blocks, features, subspace_distance, walks
from whatwhere.artifacts.errors import InputError
from whatwhere.method.cluster import cluster
from whatwhere.method.objective import data_term, eq3, quotients, resampling_matrix
from whatwhere.method.orthogonalise import orthogonalise
from whatwhere.method.solve import SOLVERS, solve, solve_batch
from whatwhere.method.solve.descent import buffered, has_converged
from whatwhere.method.solve.released import Painter
from whatwhere.method.solve.terms import DataTerm

SETTINGS = {"exact": {}, "gradient": {"steps": 600, "learning_rate": 1e-2}, "released": {"steps": 150}}


def dense_operator(graph):
    """Σ gᵀMg as one matrix."""
    total = 0
    for fold in graph.folds:
        g = torch.kron(*resampling_matrix(graph.grid, fold.grid))
        total = total + g.T @ fold.matrix.double() @ g
    return total


@pytest.mark.parametrize("solver", SOLVERS)
class TestContract:
    """What every solver owes."""

    def test_shapes_and_repeatability(self, solver):
        graph = walks()
        first, second = (solve(graph, vectors=4, solver=solver, seed=3, **SETTINGS[solver]) for _ in range(2))
        assert first.vectors.shape == (30, 4)
        assert first.values.shape == (4,)
        assert first.grid == (6, 5)
        assert first.status
        assert torch.equal(first.vectors, second.vectors)

    def test_finds_the_planted_bands(self, solver):
        source, truth = blocks(noise=0.1)
        X = solve(walks(source), vectors=4, solver=solver, **SETTINGS[solver]).vectors
        indicator = torch.nn.functional.one_hot(truth).float()
        assert subspace_distance(X, indicator) < 0.1
        regions = cluster(orthogonalise(X), clusters=4)
        assert adjusted_rand_score(truth, regions.labels) == 1

    def test_values_are_the_mean_quotients(self, solver):
        graph = walks()
        solution = solve(graph, vectors=4, solver=solver, **SETTINGS[solver])
        X = solution.vectors.double()
        expected = (X * (dense_operator(graph) @ X)).sum(0)
        torch.testing.assert_close(solution.values.double(), expected, atol=1e-5, rtol=1e-4)

    def test_permuting_tokens_permutes_the_span(self, solver):
        if solver == "released":
            pytest.skip("its convolutions know which tokens are neighbours")
        source, _ = blocks()
        order = torch.randperm(48, generator=torch.Generator().manual_seed(1))
        moved = type(source)(
            tuple(
                type(a)(a.name, a.query[:, :, order], a.key[:, :, order], None, a.scale, a.grid) for a in source.layers
            ),
            source.final,
            source.final_grid,
        )
        X, Y = (solve(walks(s), vectors=4, solver=solver, **SETTINGS[solver]).vectors for s in (source, moved))
        assert subspace_distance(X[order], Y) < 0.03

    def test_several_resolutions(self, solver):
        graph = walks(features(grids=[(6, 5), (3, 5), (3, 2)]))
        solution = solve(graph, vectors=3, solver=solver, **SETTINGS[solver])
        assert solution.vectors.shape == (30, 3)
        best = torch.linalg.eigvalsh(dense_operator(graph))[-3:].sum()
        reached = float(eq3(solution.vectors, graph)) / float(best)
        assert reached == pytest.approx(1, rel=0.05) if solver != "released" else 0.75 < reached <= 1

    def test_an_image_does_not_depend_on_its_batch(self, solver):
        graphs = [walks(features(seed=seed)) for seed in range(3)]
        settings = {"vectors": 4, "solver": solver, **SETTINGS[solver], **({"steps": 20} if solver != "exact" else {})}
        together = solve_batch(graphs, seeds=[7, 8, 9], **settings)
        for graph, seed, expected in zip(graphs, (7, 8, 9), together, strict=True):
            alone = solve(graph, seed=seed, **settings)
            assert torch.equal(alone.vectors, expected.vectors)
            assert torch.equal(alone.values, expected.values)


@pytest.mark.parametrize("operator", ["normalised", "walk"])
@pytest.mark.parametrize("grid", [(8, 6), (18, 16)])  # dense and Lanczos
def test_exact_is_dense_eigh(operator, grid):
    graph = walks(features(grid=grid, layers=1, seed=4), operator=operator)
    solution = solve(graph, vectors=5)
    values, columns = torch.linalg.eigh(dense_operator(graph))
    torch.testing.assert_close(solution.values.double(), values[-5:].flip(0), atol=1e-6, rtol=1e-5)
    assert subspace_distance(solution.vectors, columns[:, -5:]) < 1e-4


def test_exact_is_dense_eigh_over_resolutions():
    graph = walks(features(grids=[(18, 16), (9, 8), (5, 4)]))
    solution = solve(graph, vectors=5)
    values, columns = torch.linalg.eigh(dense_operator(graph))
    torch.testing.assert_close(solution.values.double(), values[-5:].flip(0), atol=1e-6, rtol=1e-5)
    assert subspace_distance(solution.vectors, columns[:, -5:]) < 1e-4


def test_gradient_converges_to_the_exact_subspace():
    graph = walks(blocks(noise=0.3)[0])
    exact = solve(graph, vectors=4)
    gradient = solve(graph, vectors=4, solver="gradient", steps=1200, learning_rate=1e-2)
    assert subspace_distance(exact.vectors, gradient.vectors) < 0.005
    assert float(eq3(gradient.vectors, graph)) == pytest.approx(float(exact.values.sum()), rel=1e-4)
    assert gradient.history[-1] < gradient.history[0]
    assert gradient.history.shape == (1200,)


@pytest.mark.parametrize("solver", ["gradient", "released"])
def test_a_descent_that_has_converged_ends_with_the_answer_of_all_steps(solver):
    source, truth = blocks(noise=0.1)
    settings = {**SETTINGS[solver], "steps": 3 * SETTINGS[solver]["steps"]}
    graphs = [walks(source), walks(blocks(noise=0.4)[0])]
    whole, short = (
        solve_batch(graphs, vectors=4, solver=solver, seeds=[0, 1], **settings, tolerance=tolerance)
        for tolerance in (None, 1e-3)
    )
    for one, other in zip(whole, short, strict=True):
        took = int(other.status.split()[2])
        assert other.status.startswith(f"converged after {took} of {settings['steps']} steps")
        assert took < settings["steps"] * 0.7
        assert one.history.shape == other.history.shape
        np.testing.assert_array_equal(one.history[:took], other.history[:took])
        assert set(other.history[took:]) == {other.history[took - 1]}
        assert other.history[-1] - one.history[-1] < 0.02 * (one.history[0] - one.history[-1])
    regions = [cluster(orthogonalise(found[0].vectors), clusters=4).labels for found in (whole, short)]
    assert [adjusted_rand_score(truth, labels) for labels in regions] == [1, 1]
    # an image ends where it ends by itself, however long the others take
    alone = solve_batch(graphs[1:], vectors=4, solver=solver, seeds=[1], **settings, tolerance=1e-3)[0]
    torch.testing.assert_close(alone.vectors, short[1].vectors, atol=1e-5, rtol=1e-4)
    assert alone.status == short[1].status


def test_a_loss_that_falls_on_has_not_converged():
    falls = [torch.tensor([1.0 - 0.1 * step, 2.0**-step]) for step in range(10)]
    assert has_converged(falls, 40, 0.01).tolist() == [False, True]
    assert not has_converged(falls[:2], 40, 0.9).any()  # nothing to compare with yet


@pytest.mark.parametrize("operator", ["normalised", "walk"])
def test_gradient_folded_takes_the_same_path_as_unfolded(operator, monkeypatch):
    graph = walks(operator=operator)
    dense = solve(graph, vectors=4, solver="gradient", steps=100, learning_rate=1e-3, folded=False)
    monkeypatch.setattr("whatwhere.method.solve.terms.DENSE", 0)
    runs = [
        solve(graph, vectors=4, solver="gradient", steps=100, learning_rate=1e-3, check_every=1, folded=folded)
        for folded in (True, False)
    ]
    for run in runs:
        np.testing.assert_allclose(run.history, dense.history, atol=1e-4)
    assert "100 of 100 passes unfolded" in runs[1].status
    assert "100 of 100 passes unfolded" not in runs[0].status


def test_images_that_fold_and_images_that_do_not_share_a_batch():
    """On a real size of grid, with sinks in every other image, so that some fold and some do not."""
    sources = [blocks(grid=(16, 16), sinks=3 * (i % 2), sink_pull=8.0, seed=i)[0] for i in range(4)]
    graphs = [walks(source, operator="walk") for source in sources]
    settings = {"vectors": 10, "solver": "gradient", "steps": 60, "learning_rate": 0.01, "check_every": 20}
    together = solve_batch(graphs, seeds=range(4), **settings)
    assert len({solution.status for solution in together}) > 1
    for graph, seed, expected in zip(graphs, range(4), together, strict=True):
        assert torch.equal(solve(graph, seed=seed, **settings).vectors, expected.vectors)


def noisy(samples=4, seed=0):
    """Random graphs at several noise samples, which differ."""
    source = features(layers=2 * samples, seed=seed)
    layers = tuple(replace(a, name=f"layer{i % 2}", sample=i // 2) for i, a in enumerate(source.layers))
    return walks(replace(source, layers=layers))


def test_samples_divide_the_graph_set():
    graph = noisy(samples=4)
    assert [len(part.layers) for part in graph.samples] == [2, 2, 2, 2]
    whole, parts = graph.folds[0].matrix, [part.folds[0].matrix for part in graph.samples]
    torch.testing.assert_close(torch.stack(parts).mean(0), whole)  # the fold is the mean over noise samples


def test_the_buffer_holds_few_samples_and_takes_new_ones_as_often_as_told():
    size, passes = 5, 2000
    drawn = list(islice(buffered(5000, size, 0.25, seed=3), passes))
    first = {sample: place for place, sample in reversed(list(enumerate(drawn)))}
    assert len(set(drawn[:size])) == size  # filled first
    assert len(first) / passes == pytest.approx(0.25, abs=0.03)
    order = sorted(first, key=first.get)
    for place, sample in enumerate(drawn):
        taken = sum(first[other] <= place for other in order)
        assert sample in order[max(0, taken - size) : taken]  # never older than the buffer


def test_a_buffer_larger_than_the_samples_takes_all_of_them():
    assert set(islice(buffered(3, 5, 0.25, seed=0), 200)) == {0, 1, 2}


@pytest.mark.parametrize("block", [0, 2**20])  # folded, and every graph by itself
def test_one_pass_of_the_buffer_is_one_sample(block, monkeypatch):
    monkeypatch.setattr("whatwhere.method.solve.terms.DENSE", block)
    graph = noisy()
    X = torch.linalg.qr(torch.randn(30, 3))[0][None] * 0.9
    term = DataTerm([graph.samples], check_every=1, folded=block == 0)
    for number, part in enumerate(graph.samples):
        expected = data_term(quotients(X[0], part))
        torch.testing.assert_close(term(X, torch.tensor([number]))[0], expected, atol=1e-5, rtol=1e-4)


def test_equal_passes_are_made_once_and_counted():
    graph = walks()
    settings = {"vectors": 3, "solver": "released", "steps": 10}
    once = solve(graph, accumulate=1, **settings)
    twenty = solve(graph, accumulate=20, **settings)
    torch.testing.assert_close(once.vectors, twenty.vectors, atol=1e-3, rtol=1e-2)  # Adam does not see the scale


def test_released_accumulates_over_the_buffer():
    settings = {"vectors": 3, "solver": "released", "steps": 15, "accumulate": 4}
    first, again = (solve(noisy(), seed=1, **settings) for _ in range(2))
    assert torch.equal(first.vectors, again.vectors)
    whole = solve(noisy(), seed=1, buffer_samples=None, **settings)
    assert not torch.equal(first.vectors, whole.vectors)


def test_released_starts_from_positive_rows_of_sum_one():
    with torch.no_grad():
        X = Painter((6, 5), 4)()
    assert X.shape == (1, 30, 4)
    assert (X > 0).all()
    torch.testing.assert_close(X.sum(-1), torch.ones(1, 30))


def sink_scores(operator, pull):
    """Mean agreement with the planted bands over three draws, and the sinks' share of the leading vector."""
    agreement, share = [], []
    for seed in range(3):
        source, truth = blocks(noise=0.3, sinks=3, sink_pull=pull, seed=seed)
        X = solve(walks(source, operator=operator), vectors=4).vectors
        agreement.append(adjusted_rand_score(truth, cluster(orthogonalise(X), clusters=4).labels))
        share.append(float(X[:3, 0].square().sum()))
    return np.mean(agreement), np.mean(share)


def test_planted_sinks_do_not_spoil_the_normalised_operator():
    source, _ = blocks(noise=0.3, sinks=3, sink_pull=6.5)
    drawn = torch.cat([P[..., :3].sum(-1) for P in walks(source).layers[0].matrices()]).mean()
    assert 0.4 < drawn < 0.6  # of all the attention
    agreement, share = sink_scores("normalised", 6.5)
    assert agreement > 0.97
    assert share < 0.4
    assert sink_scores("walk", 6.5)[1] > 0.6  # there the leading vector is the sinks
    assert sink_scores("walk", 8.0)[0] < sink_scores("normalised", 8.0)[0] - 0.05


def test_wrong_requests_are_one_line():
    with pytest.raises(InputError, match="expected 1 to 29 on a grid of 30 tokens, got 30"):
        solve(walks(), vectors=30)
    with pytest.raises(InputError, match="expected one of exact, gradient, released, got 'lanczos'"):
        solve(walks(), solver="lanczos")
