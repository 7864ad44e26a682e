"""A run opened from Python: all shards as one, by name, lazily, and what is wrong in the store's own words."""

import inspect
import json
import pickle
import re
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray

import whatwhere
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, create

ROOT = Path(__file__).parents[2]
PLACE = "features/scenes/zoo-dino"
LAYERS = [f"blocks.{i}.attn" for i in range(6)]
#: Images of one data set by shard, and how many people drew each of them.
SHARDS = {
    "128x128-000": [f"scene-00000{i}" for i in range(5)],
    "128x128-001": ["scene-000005"],
    "128x128-010": ["scene-000006", "scene-000007"],
}
DEPTH = {"128x128-000": 1, "128x128-001": 0, "128x128-010": 3}
NAMES = [name for ids in SHARDS.values() for name in ids]


def number(name):
    return int(name[-6:])


def by_image(shard, *shape, dtype="float32"):
    """Random numbers that follow from the image's id alone."""
    every = [np.random.default_rng(number(name)).normal(0, 100, shape).astype(dtype) for name in SHARDS[shard]]
    return np.stack(every)


def write_images(run, shard, size=(8, 8)):
    ids, depth = SHARDS[shard], DEPTH[shard]
    along = {"image": ids, "annotators": ("image", [depth] * len(ids))}
    with create(run / f"images/scenes/native/{shard}.json", {}, {"dataset": "scenes"}, along) as store:
        axes = ("image", "y", "x", "channel")
        store.array("rgb", (len(ids), *size, 3), "uint8", axes)[:] = by_image(shard, *size, 3, dtype="uint8")
        if depth:
            axes = ("image", "annotator", "y", "x")
            store.array("labels", (len(ids), depth, *size), "int16", axes, fill=-1)[:] = 7
            words = np.array([[f"caption {i}" for i in range(depth)]] * len(ids), np.dtypes.StringDType())
            store.array("captions", words.shape, "str", ("image", "caption"))[:] = words


def write_features(run, shard, grid=(16, 16), place=PLACE):
    ids, tokens = SHARDS[shard], grid[0] * grid[1]
    with create(run / place / f"{shard}.json", {}, {"dataset": "scenes"}, {"image": ids}) as store:
        name = f"{grid[0]}x{grid[1]}"
        store.group(name, {"grid": grid}, {"layer": LAYERS, "sample": ("layer", [0] * 6)})
        axes = ("image", "layer", "head", "token", "channel")
        for side in "qk":
            array = store.array(f"{name}/{side}", (len(ids), 6, 2, tokens, 4), "float16", axes, run_images=2)
            array[:] = by_image(shard, 6, 2, tokens, 4, dtype="float16")
        store.group("tokens", {"grid": grid})
        axes = ("image", "token", "channel")
        array = store.array("tokens/final", (len(ids), tokens, 8), "float16", axes, run_images=2)
        array[:] = by_image(shard, tokens, 8, dtype="float16")


def write_solution(run, shard):
    ids, about = SHARDS[shard], {"dataset": "scenes", "grid": [16, 16]}
    along = {"image": ids, "value": (("image", "vector"), by_image(shard, 3))}
    with create(run / f"vectors/scenes/zoo-dino/exact/{shard}.json", {}, about, along) as store:
        store.array("vectors", (len(ids), 256, 3), "float32", ("image", "token", "vector"))[:] = by_image(shard, 256, 3)
    chosen = [(3, 5)[number(name) % 2] for name in ids]
    along = {"image": ids, "partition": [3, 5], "chosen": ("image", chosen)}
    labels = np.broadcast_to(np.array([3, 5])[:, None], (len(ids), 2, 256))
    with create(run / f"regions/scenes/zoo-dino/exact/{shard}.json", {}, about, along) as store:
        store.array("regions", labels.shape, "int16", ("image", "partition", "token"))[:] = labels
    scores = run / f"scores/scenes/zoo-dino/exact/{shard}.parquet"
    scores.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "image": ids,
        "pixels": [number(name) for name in ids],
        "annotator": 0,
        "label": 0,
        "chosen": True,
        "iou": 0.5,
    }
    pd.DataFrame(columns).to_parquet(scores)


def write_refined(run):
    """A store of all images, whose one partition has no axis."""
    along = {"image": NAMES, "partition": 27}
    with create(run / "refined/scenes/zoo-dino/what.json", {}, {"dataset": "scenes"}, along) as store:
        store.array("pixels", (len(NAMES), 4, 4), "int16", ("image", "y", "x"), run_images=16)[:] = 1


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A planted run of three shards."""
    run = tmp_path_factory.mktemp("run") / "results" / "embedded"
    for shard in SHARDS:
        write_images(run, shard)
        write_features(run, shard)
        write_solution(run, shard)
    write_refined(run)
    (run / "images/scenes/native/index.json").write_text(json.dumps({"shards": SHARDS}))
    (run / "tables").mkdir()
    (run / "tables/table1.csv").write_text('Model,"mIoU, K = 3"\ntiny,0.5\n')
    for name in ("tables/table1.md", "figures/figure3.png", "report.html", "logs/report.log", "joint/a/b/c.lock"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("words")
    return run


@pytest.fixture
def run(finished, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(finished, tmp_path / "results" / "embedded")


@pytest.fixture
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def stores(run, place):
    return [Store(run / place / f"{shard}.json") for shard in SHARDS]


class TestNames:
    def test_are_everything_there_is_and_nothing_else(self, finished):
        assert list(whatwhere.open_run(finished)) == [
            "features/scenes/zoo-dino",
            "figures/figure3.png",
            "images/scenes/native",
            "images/scenes/native/index.json",
            "refined/scenes/zoo-dino/what",
            "regions/scenes/zoo-dino/exact",
            "report.html",
            "scores/scenes/zoo-dino/exact",
            "tables/table1",
            "tables/table1.md",
            "vectors/scenes/zoo-dino/exact",
        ]

    def test_are_shown_by_kind_and_by_name(self, finished):
        run = whatwhere.open_run(finished)
        lines = repr(run).splitlines()
        assert lines[0] == f"run {finished}"
        assert "  features     1 store" in lines
        assert "  images       1 JSON, 1 store" in lines
        assert lines[-1] == "  report.html"
        assert len(lines) == 10
        assert repr(run.features).splitlines() == [f"{finished}/features", "  scenes/zoo-dino"]
        assert {"features", "tables", "keys"} <= {*dir(run)}

    def test_nothing_is_opened_before_it_is_asked_for(self, run):
        for file in [*run.rglob("*.json"), *run.rglob("*.parquet")]:
            file.write_text("damaged")
        opened = whatwhere.open_run(run)
        assert len(repr(opened)) > 0
        assert PLACE in opened
        assert opened != whatwhere.open_run(run)  # nor for a comparison
        for name in (PLACE, "images/scenes/native/index.json", "scores/scenes/zoo-dino/exact"):
            with pytest.raises(InputError, match="damaged"):
                opened[name]

    def test_that_are_not_there_are_key_and_attribute_errors(self, finished):
        run = whatwhere.open_run(finished)
        with pytest.raises(KeyError):
            run["features/scenes/nobody"]
        with pytest.raises(AttributeError, match=r"expected one of features, figures, .*got 'feature'"):
            run.feature  # noqa: B018
        assert "scenes/nobody" not in run.features
        assert [*pickle.loads(pickle.dumps(run))] == [*run]

    @pytest.mark.parametrize(
        ("place", "got"),
        [("nowhere", "none"), ("results", r"one of runs \(embedded\)"), ("results/embedded/logs", "ano")],
    )
    def test_of_no_run_are_one_line(self, finished, place, got):
        wish = rf"{place}: expected the folder of a run, such as results/embedded, got {got}"
        with pytest.raises(InputError, match=wish) as caught:
            whatwhere.open_run(finished.parents[1] / place)
        assert "\n" not in str(caught.value)

    def test_importing_the_package_stays_cheap(self):
        code = "import sys, whatwhere; print({'zarr', 'numpy', 'xarray', 'pandas'} & {*sys.modules})"
        assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
        with pytest.raises(AttributeError):
            whatwhere.open_runs  # noqa: B018


class TestShards:
    @pytest.mark.usefixtures("strict")
    def test_follow_each_other_along_the_images(self, finished):
        tree = whatwhere.open_run(finished)[PLACE]
        assert tree["16x16"].image.values.tolist() == NAMES
        for place, array in (("16x16/q", tree["16x16"].q), ("tokens/final", tree["tokens"].final)):
            np.testing.assert_array_equal(
                array.values, np.concatenate([s.read(place) for s in stores(finished, PLACE)])
            )
        for name in NAMES:
            expected = np.random.default_rng(number(name)).normal(0, 100, (6, 2, 256, 4)).astype(np.float16)
            found = tree["16x16"].q.sel(image=name, layer="blocks.4.attn", head=1)
            np.testing.assert_array_equal(found.values, expected[4, 1])

    def test_are_what_xarray_reads_in_each(self, finished):
        run = whatwhere.open_run(finished)
        for place, group in ((PLACE, "16x16"), (PLACE, "tokens"), ("vectors/scenes/zoo-dino/exact", None)):
            parts = [xarray.open_zarr(store.path, group=group).load() for store in stores(finished, place)]
            expected = xarray.concat(parts, "image", data_vars="minimal", coords="minimal", compat="override")
            found = (run[place][group] if group else run[place]).to_dataset().load()
            xarray.testing.assert_equal(found, expected)
            assert {*found.coords} == {*expected.coords}
            assert found.attrs == expected.attrs

    def test_are_a_chunk_a_file_in_a_small_graph(self, finished):
        q = whatwhere.open_run(finished)[PLACE]["16x16"].q
        assert q.chunks == ((2, 2, 1, 1, 2), (1,) * 6, (2,), (256,), (4,))
        files = sum(len([*(store.path / "16x16/q/c").glob("*/*/*/*/*")]) for store in stores(finished, PLACE))
        assert files == 4 * 6 + 6 == q.data.npartitions
        assert len(q.data.dask) <= 2 * files + len(SHARDS)

    def test_are_not_needed_by_a_store_of_all_images(self, finished):
        refined = whatwhere.open_run(finished).refined["scenes/zoo-dino/what"]
        assert refined.pixels.sel(image="scene-000006").sizes == {"y": 4, "x": 4}
        assert refined.coords["partition"].item() == 27

    def test_may_be_sent_to_other_processes(self, finished):
        q = whatwhere.open_run(finished)[PLACE]["16x16"].q
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(q.data)).compute(), q.values)

    @pytest.mark.usefixtures("strict")
    def test_with_fewer_annotators_are_filled_up_with_nothing(self, finished):
        images = whatwhere.open_run(finished).images["scenes/native"]
        assert images.labels.dtype == np.int16
        counts = [DEPTH[shard] for shard, ids in SHARDS.items() for _ in ids]
        expected = np.where(np.arange(3) < np.array(counts)[:, None], 7, -1)
        np.testing.assert_array_equal(images.labels[..., 0, 0].values, expected)
        assert (images.labels == images.labels[..., 0, 0]).all().compute()
        words = [[f"caption {i}" if i < count else "" for i in range(3)] for count in counts]
        assert images.captions.values.tolist() == words
        assert images.annotators.values.tolist() == counts

    def test_of_two_sizes_are_two_nodes(self, finished, tmp_path):
        write_features(tmp_path, "128x128-000", place="features/scenes/b")
        for shard in ("128x128-001", "128x128-010"):
            write_features(tmp_path, shard, grid=(16, 24), place="features/scenes/b")
            for file in (tmp_path / "features/scenes/b").glob(f"{shard}.*"):
                file.rename(file.with_name(file.name.replace("128x128", "128x192")))
        tree = whatwhere.open_run(tmp_path)["features/scenes/b"]
        assert [*tree.children] == ["128x128", "128x192"]
        assert tree["128x128/16x16"].image.values.tolist() == SHARDS["128x128-000"]
        assert tree["128x192/16x24"].image.values.tolist() == NAMES[5:]
        assert tree["128x192/16x24"].column.max() == 23

    def test_that_disagree_are_one_line(self, run):
        for dims, other in ((("layer", "token"), "head"), (("layer", "head", "token", "channel"), "layer")):
            with create(run / PLACE / "128x128-001.json", {}, {}, {"image": ["x"]}) as store:
                store.group("16x16", {"grid": [16, 16]}, {"layer": LAYERS[::-1], "sample": ("layer", [0] * 6)})
                shape = [{"layer": 6, "head": 2, "token": 256, "channel": 4}[axis] for axis in dims]
                store.array("16x16/q", (1, *shape), "float16", ("image", *dims))
            line = rf"128x128-001\.zarr: expected the same `16x16/{other}` as in .*128x128-000\.zarr, got other; run:"
            with pytest.raises(InputError, match=line):
                whatwhere.open_run(run)[PLACE]


class TestFrames:
    def test_are_those_of_all_shards(self, finished):
        run = whatwhere.open_run(finished)
        scores = run.scores["scenes/zoo-dino/exact"]
        assert scores.image.tolist() == NAMES
        assert scores.index.tolist() == list(range(len(NAMES)))
        assert run.tables["table1"]["mIoU, K = 3"].tolist() == [0.5]

    def test_without_rows_take_nothing_from_the_others(self, run):
        empty = run / "scores/scenes/zoo-dino/exact/128x128-001.parquet"
        pd.DataFrame(columns=["image", "pixels"]).to_parquet(empty)
        scores = whatwhere.open_run(run)["scores/scenes/zoo-dino/exact"]
        assert scores.image.tolist() == [name for name in NAMES if name not in SHARDS["128x128-001"]]
        assert scores.pixels.dtype == np.int64

    def test_other_files_are_what_they_say_or_their_path(self, finished):
        run = whatwhere.open_run(finished)
        assert run["images/scenes/native/index.json"]["shards"] == SHARDS
        assert run.figures["figure3.png"] == finished / "figures/figure3.png"


class TestDamage:
    def refused(self, run, line):
        with pytest.raises(InputError, match=line) as caught:
            whatwhere.open_run(run)[PLACE].load()
        assert "\n" not in str(caught.value)

    def test_of_a_chunk_is_named_when_it_is_computed(self, run):
        file = run / PLACE / "128x128-001.zarr/16x16/k/c/0/3/0/0/0"
        content = bytearray(file.read_bytes())
        content[7] ^= 16
        file.write_bytes(content)
        tree = whatwhere.open_run(run)[PLACE]
        tree["16x16"].q.load()
        line = r"128x128-001\.zarr, array 16x16/k, chunk 0/3/0/0/0: .*run: rm .*128x128-001\.json && snakemake"
        with pytest.raises(InputError, match=line):
            tree["16x16"].k.load()

    def test_of_a_coordinate_and_a_missing_chunk_are_named(self, run):
        (run / PLACE / "128x128-001.zarr/16x16/k/c/0/3/0/0/0").unlink()
        self.refused(run, r"128x128-001\.zarr, array 16x16/k, chunk 0/3/0/0/0: .*a missing file")
        (run / PLACE / "128x128-000.zarr/16x16/layer/c/0").write_bytes(b"no names")
        self.refused(run, r"128x128-000\.zarr, array 16x16/layer, chunk 0: ")

    @pytest.mark.parametrize("left", ["128x128-001.zarr", "128x128-001.zarr.partial", "128x128-001.json"])
    def test_of_what_was_not_finished_or_deleted_is_the_stores_own_line(self, run, left):
        store = run / PLACE / "128x128-001.zarr"
        if left.endswith("json"):
            shutil.rmtree(store)
        else:
            store.with_suffix(".json").unlink()
            store.rename(store.with_name(left))
        line = "no such folder" if left.endswith("json") else r"128x128-001\.json: expected an artifact, found none"
        self.refused(run, line)

    def test_of_a_data_set_without_a_shard_is_told_from_a_whole_one(self, run):
        for file in (run / PLACE).glob("128x128-01*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        self.refused(run, r"zoo-dino: expected all shards of scenes, got none of 128x128-010; run: snakemake")

    def test_of_all_stores_is_said_too(self, run):
        for store in (run / PLACE).glob("*.zarr"):
            shutil.rmtree(store)
        opened = whatwhere.open_run(run)
        with pytest.raises(InputError, match="no such folder"):
            opened[f"{PLACE}/128x128-000.json"]

    def test_of_an_earlier_version_is_refused(self, run):
        manifest = run / PLACE / "128x128-001.json"
        content = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({key: value for key, value in content.items() if key != "format"}))
        self.refused(run, "expected format 3, got 1, of an earlier version")


def blocks(text):
    return re.findall(r"```py\n(.*?)```", text, re.S)


class TestPage:
    @pytest.mark.usefixtures("strict")
    def test_what_it_says_to_write_runs_as_it_stands(self, run, monkeypatch):
        monkeypatch.chdir(run.parents[1])
        known = {}
        for block in blocks((ROOT / "docs/stores.md").read_text("utf-8")):
            exec(block, known)
        second = Store(run / "vectors/scenes/zoo-dino/exact/128x128-000.json").read("vectors", 3)[:, 1]
        np.testing.assert_array_equal(known["picture"].values, second.reshape(16, 16))
        assert (known["five"] == 5).all()
        assert known["own"][:, 0].values.tolist() == [(3, 5)[number(name) % 2] for name in NAMES]
        xarray.testing.assert_equal(known["again"].load(), known["layers"].load())
        assert known["again"].q.encoding["chunks"] == (len(NAMES), 1, 2, 256, 4)
        assert {*known["tree"].children} == {"16x16", "tokens"}

    def test_its_copy_is_checked_as_the_stores_are(self, run, monkeypatch):
        monkeypatch.chdir(run.parents[1])
        known = {"whatwhere": whatwhere, "xarray": xarray}
        exec(blocks((ROOT / "docs/stores.md").read_text("utf-8"))[-1], known)
        (chunk,) = Path("by-layer.zarr/q/c/0/2").rglob("0/0/0")
        content = bytearray(chunk.read_bytes())
        content[100] ^= 1
        chunk.write_bytes(content)
        with pytest.raises(ValueError, match="checksum"):
            known["again"].q.load()

    def test_its_recipe_is_the_one_that_help_shows(self):
        recipe = textwrap.dedent(re.search(r"\n( {4}from zarr.*?)\n\n\S", inspect.getdoc(whatwhere.open_run), re.S)[1])
        *most, _ = blocks((ROOT / "docs/stores.md").read_text("utf-8"))[-1].splitlines()
        assert recipe.splitlines() == most
