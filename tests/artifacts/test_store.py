"""Stores: whole or absent, every fault named, and read by xarray as what they are."""

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray

from whatwhere.app.show import describe
from whatwhere.artifacts.again import again, note
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, create, read_json

DIMS = ("image", "layer", "head", "token", "channel")


IDS = ("c", "äpfel 1", "b")
LAYERS = ("blocks.0.attn", "blocks.0.attn#2")
#: Coordinates of the group below, with the axes that they lie along.
BESIDE = {
    "image": ("image", IDS),
    "layer": ("layer", LAYERS),
    "sample": ("layer", (0, 1)),
    "head": ("head", (0, 1)),
    "row": ("token", np.arange(16) // 4),
    "column": ("token", np.arange(16) % 4),
}


def write(folder, seed=0, ids=IDS):
    manifest = folder / "s.json"
    rng = np.random.default_rng(seed)
    with create(manifest, {"steps": 3}, {}, {"image": ids, "weight": ("image", [0.5, 2.0, 0.25])}) as store:
        store.group("4x4", {"grid": [4, 4]}, {"layer": LAYERS, "sample": ("layer", [0, 1])})
        q = store.array("4x4/q", (3, 2, 2, 16, 5), "float16", DIMS, run_images=2)
        q[0:2] = rng.standard_normal((2, 2, 2, 16, 5))
        q[2:3] = rng.standard_normal((1, 2, 2, 16, 5))
        store.array("regions", (3, 16), "int16", ("image", "token"))[:] = 0  # nothing but fill values
    return manifest


def files_of(manifest):
    return sorted(p for p in manifest.with_suffix(".zarr").rglob("*") if p.is_file() and p.name != "zarr.json")


def chunk_files(manifest):
    """Of arrays: not of coordinates."""
    return [file for file in files_of(manifest) if file.match("q/c/*/*/*/*/*") or file.match("regions/c/*/*")]


@pytest.fixture
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_round_trip(tmp_path):
    store = Store(write(tmp_path))
    expected = np.random.default_rng(0).standard_normal((2, 2, 2, 16, 5)).astype(np.float16)
    assert np.array_equal(store.read("4x4/q", slice(0, 2)), expected)
    assert store.ids == list(IDS)
    assert store.attributes["settings"] == {"steps": 3}
    assert store.attributes["provenance"]["torch"]
    assert not list(tmp_path.glob("*.partial"))


def test_xarray_and_dask_read_it_with_names(tmp_path):
    manifest = write(tmp_path)
    data = xarray.open_zarr(manifest.with_suffix(".zarr"), group="4x4")
    assert data.q.dims == DIMS
    assert data.q.dtype == np.float16
    assert data.q.chunks[:2] == ((1, 1, 1), (1, 1))  # a chunk for each image and layer
    assert np.array_equal(data.q.values, Store(manifest).read("4x4/q"))
    assert xarray.open_datatree(manifest.with_suffix(".zarr")).attrs["settings"] == {"steps": 3}


def test_neither_writing_nor_opening_warns(tmp_path, strict):
    path = write(tmp_path).with_suffix(".zarr")
    for opened in (xarray.open_datatree(path), xarray.open_zarr(path), xarray.open_zarr(path, group="4x4")):
        opened.load()
    xarray.open_zarr(path, group="4x4", consolidated=False).load()
    Store(path.with_suffix(".json")).read("4x4/q")


def test_arrays_say_what_lies_along_their_axes(tmp_path):
    path = write(tmp_path).with_suffix(".zarr")
    group = xarray.open_zarr(path, group="4x4")
    assert {*group.coords} == {*BESIDE, "weight"}
    for name, (axis, expected) in BESIDE.items():
        assert group[name].dims == (axis,)
        assert group[name].values.tolist() == list(expected)
    assert group.weight.values.tolist() == [0.5, 2.0, 0.25]
    root = xarray.open_zarr(path)
    assert {*root.coords} == {"image", "weight"}  # its tokens are of no grid
    assert root.image.values.tolist() == list(IDS)
    tree = xarray.open_datatree(path)
    xarray.testing.assert_identical(tree["4x4"].to_dataset().load(), group.load())


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_what_was_written_under_a_name_is_found_by_it(tmp_path, order):
    """Every number says where it is: its image, layer, row and column."""
    ids, layers = [IDS[i] for i in order], list(LAYERS[:: 1 if order[0] == 0 else -1])
    image, layer = ([known.index(name) for name in names] for known, names in ((IDS, ids), (LAYERS, layers)))
    place = np.add.outer(100 * np.array(image), 50 * np.array(layer))[:, :, None] + np.arange(16)
    with create(tmp_path / "s.json", {}, {}, {"image": ids}) as store:
        store.group("4x4", {"grid": [4, 4]}, {"layer": layers})
        store.array("4x4/place", (3, 2, 16), "int16", ("image", "layer", "token"))[:] = place
    data = xarray.open_zarr(tmp_path / "s.zarr", group="4x4")
    on_grid = data.place.set_index(token=["row", "column"]).unstack("token")
    for i, name in enumerate(IDS):
        for j, of in enumerate(LAYERS):
            assert data.place.sel(image=name, layer=of).values.tolist() == (100 * i + 50 * j + np.arange(16)).tolist()
        assert on_grid.sel(image=name, layer=LAYERS[1], row=2, column=3) == 100 * i + 50 + 11
    assert data.place.sel(image=list(IDS)).isel(layer=0, token=0).values.tolist() == [
        place[ids.index(name), 0, 0] for name in IDS
    ]


def test_values_are_beside_what_they_belong_to_and_one_for_all_has_no_axis(tmp_path, strict):
    values = np.array([[3, 2], [1, 0.5]], np.float32)
    along = {"image": ["b", "a"], "value": (("image", "vector"), values), "partition": 27}
    with create(tmp_path / "s.json", {}, {"grid": [1, 3]}, along) as store:
        store.array("vectors", (2, 3, 2), "float32", ("image", "token", "vector"))[:] = values[:, None].repeat(3, 1)
        store.array("pixels", (2, 4, 4), "int16", ("image", "y", "x"))[:] = 1
        store.array("masks", (2, 2, 3), "int16", ("image", "mask", "token"))[:] = np.tile([[1], [2]], (2, 1, 3))
    data = xarray.open_zarr(tmp_path / "s.zarr")
    assert data.vectors.coords["value"].sel(image="a", vector=1) == 0.5
    assert (data.vectors == data.value).all()  # aligned by their names
    assert "value" not in data.pixels.coords
    assert data.pixels.coords["partition"] == 27
    assert (data.masks == data.mask).all()  # counted from 1, as regions are
    store = Store(tmp_path / "s.json")
    assert store.coordinate("partition") == [27]
    assert store.coordinate("value") == values.tolist()
    assert [*store.description["arrays"]] == ["masks", "pixels", "vectors"]


@pytest.mark.parametrize(
    ("along", "attributes"), [({"image": ["a"]}, {}), ({}, {"grid": [2, 2]}), ({"weight": ("image", [1.0])}, {})]
)
def test_what_does_not_fit_an_array_is_not_written(tmp_path, along, attributes):
    with pytest.raises(AssertionError), create(tmp_path / "s.json", {}, attributes, along) as store:
        store.array("regions", (3, 16), "int16", ("image", "token"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("change", "whose"), [(None, "got 1, of an earlier"), (99, "got 99, of a later")])
def test_a_store_of_another_format_is_refused_with_what_to_run(tmp_path, change, whose):
    manifest = write(tmp_path)
    content = json.loads(manifest.read_text())
    content = {key: value for key, value in content.items() if key not in ("format", "coordinates")}
    manifest.write_text(json.dumps(content if change is None else {**content, "format": change}))
    line = rf"store .*s\.zarr: expected format 3, {whose} version .*run: rm .*s\.json && snakemake --cores all"
    with pytest.raises(InputError, match=line) as caught:
        Store(manifest)
    assert "\n" not in str(caught.value)


def test_runs_of_images_share_a_file(tmp_path):
    names = [str(p.relative_to(tmp_path / "s.zarr")) for p in chunk_files(write(tmp_path))]
    assert [n for n in names if n.startswith("4x4/q")] == [
        f"4x4/q/c/{run}/{layer}/0/0/0" for run in (0, 1) for layer in (0, 1)
    ]


def test_equal_content_has_equal_hashes(tmp_path):
    first, second, other = (
        json.loads(write(tmp_path / str(i), seed).read_text())["content"] for i, seed in enumerate((0, 0, 1))
    )
    assert first == second != other


@pytest.mark.parametrize("position", [0, 0.3, 0.8, 1])
def test_a_flipped_bit_in_a_coordinate_is_named_at_opening(tmp_path, position):
    manifest = write(tmp_path)
    beside = {*files_of(manifest)} - {*chunk_files(manifest)}
    assert len(beside) == len(BESIDE) + 3  # of the group; the weights of both; the root's images
    for file in beside:
        clean = file.read_bytes()
        broken = bytearray(clean)
        broken[min(int(position * len(clean)), len(clean) - 1)] ^= 16
        file.write_bytes(broken)
        array, _, chunk = str(file.relative_to(tmp_path / "s.zarr")).partition("/c/")
        with pytest.raises(
            InputError, match=rf"s\.zarr, array {array}, chunk {chunk}: .*content that differs .*run: rm"
        ):
            Store(manifest)
        file.unlink()
        with pytest.raises(InputError, match=rf"s\.zarr, array {array}, chunk {chunk}: .*a missing file.*run: rm"):
            Store(manifest)
        file.write_bytes(clean)
    Store(manifest)


@pytest.mark.parametrize("position", [0, 0.3, 0.8, 1])
def test_a_flipped_bit_is_named(tmp_path, position):
    manifest = write(tmp_path)
    for file in chunk_files(manifest):
        clean = file.read_bytes()
        broken = bytearray(clean)
        broken[min(int(position * len(clean)), len(clean) - 1)] ^= 16
        file.write_bytes(broken)
        array, _, chunk = str(file.relative_to(tmp_path / "s.zarr")).partition("/c/")
        message = rf"s\.zarr, array {array}, chunk {chunk}: .*run: rm .*s\.json && snakemake --cores all"
        with pytest.raises(InputError, match=message):
            Store(manifest).read(array)
        with pytest.raises(InputError, match=message):
            Store(manifest).verify()
        file.write_bytes(clean)
    Store(manifest).verify()


def test_a_flipped_bit_in_the_metadata_is_named(tmp_path):
    manifest = write(tmp_path)
    for place in ("zarr.json", "4x4/q/zarr.json", "4x4/image/zarr.json"):  # the first has it all once more
        file = tmp_path / "s.zarr" / place
        whole = file.read_text()
        file.write_text(whole.replace('"zarr_format": 3', '"zarr_format": 2', 1))
        with pytest.raises(InputError, match=rf"metadata {place}"):
            Store(manifest)
        file.write_text(whole)


def test_a_missing_chunk_is_named_and_never_read_as_fill(tmp_path):
    manifest = write(tmp_path)
    for file in chunk_files(manifest):
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(InputError, match="a missing file"):
            Store(manifest)
        file.write_bytes(content[:-1])
        with pytest.raises(InputError, match="bytes instead of"):
            Store(manifest)
        file.write_bytes(content)


def test_a_deleted_store_is_named(tmp_path):
    manifest = write(tmp_path)
    shutil.rmtree(tmp_path / "s.zarr")
    with pytest.raises(InputError, match=r"s\.zarr, the store: .*no such folder.*run: rm"):
        Store(manifest)


def test_a_missing_or_damaged_manifest_is_named(tmp_path):
    with pytest.raises(InputError, match="found none; run: snakemake"):
        Store(tmp_path / "s.json")
    manifest = write(tmp_path)
    manifest.write_text(manifest.read_text()[:100])
    with pytest.raises(InputError, match=r"damaged file.*run: rm"):
        read_json(manifest)


def test_an_interrupted_write_leaves_nothing(tmp_path):
    manifest = write(tmp_path)

    def interrupted():
        with create(manifest, {}, {}) as store:
            store.array("regions", (3, 16), "int16", ("image", "token"))[:] = 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_leftovers_of_a_killed_writer_do_not_matter(tmp_path):
    partial = tmp_path / "s.zarr.partial" / "4x4"
    partial.mkdir(parents=True)
    (partial / "rubbish").write_text("half a chunk")
    Store(write(tmp_path)).verify()
    assert not partial.exists()


def described(manifest, change):
    content = json.loads(manifest.read_text())
    change(content)
    manifest.write_text(json.dumps(content))


EDITS = {
    "no files": lambda content: content.update(files={}),
    "no arrays": lambda content: content.update(arrays={}),
    "a number for a hash": lambda content: content["files"].update({next(iter(content["files"])): [1, 2]}),
    "other ids": lambda content: content["coordinates"].update(image={"shape": [9], "dtype": "str", "dims": ["image"]}),
    "another content": lambda content: content.update(content="0" * 32),
    "no guard": lambda content: content.pop("guard"),
    "a chunk's entry gone": lambda content: content["files"].pop(next(n for n in content["files"] if "/c/" in n)),
    "a setting": lambda content: content["settings"].update(steps=4),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_manifest_guards_itself(tmp_path, edit):
    manifest = write(tmp_path)
    described(manifest, EDITS[edit])
    with pytest.raises(InputError, match=r"manifest .*s\.json: expected it as it was written .* run: rm .*s\.json && "):
        Store(manifest)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"files": 3, "arrays": {}}', "3", "\x00", '{"format": "x"}'])
def test_other_json_is_no_manifest(tmp_path, text):
    manifest = write(tmp_path)
    manifest.write_text(text)
    with pytest.raises(InputError, match=r"s\.json: expected"):
        Store(manifest)


def test_the_advice_is_the_command_of_the_run(tmp_path):
    manifest = write(tmp_path / "results" / "mine" / "features")
    note(tmp_path / "results" / "mine", [Path("my overlay.yaml")], {"seed": 3})
    manifest.with_suffix(".zarr").rename(tmp_path / "gone.zarr")
    command = r"snakemake --cores all --configfile 'my overlay\.yaml' --config seed=3"
    with pytest.raises(InputError, match=rf"run: rm .*s\.json && {command}$"):
        Store(manifest)
    with pytest.raises(InputError, match=rf"run: {command}$"):
        read_json(tmp_path / "results" / "mine" / "none.json")
    assert again(tmp_path / "elsewhere" / "a.json") == "snakemake --cores all"


def test_a_store_without_its_manifest_is_named(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name)
    (tmp_path / "b" / "s.json").unlink()
    assert f"{tmp_path / 'b' / 's.zarr'}  (orphaned" in describe(tmp_path)
    with pytest.raises(InputError, match=r"a manifest beside every store, got none beside .*b/s\.zarr"):
        describe(tmp_path, verify=True)
