"""Graphs across images (Eq. 6-7): the search against the full product, the operators against dense ones."""

import weakref

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.utils._python_dispatch import TorchDispatchMode

from whatwhere.artifacts.errors import InputError
from whatwhere.method.joint import graph, search, sparsity
from whatwhere.method.joint.graph import affinity, normalised, operator_of, random_walk, symmetric_part, unit_rows
from whatwhere.method.joint.search import Neighbours, Sizes, nearest, sizes
from whatwhere.method.joint.sparsity import Sparsity


def rows(images, tokens, width=6, seed=0):
    """Random unit vectors `[image, token, channel]`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(images, tokens, width, generator=generator), dim=-1)


def clustered(images, tokens, clusters=40, width=16, noise=0.2, seed=0):
    """Unit vectors around a few centres."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(clusters, width, generator=generator)
    which = torch.randint(clusters, (images, tokens), generator=generator)
    noise = noise * torch.randn(images, tokens, width, generator=generator)
    return torch.nn.functional.normalize(centres[which] + noise, dim=-1)


def masked_products(source, target):
    """All products twice: those inside an image without the location itself, and those across; others are -inf."""
    images, tokens, _ = source.shape
    products = source.flatten(0, 1) @ target.flatten(0, 1).T
    image = torch.arange(images).repeat_interleave(tokens)
    own = image[:, None] == image
    itself = torch.eye(images * tokens, dtype=torch.bool)
    return products.masked_fill(~own | itself, -torch.inf), products.masked_fill(own, -torch.inf)


def strongest(products, count):
    """The matrix of the `count` largest products of each row, zero elsewhere."""
    values, places = products.topk(count, dim=1)
    return torch.zeros_like(products).scatter(1, places, values)


def dense_affinity(source, target, sparsity):
    """A of Eq. 7 by sorting every row of the full product."""
    inside, across = masked_products(source, target)
    A = strongest(inside, sparsity.intra) + strongest(across, sparsity.inter)
    A = torch.where(A - max(sparsity.threshold, 0) > 0, A, 0)
    return ((A + A.T) / 2 if sparsity.symmetric else A).numpy()


def as_dense(places, values, locations):
    """Connections as a matrix; every place must be there."""
    assert (places >= 0).all()
    return torch.zeros(len(places), locations).scatter(1, places, values)


def work_on(monkeypatch, *, block, rows, lazy_rows=None):
    """So many numbers of products and rows at a time."""
    monkeypatch.setattr(search, "CPU", Sizes(rows, lazy_rows or rows, block, 2**30))


class Largest(TorchDispatchMode):
    """Watches every tensor that is made: the largest, and the most bytes that were held at a time."""

    def __init__(self):
        super().__init__()
        self.numbers, self.peak, self._held = 0, 0, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(tensor, torch.Tensor):
                self._watch(tensor)
        return found

    def _watch(self, tensor):
        storage = tensor.untyped_storage()
        users, _ = self._held.get(storage._cdata, (0, 0))
        self._held[storage._cdata] = users + 1, storage.nbytes()
        weakref.finalize(tensor, self._release, storage._cdata)
        self.numbers = max(self.numbers, tensor.numel())
        self.peak = max(self.peak, sum(size for _, size in self._held.values()))

    def _release(self, key):
        users, size = self._held.pop(key)
        if users > 1:
            self._held[key] = users - 1, size


class OnDisk:
    """Rows that count how many images are asked for at a time, and in all; on a GPU they only say that they are."""

    def __init__(self, held, device="cpu"):
        self._held, self.shape, self.most, self.read, self.device = held, held.shape, 0, 0, torch.device(device)

    def __getitem__(self, images):
        found = self._held[images]
        self.most, self.read = max(self.most, len(found)), self.read + len(found)
        return found


@pytest.mark.parametrize(
    ("images", "tokens", "block", "together"),
    [
        (7, 5, 2**22, 1024),  # one block
        (7, 5, 150, 12),  # two images against three
        (11, 4, 36, 20),  # five against less than one: one
        (5, 4, 10**6, 1),  # one image against all
        (1, 9, 7, 7),
    ],
)
def test_blocks_find_what_the_full_product_has(images, tokens, block, together, monkeypatch):
    work_on(monkeypatch, block=block, rows=together)
    source, target = rows(images, tokens), rows(images, tokens, seed=1)
    across = min(4, (images - 1) * tokens)
    found = nearest(source, target, inside=3, across=across, search="exact")
    inside, others = masked_products(source, target)
    locations = images * tokens
    torch.testing.assert_close(as_dense(found.inside, found.inside_values, locations), strongest(inside, 3))
    torch.testing.assert_close(as_dense(found.across, found.across_values, locations), strongest(others, across))


def test_an_image_is_not_across_from_itself_nor_a_location_inside():
    same = torch.ones(4, 6, 2) / 2**0.5  # every location is as near as every other
    found = nearest(same, same, inside=5, across=18, search="exact")
    location, image = torch.arange(24)[:, None], torch.arange(24)[:, None] // 6
    assert (found.inside // 6 == image).all()
    assert (found.inside != location).all()
    assert (found.across // 6 != image).all()
    for places in (found.inside, found.across):
        assert (places.sort(1)[0].diff(dim=1) > 0).all()  # each once


def test_fewer_candidates_than_asked_for_are_all_there_is():
    source, target = rows(2, 3), rows(2, 3, seed=1)
    found = nearest(source, target, inside=10, across=10, search="exact")
    assert found.inside.shape == (6, 2)
    assert found.across.shape == (6, 3)
    inside, others = masked_products(source, target)
    torch.testing.assert_close(as_dense(found.inside, found.inside_values, 6), strongest(inside, 2))
    torch.testing.assert_close(as_dense(found.across, found.across_values, 6), strongest(others, 3))
    assert nearest(rows(1, 4), rows(1, 4), inside=2, across=9).across.shape == (4, 0)
    assert nearest(rows(4, 1), rows(4, 1), inside=2, across=9).inside.shape == (4, 0)


@pytest.mark.parametrize(("images", "tokens", "inside", "across"), [(1, 1, 10, 10), (3, 4, 0, 0), (1, 4, 0, 10)])
def test_nothing_to_connect_is_one_line(images, tokens, inside, across):
    with pytest.raises(InputError, match=f"at least one connection .* got none among {images} images of {tokens}") as e:
        nearest(rows(images, tokens), rows(images, tokens), inside=inside, across=across)
    assert "\n" not in str(e.value)


def test_memory_grows_with_the_locations_not_with_their_square(monkeypatch):
    work_on(monkeypatch, block=2**12, rows=64)
    peaks = []
    for images in (20, 80):
        source, target = rows(images, 16), rows(images, 16, seed=1)
        with Largest() as seen:
            nearest(source, target, inside=5, across=5, search="exact")
        assert seen.numbers <= max(2**12, 5 * images * 16)
        peaks.append(seen.peak)
    assert peaks[1] < 4.5 * peaks[0]
    assert peaks[1] < 4 * (80 * 16) ** 2 / 10  # a tenth of the full product


def test_only_blocks_are_read_from_disk(monkeypatch):
    work_on(monkeypatch, block=4 * 12 * 3, rows=12)
    source, target = OnDisk(rows(12, 4)), OnDisk(rows(12, 4, seed=1))
    found = nearest(source, target, inside=2, across=5, search="exact")
    assert (source.most, target.most) == (3, 3)
    _, others = masked_products(rows(12, 4), rows(12, 4, seed=1))
    torch.testing.assert_close(as_dense(found.across, found.across_values, 48), strongest(others, 5))


@pytest.mark.parametrize("search_by", ["exact", "faiss"])
def test_rows_from_disk_are_not_read_again_for_every_image(search_by, monkeypatch):
    work_on(monkeypatch, block=16, rows=4, lazy_rows=24)
    held = rows(12, 4)
    target = OnDisk(held)
    found = nearest(held, target, inside=2, across=5, search=search_by)
    # two blocks of rows, each against all and against its own images; or an index made once, and all own images
    assert target.read <= (2 * 12 + 12 if search_by == "exact" else 12 + 12 + 12 + 12)  # the last to check
    if search_by == "exact":
        expected = nearest(held, held, inside=2, across=5, search="exact")
        torch.testing.assert_close(
            as_dense(found.across, found.across_values, 48), as_dense(expected.across, expected.across_values, 48)
        )


def test_sizes_suit_the_device():
    gpu, cpu = sizes(torch.device("cuda", 1)), sizes(torch.device("cpu"))
    assert (gpu.rows, gpu.block, gpu.held) == (16_384, 2**28, 16 * 2**30)
    assert (cpu.rows, cpu.block, cpu.held) == (1024, 2**22, 2**30)
    assert min(gpu.lazy_rows, cpu.lazy_rows) >= 8192


def test_a_gpu_works_on_more_at_a_time(monkeypatch):
    work_on(monkeypatch, block=16, rows=4)
    monkeypatch.setattr(search, "CUDA", Sizes(rows=20, lazy_rows=20, block=20 * 8, held=1))
    source, target = (OnDisk(rows(12, 4), "cuda") for _ in range(2))
    nearest(source, target, inside=2, across=5, search="exact")
    assert (source.most, target.most) == (5, 5)


class TestFaiss:
    def test_finds_nearly_all_that_the_exact_search_finds(self, monkeypatch):
        monkeypatch.setattr(search._Index, "PROBES", 4)  # of 96 lists: as few as of a large set's
        source = target = clustered(60, 64)
        exact, found = (nearest(source, target, inside=3, across=10, search=s) for s in ("exact", "faiss"))
        shared = [len(set(a) & set(b)) for a, b in zip(exact.across.tolist(), found.across.tolist(), strict=True)]
        assert np.mean(shared) / 10 >= 0.95
        assert abs(found.recall - np.mean(shared) / 10) < 0.03  # of 256 of the 3840
        assert exact.recall == 1
        assert torch.equal(exact.inside, found.inside)
        products = (source.flatten(0, 1)[:, None] * target.flatten(0, 1)[found.across]).sum(-1)
        torch.testing.assert_close(found.across_values, products)

    def test_looks_in_a_part_of_the_channels_and_answers_by_all(self, monkeypatch):
        monkeypatch.setattr(search._Index, "LEAST_CHANNELS", 1)
        few = clustered(60, 64)
        draw, width = torch.Generator().manual_seed(3), few.shape[-1]
        wide = torch.cat([few, 0.02 * torch.randn(*few.shape[:2], 2 * width, generator=draw)], -1)
        turned = torch.linalg.qr(torch.randn(3 * width, 3 * width, generator=draw))[0]
        source = torch.nn.functional.normalize(wide @ turned, dim=-1)  # no channel is one of the few
        assert search._longest(source.flatten(0, 1).numpy(), width).d_out == width
        found = nearest(source, source, inside=3, across=10, search="faiss")
        assert found.recall >= 0.9
        products = (source.flatten(0, 1)[:, None] * source.flatten(0, 1)[found.across]).sum(-1)
        torch.testing.assert_close(found.across_values, products)

    def test_never_answers_the_own_image(self):
        source = rows(50, 40)  # nearest of all is the own image, of which every vector is a shade
        source = torch.nn.functional.normalize(source[:, :1] + 0.05 * source, dim=-1)
        found = nearest(source, source, inside=1, across=15, search="faiss")
        image = torch.arange(2000)[:, None] // 40
        assert (found.across >= 0).any()
        assert ((found.across // 40 != image) | (found.across < 0)).all()

    def test_where_too_few_are_found_the_graph_has_no_connection(self, monkeypatch):
        monkeypatch.setattr(search._Index, "PROBES", 1)
        source = clustered(40, 20, clusters=20, noise=0.01)
        found = nearest(source, source, inside=1, across=200, search="faiss")
        assert (found.across == -1).any()
        A = graph.as_matrix(found, 0.0)
        assert A.nnz == int((found.inside_values > 0).sum() + ((found.across >= 0) & (found.across_values > 0)).sum())

    def test_reads_block_by_block(self, monkeypatch):
        work_on(monkeypatch, block=3 * 8 * 6, rows=8)
        held = rows(40, 8)
        target = OnDisk(held)
        found = nearest(OnDisk(held), target, inside=1, across=4, search="faiss")
        whole = nearest(held, held, inside=1, across=4, search="faiss")
        assert target.most == 3
        assert torch.equal(found.across, whole.across)

    @pytest.mark.parametrize(("images", "indexed"), [(5, False), (6, True)])
    def test_auto_asks_it_above_so_many_locations(self, images, indexed, monkeypatch):
        asked = []
        real = search._Index
        monkeypatch.setattr(search, "EXACT_LOCATIONS", 50)
        monkeypatch.setattr(search, "_Index", lambda target: asked.append(target) or real(target))
        nearest(rows(images, 10), rows(images, 10), inside=1, across=2)
        assert bool(asked) == indexed
        nearest(rows(images, 10), rows(images, 10), inside=1, across=2, search="exact")
        assert len(asked) == indexed

    def test_auto_is_exact_on_a_gpu(self, monkeypatch):
        monkeypatch.setattr(search, "EXACT_LOCATIONS", 50)
        monkeypatch.setattr(search, "_Index", None)
        given = OnDisk(rows(20, 10), "cuda")
        found = nearest(given, given, inside=1, across=2)
        _, others = masked_products(rows(20, 10), rows(20, 10))
        torch.testing.assert_close(as_dense(found.across, found.across_values, 200), strongest(others, 2))


def test_heads_are_concatenated_and_scaled_to_unit_length():
    heads = torch.randn(2, 3, 5, 4)
    found = unit_rows(heads)
    assert found.shape == (2, 5, 12)
    token = torch.cat([heads[1, head, 2] for head in range(3)])
    torch.testing.assert_close(found[1, 2], token / token.norm())


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_affinities_and_walks_are_the_dense_ones(symmetric, threshold, monkeypatch):
    work_on(monkeypatch, block=200, rows=15)
    source, target = rows(7, 6), rows(7, 6, seed=1)
    sparsity = Sparsity(3, 5, threshold, symmetric, 1e-2)
    A, dense = affinity(source, target, sparsity), dense_affinity(source, target, sparsity)
    np.testing.assert_allclose(A.toarray(), dense, atol=1e-6)
    assert {M.dtype for M in (A, random_walk(A), operator_of(A, "walk"), operator_of(A, "normalised"))} == {A.dtype}
    assert A.dtype == np.float32
    sums = dense.sum(1, keepdims=True)
    P = np.where(sums > 0, dense * (1 / np.where(sums > 0, sums, 1) + 1e-2), 0)
    np.testing.assert_allclose(random_walk(A, 1e-2).toarray(), P, atol=1e-6)
    S = (P + P.T) / 2
    np.testing.assert_allclose(operator_of(A, "walk", 1e-2).toarray(), S, atol=1e-6)
    balance = 1 / np.sqrt(np.where(S.sum(1) > 0, S.sum(1), np.inf))
    np.testing.assert_allclose(operator_of(A, "normalised", 1e-2).toarray(), balance[:, None] * S * balance, atol=1e-6)


def test_the_papers_and_the_released_settings():
    paper = Sparsity(intra=10, inter=10, threshold=0.0, symmetric=False, slack=0.0)  # section 4.2
    released = Sparsity(intra=50, inter=50, threshold=0.1, symmetric=True, slack=1e-6)
    assert {"paper": paper, "released": released} == sparsity.PRESETS


def test_no_connection_is_negative_or_below_the_threshold():
    source = rows(3, 8, width=2)
    for threshold, least in ((-1.0, 0), (0.0, 0), (0.5, 0.5)):
        A = affinity(source, source, Sparsity(7, 16, threshold))  # every other location is asked for
        cosines = (source.flatten(0, 1) @ source.flatten(0, 1).T).fill_diagonal_(0).numpy()
        assert (cosines < 0).any()
        np.testing.assert_allclose(A.toarray(), np.where(cosines > least, cosines, 0), atol=1e-6)
        assert A.data.min() > least


def test_missing_places_are_no_connections():
    empty = torch.zeros(2, 0)
    across = torch.tensor([[1, -1], [0, -1]])
    found = Neighbours(empty.long(), empty, across, torch.tensor([[0.5, 0.9], [0.25, -torch.inf]]))
    np.testing.assert_array_equal(graph.as_matrix(found, 0.0).toarray(), [[0, 0.5], [0.25, 0]])


def planted():
    """A of random locations, the first of them without any connection; the second is everyone's neighbour."""
    A = sparse.random_array((40, 40), density=0.2, rng=np.random.default_rng(0), dtype=np.float32).toarray()
    A[2:, 1] = 5
    A[0], A[:, 0] = 0, 0
    return sparse.csr_array(A)


def test_rows_of_the_walk_sum_to_one_or_are_empty():
    A = planted()
    sums = np.asarray(random_walk(A).sum(1)).ravel()
    np.testing.assert_allclose(sums, [0] + [1] * 39, atol=1e-6)
    degrees = np.asarray(A.sum(1)).ravel()
    with_slack = np.asarray(random_walk(A, 0.01).sum(1)).ravel()
    np.testing.assert_allclose(with_slack, np.where(degrees > 0, 1 + 0.01 * degrees, 0), rtol=1e-5)


def test_the_spectrum_of_the_normalised_operator_is_bounded():
    P = random_walk(planted())
    assert np.linalg.eigvalsh(symmetric_part(P).toarray())[-1] > 1.5  # the neighbour of all
    N = normalised(P).toarray()
    np.testing.assert_allclose(N, N.T, atol=1e-7)
    values = np.linalg.eigvalsh(N)
    assert values[-1] == pytest.approx(1, abs=1e-5)
    assert values[0] >= -1 - 1e-5
    assert not N[0].any()
    assert not N[:, 0].any()


def test_the_symmetric_part_has_the_same_quadratic_form():
    P = random_walk(planted())
    X = np.random.default_rng(1).standard_normal((40, 5))
    S = symmetric_part(P)
    np.testing.assert_allclose((X * (S @ X)).sum(0), (X * (P @ X)).sum(0), rtol=1e-5)
    np.testing.assert_allclose(S.toarray(), S.toarray().T)
