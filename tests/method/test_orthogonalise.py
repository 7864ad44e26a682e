"""Eq. 8: identities."""

import torch

from tests.planted import subspace_distance, walks
from whatwhere.method.orthogonalise import orthogonalise, rotation
from whatwhere.method.solve import solve


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


def test_the_rotation_diagonalises_and_sorts():
    X = torch.randn(40, 5, dtype=torch.float64)
    U = rotation(X.T @ X)
    torch.testing.assert_close(U.T @ U, torch.eye(5, dtype=torch.float64))
    turned = (X @ U).T @ (X @ U)
    torch.testing.assert_close(turned, turned.diagonal().diag(), atol=1e-10, rtol=0)
    assert (turned.diagonal().diff() < 0).all()


def test_the_rotation_of_orthogonal_columns_is_their_order_by_length():
    lengths = torch.tensor([1.0, 3.0, 3.0 * (1 + 1e-9), 2.0, 0.0], dtype=torch.float64)  # two are as good as equal
    expected = torch.eye(5, dtype=torch.float64)[:, [1, 2, 3, 0, 4]]
    assert torch.equal(rotation(lengths.diag()), expected)
    slanted = lengths.diag()
    slanted[0, 3] = slanted[3, 0] = 1e-6  # rounding: no rotation
    assert torch.equal(rotation(slanted), expected)
    slanted[0, 3] = slanted[3, 0] = 0.5
    assert not torch.equal(rotation(slanted).abs(), expected)
