"""Eq. 5 and folding, against dense matrices."""

import pytest
import torch

from tests.planted import blocks, features, walks
from whatwhere.artifacts.errors import InputError
from whatwhere.method.objective import (
    data_term,
    eq3,
    folded_quotients,
    orthogonality,
    quotients,
    resample,
    resampling_matrix,
)
from whatwhere.method.solve.sides import fewer_at
from whatwhere.method.walk import product, random_walk

OPERATORS = ("normalised", "walk")


def dense(attention, head, operator):
    """Eq. 5 spelled out: A, D, and the operator's symmetric matrix."""
    A = torch.exp(attention.query[0, head] @ attention.key[0, head].T * attention.scale)
    P = A / A.sum(1, keepdim=True)
    S = (P + P.T) / 2
    if operator == "walk":
        return S
    D = S.sum(1)
    return S / (D[:, None] * D).sqrt()


def test_rows_of_the_walk_sum_to_one():
    for layer in walks().layers:
        for P in layer.matrices():
            torch.testing.assert_close(P.sum(-1), torch.ones(P.shape[:-1]))


def test_attention_product_is_the_dense_product():
    source = features()
    layer = walks(source).layers[0]
    X = torch.randn(3, 30, 4)
    A = torch.exp(layer.source @ layer.target.transpose(1, 2) * layer.scale)
    expected = A @ X / A.sum(-1, keepdim=True)
    torch.testing.assert_close(product(layer.source, layer.target, X, layer.scale), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("operator", OPERATORS)
def test_quotients_are_the_dense_quadratic_forms(operator):
    source = features()
    X = torch.randn(30, 4)
    expected = [(X * (dense(a, h, operator) @ X)).sum(0) for a in source.layers for h in range(3)]
    torch.testing.assert_close(
        quotients(X, walks(source, operator=operator)), torch.stack(expected), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_fold_is_the_mean_of_the_dense_matrices(operator, monkeypatch):
    source = features(heads=5)
    expected = torch.stack([dense(a, h, operator) for a in source.layers for h in range(5)]).mean(0)
    for block in (1, 2 * 30 * 30, 2**20):  # one head at a time, two, all
        monkeypatch.setattr("whatwhere.method.walk.BLOCK", block)
        (fold,) = walks(source, operator=operator).folds
        torch.testing.assert_close(fold.matrix, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("grids", [None, [(6, 5), (3, 5), (3, 2)]])
def test_folded_equals_unfolded_in_value_and_gradient(operator, grids):
    graph = walks(features(grids=grids), operator=operator)
    X = torch.linalg.qr(torch.randn(30, 4))[0].mul(0.9).requires_grad_(True)
    assert not fewer_at(X, graph, resample).any()
    unfolded = data_term(quotients(X, graph))
    folded = data_term(folded_quotients(X, graph.folds, graph.grid)[None])
    torch.testing.assert_close(folded, unfolded, atol=1e-6, rtol=1e-5)
    gradients = [torch.autograd.grad(value, X)[0] for value in (unfolded, folded)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


def test_folding_is_refused_where_quotients_lie_on_both_sides_of_one():
    source, _ = blocks(noise=0.0)
    graph = walks(source, operator="walk")
    X = torch.nn.functional.normalize(torch.randn(48, 3), dim=0)
    assert not fewer_at(0.5 * X, graph, resample).any()
    band = torch.zeros(48, 1)
    band[:12] = 1.2 / 12**0.5  # an eigenvector of every graph, length 1.2: all quotients above 1
    assert not fewer_at(band, graph, resample).any()
    assert (quotients(band, graph) > 1).all()
    other, _ = blocks(noise=0.0, strength=0.5)
    mixed = random_walk(type(source)(source.layers + other.layers, source.final, source.final_grid), operator="walk")
    assert fewer_at(band, mixed, resample).any()
    unfolded = data_term(quotients(band, mixed))
    folded = data_term(folded_quotients(band, mixed.folds, mixed.grid)[None])
    assert folded < unfolded - 0.01  # what the check protects from


def test_the_bound_holds():
    source, _ = blocks(sinks=2, sink_pull=8.0)
    for operator in OPERATORS:
        (fold,) = walks(source, operator=operator).folds
        worst = max(
            float(torch.linalg.eigvalsh(dense(a, h, operator).double()).max()) for a in source.layers for h in range(2)
        )
        assert worst <= fold.bound + 1e-6
    assert worst > 1.5  # the sinks push the walk's symmetric part above 1


def test_normalised_spectrum_stays_within_one():
    source, _ = blocks(sinks=3, sink_pull=9.0)
    values = torch.linalg.eigvalsh(walks(source).folds[0].matrix.double())
    assert values.max() <= 1 + 1e-6
    assert values.min() >= -1 - 1e-6


def test_values_make_the_vv_pathway():
    source = features()
    layer = random_walk(source, pathway="vv").layers[1]
    assert torch.equal(layer.source, source.layers[1].value[0])
    assert torch.equal(layer.source, layer.target)
    bare = type(source)(
        tuple(type(a)(a.name, a.query, a.key, None, a.scale, a.grid) for a in source.layers),
        source.final,
        (6, 5),
    )
    with pytest.raises(InputError, match="values of layer layer0"):
        random_walk(bare, pathway="vv")
    with pytest.raises(InputError, match="pathway both: expected values of layer layer0"):
        random_walk(bare, pathway="both")


def test_both_pathways_are_the_union_of_their_graphs():
    source, X = features(), torch.randn(30, 4)
    both, where, what = (random_walk(source, pathway=pathway) for pathway in ("both", "qk", "vv"))
    assert both.graphs == where.graphs + what.graphs
    found = torch.cat([layer.quotients(X) for layer in both.layers])
    expected = torch.cat([layer.quotients(X) for pair in zip(where.layers, what.layers, strict=True) for layer in pair])
    assert torch.equal(found, expected)
    for fold, one, other in zip(both.folds, where.folds, what.folds, strict=True):
        torch.testing.assert_close(2 * fold.matrix, one.matrix + other.matrix)


@pytest.mark.parametrize("target", [(3, 2), (2, 5), (6, 5), (4, 4)])
def test_resampling_is_its_matrix(target):
    X = torch.randn(30, 3, dtype=torch.float64)
    rows, columns = resampling_matrix((6, 5), target)
    expected = torch.kron(rows, columns) @ X
    torch.testing.assert_close(resample(X, (6, 5), target), expected)


def test_resampling_keeps_the_length_of_a_constant():
    one = torch.full((24, 1), 24**-0.5)
    assert float(resample(one, (6, 4), (3, 2)).norm()) == pytest.approx(1)


def test_orthogonality_is_the_frobenius_norm():
    X = torch.linalg.qr(torch.randn(30, 4))[0]
    assert float(orthogonality(X)) == pytest.approx(0, abs=1e-5)
    assert float(orthogonality(2 * X)) == pytest.approx(3 * 4**0.5, rel=1e-5)


def test_eq3_depends_on_the_span_only():
    graph = walks()
    X = torch.randn(30, 4)
    mixed = X @ (torch.randn(4, 4) + 3 * torch.eye(4))
    torch.testing.assert_close(eq3(X, graph), eq3(mixed, graph), atol=1e-5, rtol=1e-4)


def test_a_union_has_the_folds_of_its_parts():
    found = features(grid=(4, 4), grids=((4, 4), (2, 2)))
    parts = [random_walk(found, pathway=pathway) for pathway in ("qk", "vv")]
    whole = random_walk(found, pathway="both")
    whole.take_folds(parts)
    for got, expected in zip(whole.folds, random_walk(found, pathway="both").folds, strict=True):
        assert got.grid == expected.grid
        torch.testing.assert_close(got.matrix, expected.matrix)
        assert got.bound == pytest.approx(expected.bound)
