"""A job's log: what it took is its last line, and whatever went wrong is there with one line on the console."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from whatwhere.artifacts.job import Spent, spent


def run(tmp_path, body):
    """The log's path, and the process that ran `body` as a job."""
    log = tmp_path / "logs" / "a.log"
    script = f"import os, sys\nfrom whatwhere.artifacts.job import job\nwith job({str(log)!r}, 3):\n    {body}\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    return log, done


def test_the_end_says_what_it_took(tmp_path):
    log, done = run(tmp_path, "held = b'x' * 300_000_000; import time; time.sleep(0.3); sys.stderr.write('50%')")
    assert done.returncode == 0
    took = spent(log)
    assert 0.3 <= took.seconds < 30
    assert 300 <= took.megabytes < 600
    assert log.read_text().startswith("50%\n")


def test_every_library_gets_the_threads(tmp_path):
    _, done = run(tmp_path, "print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'])")
    assert done.stdout.split() == ["3", "3"]


@pytest.mark.parametrize(
    ("body", "status", "console"),
    [
        (
            "from whatwhere.artifacts.errors import InputError; raise InputError('x: expected a, got b')",
            2,
            "x: expected a, got b",
        ),
        ("1 / 0", 1, "ZeroDivisionError: division by zero (traceback in "),
        (
            "raise OSError(28, 'No space left on device', 'big.zarr')",
            2,
            "big.zarr: expected room on the disk, got none",
        ),
        ("raise PermissionError(13, 'Permission denied', 'a.json')", 2, "a.json: expected to write there, got [Errno"),
        ("bytearray(10**17)", 2, "LOG: expected enough memory for this job, got too little"),
    ],
)
def test_a_job_that_ends_badly_says_so_in_one_line(tmp_path, body, status, console):
    log, done = run(tmp_path, body)
    assert done.returncode == status
    (line,) = done.stderr.splitlines()
    console = console.replace("LOG", str(log))
    assert line.startswith("whatwhere: " + console)
    assert console.partition(" (")[0] in log.read_text()
    assert spent(log) is None


@pytest.mark.parametrize("text", ["", "done in 1 s", "done in 1.0 s, at most 5 MB of memory\nand more"])
def test_other_logs_say_nothing(tmp_path, text):
    (tmp_path / "a.log").write_text(text)
    assert spent(tmp_path / "a.log") is None


def test_a_log_is_read_or_not_there(tmp_path):
    assert spent(tmp_path / "none.log") is None
    (tmp_path / "a.log").write_text("10%\r90%\n\ndone in 12.5 s, at most 345 MB of memory\n")
    assert spent(tmp_path / "a.log") == Spent(12.5, 345)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full needs Linux's /dev/full")
def test_on_a_full_disk_the_line_still_comes(tmp_path):
    """The log itself cannot be written: what was said there is lost, the line to whoever looks on is not."""
    (tmp_path / "full.log").symlink_to("/dev/full")
    body = f"from whatwhere.artifacts.job import job\nwith job({str(tmp_path / 'full.log')!r}, 1):\n    pass\n"
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.search(r"expected room on the disk, got none .* make room there and run again", line)
