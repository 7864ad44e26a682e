"""Graphs of a drawing are those that are solved, and made-up stores give drawings of known layout and size."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, create
from whatwhere.method.joint import graph as solved_graph
from whatwhere.method.joint.sparsity import PAPER, RELEASED, SIDES, Sparsity
from whatwhere.publish.figures import DPI, Blank, Eigenvectors, Graph, Heat, Photo, Regions, Row, draw_overview
from whatwhere.stages import drawing, method_drawing, method_graphs
from whatwhere.stages.method_graphs import affinity, entering, graphs, stored_layers
from whatwhere.stages.shown import Shards

IDS = ("a", "b", "c", "d")
GRIDS = {"4x4": (4, 4), "2x2": (2, 2)}
UP, DOWN = "unet.up_blocks.1.attentions.0.attn1", "unet.down_blocks.0.attentions.0.attn1"
MID = "unet.mid_block.attentions.0.attn1"
COARSE = {"layer": [MID, f"{MID}#2"], "order": [1, 4], "sample": [0, 1]}
#: Layers as a store of features has them: two noise samples of down, mid and up, by grid.
GROUPS = {
    "4x4": {"layer": [DOWN, UP, f"{DOWN}#2", f"{UP}#2"], "order": [0, 2, 3, 5], "sample": [0, 0, 1, 1]},
    "2x2": COARSE,
}
METHOD = {"pathway": "vv", "layers": ["*"], "graph": "paper"}


def write(manifest, attributes, settings=None, ids=IDS, along=None, **arrays):
    """A store whose arrays have these axes and values: `name=(dims, array)`, and what lies along the axes."""
    with create(manifest, settings or {}, {"dataset": "set", **attributes}, {"image": ids, **(along or {})}) as store:
        for name, (dims, array) in arrays.items():
            store.array(name, array.shape, str(array.dtype), ("image", *dims))[:] = array
    return str(manifest)


def feature_store(manifest, rng, sides="qkv", groups=GROUPS):
    axes = ("image", "layer", "head", "token", "channel")
    with create(manifest, {}, {"dataset": "set"}, {"image": IDS}) as store:
        for group, text in groups.items():
            rows, columns = GRIDS[group]
            shape = (len(IDS), len(text["layer"]), 2, rows * columns, 3)
            others = {name: ("layer", values) for name, values in text.items() if name != "layer"}
            along = {"layer": text["layer"], "scale": ("layer", [0.5] * shape[1]), **others}
            store.group(group, {"grid": GRIDS[group]}, along)
            for side in sides:
                store.array(f"{group}/{side}", shape, "float16", axes)[:] = rng.normal(0, 1, shape)
    return str(manifest)


def vector_store(manifest, rng, pathway=None):
    """X of single images or, with a pathway, of a joint solve."""
    vectors = rng.normal(0, 1, (len(IDS), 16, 5)).astype(np.float32)
    attributes = {"grid": (4, 4)} | ({"limits": [[-2.0, 2.0]] * 5} if pathway else {})
    settings = {"method": {**METHOD, "pathway": pathway}} if pathway else {}
    return write(manifest, attributes, settings, vectors=(("token", "vector"), vectors))


def region_store(manifest, rng):
    labels = rng.integers(0, 3, (len(IDS), 1, 16)).astype(np.int16)
    along = {"partition": [3], "chosen": ("image", [3] * len(IDS))}
    return write(manifest, {"grid": (4, 4)}, along=along, regions=(("partition", "token"), labels))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def given(tmp_path, rng):
    """Manifests of everything that a drawing of the method may ask for."""
    pictures = np.stack([np.full((16, 24, 3), 40 * number, np.uint8) for number in range(1, 5)])
    inputs = {
        "images": write(tmp_path / "images.json", {}, rgb=(("y", "x", "channel"), pictures)),
        "features": feature_store(tmp_path / "features.json", rng),
    }
    for method, pathway in (("single", None), ("what", "vv"), ("where", "qk")):
        inputs[f"vectors_{method}"] = vector_store(tmp_path / f"v-{method}.json", rng, pathway)
        inputs[f"regions_{method}"] = region_store(tmp_path / f"r-{method}.json", rng)
    return {key: [manifest] for key, manifest in inputs.items()}


def said(drawn, **options):
    """Settings of a drawing as the configuration has them."""
    settings = {
        "kind": "method",
        "drawing": drawn,
        "title": "A title",
        "dataset": "set",
        "backbone": "zoo",
        "images": 4,
    }
    return settings | options


def pixels(path):
    with Image.open(path) as page:
        assert (page.format, page.mode) == ("PNG", "RGB")
        assert page.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
        return np.asarray(page)


def units(rng, images=3, tokens=20, width=6):
    rows = rng.normal(0, 1, (images, tokens, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


class TestAffinity:
    """The torch implementation is the reference."""

    CHOICES = (
        PAPER,
        RELEASED,
        Sparsity(0, 3, 0.0),
        Sparsity(2, 0, 0.3),
    )

    @pytest.mark.parametrize("sparsity", CHOICES)
    @pytest.mark.parametrize("block_rows", [7, 1024])
    def test_it_is_the_graph_that_is_solved(self, rng, sparsity, block_rows, monkeypatch):
        monkeypatch.setattr(method_graphs, "BLOCK_ROWS", block_rows)
        source, target = units(rng), units(rng)
        found = affinity(source, target, sparsity)
        sides = torch.from_numpy(source), torch.from_numpy(target)
        expected = solved_graph.affinity(*sides, sparsity)
        assert found.shape == expected.shape == (60, 60)
        np.testing.assert_array_equal(found.toarray() > 0, expected.toarray() > 0)
        np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-6)

    def test_one_image_has_no_connections_to_others(self, rng):
        A = affinity(*[units(rng, images=1)] * 2, Sparsity(4, 4))
        assert A.shape == (20, 20)
        assert A.nnz <= 80
        assert not A.diagonal().any()


class TestLayers:
    def test_layers_have_the_networks_order_and_one_noise_sample(self, given):
        found = stored_layers(Store(given["features"][0]))
        assert [(layer.module, layer.name, layer.grid) for layer in found] == [
            (DOWN, "1 down", (4, 4)),
            (MID, "2 mid", (2, 2)),
            (UP, "3 up", (4, 4)),
        ]
        assert [(layer.group, layer.number) for layer in found] == [("4x4", 0), ("2x2", 0), ("4x4", 1)]

    def test_methods_choose_layers_as_they_do_when_they_are_solved(self, given):
        layers = stored_layers(Store(given["features"][0]))
        chosen = [entering(layers, {"layers": patterns}) for patterns in (["*"], ["block:mid"], ["grid:4x4"])]
        assert chosen == [[True] * 3, [False, True, False], [True, False, True]]

    @pytest.mark.parametrize("pathway", ["qk", "vv"])
    def test_graphs_are_of_the_images_in_their_order(self, given, pathway):
        store, features = Store(given["features"][0]), Shards(given["features"])
        layers = stored_layers(store)
        found = list(graphs(layers, ["c", "a"], features, {**METHOD, "pathway": pathway}))
        assert [graph.name for graph in found] == ["layer 1 down", "layer 2 mid", "layer 3 up"]
        (names,) = SIDES[pathway]
        sides = [torch.from_numpy(store.read(f"4x4/{side}")[[2, 0], 1].astype(np.float32)) for side in names]
        expected = solved_graph.affinity(*map(solved_graph.unit_rows, sides), PAPER)
        np.testing.assert_allclose(found[2].A.toarray(), expected.toarray(), atol=1e-6)

    def test_numbers_of_ones_own_are_taken_for_a_graph(self, given):
        own = {"intra": 1, "inter": 2, "threshold": 0.0, "symmetric": False, "slack": 0.5}
        layers = stored_layers(Store(given["features"][0]))
        (first, *_) = graphs(layers, ["a", "b"], Shards(given["features"]), {**METHOD, "graph": own})
        assert set(np.diff(first.A.indptr)) <= {2, 3}

    def test_features_without_values_are_one_clear_line(self, tmp_path, rng):
        manifest = feature_store(tmp_path / "bare.json", rng, sides="qk")
        layers = stored_layers(Store(manifest))
        with pytest.raises(InputError, match=r"expected the array 4x4/v, got features without it; extract them with v"):
            list(graphs(layers, ["a"], Shards([manifest]), METHOD))


def planted(entries, images=2, grid=(1, 2)):
    from scipy import sparse

    count = images * grid[0] * grid[1]
    rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
    return Graph("g", grid, images, sparse.csr_matrix((values, (rows, columns)), shape=(count, count)))


class TestGraph:
    def test_a_matrix_is_dark_inside_an_image_and_coloured_across(self):
        shown = planted([(0, 1, 1.0), (3, 0, 1.0)]).picture(8, "#ff0000")
        assert (shown[:2, 2:4] == 0x26).all()
        np.testing.assert_array_equal(shown[7, 0], [255, 0, 0])
        assert (shown[4] == shown[4, 0]).all()  # the border between the images
        assert (shown[4] == 150).all()
        assert (shown[:2, :2] == 255).all()

    def test_the_strongest_look_alike_and_the_weak_are_paler(self):
        shown = planted([(0, 1, 1.0), (1, 0, 0.1)]).picture(8, "#ff0000").astype(int)
        assert shown[0, 2, 0] == 0x26 < shown[2, 0, 0] < 255

    def test_more_locations_than_pixels_are_summed(self, rng):
        A = affinity(*[units(rng, tokens=100)] * 2, Sparsity(5, 5))
        shown = Graph("g", (10, 10), 3, A).picture(30, "#ff0000")
        assert shown.shape == (30, 30, 3)
        assert (shown < 255).any()

    def test_nothing_connected_is_white(self):
        shown = planted([]).picture(9, "#ff0000")
        assert (np.delete(np.delete(shown, 4, 0), 4, 1) == 255).all()

    def test_a_locations_strongest_connections_are_first_its_own_images(self):
        graph = planted([(0, 1, 0.2), (0, 2, 0.9), (0, 3, 0.5), (1, 0, 1.0)])
        assert [location for location, _ in graph.strongest(0, 10)] == [1, 2, 3]
        assert graph.strongest(0, 1) == [(1, 0.2), (2, 0.9)]
        assert graph.strongest(3, 5) == []

    def test_places_and_locations_belong_together(self):
        graph = planted([], images=3, grid=(3, 4))
        for location in range(36):
            assert graph.location(*graph.place(location)) == location
        assert graph.place(12 + 4 + 1) == (1, 0.5, 1.5 / 4)
        assert (graph.location(0, 0.0, 0.0), graph.location(2, 1.0, 1.0)) == (0, 35)

    def test_a_matrix_of_other_locations_is_refused(self):
        with pytest.raises(InputError, match=r"graph g: expected 2 images of 1 × 2 locations, got a matrix \[3, 3\]; "):
            Graph("g", (1, 2), 2, planted([], images=3, grid=(1, 1)).A)


def overview_row(rng, name="a", cells=4, size=(16, 24)):
    shown = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    return Row(name, shown, (Eigenvectors(rng.normal(0, 1, (4, 6, 3))), Regions(np.zeros((4, 6), int)))[:1] * cells)


class TestOverview:
    @pytest.mark.parametrize("size", [(16, 32), (20, 16)])
    @pytest.mark.parametrize("images", [3, 9])
    def test_it_fills_the_page_whatever_the_shape_and_the_number_of_images(self, tmp_path, rng, size, images):
        rows = [overview_row(rng, str(i), size=size) for i in range(images)]
        draw_overview(overview_row(rng, cells=2, size=size), rows, tmp_path / "a.png", title="t")
        page = pixels(tmp_path / "a.png")
        assert page.shape[1] == 7 * DPI
        bottom = page[-40:-25]  # the grounds of both panels end there, as wide as the page
        assert (bottom[:, 30] != 255).any()
        assert (bottom[:, -30] != 255).any()

    def test_cells_are_drawn_pixel_for_pixel_in_their_rows(self, tmp_path, rng):
        colours = [(value, 0, 255 - value) for value in range(0, 70, 10)]  # no letter or line has one of them
        photos = [Photo(np.full((16, 16, 3), colour, np.uint8)) for colour in colours]
        rows = [Row("a", photos[0].image, tuple(photos[1:5]))] * 3
        single = Row("b", photos[0].image, tuple(photos[5:7]))
        draw_overview(single, rows, tmp_path / "a.png", title="t")
        page = pixels(tmp_path / "a.png")
        areas = [(page == colour).all(2) for colour in colours]
        sides = [np.ptp(np.argwhere(area), axis=0) + 1 for area in areas[1:7]]
        many, one = sides[:4], sides[4:]
        assert all(height * 3 + 2 * 8 == width for height, width in many)
        assert all(height == width > many[0][0] for height, width in one)
        tops = [np.argwhere(area)[:, 0].min() for area in areas[1:5]]
        assert tops == sorted(tops)

    @pytest.mark.parametrize(
        ("cells", "sizes", "expected"),
        [
            (2, [], "expected images of a data set, got none; "),
            (3, [(16, 24)], "expected 2 cells, got 3 of image a; "),
            (2, [(16, 24), (24, 16)], "expected images of one shape, got 16 × 24, 24 × 16; "),
        ],
    )
    def test_what_cannot_be_drawn_is_one_line_and_leaves_nothing(self, tmp_path, rng, cells, sizes, expected):
        rows = [overview_row(rng, size=size) for size in sizes]
        with pytest.raises(InputError, match=expected):
            draw_overview(overview_row(rng, cells=cells), rows, tmp_path / "sub" / "a.png", title="t")
        assert not (tmp_path / "sub").exists()


@pytest.fixture
def asked(monkeypatch):
    """What would be drawn, instead of a drawing."""
    found = {}
    for name in ("draw_overview", "draw_diagram"):
        monkeypatch.setattr(
            method_drawing, name, lambda *values, name=name, **words: found.update({name: values, "words": words})
        )
    return found


class TestMethod:
    @pytest.mark.parametrize("drawn", ["overview", "diagram"])
    def test_the_same_stores_give_the_same_page(self, given, tmp_path, drawn):
        for name in ("a.png", "b.png"):
            drawing.draw_figure(tmp_path / "figures" / name, given, said(drawn))
        files = [tmp_path / "figures" / name for name in ("a.png", "b.png")]
        assert pixels(files[0]).shape[1] == 7 * DPI
        assert files[0].read_bytes() == files[1].read_bytes()
        assert len(list((tmp_path / "figures").iterdir())) == 2

    def test_an_overview_is_of_the_first_image_and_of_the_others(self, given, asked, tmp_path):
        method_drawing.draw_method(tmp_path / "a.png", given, said("overview", images=3))
        single, several, _ = asked["draw_overview"]
        assert (single.id, [row.id for row in several]) == ("a", ["b", "c"])
        assert [type(cell) for cell in single.cells] == [Eigenvectors, Regions]
        assert [type(cell) for cell in several[0].cells] == [Eigenvectors, Regions] * 2
        assert single.cells[0].limits is None
        assert several[0].cells[0].limits is not None
        assert single.cells[1].note.startswith("K = ")
        assert not several[0].cells[1].note
        assert "3 clusters over all 4 images" in asked["words"]["caption"]

    def test_a_diagram_has_the_graphs_of_its_images_and_x_of_the_set(self, given, asked, tmp_path):
        chosen = said("diagram", ids=["d", "b", "c"], location=(0.9, 0.1))
        method_drawing.draw_method(tmp_path / "a.png", given, chosen)
        rows, layers, lanes, _ = asked["draw_diagram"]
        assert [row.id for row in rows] == ["d", "b", "c"]
        assert [type(cell) for cell in rows[0].cells] == [Eigenvectors, Heat, Regions] * 2
        leading = Store(given["vectors_where"][0]).read("vectors", 3)[:, 0].reshape(4, 4)
        np.testing.assert_array_equal(rows[0].cells[4].vector, leading)
        assert (layers.names, layers.chosen) == (("1 down", "2 mid", "3 up"), (True,) * 3)
        for lane in lanes:
            assert [graph.A.shape for graph in lane.graphs] == [(48, 48), (12, 12), (48, 48)]
            mean = (lane.graphs[0].A + lane.graphs[2].A) / 2  # of the finest grid
            np.testing.assert_allclose(lane.mean.A.toarray(), mean.toarray())
            assert lane.location == 16 + 12  # of the middle image the lower left
        assert abs(lanes[0].mean.A - lanes[1].mean.A).max() > 0

    def test_images_are_found_in_whatever_shard_they_lie(self, given, asked, tmp_path):
        later = write(tmp_path / "z.json", {}, ids=["z"], rgb=(("y",), np.zeros((1, 2), np.uint8)))
        shards = {**given, "images": [later, *given["images"]]}
        method_drawing.draw_method(tmp_path / "a.png", shards, said("overview", ids=["b", "a"]))
        assert asked["draw_overview"][0].id == "b"

    def test_what_a_method_does_not_have_is_blank(self, given, asked, tmp_path, rng):
        few = write(tmp_path / "few.json", {"grid": (4, 4)}, vectors=(("token", "vector"), np.zeros((4, 16, 0), "f4")))
        method_drawing.draw_method(tmp_path / "a.png", {**given, "vectors_single": [few]}, said("overview"))
        assert asked["draw_overview"][0].cells[0] == Blank("only 0 vectors")

    @pytest.mark.parametrize(
        ("drawn", "change", "expected"),
        [
            ("overview", {"regions_what": []}, "expected the stores regions_what, got none; "),
            ("diagram", {"features": []}, "expected the stores features, got none; name methods whose features"),
            (
                "overview",
                {"vectors_what": "vectors_where"},
                "expected X of a whole data set and of vv graphs as what, got",
            ),
            ("diagram", {"vectors_where": "vectors_single"}, "as where, got no pathway, of single images; "),
        ],
    )
    def test_inputs_that_do_not_fit_are_one_line_and_leave_nothing(self, given, tmp_path, drawn, change, expected):
        inputs = given | {key: given[value] if value else [] for key, value in change.items()}
        with pytest.raises(InputError, match=expected):
            method_drawing.draw_method(tmp_path / "sub" / "a.png", inputs, said(drawn))
        assert not (tmp_path / "sub").exists()

    @pytest.mark.parametrize("drawn", ["overview", "diagram"])
    def test_one_image_and_unknown_ones_are_refused(self, given, tmp_path, drawn):
        with pytest.raises(InputError, match="expected two images or more, got 1; "):
            method_drawing.draw_method(tmp_path / "a.png", given, said(drawn, images=1))
        with pytest.raises(InputError, match="expected image nobody in every column, got none in 1 stores"):
            method_drawing.draw_method(tmp_path / "a.png", given, said(drawn, ids=["a", "nobody"]))

    def test_a_network_of_many_layers_and_flat_images_has_its_page(self, given, tmp_path, rng):
        order = list(range(40))
        groups = {"2x2": {"layer": [f"blocks.{i}.attn" for i in order], "order": order, "sample": [0] * 40}}
        many = feature_store(tmp_path / "many.json", rng, groups=groups)
        flat = write(tmp_path / "flat.json", {}, rgb=(("y", "x", "channel"), np.zeros((4, 8, 32, 3), np.uint8)))
        inputs = {**given, "features": [many], "images": [flat]}
        drawing.draw_figure(tmp_path / "a.png", inputs, said("diagram", images=2))
        height, width, _ = pixels(tmp_path / "a.png").shape
        assert (width, height < width / 2) == (7 * DPI, True)

    def test_drawing_needs_no_torch(self, given, tmp_path):
        code = (
            "import json, pathlib, sys; from whatwhere.stages.drawing import draw_figure\n"
            "draw_figure(pathlib.Path(sys.argv[1]), *map(json.loads, sys.argv[2:])); sys.exit('torch' in sys.modules)"
        )
        values = [str(tmp_path / "a.png"), json.dumps(given), json.dumps(said("diagram", images=2))]
        done = subprocess.run([sys.executable, "-c", code, *values], env=os.environ, check=False)
        assert done.returncode == 0
        assert (tmp_path / "a.png").is_file()
