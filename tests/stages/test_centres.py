"""Centres of clusters by blocks: the same, whatever the block."""

import pytest

from tests.stages.test_segments import clustered, crowd, vector_stores
from whatwhere.artifacts.spread import AHEAD
from whatwhere.stages import centres as stage


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
