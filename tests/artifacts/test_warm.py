"""Commands as children of a warm parent: what they see and how they end is what it is without one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from whatwhere.artifacts.job import spent
from whatwhere.artifacts.warm import LIBRARIES, SOCKET, Warm, launcher

#: What a program can tell of how it was started, and whether it was born with numpy.
TELLS = """
import json, os, sys, threading
warm = "numpy" in sys.modules
sys.stderr.write("to standard error")
found = {"argv": sys.argv, "name": __name__, "file": __file__, "path": sys.path, "folder": os.getcwd()}
umask = os.umask(0)
given = {name: os.environ.get(name) for name in ("TMPDIR", "OMP_NUM_THREADS", "PYTHONPATH", "PLANTED")}
print(json.dumps({**found, "umask": umask, "given": given, "read": sys.stdin.read(), "warm": warm}))
"""
SLEEPS = "import time; print(1, flush=True); time.sleep(60)"
ENDS = {
    "well": "pass",
    "by a number": "sys.exit(7)",
    "by words": "sys.exit('words')",
    "by a fault": "1 / 0",
    "by a signal": "os.kill(os.getpid(), 15)",
    "by an interrupt": "os.kill(os.getpid(), 2)",
    "late": "import atexit, threading; atexit.register(print, 'last'); threading.Timer(0.1, print, ['later']).start()",
    "without a word": "print('unwritten', end=''); os._exit(3)",
}


@pytest.fixture(scope="module")
def parent():
    """Where a parent listens that has imported numpy, and its process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(SOCKET, raising=False)
        warm = Warm(["numpy"])
        path = warm.start()
    yield path, warm._process.pid
    warm.stop()
    assert not Path(path).parent.exists()


@pytest.fixture
def script(tmp_path):
    """Writes a program and returns the command that runs it."""

    def command(text, *arguments):
        (tmp_path / "script.py").write_text(f"import os, sys\n{text}\n")
        return [sys.executable, str(tmp_path / "script.py"), *arguments]

    return command


def ran(command, **choice):
    def heeds():
        """What is started in the background, as these tests may be, heeds no interrupt."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.run(command, capture_output=True, text=True, preexec_fn=heeds, **{"input": "", **choice})


def children(process):
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def test_a_command_sees_what_it_would_see_by_itself(parent, script, tmp_path):
    command = script(TELLS, "a", "b c")
    environment = {**os.environ, "TMPDIR": "/elsewhere", "PYTHONPATH": f"{tmp_path}/x"}
    choice = {"cwd": tmp_path, "env": environment, "umask": 0o027, "input": "words"}
    alone, child = ran(command, **choice), ran([*launcher(parent[0]), *command], **choice)
    one, other = json.loads(alone.stdout), json.loads(child.stdout)
    assert (one.pop("warm"), other.pop("warm")) == (False, True)
    assert one == other
    assert child.stderr == alone.stderr == "to standard error"


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_as_it_would_by_itself(parent, script, end):
    command = script(f"sys.stderr.write('said\\n'); print('numpy' in sys.modules, flush=True)\n{ENDS[end]}")
    alone, child = ran(command), ran([*launcher(parent[0]), *command])
    assert child.returncode == alone.returncode
    assert child.stdout.removeprefix("True") == alone.stdout.removeprefix("False") != alone.stdout
    assert [child.stderr.splitlines()[at] for at in (0, -1)] == [alone.stderr.splitlines()[at] for at in (0, -1)]


@pytest.mark.parametrize(("name", "value"), [("PLANTED", "1"), ("OMP_NUM_THREADS", "2")])
def test_in_another_environment_it_runs_by_itself(parent, script, name, value):
    found = json.loads(ran([*launcher(parent[0]), *script(TELLS)], env={**os.environ, name: value}).stdout)
    assert (found["warm"], found["given"][name]) == (False, value)


def test_so_it_does_where_no_parent_is_and_where_it_is_no_python(parent, script, tmp_path):
    assert not json.loads(ran([*launcher(f"{tmp_path}/none"), *script(TELLS)]).stdout)["warm"]
    assert ran([*launcher(parent[0]), "sh", "-c", "echo $0 x; exit 4"]).stdout == "sh x\n"
    assert ran([*launcher(parent[0]), sys.executable, "-c", "print(5)"]).stdout == "5\n"


def test_a_module_runs_as_well(parent, tmp_path):
    (tmp_path / "mine.py").write_text("import sys\nprint(__name__, sys.argv[1:], 'numpy' in sys.modules)\n")
    done = ran([*launcher(parent[0]), sys.executable, "-m", "mine", "x"], cwd=tmp_path)
    assert done.stdout == "__main__ ['x'] True\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_ends_the_launcher_ends_the_child(parent, script, number):
    path, process = parent
    launched = subprocess.Popen([*launcher(path), *script(SLEEPS)], stdout=subprocess.PIPE)
    assert launched.stdout.read(1) == b"1"
    (child,) = children(process)
    launched.send_signal(number)
    assert launched.wait(20) == -number
    launched.stdout.read()  # until nobody has it open
    deadline = time.monotonic() + 20
    while child in children(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child not in children(process)


def test_who_is_killed_takes_the_parent_and_its_children_along(script, tmp_path):
    """As a workflow that is killed: nobody closes anything."""
    starts = "from whatwhere.artifacts.warm import Warm, launcher; import subprocess; warm = Warm(['numpy'])\n"
    starts += f"subprocess.run([*launcher(warm.start()), *{script(SLEEPS)!r}])"
    environment = {name: value for name, value in os.environ.items() if name != SOCKET} | {"TMPDIR": str(tmp_path)}
    starter = subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, env=environment)
    assert starter.stdout.read(1) == b"1"
    starter.kill()
    starter.wait()
    starter.stdout.read()  # ends when parent, child and launcher have: each holds it
    assert not list(tmp_path.glob("warm-*"))


POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: How many threads each library says that it has, and sums of many numbers, which depend on that.
COUNTS = """
import json, sys
warm = "numpy" in sys.modules
import numpy as np, threadpoolctl, torch
x = torch.randn(400, 3000, generator=torch.Generator().manual_seed(0))
sums = [(x @ x.T).sum().item(), torch.nn.functional.softmax(x, 0).sum().item(), float((x.numpy() @ x.numpy().T).sum())]
pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
print(json.dumps({"warm": warm, "torch": torch.get_num_threads(), "pools": pools, "sums": sums}))
"""


def test_a_child_has_the_threads_that_its_environment_says(script):
    """As a process of its own would: as many in every library, and the same sums."""
    parent = Warm(("numpy", "torch"))
    environment = {name: value for name, value in os.environ.items() if name != SOCKET}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(SOCKET, raising=False)
        path = parent.start()
    try:
        for threads in (1, 2):
            given = {**environment, **dict.fromkeys(POOLS, str(threads))}
            child, alone = (
                json.loads(ran([*before, *script(COUNTS)], env=given).stdout) for before in (launcher(path), [])
            )
            assert (child.pop("warm"), alone.pop("warm")) == (True, False)
            assert child == alone
            assert child["torch"] == threads
            assert set(child["pools"]) == {threads}
    finally:
        parent.stop()


def test_a_job_with_more_threads_than_its_environment_says_starts_over(parent, script, tmp_path):
    log = tmp_path / "a.log"
    body = f"from whatwhere.artifacts.job import job\nwith job({str(log)!r}, %d):\n"
    body += "    print('numpy' in sys.modules, sys.argv[1:])"
    for threads, warm in ((1, "True"), (2, "False")):
        done = ran([*launcher(parent[0]), *script(body % threads, "x")])
        assert done.stdout == f"{warm} ['x']\n"
        assert spent(log).megabytes > 0


def test_children_run_side_by_side(parent, script, tmp_path):
    wait = "import time; open(sys.argv[1], 'w').close()\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.01)"
    names = [str(tmp_path / name) for name in "ab"]
    both = [subprocess.Popen([*launcher(parent[0]), *script(wait, *pair)]) for pair in (names, names[::-1])]
    assert [one.wait(30) for one in both] == [0, 0]


@pytest.mark.slow
def test_what_a_run_imports_leaves_no_device_and_no_threads_but_one():
    """A fork must not find a device or a pool of threads in use."""
    says = "import importlib, os, torch\nfor name in %r: importlib.import_module(name)\n"
    says += "print(torch.cuda.is_initialized())\n"
    says += "for one in os.listdir('/proc/self/task'): print(open(f'/proc/self/task/{one}/comm').read().strip())"
    device, *threads = ran([sys.executable, "-c", says % (LIBRARIES,)]).stdout.split()
    assert device == "False"
    # jemalloc's, with which Arrow comes, stops before a fork and goes on after it
    assert sorted(threads)[-1].startswith("python")
    assert set(threads) - {threads[0]} <= {"jemalloc_bg_thd", "python", "python3"}
    assert len(threads) <= 2
