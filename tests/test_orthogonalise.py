"""Eq. 8: identities."""

import torch
from planted import subspace_distance, walks

from whatwhere.orthogonalise import orthogonalise
from whatwhere.solve import solve


def test_columns_are_orthogonal_sorted_and_span_the_same():
    X = torch.randn(40, 5)
    Y = orthogonalise(X)
    gram = Y.T @ Y
    torch.testing.assert_close(gram, torch.diag(gram.diagonal()), atol=1e-4, rtol=0)
    expected = torch.linalg.eigvalsh(X.T @ X).flip(0)
    torch.testing.assert_close(gram.diagonal(), expected, atol=1e-3, rtol=1e-4)
    assert subspace_distance(X, Y) < 1e-3


def test_inner_products_between_tokens_do_not_change():
    X = torch.randn(40, 5)
    Y = orthogonalise(X)
    torch.testing.assert_close(X @ X.T, Y @ Y.T, atol=1e-5, rtol=1e-5)


def test_signs_and_rotations_of_x_do_not_matter():
    X = torch.randn(40, 5) * torch.tensor([5.0, 4, 3, 2, 1])
    rotation = torch.linalg.qr(torch.randn(5, 5))[0]
    torch.testing.assert_close(orthogonalise(X), orthogonalise(-X), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(orthogonalise(X), orthogonalise(X @ rotation), atol=1e-3, rtol=1e-3)


def test_an_orthogonal_x_keeps_the_order_of_its_eigenvalues():
    solution = solve(walks(), vectors=6)
    Y = orthogonalise(solution.vectors)
    torch.testing.assert_close(Y.abs(), solution.vectors.abs(), atol=1e-6, rtol=1e-5)


def test_orthogonal_columns_of_unequal_length_are_sorted():
    Q = torch.linalg.qr(torch.randn(40, 3))[0]
    Y = orthogonalise(Q * torch.tensor([1.0, 3.0, 2.0]))
    torch.testing.assert_close(Y.norm(dim=0), torch.tensor([3.0, 2.0, 1.0]))
