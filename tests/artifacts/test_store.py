"""Stores: whole or absent, and every fault named."""

import json
import os
import shutil

import numpy as np
import pytest
import xarray

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, create, read_json

DIMS = ("image", "layer", "head", "token", "channel")


def write(folder, seed=0, ids=("a", "b", "c")):
    manifest = folder / "s.json"
    rng = np.random.default_rng(seed)
    with create(manifest, {"steps": 3}, {"ids": list(ids)}) as store:
        q = store.array("4x4/q", (3, 2, 2, 16, 5), "float16", DIMS, run_images=2)
        q[0:2] = rng.standard_normal((2, 2, 2, 16, 5))
        q[2:3] = rng.standard_normal((1, 2, 2, 16, 5))
        store.array("regions", (3, 16), "int16", ("image", "token"))[:] = 0  # nothing but fill values
    return manifest


def chunk_files(manifest):
    return sorted(p for p in manifest.with_suffix(".zarr").rglob("*") if p.is_file() and p.name != "zarr.json")


def test_round_trip(tmp_path):
    store = Store(write(tmp_path))
    expected = np.random.default_rng(0).standard_normal((2, 2, 2, 16, 5)).astype(np.float16)
    assert np.array_equal(store.read("4x4/q", slice(0, 2)), expected)
    assert store.ids == ["a", "b", "c"]
    assert store.attributes["settings"] == {"steps": 3}
    assert store.attributes["provenance"]["torch"]
    assert not list(tmp_path.glob("*.partial"))


def test_xarray_and_dask_read_it_with_names(tmp_path):
    manifest = write(tmp_path)
    data = xarray.open_zarr(manifest.with_suffix(".zarr"), group="4x4", consolidated=False)
    assert data.q.dims == DIMS
    assert data.q.dtype == np.float16
    assert data.q.chunks[:2] == ((1, 1, 1), (1, 1))  # a chunk for each image and layer
    assert np.array_equal(data.q.values, Store(manifest).read("4x4/q"))
    tree = xarray.open_datatree(manifest.with_suffix(".zarr"), engine="zarr", consolidated=False)
    assert tree.attrs["settings"] == {"steps": 3}


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
    file = tmp_path / "s.zarr" / "4x4" / "q" / "zarr.json"
    file.write_text(file.read_text().replace("float16", "float32"))
    with pytest.raises(InputError, match=r"metadata 4x4/q/zarr\.json"):
        Store(manifest)


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
        with create(manifest, {}, {"ids": []}) as store:
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
