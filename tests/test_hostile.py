"""What is made to harm is refused in one line, in bounded time and memory, and nothing of it is ever run."""

import json
import subprocess
import sys

import pytest

from tests.hostile import CASES, MOST_MB, MOST_S


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """What became of each case, in one process of limited memory; of those after one that ended it, nothing."""
    folder = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, "-m", "tests.hostile", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    found = {one["case"]: one for one in map(json.loads, done.stdout.splitlines())}
    return found, done.stderr[-2000:], folder


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and their measurement are Linux's")
@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_is_one_line(judged, case):
    found, complaints, folder = judged
    assert case in found, complaints
    kind, words = found[case]["said"]
    assert kind == "line", found[case]
    assert "expected" in words
    assert "\n" not in words
    assert len(words) <= 1300
    assert found[case]["seconds"] < MOST_S
    assert found[case]["megabytes"] < MOST_MB / 2
    assert found[case]["left"] == []
    assert not (folder / "ran").exists()
