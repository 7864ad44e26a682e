"""Pages of a run's photographs: what they show is what its stores hold, and the report leads to them."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.explored import HUNDREDTH, facts_of, head_of, heads_of, mean_of, off
from tests.publish.test_report import settings_of_a_run
from tests.stages.test_stages import TINY, VIEW, dataset
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, read_json
from whatwhere.backbones import load_backbone
from whatwhere.method.walk import random_walk
from whatwhere.publish.explored import means
from whatwhere.publish.figures.page import save_page
from whatwhere.stages.explored import write_explored
from whatwhere.stages.features import extract, read_features
from whatwhere.stages.images import write_images
from whatwhere.stages.reporting import write_run_report

CHOICE = {"backbone": "tiny", "vectors": 4, "seed": 0}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two shards, of two photographs and of one: manifests of images and of features."""
    root, data = tmp_path_factory.mktemp("stores"), dataset(range(3))
    backbone = load_backbone("tiny", model="vit_tiny_patch16_224", weights="random", options=TINY)
    found = {"images": [], "features": []}
    for number, ids in enumerate((["image-0", "image-1"], ["image-2"])):
        images, features = (root / stage / f"64x64-00{number}.json" for stage in found)
        numbers = {name: place for place, name in enumerate(ids, 1)}
        write_images(data, ids, images, root / "coco.json", numbers=numbers, view=VIEW, run_images=2, settings={})
        settings = {"values": True, "batch_images": 1, "run_images": 2, "seed": 0, "settings": {}}
        extract(Store(images), backbone, features, **settings)
        found["images"].append(str(images))
        found["features"].append(str(features))
    return found


@pytest.fixture(scope="module")
def made(stores, tmp_path_factory):
    """The manifest of a page each, for tests to read and to copy."""
    output = tmp_path_factory.mktemp("run") / "explored" / "few.json"
    write_explored(**stores, output=output, first=3, **CHOICE)
    return output


def test_a_page_shows_what_the_stores_hold(stores, made):
    output = made
    said = read_json(output)["pages"]
    assert [page["title"] for page in said] == ["image-0", "image-1", "image-2"]
    assert [page["file"] for page in said] == ["1-image-0.html", "2-image-1.html", "3-image-2.html"]
    assert sorted(path.name for path in output.parent.iterdir()) == ["few", "few.json"]
    features = [(Store(stores["features"][shard]), place) for shard, place in ((0, 0), (0, 1), (1, 0))]
    for page, (store, place) in zip(said, features, strict=True):
        text = (output.parent / "few" / page["file"]).read_text("utf-8")
        for pathway in ("qk", "vv"):
            walks = random_walk(read_features(store, place), pathway=pathway)
            assert off(mean_of(facts_of(text), pathway), means.mean_walk(walks)) < HUNDREDTH
            (P,) = walks.layers[1].matrices()
            data = heads_of(text, f"{pathway}-1")[2]
            found = head_of(data, (4, 4), 1, facts_of(text)["tolerance"], same=pathway == "vv")
            assert off(found, P[2].numpy()) < HUNDREDTH


def test_the_first_ones_open_no_other_shard_and_pages_are_made_anew(stores, made, tmp_path):
    output = tmp_path / "seen.json"
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "of-an-earlier-run.html").write_text("")
    write_explored([stores["images"][0], "gone.json"], [stores["features"][0], "gone.json"], output, first=2, **CHOICE)
    before = {path.name: path.read_bytes() for path in (made.parent / "few").iterdir()}
    del before["3-image-2.html"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "seen").iterdir()} == before


def test_those_that_figures_name_have_a_page_after_the_first_ones_and_no_more_than_are_asked_for(stores, tmp_path):
    for most, titles in ((None, ["image-0", "image-2"]), (1, ["image-0"])):
        output = tmp_path / "seen.json"
        write_explored(**stores, output=output, first=1, ids=["image-2", "image-0"], most=most, **CHOICE)
        assert [page["title"] for page in read_json(output)["pages"]] == titles
        assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == [
            f"{number}-{name}.html" for number, name in enumerate(titles, 1)
        ]


def test_what_fails_leaves_no_manifest(stores, tmp_path):
    output = tmp_path / "seen.json"
    output.write_text("{}")
    with pytest.raises(InputError):
        write_explored(stores["images"], stores["features"][1:], output, first=1, **CHOICE)
    assert not output.exists()


def test_names_that_no_file_may_have_are_titles(tmp_path, stores, monkeypatch):
    name = "../a b/<i>é"
    monkeypatch.setattr(Store, "ids", [name])
    output = tmp_path / "seen.json"
    write_explored(stores["images"][:1], stores["features"][:1], output, first=1, **CHOICE)
    assert read_json(output)["pages"][0]["title"] == name
    assert [path.name for path in (tmp_path / "seen").iterdir()] == ["1--a-b-i-.html"]
    assert "<i>é" not in (tmp_path / "seen" / "1--a-b-i-.html").read_text("utf-8")


@pytest.fixture
def finished(made, tmp_path):
    """A run's folder with figures of two photographs, of one with a page and one without, and of another data set's of
    the same names; and the pages of the first data set.
    """
    (tmp_path / "figures").mkdir()
    for figure, ids in FIGURES.items():
        strip = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
        save_page([strip], tmp_path / "figures" / f"{figure}.png", images=ids)
    shutil.copytree(made.parent, tmp_path / "explored")
    return tmp_path


FIGURES = {"seen": ["image-2", "image-0"], "partly": ["image-1", "image-9"], "other": ["image-0"], "curves": []}
DATASETS = {"seen": "few", "partly": "few", "other": "others"}


def report(folder):
    figures = {name: {"title": name} for name in FIGURES}
    for name, its in DATASETS.items():
        figures[name]["dataset"] = its
    settings = settings_of_a_run(claims=[], figures=figures, explored={"few": {"backbone": "tiny", "images": None}})
    drawn, explored = [str(folder / f"figures/{name}.png") for name in FIGURES], [str(folder / "explored/few.json")]
    write_run_report(folder / "report.html", [], drawn, settings, explored=explored)
    return (folder / "report.html").read_text("utf-8")


def test_under_each_figure_the_report_leads_to_the_pages_of_the_photographs_that_it_shows(finished):
    articles = re.findall(r'<article id="figure-(\w+)">(.*?)</article>', report(finished), re.S)
    links = {name: re.findall(r'<a href="(.*?)">(.*?)</a>', text) for name, text in articles}
    assert links == {
        "seen": [("explored/few/3-image-2.html", "image-2"), ("explored/few/1-image-0.html", "image-0")],
        "partly": [("explored/few/2-image-1.html", "image-1")],
        "other": [],
        "curves": [],
    }
    assert all((finished / link).is_file() for of_one in links.values() for link, _ in of_one)


def test_the_report_counts_the_bytes_of_pages(finished):
    report(finished)
    stage, count, size, *_ = (finished / "stages.csv").read_text().splitlines()[-1].split(",")
    assert (stage, count) == ("explored", "1")
    assert size.endswith("kB")


@pytest.mark.parametrize("harm", [lambda page: page.unlink(), lambda page: page.write_text("another")])
def test_a_page_that_is_gone_or_another_is_said(finished, harm):
    harm(finished / "explored" / "few" / "2-image-1.html")
    with pytest.raises(InputError, match=r"2-image-1.html: expected the page that was made, got .*few.json"):
        report(finished)
