"""Clusters of a set that is larger than the memory that they may take: the same centres, and no more memory."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.stages.test_segments import clustered, crowd, vector_stores
from whatwhere.artifacts.spread import AHEAD
from whatwhere.artifacts.store import Store
from whatwhere.stages import centres as stage

#: Rows of the set by their channels: 4 bytes each are 48 MB.
IMAGES, TOKENS, CHANNELS = 240, 1000, 50
#: Bytes that clustering it may take beside what a small set took.
ROOM = 30 * 10**6

#: Clusters a small set, takes what that left as given, and then no more than `ROOM` beside it.
CHILD = """
import json, resource, sys
from pathlib import Path
from whatwhere.artifacts.store import Store
from whatwhere.stages.segments import write_segments

small, large, output, choice, room = json.loads(sys.argv[1])
write_segments([Store(small)], Path(output + "-small.json"), **choice, settings={})
held = int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + room,) * 2)
write_segments([Store(large)], Path(output + ".json"), **choice, settings={})
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A set of two clusters, far apart."""
    rng = np.random.default_rng(0)
    X = 0.1 * rng.standard_normal((IMAGES, TOKENS, CHANNELS), np.float32)
    X[:, ::3] += 1
    folder = tmp_path_factory.mktemp("large")
    stores = [*vector_stores(folder, X, grid=(20, 50)), *vector_stores(folder, X[:4], grid=(20, 50))]
    return [str(store.manifest) for store in stores]


def clustered_in(large, output, block):
    choice = {"classes": 1, "scores": False, "unit_rows": True, "restarts": 1, "seed": 0}
    choice |= {"fitted_locations": IMAGES * TOKENS, "block_locations": block}
    given = json.dumps([large[1], large[0], str(output), choice, ROOM])
    return subprocess.run([sys.executable, "-c", CHILD, given], capture_output=True, text=True, check=False)


def test_memory_is_bounded_by_the_setting_and_not_by_the_set(large, tmp_path):
    done = clustered_in(large, tmp_path / "few", AHEAD * 1000)
    assert done.returncode == 0, done.stderr
    regions = Store(tmp_path / "few.json").read("regions")[:, 1]
    assert len(np.unique(regions[:, ::3])) == 1  # and it is what it should be
    assert len(np.unique(regions)) == 2
    done = clustered_in(large, tmp_path / "all", IMAGES * TOKENS)
    assert "MemoryError" in done.stderr or "Unable to allocate" in done.stderr


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_smaller_block_changes_no_byte(tmp_path, monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    stores = vector_stores(tmp_path, crowd(), (3, 4))
    whole = clustered(stores, tmp_path / "whole.json", classes=4)
    seeds = stage.np.linspace
    # where to begin is the one thing that a block's rows choose: here it is all rows, as with the large block
    monkeypatch.setattr(stage.np, "linspace", lambda first, last, _: seeds(first, last, last + 1))
    few = clustered(stores, tmp_path / "few.json", classes=4, block_locations=AHEAD * 5)
    assert few.description["content"] == whole.description["content"]
    assert not list(tmp_path.glob("*.npy"))
