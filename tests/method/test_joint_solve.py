"""One X over many images: where features come from, the loss, the mini-batches on disk, and all images at once."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.planted import subspace_distance
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, create
from whatwhere.backbones.backbone import Backbone
from whatwhere.backbones.capture import capture
from whatwhere.method.joint import loss, minibatch, search, source, whole
from whatwhere.method.joint.graph import affinity, operator_of, random_walk, symmetric_part, unit_rows
from whatwhere.method.joint.loss import paper_loss, released_loss, stacked
from whatwhere.method.joint.minibatch import Descent, batch_graphs, descend, schedule, start
from whatwhere.method.joint.source import Cached, Layer, Live, Pair, finest
from whatwhere.method.joint.sparsity import Sparsity
from whatwhere.method.joint.state import State, discard
from whatwhere.method.joint.whole import joint_operator, solve_whole, whole_graphs
from whatwhere.method.objective import resampling_matrix
from whatwhere.stages.features import extract

FINE, COARSE = (4, 6), (2, 3)
#: Layers of a small U-Net, in order.
GRIDS = {"down_blocks.0.attn": FINE, "mid_block.attn": COARSE, "up_blocks.0.attn": FINE}
IMAGES = 9


# ------------------------------------------------------------------------------------------- helpers


class Saying(nn.Module):
    def forward(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value)


def reciting(given, *, samples=1, noise=0.0):
    """A network whose layer `name` has the heads `given[name]` `[sample, q k v, image, head, token, channel]` of the
    image whose number its pixels say, and `noise` from its seeds.
    """
    model, leaves = nn.Module(), {}
    model.register_parameter("unused", nn.Parameter(torch.zeros(1)))
    for name in given:
        *parents, last = name.split(".")
        at = model
        for part in parents:
            if part not in dict(at.named_children()):
                at.add_module(part, nn.Module())
            at = getattr(at, part)
        leaves[name] = Saying()
        at.add_module(last, leaves[name])

    def run(pixels, seeds=None):
        numbers = (255 * pixels[:, 0, 0, 0]).round().long()
        streams = [torch.Generator().manual_seed(seed) for seed in seeds or [0] * len(numbers)]
        for sample in range(samples):
            for name, heads in given.items():
                said = heads[sample][:, numbers].clone()
                for image, stream in enumerate(streams):
                    said[:, image] += noise * torch.randn(said[:, image].shape, generator=stream)
                leaves[name](*said)
        return torch.zeros(len(pixels), 24, 1)

    return Backbone(
        "reciting", model, run, lambda tokens: slice(None), (0.0,) * 3, (1.0,) * 3, 8, "none", samples=samples
    )


def heads(grids=GRIDS, *, samples=1, images=IMAGES, seed=0):
    """Random queries, keys and values for `reciting`."""
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(samples, 3, images, 2, g[0] * g[1], 4, generator=generator) for n, g in grids.items()}


def write_pictures(path, numbers, size=(32, 48)):
    """A store of images, each of the shade that is its number."""
    ids = [f"image-{number}" for number in numbers]
    with create(path, {}, {"dataset": "planted"}, {"image": ids}) as store:
        array = store.array("rgb", (len(numbers), *size, 3), "uint8", ("image", "y", "x", "channel"))
        array[:] = np.broadcast_to(np.array(numbers, np.uint8)[:, None, None, None], array.shape)
    return Store(path)


def write_features(folder, backbone, shards=(4, 3, 2), *, values=True):
    """Stores of the features of all shards, whose sizes are given."""
    made, first = [], 0
    for shard, images in enumerate(shards):
        pictures = write_pictures(folder / f"images-{shard}.json", range(first, first + images))
        path = folder / f"features-{shard}.json"
        extract(pictures, backbone, path, values=values, batch_images=2, run_images=2, seed=0, settings={})
        made.append(Store(path))
        first += images
    return made


def opened(stores, **choice):
    return Cached(stores, **{"pathway": "qk", "patterns": ["*"], **choice})


def stored(folder, given):
    """`Cached` over the stores of what is given."""
    return opened(write_features(folder, reciting(given)))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Three stores of the features of `heads(samples=samples)`, written once."""

    @cache
    def made(samples=1):
        folder = tmp_path_factory.mktemp(f"samples-{samples}")
        return write_features(folder, reciting(heads(samples=samples), samples=samples))

    return made


def pictures_of(stores):
    """The images that features were made of."""
    return [Store(str(store.manifest).replace("features-", "images-")) for store in stores]


def rows_of(given, name, which, images, sample=0):
    """Unit vectors of images in the precision of a store."""
    return unit_rows(given[name][sample, "qkv".index(which)][list(images)].half().float())


def pairs(batch):
    """What a source yields: {layer: (source rows, target rows)}, of both pathways those of Q-K first."""
    found = {}
    for pair in batch:
        found[pair.layer.name] = (*found.get(pair.layer.name, ()), pair.source, pair.target)
    return found


class Held:
    """A source in memory: two layers of two grids, other vectors in every other epoch."""

    def __init__(self, images=7, seed=0):
        self.ids, self.weights = [f"image-{i}" for i in range(images)], "none"
        self.layers = (Layer("fine", FINE), Layer("coarse", COARSE))
        grids = {layer.name: layer.grid for layer in self.layers}
        self._heads = heads(grids, samples=2, images=images, seed=seed)
        self.asked = []

    def batch(self, images, epoch):
        self.asked.append((epoch, tuple(images)))
        for layer in self.layers:
            q, k = (unit_rows(self._heads[layer.name][epoch % 2, side][list(images)]) for side in (0, 1))
            yield Pair(layer, q, k)


# -------------------------------------------------------------------------------------------- source


@pytest.mark.parametrize(("pathway", "sides"), [("qk", "qk"), ("vv", "vv"), ("both", "qkvv")])
def test_cached_features_are_the_captured_ones(shards, pathway, sides):
    given, cached = heads(), opened(shards(), pathway=pathway)
    assert cached.ids == [f"image-{i}" for i in range(IMAGES)]
    assert cached.layers == tuple(Layer(name, grid) for name, grid in GRIDS.items())  # the order of the network
    for images in ([6, 0, 3, 8, 4, 1], [0, 1, 2, 3], [5]):  # across shards in any order; neighbours; one
        found = pairs(cached.batch(images, epoch=3))
        assert list(found) == list(GRIDS)
        for name, rows in found.items():
            for which, side in zip(sides, rows, strict=True):
                torch.testing.assert_close(side, rows_of(given, name, which, images))


def test_captured_means_what_capture_records(tmp_path):
    """The other side of the test before: what `reciting` was given is what the network was seen to do."""
    given = heads()
    pixels = np.full((1, 32, 48, 3), 5, np.uint8)
    layers = capture(reciting(given), pixels).layers
    assert [(layer.name, layer.grid) for layer in layers] == list(GRIDS.items())
    for layer in layers:
        assert torch.equal(torch.stack([layer.query, layer.key, layer.value]), given[layer.name][0][:, [5]])


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [(["block:mid"], [1]), (["up:6", "block:mid"], [1, 2]), (["grid:4x6"], [0, 2]), (["down*"], [0])],
)
def test_layers_are_chosen_by_pattern(shards, patterns, expected):
    names = [list(GRIDS)[number] for number in expected]
    cached = opened(shards(), patterns=patterns)
    assert [layer.name for layer in cached.layers] == names
    assert list(pairs(cached.batch([0], 0))) == names
    live = Live(reciting(heads()), pictures_of(shards()), pathway="qk", patterns=patterns)
    assert live.layers == cached.layers


def test_samples_come_in_turn_and_not_all_images_begin_with_the_same(shards):
    given, cached = heads(samples=3), opened(shards(3))
    assert cached.samples == 3
    drawn = []
    for epoch in range(4):
        found = pairs(cached.batch(range(IMAGES), epoch))
        by_layer = []
        for name, (q, _) in found.items():
            known = torch.stack([rows_of(given, name, "q", range(IMAGES), sample) for sample in range(3)])
            by_layer.append((known - q).abs().amax((2, 3)).argmin(0))
            assert (known - q).abs().amax((2, 3)).min(0)[0].max() < 1e-5
        assert all(torch.equal(by_layer[0], other) for other in by_layer)  # one pass through the network
        drawn.append(by_layer[0])
    assert len(set(drawn[0].tolist())) == 3
    assert (torch.stack(drawn[:3]).sort(0)[0] == torch.arange(3)[:, None]).all()
    assert torch.equal(drawn[0], drawn[3])


def test_a_layer_called_twice_in_a_pass_is_two_layers(tmp_path):
    backbone = reciting(heads({"attn": FINE}, samples=4, images=2), samples=4)
    twice = replace(backbone, samples=2)  # of the four calls each pass makes two
    (store,) = write_features(tmp_path, twice, [2])
    cached = Cached([store], pathway="qk", patterns=["*"])
    once = reciting(heads({"attn": FINE}, samples=2, images=2), samples=2)
    live = Live(replace(once, samples=1), [Store(tmp_path / "images-0.json")], pathway="qk", patterns=["*"])
    assert cached.layers == live.layers == (Layer("attn", FINE), Layer("attn#2", FINE))
    assert cached.samples == 2


def test_one_layer_of_all_images_in_memory_or_from_disk(shards, monkeypatch):
    given, cached = heads(samples=3), opened(shards(3))
    layer = cached.layers[1]
    held = next(cached.whole(layer, 1))
    assert torch.is_tensor(held.source)
    torch.testing.assert_close(held.target, rows_of(given, layer.name, "k", range(IMAGES), sample=1))
    monkeypatch.setattr(search, "CPU", replace(search.CPU, held=4 * held.source.numel() - 1))
    lazy = next(cached.whole(layer, 1))
    assert not torch.is_tensor(lazy.source)
    assert lazy.source.shape == held.source.shape
    for images in (slice(0, 9), slice(3, 5), slice(8, 9), slice(2, 7)):
        assert torch.equal(lazy.target[images], held.target[images])
    A, B = (affinity(pair.source, pair.target, Sparsity(3, 3)) for pair in (held, lazy))
    np.testing.assert_array_equal(A.toarray(), B.toarray())


def test_a_batch_reads_its_own_images_only(shards, monkeypatch):
    cached = opened(shards())
    read, real = [], Store.read
    monkeypatch.setattr(Store, "read", lambda self, *given: read.append(real(self, *given)) or read[-1])
    list(cached.batch([1, 2, 7], 0))
    assert {len(array) for array in read} == {1, 2}
    assert sum(map(len, read)) == 3 * len("qk") * len(GRIDS)


def test_shards_of_two_sizes_are_one_line(tmp_path, shards):
    pictures = write_pictures(tmp_path / "b.json", range(2), size=(48, 32))
    choice = {"values": False, "batch_images": 1, "run_images": 1, "seed": 0, "settings": {}}
    extract(pictures, reciting(heads()), tmp_path / "c.json", **choice)
    with pytest.raises(InputError, match=r"planted: expected images of one size .* 4 × 6, 2 × 3 and 6 × 4, 3 × 2") as e:
        opened([*shards(), Store(tmp_path / "c.json")])
    assert "\n" not in str(e.value)
    with pytest.raises(InputError, match="one size, got 32 × 48 px, 48 × 32 px; choose a centre_crop") as e:
        Live(reciting(heads()), [*pictures_of(shards()), pictures], pathway="qk", patterns=["*"])


def test_missing_values_and_layers_are_one_line(tmp_path):
    stores = write_features(tmp_path, reciting(heads()), [2], values=False)
    with pytest.raises(InputError, match="expected the array 4x6/v, got features without it; extract them with values"):
        opened(stores, pathway="vv")
    with pytest.raises(InputError, match=r"a layer that matches \['nothing'\], got only down_blocks"):
        opened(stores, patterns=["nothing"])
    with pytest.raises(InputError, match=r"a layer that matches \['nothing'\], got only down_blocks"):
        Live(reciting(heads()), pictures_of(stores), pathway="qk", patterns=["nothing"])


@pytest.mark.parametrize("pathway", ["qk", "vv", "both"])
@pytest.mark.parametrize("batch_images", [1, 4])
def test_a_network_without_noise_says_what_the_cache_holds(shards, pathway, batch_images):
    cached = opened(shards(), pathway=pathway)
    network = reciting(heads())
    live = Live(network, pictures_of(shards()), pathway=pathway, patterns=["*"], batch_images=batch_images)
    assert (live.ids, live.layers) == (cached.ids, cached.layers)
    images = [7, 1, 4, 0, 5]
    found, expected = pairs(live.batch(images, 1)), pairs(cached.batch(images, 0))
    for name in GRIDS:
        for a, b in zip(found[name], expected[name], strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=0)  # float16


def test_noise_is_the_images_own_and_new_in_every_epoch(shards):
    pictures = pictures_of(shards())
    one, four = (
        Live(reciting(heads(), noise=0.5), pictures, pathway="qk", patterns=["*"], seed=3, batch_images=size)
        for size in (1, 4)
    )
    first, again, other_mates = (
        live.batch(which, 0) for live, which in ((one, [3, 0]), (one, [3, 0]), (four, range(5)))
    )
    for a, b, c in zip(first, again, other_mates, strict=True):
        assert torch.equal(a.source, b.source)
        assert torch.equal(a.source, c.source[[3, 0]])
    (epoch_0, *_), (epoch_1, *_) = one.batch([3], 0), one.batch([3], 1)
    assert (epoch_0.source - epoch_1.source).abs().max() > 0.1
    another = Live(reciting(heads(), noise=0.5), pictures, pathway="qk", patterns=["*"], seed=4)
    assert (next(another.batch([3], 0)).source - epoch_0.source).abs().max() > 0.1


def test_nothing_of_a_pass_but_the_chosen_layers_stays_in_memory(shards, monkeypatch):
    live = Live(reciting(heads()), pictures_of(shards()), pathway="vv", patterns=["block:mid"])
    recorded = []

    def watched(*given, **choice):
        found = capture(*given, **choice)
        recorded.extend(weakref.ref(t) for a in found.layers for t in (a.query, a.key, a.value))
        return found

    monkeypatch.setattr(source, "capture", watched)
    batch = live.batch(range(5), 0)
    pair = next(batch)
    gc.collect()
    assert pair.source.shape == (5, 6, 8)
    assert len(recorded) == 5 * 3 * 3
    assert not any(reference() is not None for reference in recorded)


def test_live_is_of_one_noise_sample(shards):
    with pytest.raises(InputError, match=r"reciting: expected one noise sample .* got 2; set samples: 1") as e:
        Live(reciting(heads(samples=2), samples=2), pictures_of(shards()), pathway="qk", patterns=["*"])
    assert "\n" not in str(e.value)


def test_sources_say_whose_weights_they_show(tmp_path, shards):
    live = Live(reciting(heads()), pictures_of(shards()), pathway="qk", patterns=["*"])
    assert live.weights == opened(shards()).weights == "none"
    other = write_features(tmp_path, replace(reciting(heads()), weights="others"), [2])
    with pytest.raises(InputError, match="same weights in all shards, got none and others; extract them anew"):
        opened([*shards(), *other])


def test_x_lives_on_the_finest_grid():
    assert finest([Layer("a", (4, 4)), Layer("b", (4, 6)), Layer("c", (1, 20))]) == (4, 6)


# ---------------------------------------------------------------------------------------------- loss


def operators(images=5, operator="walk", largest=1.0):
    """Dense symmetric graphs of two layers a grid: [(grid, matrix)], the last one scaled."""
    made = []
    for seed, grid in enumerate((FINE, COARSE, COARSE, FINE)):
        q, k = (unit_rows(heads({"a": grid}, images=images, seed=seed)["a"][0, side]) for side in (0, 1))
        M = operator_of(affinity(q, k, Sparsity(4, 4)), operator).toarray().astype(np.float64)
        made.append((grid, torch.from_numpy(M)))
    return [*made[:-1], (made[-1][0], largest * made[-1][1])]


def as_graphs(dense):
    """The same as the loss takes them: those of one grid stacked."""
    from scipy import sparse

    by_grid = {}
    for grid, M in dense:
        by_grid.setdefault(grid, []).append(sparse.csr_array(M.numpy()))
    return [stacked(grid, matrices) for grid, matrices in by_grid.items()]


def start_of(images=5, vectors=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, 24, vectors, generator=generator, dtype=torch.float64, requires_grad=True)


def per_image(g, images):
    """g of one image as a matrix on the locations of all."""
    return torch.kron(torch.eye(images, dtype=torch.float64), g.contiguous())


def dense_paper_loss(X, dense, data_weight, orthogonality_weight):
    flat = X.flatten(0, 1)
    quotients = []
    for grid, M in dense:
        Y = per_image(torch.kron(*resampling_matrix(FINE, grid)), len(X)) @ flat
        quotients.append(torch.diagonal(Y.T @ M @ Y) / Y.square().sum(0))
    Z = flat / flat.norm(dim=0)
    apart = (Z.T @ Z - torch.eye(X.shape[2])).square().sum().sqrt()
    return data_weight * (torch.stack(quotients) - 1).abs().mean() + orthogonality_weight * apart


def dense_released_loss(X, dense, data_weight, orthogonality_weight):
    flat = X.exp().flatten(0, 1)
    flat = flat / flat.sum(1, keepdim=True)
    halves = torch.kron(torch.kron(torch.eye(2), torch.ones(1, 2)), torch.kron(torch.eye(3), torch.ones(1, 2))) / 4
    total = 0
    for grid in (FINE, COARSE):
        Y = flat if grid == FINE else per_image(halves.double(), len(X)) @ flat
        Y = Y / Y.norm(dim=0)
        quotients = torch.stack([torch.diagonal(Y.T @ M @ Y) for own, M in dense if own == grid])
        cosines = [(Y[:, a] @ Y[:, b]) ** 2 for a in range(Y.shape[1]) for b in range(Y.shape[1]) if a != b]
        both = data_weight * (quotients - 1).abs().mean() + orthogonality_weight * torch.stack(cosines).mean()
        total = total + 32 / grid[0] * both
    return total


@pytest.mark.parametrize(
    ("ours", "reference"),
    [(paper_loss, dense_paper_loss), (released_loss, dense_released_loss)],
    ids=["paper", "released"],
)
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.3, 2.0)])
def test_loss_and_gradient_are_those_of_the_dense_formula(ours, reference, weights):
    dense = operators(largest=60.0)  # some quotients lie above 1
    graphs = as_graphs(dense)
    signs = torch.cat([(loss.joint_quotients(start_of(), graphs, FINE) - 1).sign().flatten()])
    assert set(signs.tolist()) == {-1, 1}
    X, Y = start_of(), start_of()
    found = ours(X, graphs, FINE, data_weight=weights[0], orthogonality_weight=weights[1])
    expected = reference(Y, dense, *weights)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(X.grad, Y.grad)
    assert X.grad.abs().max() > 1e-4


@pytest.mark.parametrize("ours", [paper_loss, released_loss])
def test_gradient_is_that_of_finite_differences(ours):
    graphs = as_graphs(operators(images=2))
    assert torch.autograd.gradcheck(lambda X: ours(X, graphs, FINE), start_of(images=2, vectors=2), atol=1e-6)


def test_the_scale_of_a_column_does_not_matter():
    graphs, X = as_graphs(operators()), start_of()
    scales = torch.tensor([0.01, 3.0, -200.0], dtype=torch.float64)
    torch.testing.assert_close(paper_loss(scales * X, graphs, FINE), paper_loss(X, graphs, FINE))
    rows = torch.randn(5, 24, 1, dtype=torch.float64)
    torch.testing.assert_close(released_loss(X + rows, graphs, FINE), released_loss(X, graphs, FINE))  # of a softmax


def test_quotients_are_listed_graph_by_graph():
    dense, X = operators(), start_of().detach()
    found = loss.joint_quotients(X, as_graphs(dense), FINE)
    alone = [loss.joint_quotients(X, as_graphs([dense[i]]), FINE)[0] for i in (0, 3, 1, 2)]  # grid by grid
    torch.testing.assert_close(found, torch.stack(alone))


def test_average_pooling_keeps_the_scale():
    X = torch.arange(48.0).reshape(2, 24, 1)
    assert torch.equal(loss.averaged(X, FINE, FINE), X)
    means = X.reshape(2, 2, 2, 3, 2).mean((2, 4)).reshape(2, 6, 1)
    torch.testing.assert_close(loss.averaged(X, FINE, COARSE), means)


# --------------------------------------------------------------------------------- state, mini-batch

SETTINGS = Descent(
    batch_images=3, batches=8, steps=2, average=0.5
)  # of 7 images: batches of 3, 2 and 2, two epochs and two thirds
GRAPH = Sparsity(3, 3)


def prepared(folder, images=7, settings=SETTINGS, **about):
    ids = [f"image-{i}" for i in range(images)]
    first = start(ids, 24, 3, deviation=settings.start, seed=0)
    steps = settings.batches, settings.steps
    return State.prepare(folder, first, settings.arrays, steps, {"images": images, **about})


def go_on(state, given=None, settings=SETTINGS, **choice):
    choice = {"sparsity": GRAPH, "operator": "walk", "grid": FINE, "seed": 0, **choice}
    descend(given or Held(len(state.counts)), state, settings, **choice)


def finished(folder, given=None, settings=SETTINGS, **choice):
    """All arrays of a descent from wherever the folder stands."""
    state = prepared(folder, settings=settings)
    go_on(state, given, settings, **choice)
    return contents(folder)


def contents(folder):
    return {file.stem: np.load(file) for file in folder.glob("*.npy")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """All arrays of a descent that nothing disturbed."""
    return finished(tmp_path_factory.mktemp("uninterrupted") / "x", settings=SETTINGS)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize(("images", "size"), [(7, 3), (160, 160), (10, 3), (5, 8), (1, 1), (161, 160)])
def test_every_image_is_in_one_batch_of_an_epoch(images, size):
    epochs = [schedule(images, size, epoch, seed=1) for epoch in range(3)]
    for batches in epochs:
        np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(images))
        sizes = [len(batch) for batch in batches]
        assert max(sizes) <= size
        assert max(sizes) - min(sizes) <= 1
        assert len(batches) == -(-images // size)
    if images == 10:
        assert len({tuple(map(tuple, batches)) for batches in epochs}) == 3
        assert any((a != b).any() for a, b in zip(schedule(10, 5, 0, 1), schedule(10, 5, 0, 2), strict=True))
        again = schedule(images, size, 2, seed=1)
        assert all((a == b).all() for a, b in zip(again, epochs[2], strict=True))


def test_x_starts_normal_and_is_the_images_own():
    ids = [f"image-{i}" for i in range(20)]
    X = np.stack(list(start(ids, 24, 30, deviation=0.5, seed=1)))
    assert X.dtype == np.float32
    assert X.std() == pytest.approx(0.5, rel=0.03)
    assert X.mean() == pytest.approx(0, abs=0.02)
    (alone,) = start(["image-7"], 24, 30, deviation=0.5, seed=1)
    np.testing.assert_array_equal(alone, X[7])
    assert not (X[0] == X[1]).any()


def test_only_the_images_of_a_batch_change(tmp_path):
    state, given = prepared(tmp_path / "x"), Held()
    before = contents(tmp_path / "x")
    go_on(state, given, replace(SETTINGS, batches=1))
    ((epoch, images),) = given.asked
    assert (epoch, len(images)) == (0, 3)
    others = [i for i in range(7) if i not in images]
    after = contents(tmp_path / "x")
    for name in ("x", "exp_avg", "exp_avg_sq", "counts"):
        np.testing.assert_array_equal(after[name][others], before[name][others])
        assert (after[name][list(images)] != before[name][list(images)]).any()
    assert after["counts"].tolist() == [int(i in images) for i in range(7)]
    assert np.isfinite(after["history"]).sum() == 2


def test_only_a_batch_is_in_memory(tmp_path, monkeypatch):
    given, rows, real = Held(), [], State.rows
    monkeypatch.setattr(State, "rows", lambda self, images: rows.append(real(self, images)) or rows[-1])
    finished(tmp_path / "x", given)
    assert [len(images) for _, images in given.asked] == [3, 2, 2, 3, 2, 2, 3, 2]
    assert [len(read["x"]) for read in rows] == [3, 2, 2, 3, 2, 2, 3, 2]
    assert not any(np.shares_memory(array, state) for array in rows[0].values() for state in rows[1].values())


@pytest.mark.parametrize("batch_images", [1, 4])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_descent_is_plain_adam_on_every_images_own_history(tmp_path, batch_images, average):
    """With one image a batch each is solved by itself; with all in one, all together."""
    settings = Descent(batch_images=batch_images, batches=12 // batch_images, steps=3, average=average, start=0.1)
    state, given = prepared(tmp_path / "x", images=4, settings=settings), Held(4)
    go_on(state, given, settings)
    groups = [[i] for i in range(4)] if batch_images == 1 else [[0, 1, 2, 3]]
    first = np.stack(list(start(given.ids, 24, 3, deviation=0.1, seed=0)))
    for group in groups:
        X = torch.tensor(first[group], requires_grad=True)
        optimiser, mean, losses = torch.optim.Adam([X], lr=1e-2), None, []
        for epoch in range(3):
            graphs = batch_graphs(given, group, epoch, GRAPH, "walk")
            for _ in range(3):
                optimiser.zero_grad()
                value = paper_loss(X, graphs, FINE)
                value.backward()
                optimiser.step()
                losses.append(float(value.detach()))
                mean = X.detach().clone() if mean is None else average * mean + (1 - average) * X.detach()
        moments = optimiser.state[X]
        np.testing.assert_allclose(state.arrays["x"][group], X.detach(), atol=1e-6)
        np.testing.assert_allclose(state.arrays["exp_avg"][group], moments["exp_avg"], atol=1e-7)
        np.testing.assert_allclose(state.arrays["exp_avg_sq"][group], moments["exp_avg_sq"], atol=1e-8)
        if average:
            np.testing.assert_allclose(state.arrays["average"][group], mean, atol=1e-6)
        if batch_images == 4:
            np.testing.assert_allclose(state.history.ravel(), losses, rtol=1e-5)
    assert ("average" in state.arrays) == bool(average)


def test_weight_decay_and_the_released_loss_take_part(tmp_path):
    plain, decayed, released = (
        finished(tmp_path / name, settings=replace(SETTINGS, **choice))
        for name, choice in {"a": {}, "b": {"weight_decay": 0.5}, "c": {"loss": "released"}}.items()
    )
    assert np.linalg.norm(decayed["x"]) < 0.99 * np.linalg.norm(plain["x"])
    assert not np.allclose(plain["x"], released["x"], atol=1e-3)


def test_the_loss_falls(tmp_path):
    settings = Descent(batch_images=3, batches=30, steps=5, learning_rate=0.1)
    history = finished(tmp_path / "x", settings=settings)["history"]
    assert history.shape == (30, 5)
    assert history[-3:].mean() < 0.8 * history[:3].mean()


class KilledError(Exception):
    """The process is gone."""


def at_last(function, times):
    """`function` for so many calls, then the process dies."""
    calls = iter(range(times))

    def counted(*given, **choice):
        if next(calls, None) is None:
            raise KilledError
        return function(*given, **choice)

    return counted


class DyingArrays(dict):
    """A state's arrays, of which one cannot be written the fifth time: others of that batch were."""

    def __init__(self, arrays):
        super().__init__(arrays)
        self._asked = at_last(super().__getitem__, 4)

    def __getitem__(self, name):
        return self._asked(name) if name == "exp_avg" else super().__getitem__(name)


def break_at(point, state, patch):
    """The process is to die at some point of its fifth batch."""
    if point == "before the graphs":
        patch.setattr(minibatch, "batch_graphs", at_last(minibatch.batch_graphs, 4))
    elif point == "writing the journal":
        whole_journal = at_last(np.savez, 4)

        def half_a_journal(file, **arrays):
            file.write(b"PK half")
            file.flush()
            file.seek(0)
            whole_journal(file, **arrays)

        patch.setattr(np, "savez", half_a_journal)
    elif point == "journal written":
        patch.setattr(State, "_apply", at_last(State._apply, 4))
    elif point == "half applied":
        state.arrays = DyingArrays(state.arrays)
    else:
        patch.setattr(State, "close", at_last(State.close, 4))


@pytest.mark.parametrize(
    ("point", "left"),
    [
        ("before the graphs", []),
        ("writing the journal", ["journal-4.npz.partial"]),
        ("journal written", ["journal-4.npz"]),
        ("half applied", ["journal-4.npz"]),
        ("applied", ["journal-4.npz"]),
    ],
)
def test_killed_at_any_point_it_ends_with_the_same_x(tmp_path, uninterrupted, point, left):
    state = prepared(tmp_path / "x")
    with pytest.MonkeyPatch.context() as patch:
        break_at(point, state, patch)
        with pytest.raises(KilledError):
            go_on(state)
    assert sorted(file.name for file in (tmp_path / "x").glob("journal*")) == left
    given = Held()
    taken_up = prepared(tmp_path / "x")
    in_step(tmp_path / "x", given, ranks=2)  # two take up what one began
    assert_same(contents(tmp_path / "x"), uninterrupted)
    assert not list((tmp_path / "x").glob("journal*"))
    done = 5 if left == ["journal-4.npz"] else 4
    assert len(given.asked) == 8 - done  # what was finished was not done again
    assert (taken_up.counts == uninterrupted["counts"]).all()


def in_step(folder, given, ranks):
    """Processes, here threads, that share a folder and wait for one another."""
    barrier = threading.Barrier(ranks, timeout=60)

    def one(rank):
        go_on(State(folder), given, rank=rank, ranks=ranks, wait=barrier.wait)

    with ThreadPoolExecutor(ranks) as pool:
        list(pool.map(one, range(ranks)))


def test_as_many_processes_as_one_likes_make_the_same_x(tmp_path, uninterrupted):
    for ranks in (2, 3, 5):
        given = Held()
        prepared(tmp_path / str(ranks))
        in_step(tmp_path / str(ranks), given, ranks)
        assert_same(contents(tmp_path / str(ranks)), uninterrupted)
        assert len(given.asked) == 8  # each batch once


def test_a_process_does_its_share_only(tmp_path):
    given = Held()
    go_on(prepared(tmp_path / "x"), given, replace(SETTINGS, batches=3), rank=1, ranks=3)
    assert given.asked == [(0, tuple(schedule(7, 3, 0, 0)[1].tolist()))]


def test_a_state_of_other_settings_or_a_damaged_one_is_begun_anew(tmp_path, uninterrupted):
    folder, one = tmp_path / "x", replace(SETTINGS, batches=1)
    untouched = prepared(tmp_path / "start").arrays
    go_on(prepared(folder), settings=one)
    assert prepared(folder).counts.any()  # the same is taken up
    for about in ({"contents": ["another"]}, {"seed": 1}):
        state = prepared(folder, **about)
        assert_same(contents(folder), untouched)
        go_on(state, settings=one)
        assert prepared(folder, **about).counts.any()
    for damage in (b"", b"{half", b"\xff\xfe\x00", b"[]"):
        go_on(prepared(folder), settings=one)
        (folder / "about.json").write_bytes(damage)
        prepared(folder)
        assert_same(contents(folder), untouched)
    (folder / "about.json").unlink()  # died while preparing
    (folder / "exp_avg.npy").write_bytes(b"half")
    go_on(prepared(folder))
    assert_same(contents(folder), uninterrupted)


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["x", "exp_avg_sq", "average", "counts", "history"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.unlink(),
        cut,
        lambda file: np.save(file, np.load(file)[:-1]),
        lambda file: file.write_bytes(b""),
    ],
    ids=["missing", "cut", "short", "empty"],
)
def test_a_state_without_all_its_arrays_is_begun_anew(tmp_path, name, damage):
    untouched = prepared(tmp_path / "start").arrays
    go_on(prepared(tmp_path / "x"), settings=replace(SETTINGS, batches=1))
    damage(tmp_path / "x" / f"{name}.npy")
    prepared(tmp_path / "x")
    assert_same(contents(tmp_path / "x"), untouched)


@pytest.mark.parametrize("again", [False, True])
def test_what_a_state_is_about_goes_first(tmp_path, again, monkeypatch):
    """Killed while a folder is taken away, whether for another state or at the end."""
    prepared(tmp_path / "x")
    seen = []

    def killed(folder, **_):
        seen.append((folder, (folder / "about.json").exists()))
        raise KilledError

    monkeypatch.setattr("whatwhere.method.joint.state.shutil.rmtree", killed)
    with pytest.raises(KilledError):
        prepared(tmp_path / "x", seed=1) if again else discard(tmp_path / "x")
    assert seen == [(tmp_path / "x", False)]


# --------------------------------------------------------------------------------------------- whole


def dense_operator(cached, sparsity, operator, grid):
    """Mean of gᵀ M g over layers and samples, as one matrix."""
    total, images = 0, len(cached.ids)
    for layer in cached.layers:
        for sample in range(cached.samples):
            pair = next(cached.whole(layer, sample))
            M = torch.from_numpy(operator_of(affinity(pair.source, pair.target, sparsity), operator).toarray()).double()
            g = per_image(torch.kron(*resampling_matrix(grid, layer.grid)), images)
            total = total + g.T @ M @ g
    return total / (len(cached.layers) * cached.samples)


@pytest.mark.parametrize(
    ("operator", "patterns", "samples"), [("normalised", "*", 1), ("walk", "*", 3), ("walk", "grid:4x6", 1)]
)
def test_all_images_at_once_is_dense_eigh(shards, operator, patterns, samples):
    cached = opened(shards(samples), patterns=[patterns])
    choice = {"sparsity": GRAPH, "operator": operator, "grid": FINE}
    found = solve_whole(cached, vectors=5, **choice)
    assert found.vectors.shape == (IMAGES, 24, 5)
    M = dense_operator(cached, **choice)
    values, columns = torch.linalg.eigh(M)
    np.testing.assert_allclose(found.values, values[-5:].flip(0), atol=1e-4)
    X = torch.from_numpy(found.vectors).flatten(0, 1)
    assert subspace_distance(X, columns[:, -5:]) < 1e-2
    torch.testing.assert_close(X.T @ X, torch.eye(5), atol=1e-4, rtol=0)
    residual = (M.float() @ X - X * torch.from_numpy(found.values)).norm(dim=0).max()
    said, searched = found.status.removeprefix("largest residual ").split(", ", 1)
    assert searched == "exact search"
    assert float(said) == pytest.approx(float(residual), abs=2e-6, rel=0.1)
    assert residual < 1e-3
    again = solve_whole(cached, vectors=5, **choice)
    np.testing.assert_array_equal(again.vectors, found.vectors)


@pytest.mark.parametrize(("patterns", "samples"), [("*", 3), ("grid:4x6", 1)])
def test_the_mean_of_all_walks_is_normalised_as_one_graph(shards, patterns, samples):
    """X solves `S x = λ D x` for the mean S of the symmetric walks and D regularised, and is orthonormal under D."""
    cached = opened(shards(samples), patterns=[patterns])
    found = solve_whole(cached, vectors=5, sparsity=GRAPH, operator="regularised", grid=FINE, tolerance=1e-6)
    S = dense_operator(cached, GRAPH, "walk", FINE)
    D = torch.diag(S.sum(1) + 0.3 * S.sum(1).mean())
    X = torch.from_numpy(found.vectors).flatten(0, 1).double()
    torch.testing.assert_close(S @ X, D @ X * torch.from_numpy(found.values).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(X.T @ D @ X, torch.eye(5, dtype=torch.float64), atol=1e-3, rtol=0)
    half = D.diag().rsqrt()
    every = torch.linalg.eigvalsh(half[:, None] * S * half)
    np.testing.assert_allclose(found.values, every[-5:].flip(0), atol=1e-4)
    assert float(every.abs().max()) <= 1


@pytest.mark.parametrize(
    ("most", "search_by", "inter", "expected"),
    [
        (10**6, "auto", 3, "exact search"),
        (10**6, "faiss", 3, "search by FAISS, recall at least 1.000"),
        (200, "auto", 3, "search by FAISS, recall at least 1.000"),
        (200, "exact", 3, "exact search"),
        (200, "auto", 0, "exact search"),  # nothing is looked for in other images
    ],
)
def test_the_status_says_how_neighbours_were_found(shards, monkeypatch, most, search_by, inter, expected):
    monkeypatch.setattr(search, "EXACT_LOCATIONS", most)  # of 216
    choice = {"sparsity": Sparsity(3, inter), "operator": "normalised", "grid": FINE, "search": search_by}
    assert solve_whole(opened(shards()), vectors=3, **choice).status.endswith(f", {expected}")


def test_the_operator_of_all_images_is_the_dense_one(shards):
    cached = opened(shards(3))
    graphs, recall = whole_graphs(cached, GRAPH, "walk", "exact")
    assert recall == 1
    assert sorted(graphs) == [COARSE, FINE]
    M = joint_operator(graphs, IMAGES, FINE)
    expected = dense_operator(cached, GRAPH, "walk", FINE)
    np.testing.assert_allclose(M @ np.eye(IMAGES * 24, dtype=np.float32), expected, atol=1e-6)
    np.testing.assert_allclose(M @ np.ones(IMAGES * 24, np.float32), expected.sum(1), atol=1e-5)


def test_the_operator_of_both_pathways_is_the_mean_of_the_two(shards):
    found = {}
    for pathway in ("qk", "vv", "both"):
        found[pathway], _ = whole_graphs(opened(shards(), pathway=pathway), GRAPH, "normalised", "exact")
    for grid in (COARSE, FINE):
        expected = (found["qk"][grid] + found["vv"][grid]).toarray() / 2
        np.testing.assert_allclose(found["both"][grid].toarray(), expected, atol=1e-6)


def two_classes():
    """Heads of a random map of two classes, whose vectors are alike in all images, and the class of every location."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(IMAGES, 24, generator=generator).argsort(1) % 2  # twelve of each
    noise = heads({"mid_block.attn": FINE})["mid_block.attn"]
    return {"mid_block.attn": 0.5 * noise + 4 * torch.eye(4)[:2][truth][None, None, :, None]}, truth.flatten()


def test_classes_that_images_share_are_found_across_them(tmp_path):
    given, truth = two_classes()
    cached = stored(tmp_path, given)
    found = solve_whole(cached, vectors=3, sparsity=GRAPH, operator="normalised", grid=FINE)
    assert found.values[1] == pytest.approx(1, abs=1e-4)  # two components
    assert found.values[2] < 0.99
    X = torch.from_numpy(found.vectors[..., :2]).flatten(0, 1)
    pair = next(cached.whole(cached.layers[0], 0))
    degrees = symmetric_part(random_walk(affinity(pair.source, pair.target, GRAPH))).sum(1)
    indicator = F.one_hot(truth).double()
    # on a component the eigenvector is √degree, and 0 elsewhere
    assert subspace_distance(X, torch.from_numpy(degrees).sqrt()[:, None] * indicator) < 1e-3
    rows = F.normalize(X)
    for number in (0, 1):
        own = rows[truth == number]
        torch.testing.assert_close(own, own[:1].expand_as(own), atol=1e-3, rtol=0)  # constant on the class
    assert abs(float(rows[truth == 0][0] @ rows[truth == 1][0])) < 1e-3


@pytest.mark.parametrize("rule", ["trace", "agreement"])
@pytest.mark.parametrize("operator", ["walk", "regularised"])
def test_a_layer_that_sees_noise_counts_less(tmp_path, rule, operator):
    """Two layers know the classes that images share, a third does not: the other two decide."""
    given, _ = two_classes()
    noise = heads({"mid_block.attn": FINE}, seed=7)["mid_block.attn"]
    layers = {"down.attn": given["mid_block.attn"], "mid_block.attn": given["mid_block.attn"], "up.attn": noise}
    choice = {"vectors": 3, "sparsity": GRAPH, "operator": operator, "grid": FINE}
    found = solve_whole(stored(tmp_path, layers), weights=rule, **choice)
    shares = [float(word) for word in found.status.rpartition("weights ")[2].split()]
    assert sum(shares) == pytest.approx(1, abs=0.002)
    assert shares[0] == shares[1]
    assert shares[0] > 1.2 * shares[2]


def test_layers_that_say_the_same_are_weighed_alike(tmp_path):
    given, _ = two_classes()
    cached = stored(tmp_path, {"a.attn": given["mid_block.attn"], "b.attn": given["mid_block.attn"]})
    choice = {"vectors": 3, "sparsity": GRAPH, "operator": "regularised", "grid": FINE, "tolerance": 1e-6}
    found, equal = (solve_whole(cached, weights=rule, **choice) for rule in ("auto", "equal"))
    assert found.status.endswith(", weights 0.500 0.500")
    np.testing.assert_allclose(found.values, equal.values, atol=1e-5)
    X, Y = (torch.from_numpy(one.vectors).flatten(0, 1) for one in (found, equal))
    assert subspace_distance(X, Y) < 1e-2
    with pytest.raises(InputError, match="weights: expected one of equal, trace, agreement, auto, got 'trece'"):
        solve_whole(cached, weights="trece", **choice)


def test_permuting_the_images_permutes_x(tmp_path, shards):
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(1))
    moved = {name: array[:, :, order] for name, array in heads().items()}
    choice = {"vectors": 4, "sparsity": GRAPH, "operator": "normalised", "grid": FINE, "tolerance": 1e-6}
    a, b = (solve_whole(cached, **choice) for cached in (opened(shards()), stored(tmp_path, moved)))
    np.testing.assert_allclose(a.values, b.values, atol=1e-5)
    X, Y = (torch.from_numpy(found.vectors) for found in (a, b))
    assert subspace_distance(X[order].flatten(0, 1), Y.flatten(0, 1)) < 1e-2


def test_what_cannot_be_solved_is_one_line(shards, monkeypatch):
    cached = opened(shards())
    choice = {"sparsity": GRAPH, "operator": "walk", "grid": FINE}
    with pytest.raises(InputError, match="expected fewer than the 216 locations, got 216; take fewer"):
        solve_whole(cached, vectors=216, **choice)
    with pytest.raises(InputError, match=r"expected cosines above 0\.9999, got none in 3 layers; lower the threshold"):
        solve_whole(cached, vectors=3, **{**choice, "sparsity": Sparsity(3, 3, 0.9999)})
    real = whole.eigsh
    monkeypatch.setattr(whole, "eigsh", lambda *given, **settings: real(*given, **settings | {"maxiter": 1, "ncv": 10}))
    with pytest.raises(InputError, match=r"expected 8 vectors within a tolerance of 1e-06, got \d; raise the") as e:
        solve_whole(cached, vectors=8, tolerance=1e-6, **choice)
    assert "\n" not in str(e.value)
