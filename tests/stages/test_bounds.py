"""Stages that go over all locations of a set that is larger than the memory that they may take."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.stages.test_refining import OFF
from tests.stages.test_segments import names
from whatwhere.artifacts.spread import AHEAD, BLOCK
from whatwhere.artifacts.store import Store, create, write_json

#: Of the set: X takes 48 MB, as do its label maps. Images are small.
IMAGES, GRID, CHANNELS, LABELLED, SHOWN = 60, (40, 100), 50, (500, 800), (40, 100)
TOKENS = GRID[0] * GRID[1]
#: Bytes that a stage may take beside what a small set took.
ROOM = 45 * 10**6
ROOT = Path(__file__).parents[2]

#: Does a stage on a small set, takes what that left as given, and then no more than `ROOM` beside it.
CHILD = """
import json, resource, sys
from pathlib import Path
from tests.stages.test_bounds import STAGES

stage, small, large, output, room = json.loads(sys.argv[1])
STAGES[stage](Path(small), Path(output) / "small.json")
held = int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + room,) * 2)
STAGES[stage](Path(large), Path(output) / "large.json")
"""


def segments(given, output):
    from whatwhere.stages.segments import write_segments

    choice = {"classes": 1, "scores": False, "unit_rows": True, "restarts": 1, "seed": 0}
    choice |= {"fitted_locations": IMAGES * TOKENS, "block_locations": int(os.environ[BLOCK])}
    write_segments([Store(given / "x.json")], output, **choice, settings={})


def gram(given, output):
    from whatwhere.stages.rotated import gram as products

    _, found = products(np.load(given / "x.npy", mmap_mode="r+"), False)
    write_json(output, found.tolist())


def columns(given, output):
    from whatwhere.stages.joint import write_joint

    choice = {"method": {"of": "another", "vectors": CHANNELS - 1, "time": 1.0}, "settings": {}}
    write_joint([str(given / "x.json")], output, kind="global", name="", seed=0, device="cpu", **choice)


def coordinates(given, output):
    from whatwhere.stages.coordinates import write_coordinates

    write_coordinates([], [Store(given / "x.json")], output, seed=0, settings={})


def refined(given, output):
    from whatwhere.stages.refining import write_refined

    stores = [Store(given / "images.json")], [Store(given / "x.json")], Store(given / "s.json")
    write_refined(*stores, output, crf={**OFF, "iterations": 0}, settings={})


def matching(given, output):
    from whatwhere.stages.matching import write_matching

    labels, found = Store(given / "labels.json"), Store(given / "s.json")
    write_matching([labels], found, output.with_suffix(".parquet"), least_px=0, ambiguous=0.1)


STAGES = {one.__name__: one for one in (segments, gram, columns, coordinates, refined, matching)}
#: Of which a part grows with the setting; the others have one image at a time, whatever it is.
GROWING = ("segments", "gram", "columns", "refined")


def stored(path, arrays, along, **attributes):
    """A store of arrays by name, each with its axes."""
    ((_, first), *_) = arrays.values()
    with create(path, {}, {"dataset": "planted", **attributes}, {"image": names(len(first)), **along}) as store:
        for name, (dims, array) in arrays.items():
            store.array(name, array.shape, str(array.dtype), dims, run_images=8)[:] = array


def written(folder, X):
    """Whatever stages read, of a set with this X: halves of images for classes, tokens of two kinds for clusters."""
    images = len(X)
    folder.mkdir()
    np.save(folder / "x.npy", X)
    lengths = ("vector", np.linspace(1, 0.5, CHANNELS).astype(np.float32))
    about = {"grid": GRID, "graphs": "", "weights": "", "status": ""}
    stored(folder / "x.json", {"vectors": (("image", "token", "vector"), X)}, {"value": lengths}, **about)
    labels = np.zeros((images, 1, *LABELLED), np.int16)
    labels[..., LABELLED[1] // 2 :] = 1
    labels = {"labels": (("image", "annotator", "y", "x"), labels)}
    stored(folder / "labels.json", labels, {"annotators": ("image", [1] * images)}, classes=["left", "right"])
    shown = {"rgb": (("image", "y", "x", "channel"), np.zeros((images, *SHOWN, 3), np.uint8))}
    stored(folder / "images.json", shown, {})
    regions = np.broadcast_to((np.arange(TOKENS) % 3 == 0).astype(np.int16), (images, 2, TOKENS))
    centres = np.full((2, 4, CHANNELS), np.nan, np.float32)
    centres[:, 0], centres[:, 1] = 0, CHANNELS**-0.5
    found = {
        "regions": (("image", "partition", "token"), regions),
        "centres": (("partition", "cluster", "vector"), centres),
    }
    about = {"grid": GRID, "graphs": "", "unit_rows": True, "spreads": [0.01, 0.01]}
    stored(folder / "s.json", found, {"partition": [2, 4]}, **about)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Of a few images, and of all; rows of two clusters, far apart."""
    rng = np.random.default_rng(0)
    X = 0.1 * rng.standard_normal((IMAGES, TOKENS, CHANNELS), np.float32)
    X[:, ::3] += 1
    folder = tmp_path_factory.mktemp("sets")
    written(folder / "small", X[:2])
    written(folder / "large", X)
    return folder


def done_in(sets, stage, output, block):
    given = json.dumps([stage, str(sets / "small"), str(sets / "large"), str(output), ROOM])
    # each thread of the store's own takes a stack and an arena, and how many there are depends on the machine's load
    few = {"OMP_NUM_THREADS": "1", "ZARR_THREADING__MAX_WORKERS": "1", "MALLOC_ARENA_MAX": "1"}
    surroundings = {**os.environ, **few, BLOCK: str(block)}
    return subprocess.run(
        [sys.executable, "-c", CHILD, given], capture_output=True, text=True, check=False, cwd=ROOT, env=surroundings
    )


def check(stage, sets, output):
    """That it is what it should be."""
    X = np.load(sets / "large" / "x.npy", mmap_mode="r")
    if stage == "segments":
        regions = Store(output).read("regions")[:, 1]
        assert len(np.unique(regions[:, ::3])) == 1
        assert len(np.unique(regions)) == 2
    elif stage == "gram":
        rows = X.reshape(-1, CHANNELS).astype(np.float64)
        np.testing.assert_allclose(np.array(json.loads(output.read_text())), rows.T @ rows, rtol=1e-9)
    elif stage == "columns":
        found, lengths = Store(output).read("vectors"), np.linspace(1, 0.5, CHANNELS)[:-1]
        np.testing.assert_allclose(np.abs(found), np.abs(X[..., :-1] * lengths), rtol=1e-5)
    elif stage == "coordinates":
        assert sorted(json.loads(output.read_text())["images"]) == sorted(names(IMAGES))
    elif stage == "refined":
        pixels = Store(output).read("pixels").reshape(IMAGES, TOKENS)
        assert (pixels == (np.arange(TOKENS) % 3 == 0)).mean() > 0.99
    else:
        counts = pd.read_parquet(output.with_suffix(".parquet"))
        assert counts[counts.target == "what"].pixels.sum() == IMAGES * LABELLED[0] * LABELLED[1]


@pytest.mark.parametrize("stage", STAGES)
def test_memory_is_bounded_by_the_setting_and_not_by_the_set(sets, tmp_path, stage):
    done = done_in(sets, stage, tmp_path, AHEAD * 1000)
    assert done.returncode == 0, done.stderr
    check(stage, sets, tmp_path / "large.json")


@pytest.mark.parametrize("stage", GROWING)
def test_where_the_setting_allows_all_that_is_too_much(sets, tmp_path, stage):
    done = done_in(sets, stage, tmp_path, AHEAD * IMAGES * TOKENS)
    assert "MemoryError" in done.stderr or "Unable to allocate" in done.stderr or "cannot allocate" in done.stderr
