"""The campaign of faults in short; `python -m tests.faults` runs it in full."""

import pytest

from tests.faults import NO_DISK, campaign

pytestmark = pytest.mark.slow


def test_whatever_befalls_a_run_is_named_and_made_good(tmp_path):
    rows, kills = campaign(tmp_path, rounds=1, seed=7, bits=40)
    assert [(what, tried) for what, tried, well, _ in rows if tried != well] == []
    assert all(tried for what, tried, _, said in rows if said != NO_DISK)
    assert [kill[-1] for kill in kills] == ["yes"]
