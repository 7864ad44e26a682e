"""The stage of a joint solve: X after Eq. 8 on disk, whatever happens on the way there."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.method.test_joint_solve import (
    IMAGES,
    KilledError,
    at_last,
    heads,
    pictures_of,
    reciting,
    write_features,
    write_pictures,
)
from whatwhere.artifacts import codehash
from whatwhere.artifacts.alone import alone
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store, Writer, create
from whatwhere.backbones import PRESETS as BACKBONES
from whatwhere.backbones.diffusion.noise import Noise
from whatwhere.config.methods import Global, MiniBatch, ReleasedMiniBatch
from whatwhere.method.joint import minibatch, source, worker
from whatwhere.method.joint.minibatch import Descent, descend, start
from whatwhere.method.joint.source import Cached
from whatwhere.method.joint.sparsity import PRESETS, Sparsity
from whatwhere.method.joint.state import State
from whatwhere.method.joint.whole import solve_whole
from whatwhere.method.orthogonalise import orthogonalise
from whatwhere.stages import joint, rotated
from whatwhere.stages.joint import write_joint

GRAPH = {"intra": 4, "inter": 4}
SMALL = {"vectors": 4, "batch_images": 4, "batches": 6, "steps": 2, "start": 0.2, "graph": GRAPH}
MODELS = {"minibatch": MiniBatch, "minibatch_released": ReleasedMiniBatch, "global": Global}


# ------------------------------------------------------------------------------------------- helpers


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Stores of the features of `heads()` in three shards, and in one."""

    @cache
    def made(*sizes):
        return write_features(tmp_path_factory.mktemp("shards"), reciting(heads()), sizes or (4, 3, 2))

    return made


def method(kind, **choice):
    """Settings as the configuration has them."""
    small = {"vectors": 4, "graph": GRAPH} if kind == "global" else SMALL
    values = MODELS[kind](kind=kind, **{**small, **choice}).model_dump(mode="json")
    del values["kind"]
    return values


def given(stores, kind="minibatch", **choice):
    """What the stage is told, but for its output."""
    return {
        "inputs": [str(store.manifest) for store in stores],
        "kind": kind,
        "method": method(kind, **choice),
        "name": "reciting",
        "seed": 0,
        "device": "cpu",
        "settings": {"made": "here"},
    }


def solved(output, stores, kind="minibatch", **choice):
    write_joint(output=output, **given(stores, kind, **choice))
    return Store(output)


@pytest.fixture(scope="module")
def results(tmp_path_factory, shards):
    """What each solver makes of three shards, in one go."""
    return cache(lambda kind="minibatch": solved(tmp_path_factory.mktemp(kind) / "x.json", shards(), kind))


def descended(folder, stores, kind="minibatch", **choice):
    """X of a descent by hand: its arrays, before Eq. 8."""
    values = method(kind, **choice)
    known = {name: values[name] for name in Descent.__dataclass_fields__ if name in values}
    descent = Descent(**known, loss="released" if kind == "minibatch_released" else "paper")
    source = Cached(stores, pathway=values["pathway"], patterns=values["layers"])
    first = start(source.ids, 24, values["vectors"], deviation=descent.start, seed=0)
    state = State.prepare(folder, first, descent.arrays, (descent.batches, descent.steps), {"images": IMAGES})
    sparsity = Sparsity(**{**PRESETS["paper"].__dict__, **values["graph"]})
    descend(source, state, descent, sparsity=sparsity, operator=values["operator"], grid=(4, 6), seed=0)
    return {name: np.array(array) for name, array in state.arrays.items()}


def after_eq8(X):
    """Unit columns over all images, orthogonalised."""
    columns = torch.from_numpy(X).double().flatten(0, 1)
    return orthogonalise(columns / columns.norm(dim=0))


def rows(store):
    return torch.from_numpy(store.read("vectors")).double().flatten(0, 1)


def assert_orthogonal_and_sorted(X):
    gram = X.T @ X
    scale = gram.diagonal().sqrt()
    cosines = gram / scale[:, None] / scale
    torch.testing.assert_close(cosines, torch.eye(len(gram), dtype=gram.dtype), atol=1e-4, rtol=0)
    assert (scale.diff() <= 1e-6).all()
    peaks = X.gather(0, X.abs().argmax(0, keepdim=True))
    assert (peaks > 0).all()


def assert_equal_stores(found, expected):
    for name in ("vectors", "value", "history"):
        np.testing.assert_array_equal(found.read(name), expected.read(name), err_msg=name)
    assert found.attributes["limits"] == expected.attributes["limits"]


def left(folder):
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------------- results


def test_x_of_a_descent_is_what_eq_8_makes_of_it(tmp_path, shards):
    store = solved(tmp_path / "x.json", shards())
    expected = descended(tmp_path / "by-hand", shards())
    X = rows(store)
    assert store.read("vectors").shape == (IMAGES, 24, 4)
    assert_orthogonal_and_sorted(X)
    torch.testing.assert_close(X, after_eq8(expected["x"]), atol=1e-6, rtol=1e-4)
    values = torch.from_numpy(store.read("value")).double()
    torch.testing.assert_close(values, X.square().sum(0), atol=1e-5, rtol=0)
    assert float(values.sum()) == pytest.approx(4, abs=1e-5)  # as many as columns of unit length
    history = store.read("history")
    np.testing.assert_array_equal(history, expected["history"].ravel())
    assert history.shape == (12,)
    assert np.isfinite(history).all()
    np.testing.assert_allclose(store.attributes["limits"], np.percentile(X, [2, 98], axis=0).T, rtol=1e-5)
    assert left(tmp_path) == ["by-hand", "x.json", "x.zarr"]  # the state is gone


@pytest.mark.parametrize(
    ("kind", "status"),
    [("minibatch", r"6 mini-batches of 2 steps, loss \d\.\d{4}"), ("global", r"largest residual \d\.\de-.*")],
)
def test_what_the_store_says_of_itself(results, kind, status):
    store = results(kind)
    said = store.attributes
    assert store.ids == [f"image-{i}" for i in range(IMAGES)]
    assert (said["dataset"], said["grid"], said["settings"]) == ("planted", [4, 6], {"made": "here"})
    assert said["graphs"] == "2 of 4×6, 1 of 2×3"
    assert said["weights"] == "none"  # of `reciting`
    assert re.fullmatch(status, said["status"])
    assert store.description["arrays"]["vectors"]["dims"] == ["image", "token", "vector"]


def test_released_x_is_the_softmax_of_the_average(tmp_path, shards):
    choice = {"weight_decay": 0.1, "columns": None, "average": 0.5}
    store = solved(tmp_path / "x.json", shards(), "minibatch_released", **choice)
    X = descended(tmp_path / "by-hand", shards(), "minibatch_released", **choice)["average"]
    parts = torch.from_numpy(X).double().softmax(-1).numpy()
    assert_orthogonal_and_sorted(rows(store))
    torch.testing.assert_close(rows(store), after_eq8(parts), atol=1e-5, rtol=1e-3)


def test_columns_are_the_first_of_all(tmp_path, shards, results):
    whole, two = results(), solved(tmp_path / "two.json", shards(), columns=2)
    np.testing.assert_array_equal(two.read("vectors"), whole.read("vectors")[..., :2])
    np.testing.assert_array_equal(two.read("value"), whole.read("value")[:2])
    assert two.attributes["limits"] == whole.attributes["limits"][:2]


def test_columns_of_all_images_at_once_weigh_as_their_eigenvalues_after_some_time(tmp_path, shards):
    values = method("global")
    expected = solve_whole(
        Cached(shards(), pathway="vv", patterns=["*"]),
        vectors=4,
        sparsity=Sparsity(4, 4),
        operator=values["operator"],
        grid=(4, 6),
        seed=seed_for(0, "solve", "planted"),
    )
    for passed in (0, 2):
        store = solved(tmp_path / f"{passed}.json", shards(), "global", time=passed)
        X = rows(store)
        np.testing.assert_allclose(store.read("value"), expected.values, rtol=1e-6)
        lengths = torch.from_numpy(expected.values).double() ** passed
        torch.testing.assert_close(X.norm(dim=0), lengths, atol=1e-4, rtol=1e-4)
        turned = torch.from_numpy(expected.vectors).double().flatten(0, 1) * lengths
        torch.testing.assert_close(X.abs(), turned.abs(), atol=1e-5, rtol=1e-4)
        assert_orthogonal_and_sorted(X)
        assert "history" not in store.description["arrays"]
        limits = np.percentile(X, [2, 98], axis=0).T
        np.testing.assert_allclose(store.attributes["limits"], limits, rtol=1e-4, atol=1e-6)


def test_columns_of_another_solve_are_those_of_ones_own(tmp_path, shards):
    """As many as are asked for, at lengths of their own, and nothing else is read than that solve."""
    choice = {"operator": "regularised", "tolerance": 1e-7}
    wide = solved(tmp_path / "wide.json", shards(), "global", vectors=6, time=0, **choice)
    own = solved(tmp_path / "own.json", shards(), "global", vectors=3, time=2, **choice)
    told = given(shards(), "global", vectors=3, time=2, of="wide", **choice)
    write_joint(output=tmp_path / "taken.json", **{**told, "inputs": [str(wide.manifest)]})
    taken = Store(tmp_path / "taken.json")
    assert taken.ids == own.ids
    np.testing.assert_allclose(taken.read("value"), own.read("value"), atol=1e-6)
    np.testing.assert_allclose(taken.read("vectors"), own.read("vectors"), atol=1e-5)
    np.testing.assert_allclose(taken.attributes["limits"], own.attributes["limits"], atol=1e-5)
    same = ("dataset", "weights", "grid", "graphs")
    assert [taken.attributes[key] for key in same] == [own.attributes[key] for key in same]


@pytest.mark.parametrize("kind", ["minibatch", "minibatch_released", "global"])
def test_results_do_not_depend_on_shards_or_blocks(tmp_path, shards, results, kind, monkeypatch):
    whole = results(kind)
    monkeypatch.setattr(rotated, "BLOCK_IMAGES", 2)
    pieces = solved(tmp_path / "pieces.json", shards(9), kind)
    np.testing.assert_allclose(pieces.read("vectors"), whole.read("vectors"), atol=1e-6)
    np.testing.assert_allclose(pieces.read("value"), whole.read("value"), atol=1e-6)
    np.testing.assert_allclose(pieces.attributes["limits"], whole.attributes["limits"], atol=1e-6)


def test_memory_does_not_grow_with_the_images(tmp_path, monkeypatch):
    monkeypatch.setattr(rotated, "SCALE_ROWS", 1000)
    monkeypatch.setattr(rotated, "BLOCK_IMAGES", 16)
    peaks = []
    for images in (32, 256):
        X = np.lib.format.open_memmap(tmp_path / f"{images}.npy", "w+", np.float32, (images, 64, 16))
        X[:] = np.random.default_rng(0).standard_normal(X.shape, np.float32)
        tracemalloc.start()
        _, gram = rotated.gram(X, True)
        with create(tmp_path / f"{images}.json", {}, {}) as store:
            rotated.write(store, X, np.linalg.eigh(gram)[1], True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 8 * X.size  # less than X in double precision
    full = np.exp(np.array(X, np.float64)).reshape(-1, 16)
    full = full / full.sum(1, keepdims=True) @ np.linalg.eigh(gram)[1]
    found = Store(tmp_path / "256.json").read("vectors").reshape(-1, 16)
    np.testing.assert_allclose(np.abs(found), np.abs(full), atol=1e-5)
    limits = np.percentile(found, [2, 98], axis=0).T
    np.testing.assert_allclose(Store(tmp_path / "256.json").attributes["limits"], limits, atol=0.1 * np.ptp(limits))


# ---------------------------------------------------------------------------------------- what happens


def stopped(output, stores, after, **choice):
    """A run that dies before batch `after`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minibatch, "batch_graphs", at_last(minibatch.batch_graphs, after))
        with pytest.raises(KilledError):
            solved(output, stores, **choice)
    assert left(output.parent) == ["x.state"]  # nothing half-written
    return np.load(output.with_suffix(".state") / "counts.npy")


def graphs_made(patch):
    """Counts mini-batches from here on."""
    made, real = [], minibatch.batch_graphs
    patch.setattr(minibatch, "batch_graphs", lambda *a, **k: made.append(1) or real(*a, **k))
    return made


def test_a_stopped_run_is_taken_up(tmp_path, shards, results, monkeypatch):
    assert stopped(tmp_path / "a" / "x.json", shards(), after=4).sum() == 9 + 3
    made = graphs_made(monkeypatch)
    assert_equal_stores(solved(tmp_path / "a" / "x.json", shards()), results())
    assert len(made) == 2
    assert left(tmp_path / "a") == ["x.json", "x.zarr"]


@pytest.mark.parametrize(
    ("choice", "anew"),
    [
        ({"columns": 1}, False),  # what does not concern the descent
        ({"processes": 2}, False),
        ({"learning_rate": 0.05}, True),
        ({"batches": 7}, True),
        ({"graph": {"intra": 2, "inter": 4}}, True),
        ({"operator": "normalised"}, True),
        ({"pathway": "qk"}, True),
        ({"layers": ["mid*"]}, True),
    ],
    ids=str,
)
def test_other_settings_start_anew(tmp_path, shards, choice, anew, monkeypatch):
    output, begun = tmp_path / "a" / "x.json", []

    def look(job, *_):
        begun.append(np.load(output.with_suffix(".state") / "counts.npy").sum())
        raise KilledError

    stopped(output, shards(), after=2)
    monkeypatch.setattr(joint, "_run", look)
    with pytest.raises(KilledError):
        solved(output, shards(), **choice)
    assert begun == [0 if anew else 6]


def test_other_features_start_anew(tmp_path, results):
    folder = tmp_path / "features"
    before = write_features(folder, reciting(heads(seed=5)))
    stopped(tmp_path / "a" / "x.json", before, after=4)
    shutil.rmtree(folder)
    after = write_features(folder, reciting(heads()))  # in the same place
    assert_equal_stores(solved(tmp_path / "a" / "x.json", after), results())


@pytest.mark.parametrize("what", ["weights", "code"])
def test_other_weights_and_other_code_start_anew(tmp_path, shards, results, what, monkeypatch):
    stopped(tmp_path / "a" / "x.json", shards(), after=4)
    if what == "weights":
        monkeypatch.setattr(source, "_only_weights", lambda stores: "others")
    else:
        monkeypatch.setattr(joint, "code_hash", lambda module: f"another of {module}")
    made = graphs_made(monkeypatch)
    solved(tmp_path / "a" / "x.json", shards())
    assert len(made) == 6


def test_another_version_of_faiss_is_other_code(monkeypatch):
    real, before = codehash._version, codehash.code_hash("whatwhere.method.joint.search")
    monkeypatch.setattr(codehash, "_version", lambda name: "99" if name == "faiss-cpu" else real(name))
    codehash._tree.cache_clear()
    assert codehash.code_hash("whatwhere.method.joint.search") != before
    codehash._tree.cache_clear()


def test_a_failure_leaves_nothing_half_written_and_loses_nothing(tmp_path, shards, results, monkeypatch):
    output = tmp_path / "a" / "x.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writer, "array", at_last(Writer.array, 1))  # the second of three arrays
        with pytest.raises(KilledError):
            solved(output, shards())
    assert left(output.parent) == ["x.state"]
    made = graphs_made(monkeypatch)
    assert_equal_stores(solved(output, shards()), results())
    assert not made
    assert left(output.parent) == ["x.json", "x.zarr"]


def test_killed_for_real_it_goes_on(tmp_path, shards):
    """kill -9 at a moment that nobody chose."""
    choice = {"batches": 30, "steps": 1, "layers": ["mid*"]}
    expected = solved(tmp_path / "whole.json", shards(), **choice)
    output = tmp_path / "a" / "x.json"
    code = (
        "import json, sys, time; from pathlib import Path; from whatwhere.method.joint.state import State\n"
        "from whatwhere.stages.joint import write_joint\n"
        "real = State.close\n"
        "State.close = lambda self: (time.sleep(0.03), real(self))\n"  # so that a batch is mostly half applied
        "write_joint(output=Path(sys.argv[1]), **json.loads(sys.argv[2]))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(output), json.dumps(given(shards(), **choice))])
    history, deadline = output.with_suffix(".state") / "history.npy", time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        if (history.parent / "about.json").exists() and np.isfinite(np.load(history)).sum() >= 5:
            break
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert left(output.parent) == ["x.state", "x.state.lock"]  # of which the system has freed the lock
    done = np.isfinite(np.load(history)).sum()
    assert 5 <= done < 30
    with pytest.MonkeyPatch.context() as patch:
        made = graphs_made(patch)
        assert_equal_stores(solved(output, shards(), **choice), expected)
    assert len(made) <= 30 - done


@pytest.mark.slow  # three times torch's import
def test_two_processes_make_the_x_of_one(tmp_path, shards, results):
    assert_equal_stores(solved(tmp_path / "two.json", shards(), processes=2), results())
    assert left(tmp_path) == ["two.json", "two.zarr"]


def test_what_torchrun_starts_makes_the_same_x(tmp_path, shards, results, monkeypatch):
    """The worker as a group of one, in this process."""

    def in_this_process(command, lock):
        assert command[1:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
        assert command[6] == worker.__name__
        monkeypatch.setattr(sys, "argv", command[6:])
        worker.main()
        return 0

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in group.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(joint, "_waited_for", in_this_process)
    monkeypatch.setattr(worker, "_end_with", lambda parent: None)
    assert_equal_stores(solved(tmp_path / "x.json", shards(), processes=2), results())
    assert not torch.distributed.is_initialized()


def test_processes_that_fail_are_one_line_and_what_is_done_stays(tmp_path, shards, monkeypatch):
    monkeypatch.setattr(joint, "_waited_for", lambda command, lock: 7)
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="expected 3 processes to end well, got exit status 7; see the log") as error:
        solved(tmp_path / "a" / "x.json", shards(), processes=3)
    assert "\n" not in str(error.value)
    assert left(tmp_path / "a") == ["x.state"]


@pytest.mark.parametrize(("device", "backend", "own"), [("cpu", "gloo", "cpu"), ("cuda", "nccl", "cuda:3")])
def test_processes_have_a_gpu_each_and_wait_for_one_another_as_long_as_it_takes(device, backend, own, monkeypatch):
    called = []
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: called.append(number))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *a, **k: called.append((a, k)))
    assert worker._join(device) == own
    joined = ((backend,), {"timeout": timedelta(hours=24)})
    assert called == ([3, joined] if device == "cuda" else [joined])


# ---------------------------------------------------------------------------------------------- alone

#: Holds the lock of a folder and starts a command that keeps it.
HOLDER = (
    # whoever runs tests in the background may have them ignore it
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "import sys; from pathlib import Path; from whatwhere.artifacts.alone import alone\n"
    "from whatwhere.stages import joint\n"
    "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
    "with alone(Path(sys.argv[1])) as lock: joint._waited_for(sleep, lock)"
)


@pytest.fixture
def holder(tmp_path):
    """A process that solves `x.json` and another that it waits for, by its number."""
    lock = tmp_path / "x.state.lock"
    # a group of its own, as a shell gives
    started = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "x.state")], process_group=0)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = lock.read_text().split() if lock.exists() else []
        if len(found) == 2 and int(found[0]) != started.pid:
            break
        time.sleep(0.01)
    waited_for, group = map(int, found)
    yield SimpleNamespace(process=started, waited_for=waited_for, group=group)
    started.kill()
    started.wait()
    with suppress(ProcessLookupError):
        os.kill(waited_for, signal.SIGKILL)


def test_a_second_solve_stops_in_one_line(tmp_path, shards, results, holder):
    assert holder.group == holder.process.pid
    line = rf"x\.state': expected to be alone, got process {holder.waited_for} of process group {holder.group} .* wait"
    with pytest.raises(InputError, match=line) as error:
        solved(tmp_path / "x.json", shards())
    assert "\n" not in str(error.value)
    holder.process.kill()  # what it waited for lives on and keeps the lock
    holder.process.wait()
    with pytest.raises(InputError, match=rf"or stop it \(kill {holder.waited_for}\)"):
        solved(tmp_path / "x.json", shards())
    assert left(tmp_path) == ["x.state.lock"]
    os.kill(holder.waited_for, signal.SIGKILL)
    assert_equal_stores(solved_when_free(tmp_path / "x.json", shards()), results())
    assert left(tmp_path) == ["x.json", "x.zarr"]


def solved_when_free(output, stores):
    """The system frees a lock a moment after its holder is killed."""
    for _ in range(100):
        try:
            return solved(output, stores)
        except InputError:
            time.sleep(0.05)
    raise AssertionError("the lock is still held")


def test_an_interrupted_solve_stops_what_it_waits_for(tmp_path, holder):
    holder.process.send_signal(signal.SIGINT)
    assert holder.process.wait(timeout=30) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(holder.waited_for, 0)
    assert left(tmp_path) == []


def test_the_lock_is_held_until_the_state_is_gone(tmp_path, shards, monkeypatch):
    folder, tried = tmp_path / "x.state", []

    def try_it(real):
        def trying(*given, **choice):
            with pytest.raises(InputError, match="expected to be alone"), alone(folder):
                pass
            tried.append(real.__name__)
            return real(*given, **choice)

        return trying

    monkeypatch.setattr(State, "prepare", try_it(State.prepare))
    for name in ("_run", "write", "discard"):
        monkeypatch.setattr(joint, name, try_it(getattr(joint, name)))
    solved(tmp_path / "x.json", shards())
    assert tried == ["prepare", "_run", "write", "discard"]


def test_a_lock_that_is_taken_away_meanwhile_is_not_a_lock(tmp_path, monkeypatch):
    """Whoever opened the file before its holder removed it must not believe that it is alone."""
    folder, real, opened = tmp_path / "x.state", os.open, []

    def open_and_remove(path, *given):
        opened.append(real(path, *given))
        if len(opened) == 1:
            Path(path).unlink()
        return opened[-1]

    monkeypatch.setattr(os, "open", open_and_remove)
    with alone(folder):
        monkeypatch.undo()
        with pytest.raises(InputError, match="expected to be alone"), alone(folder):
            pass
    assert len(opened) == 2


def test_workers_end_when_torchrun_is_gone(tmp_path):
    """The worker's watch, in a grandchild of this process whose parent ends."""
    watch = (
        "import os, sys, threading, time; from whatwhere.method.joint import worker\n"
        "worker.WATCH_S = 0.01\n"
        "threading.Thread(target=worker._end_with, args=(os.getppid(),), daemon=True).start()\n"
        "print('on', flush=True); time.sleep(60)"
    )
    parent = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", parent, watch]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as torchrun:
        worker_id = int(torchrun.stdout.readline())
        os.kill(worker_id, 0)
        torchrun.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and is_running(worker_id):
        time.sleep(0.01)
    assert not is_running(worker_id)


def is_running(process):
    """There, and not only waiting to be taken note of by its parent."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


# ------------------------------------------------------------------------------------ without a cache


def test_a_network_instead_of_its_features(tmp_path, shards, results, monkeypatch):
    """Of a network without noise the result is that of its stored features, but for their precision."""
    asked = []

    def load(name, **settings):
        asked.append((name, settings))
        return reciting(heads())

    monkeypatch.setattr("whatwhere.backbones.load_backbone", load)
    live = {**given(pictures_of(shards())), "backbone": {"model": "any"}, "batch_images": 2}
    write_joint(output=tmp_path / "live.json", **live)
    assert asked == [("reciting", {"model": "any", "device": "cpu"})]
    found, expected = Store(tmp_path / "live.json"), results()
    np.testing.assert_allclose(found.read("history"), expected.read("history"), rtol=1e-2)
    assert found.attributes["graphs"] == expected.attributes["graphs"]


def test_a_diffusion_model_draws_new_noise_in_every_epoch(tmp_path):
    pictures = write_pictures(tmp_path / "images.json", range(3), size=(64, 64))
    choice = {"batches": 2, "batch_images": 3, "steps": 1, "layers": ["block:mid"], "features": "live"}
    live = {**given([pictures], **choice), "name": "zoo-diffusion"}
    live["backbone"] = {"options": {"t_min": 20, "t_max": 300, "samples": 1}}
    write_joint(output=tmp_path / "x.json", **live)
    assert_orthogonal_and_sorted(rows(Store(tmp_path / "x.json")))
    source = worker.open_source({**live, **live["method"], "batch_images": 1}, "cpu")
    epochs = [next(source.batch([1], epoch)).source for epoch in (0, 1, 0)]
    assert not torch.allclose(epochs[0], epochs[1], atol=1e-2)
    assert torch.equal(epochs[0], epochs[2])


def test_noise_steps_of_a_live_solve_come_from_the_whole_range(tmp_path, monkeypatch):
    """Several samples of an image are strata of the range; a live solve has one, of all of it."""
    steps, real = [], Noise.step
    monkeypatch.setattr(Noise, "step", lambda self, *given: steps.append(real(self, *given)) or steps[-1])
    pictures = write_pictures(tmp_path / "images.json", range(3), size=(64, 64))
    live = {**given([pictures], layers=["block:mid"]), "name": "zoo-diffusion", "batch_images": 4}
    live["backbone"] = {"options": {"t_min": 100, "t_max": 499, "samples": 4}}
    source = worker.open_source({**live, **live["method"]}, "cpu")
    steps.clear()
    for epoch in range(12):
        list(source.batch(range(3), epoch))
    assert len(steps) == 36  # one an image and epoch
    assert np.bincount((np.array(steps) - 100) // 100, minlength=4).min() >= 3  # of each quarter


@pytest.mark.parametrize(
    ("name", "settings", "options"),
    [
        ("stable-diffusion-v1-4", {}, {**BACKBONES["stable-diffusion-v1-4"].options, "samples": 1}),
        ("mine", {"model": "sdxl", "options": None}, {"t_min": 0, "t_max": 500, "samples": 1}),
        ("stable-diffusion-v1-4", {"options": {"step": 20}}, {"step": 20}),
        ("stable-diffusion-v1-4", {"options": {"t_max": 9, "samples": 3}}, {"t_max": 9, "samples": 1}),
        ("dino-vits16", {}, None),
        ("mine", {"model": "any"}, None),
    ],
)
def test_a_live_backbone_is_loaded_with_one_sample(tmp_path, name, settings, options, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "whatwhere.backbones.load_backbone", lambda name, **settings: asked.append(settings) or reciting(heads())
    )
    pictures = write_pictures(tmp_path / "images.json", range(3))
    live = {**given([pictures]), "name": name, "backbone": settings, "batch_images": 1}
    worker.open_source({**live, **live["method"]}, "cpu")
    (found,) = asked
    assert found.pop("options", None) == options
    assert found == {key: value for key, value in settings.items() if key != "options"} | {"device": "cpu"}


def test_all_images_at_once_needs_stored_features(tmp_path, shards, monkeypatch):
    monkeypatch.setattr("whatwhere.backbones.load_backbone", lambda name, **settings: reciting(heads()))
    (tmp_path / "a").mkdir()
    live = {**given(pictures_of(shards()), "global"), "backbone": {"model": "any"}, "batch_images": 2}
    with pytest.raises(InputError, match="expected cached features, got a network; set features: cache"):
        write_joint(output=tmp_path / "a" / "x.json", **live)
    assert left(tmp_path / "a") == []
