"""A sample's landmarks and the extension: identities, dense answers, planted blocks, permutations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from whatwhere.artifacts.errors import InputError
from whatwhere.method.cluster import fit_centres
from whatwhere.method.joint.extension import extend, harmonic
from whatwhere.method.joint.landmarks import _folded, _graphs, _levels, _resampling, solve_sample, without
from whatwhere.method.joint.sample import drawn, farthest
from whatwhere.method.joint.seen import Seen, SeenLayer
from whatwhere.method.joint.sparsity import Sparsity

FEW = Sparsity(intra=4, inter=5)
SHAPES = ((4, 6), (6, 4), (5, 5), (3, 7), (4, 6), (4, 4))


# ------------------------------------------------------------------------------------------- helpers


def rows_of(generator, tokens, width=6):
    """Unit vectors near one another, so that cosines are positive, in half precision."""
    return F.normalize(torch.randn(tokens, width, generator=generator) + 1.2, dim=-1).half()


def picture(number, grid, *, names="v", coarse=False):
    """Two layers of one image of any grid; with `coarse` a third, of half as many rows and columns."""
    generator = torch.Generator().manual_seed(number)
    grids = {"first": grid, "second": grid}
    if coarse:
        grids["third"] = (-(-grid[0] // 2), -(-grid[1] // 2))
    layers = [
        SeenLayer(name, own, {letter: rows_of(generator, own[0] * own[1]) for letter in names})
        for name, own in grids.items()
    ]
    return Seen(f"image-{number}", tuple(layers))


def album(**choice):
    return [picture(number, grid, **choice) for number, grid in enumerate(SHAPES)]


def solved(images, pathway="vv", **choice):
    return solve_sample(
        images, **{"pathway": pathway, "vectors": 5, "sparsity": FEW, "landmarks": 0, "tolerance": 1e-7, **choice}
    )


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


BLOCKS = 4


def planted(number, grid, *, noise=0.15):
    """An image of four kinds of tokens, and which is which."""
    rng = np.random.default_rng(number)
    kinds = rng.integers(0, BLOCKS, grid[0] * grid[1])
    directions = np.eye(8)[:BLOCKS]
    layers = []
    for name in ("first", "second"):
        rows = directions[kinds] + noise * rng.standard_normal((len(kinds), 8))
        layers.append(SeenLayer(name, grid, {"v": F.normalize(torch.from_numpy(rows).float(), dim=-1).half()}))
    return Seen(f"planted-{number}", tuple(layers)), kinds


# ------------------------------------------------------------------------------------------- identities


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize(("pathway", "names"), [("vv", "v"), ("qk", "qk"), ("both", "qkv")])
def test_an_image_of_the_sample_gets_its_own_rows_back(pathway, names, coarse):
    images = album(names=names, coarse=coarse)
    found = solved(images, pathway)
    for image, own in zip(images, found.vectors, strict=True):
        answer = extend(without(found.landmarks, image.id), image)
        assert answer.grid == image.grid
        assert relative(answer.vectors, own) < 2e-3


def test_without_what_landmarks_say_of_it_the_rows_are_others():
    images = album()
    found = solved(images)
    deaf = replace(
        found.landmarks,
        anchors=tuple(replace(one, floor=torch.full_like(one.floor, torch.inf)) for one in found.landmarks.anchors),
    )
    worst = max(
        relative(extend(without(deaf, image.id), image).vectors, own)
        for image, own in zip(images, found.vectors, strict=True)
    )
    assert worst > 0.05


@pytest.mark.parametrize("coarse", [False, True])
def test_the_sample_solves_the_generalised_problem_of_its_dense_matrix(coarse):
    images = album(coarse=coarse)
    levels = _levels(images)
    places = [np.arange(sum(r * c for r, c in grids)) for grids in levels.values()]
    graphs, _, _ = _graphs(images, list(levels), places, (("v", "v"),), FEW, "exact")
    finest = [image.grid for image in images]
    locations = sum(r * c for r, c in finest)
    S = _folded(graphs, [_resampling(finest, grids) for grids in levels.values()], locations) @ np.eye(
        locations, dtype=np.float32
    )
    np.testing.assert_allclose(S, S.T, atol=1e-6)
    degrees = S.sum(1) + 0.3 * S.sum(1).mean()
    found = solved(images)
    X = np.concatenate(found.vectors)
    np.testing.assert_allclose(S @ X, degrees[:, None] * X * found.landmarks.values, atol=2e-4)
    exact = np.sort(np.linalg.eigvals(S / degrees[:, None]).real)[::-1]
    np.testing.assert_allclose(found.landmarks.values, exact[: len(found.landmarks.values)], atol=1e-4)


def test_columns_are_orthonormal_by_the_degrees():
    images = [picture(number, (4, 5)) for number in range(4)]
    found = solved(images)
    X = np.concatenate(found.vectors)
    levels = _levels(images)
    graphs, _, _ = _graphs(images, list(levels), [np.arange(80)], (("v", "v"),), FEW, "exact")
    d = np.asarray(graphs[0].sum(1)).ravel()
    weighed = np.sqrt(d + 0.3 * d.mean())[:, None] * X
    np.testing.assert_allclose(weighed.T @ weighed, np.eye(X.shape[1]), atol=1e-4)


# ------------------------------------------------------------------------------------------- harmonic


def inside(seed, tokens=12, share=0.5):
    """Symmetric connections among tokens, and degrees of which they are at most such a share."""
    rng = np.random.default_rng(seed)
    S = rng.random((tokens, tokens)) * (rng.random((tokens, tokens)) < 0.4)
    S = torch.from_numpy(S + S.T).float()
    return S, S.sum(1) / share + torch.from_numpy(rng.random(tokens)).float()


def columns(count, tokens=12):
    return torch.randn(tokens, count, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("values", [(0.9, 0.7, 0.6), (0.9, 0.3, 0.2), (0.499, 0.1)])
def test_all_columns_together_are_what_each_by_itself_is(values):
    (S, degrees), values = inside(3), torch.tensor(values)
    B = columns(len(values))
    X = harmonic(S, B, degrees, values)
    D = np.diag(degrees.double().numpy())
    dense = [
        np.linalg.solve(value * D - S.double().numpy(), b)
        for value, b in zip(values.tolist(), B.T.numpy(), strict=True)
    ]
    assert relative(X.numpy(), np.stack(dense, 1)) < 1e-5


def test_sweeps_end_there():
    (S, degrees), values = inside(3), torch.tensor([0.9, 0.7, 0.6])
    B = columns(3)
    X = torch.zeros_like(B)
    for _ in range(200):
        X = (S @ X + B) / degrees[:, None] / values
    assert relative(harmonic(S, B, degrees, values).numpy(), X.numpy()) < 1e-4


def test_a_harmonic_function_stays_between_its_borders():
    S, degrees = inside(5)
    B = (degrees - S.sum(1))[:, None] * torch.tensor([[1.0, 3.0]])
    X = harmonic(S, B, degrees, torch.ones(2))
    np.testing.assert_allclose(X, np.broadcast_to([1.0, 3.0], X.shape), atol=1e-4)


def test_what_connects_to_nothing_has_rows_of_zeros():
    X = harmonic(torch.zeros(3, 3), torch.zeros(3, 2), torch.ones(3), torch.tensor([0.8, 0.5]))
    assert not X.any()


# ------------------------------------------------------------------------------------------- planted, order


def test_planted_blocks_are_carried_to_images_that_were_not_solved():
    sample = [planted(number, (5, 6)) for number in range(5)]
    found = solved([image for image, _ in sample], vectors=BLOCKS)
    centres = fit_centres(np.concatenate(found.vectors), clusters=BLOCKS, restarts=4, seed=0)
    names = {}
    for own, (_, kinds) in zip(found.vectors, sample, strict=True):
        names |= dict(zip(centres.assign(own).tolist(), kinds.tolist(), strict=True))
    assert len(set(names.values())) == BLOCKS
    for number, grid in ((50, (4, 7)), (51, (6, 6))):
        image, kinds = planted(number, grid)
        labels = centres.assign(extend(found.landmarks, image).vectors)
        assert [names[label] for label in labels.tolist()] == kinds.tolist()


def test_landmarks_that_are_thinned_carry_them_as_well():
    sample = [planted(number, (8, 8))[0] for number in range(6)]
    found = solved(sample, vectors=BLOCKS, landmarks=96)
    assert found.landmarks.count == 96
    assert np.bincount(found.landmarks.owners[0]).tolist() == [16] * 6
    image, _ = planted(77, (5, 9))
    everything = extend(solved(sample, vectors=BLOCKS).landmarks, image).vectors
    centres = fit_centres(everything, clusters=BLOCKS, restarts=4, seed=0)
    few = extend(found.landmarks, image).vectors
    # columns have a sign, and equal eigenvalues a rotation, of their own in neither: it is the same solution
    np.testing.assert_array_equal(centres.assign(few), centres.assign(everything))


def test_the_order_of_the_images_does_not_matter():
    images = album()
    straight, turned = solved(images, landmarks=60), solved(images[::-1], landmarks=60)
    new = picture(99, (5, 4))
    one, other = (extend(found.landmarks, new).vectors for found in (straight, turned))
    signs = np.sign((one * other).sum(0))
    np.testing.assert_allclose(straight.landmarks.values, turned.landmarks.values, rtol=1e-4)
    assert relative(other * signs, one) < 5e-3


def test_the_order_of_an_images_tokens_moves_their_rows():
    found = solved(album())
    image = picture(99, (5, 4))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    moved = Seen("moved", tuple(replace(one, rows={"v": one.rows["v"][order]}) for one in image.layers))
    straight, mixed = extend(found.landmarks, image), extend(found.landmarks, moved)
    assert relative(mixed.vectors, straight.vectors[order]) < 1e-4
    np.testing.assert_allclose(mixed.connection, straight.connection[order], atol=1e-6)


def test_tokens_unlike_the_sample_hardly_connect():
    found = solved([planted(number, (5, 6))[0] for number in range(4)], vectors=BLOCKS)
    alike, _ = planted(60, (5, 6))
    rng = np.random.default_rng(0)
    rows = np.zeros((30, 8))
    rows[:, 6] = 1
    strange = F.normalize(torch.from_numpy(rows + 0.02 * rng.standard_normal((30, 8))).float(), dim=-1).half()
    unlike = Seen("unlike", tuple(replace(one, rows={"v": strange}) for one in alike.layers))
    assert extend(found.landmarks, unlike).connection.max() < 0.5 * extend(found.landmarks, alike).connection.min()


# ------------------------------------------------------------------------------------------- what is asked of images


def test_layers_of_another_network_are_refused():
    found = solved(album())
    other = picture(3, (4, 4))
    renamed = Seen("x", tuple(replace(one, name=f"other-{one.name}") for one in other.layers))
    with pytest.raises(InputError, match="expected the layers first, second, got other-first"):
        extend(found.landmarks, renamed)


def test_more_vectors_than_locations_are_refused():
    with pytest.raises(InputError, match="expected fewer than the sample's 24 locations, got 24"):
        solved([picture(0, (4, 6))], vectors=24)


@pytest.mark.parametrize("sparsity", [Sparsity(symmetric=True), Sparsity(slack=1e-6)])
def test_graphs_that_cannot_be_extended_are_refused(sparsity):
    with pytest.raises(InputError, match="without symmetric and slack"):
        solved(album(), sparsity=sparsity)


def test_a_sample_of_one_image_extends_to_itself():
    image = picture(0, (5, 6))
    found = solved([image])
    assert without(found.landmarks, image.id) is found.landmarks
    answer = extend(found.landmarks, image)
    cosine = np.abs((answer.vectors * found.vectors[0]).sum(0)) / (
        np.linalg.norm(answer.vectors, axis=0) * np.linalg.norm(found.vectors[0], axis=0)
    )
    assert cosine.min() > 0.7


def test_an_eigenvalue_of_its_own_has_the_shortest_solution():
    S = torch.diag(torch.tensor([0.5, -0.9]))
    X = harmonic(S, torch.tensor([[0.0], [0.7]]), torch.ones(2), torch.tensor([0.5]))
    np.testing.assert_allclose(X[:, 0], [0, 0.5], atol=1e-5)


# ------------------------------------------------------------------------------------------- the sample


class TestSample:
    IDS = tuple(f"image-{number}" for number in range(30))

    def test_a_draw_depends_on_ids_alone(self):
        some = {self.IDS[image] for image in drawn(self.IDS, 10, seed=0)}
        turned = self.IDS[::-1]
        assert {turned[image] for image in drawn(turned, 10, seed=0)} == some
        assert {self.IDS[image] for image in drawn(self.IDS, 5, seed=0)} < some
        assert {self.IDS[image] for image in drawn(self.IDS, 10, seed=1)} != some

    def test_the_farthest_are_one_of_each_kind(self):
        rng = np.random.default_rng(0)
        kinds = np.arange(30) % 5
        features = 5 * np.eye(6)[kinds] + 0.1 * rng.standard_normal((30, 6))
        chosen = farthest(features, self.IDS, 5, seed=3)
        assert sorted(kinds[chosen].tolist()) == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("count", [30, 50])
    def test_no_more_than_there_are(self, count):
        assert farthest(np.eye(30), self.IDS, count, seed=0) == drawn(self.IDS, count, seed=0) == list(range(30))
