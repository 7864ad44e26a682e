"""Work on parts: in order, few at a time, in threads and on two processes of which one is killed in the middle."""

import os
import pickle
import signal
import time

import numpy as np
import pytest

from tests.stages.test_coordinates import half_informed
from tests.stages.test_matching_stage import GRID, image_stores, random_labels, random_regions, segment_store
from tests.stages.test_segments import crowd, vector_stores
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.job import POOLS
from whatwhere.artifacts.spread import CLUSTER, spread
from whatwhere.artifacts.store import Store
from whatwhere.stages import coordinates, matching, rotated, segments

IMAGES = 40


def squared_later(number):
    """The first parts take longest."""
    time.sleep(0.002 * max(0, 8 - number))
    return number**2


def refused(number):
    raise InputError(f"part {number}: expected another, got this; leave it out")


def divided(number):
    return 1 / number


@pytest.mark.parametrize("threads", ["1", "3"])
class TestHere:
    def test_answers_come_in_the_order_of_the_parts(self, threads, monkeypatch):
        monkeypatch.setenv(POOLS[0], threads)
        monkeypatch.delenv(CLUSTER, raising=False)
        assert list(spread(squared_later, range(50))) == [number**2 for number in range(50)]
        assert list(spread(squared_later, [])) == []

    def test_few_parts_are_taken_before_their_answers_are(self, threads, monkeypatch):
        monkeypatch.setenv(POOLS[0], threads)
        taken = []
        answers = spread(squared_later, (taken.append(n) or n for n in range(100)), ahead=5)
        for number in range(20):
            assert next(answers) == number**2
            assert len(taken) <= number + 5

    def test_a_fault_is_the_parts_own(self, threads, monkeypatch):
        monkeypatch.setenv(POOLS[0], threads)
        with pytest.raises(InputError, match=r"^part \d: expected another, got this; leave it out$"):
            list(spread(refused, range(3)))


def test_a_store_that_is_sent_is_opened_once_where_it_arrives(tmp_path):
    (store,) = vector_stores(tmp_path, crowd())
    sent = [pickle.loads(pickle.dumps(store)) for _ in range(2)]
    assert sent[0] is sent[1]
    assert sent[0] is not store
    np.testing.assert_array_equal(sent[0].read("vectors"), store.read("vectors"))
    (other,) = vector_stores(tmp_path, crowd(seed=1))  # in its place
    again = pickle.loads(pickle.dumps(other))
    np.testing.assert_array_equal(again.read("vectors"), crowd(seed=1))


def test_without_a_scheduler_a_line_says_what_to_start(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("whatwhere.artifacts.spread.PATIENCE_S", 0.5)
    monkeypatch.setenv(CLUSTER, "tcp://127.0.0.1:9")
    with pytest.raises(InputError, match=r"dask: expected a scheduler at tcp://127.0.0.1:9, got .*; start one"):
        list(spread(squared_later, range(3)))


def test_without_workers_a_line_says_so(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("whatwhere.artifacts.spread.PATIENCE_S", 0.5)
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None, protocol="tcp") as cluster:
        monkeypatch.setenv(CLUSTER, cluster.scheduler_address)
        with pytest.raises(InputError, match=r"dask: expected a worker at tcp://.*, got none in 0.5 s; start one"):
            list(spread(squared_later, range(3)))


def test_what_a_worker_cannot_do_is_one_line(monkeypatch):
    distributed = pytest.importorskip("distributed")
    choice = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None, "protocol": "tcp"}
    with distributed.LocalCluster(**choice) as cluster:
        monkeypatch.setenv(CLUSTER, cluster.scheduler_address)
        assert list(spread(squared_later, range(3))) == [0, 1, 4]
        with pytest.raises(InputError, match=r"^part 0: expected another, got this; leave it out$"):
            list(spread(refused, range(3)))
        with pytest.raises(InputError, match=r"^dask: expected an answer of a worker at .*, got ZeroDivisionError"):
            list(spread(divided, range(3)))


def test_a_store_with_other_content_elsewhere_is_refused(tmp_path):
    (store,) = vector_stores(tmp_path, crowd())
    sent = pickle.dumps(store)
    vector_stores(tmp_path, crowd(seed=1))  # in its place
    with pytest.raises(InputError, match=r"expected the content \w+, got \w+ on this machine; let all machines see"):
        pickle.loads(sent)


# ------------------------------------------------------------------------------------- the stages on two processes


def counts(folder, images, found):
    matching.write_matching(images, found, folder / "matching.parquet", least_px=0, ambiguous=0.1)
    return (folder / "matching.parquet").read_bytes()


def errors(folder, vectors):
    coordinates.write_coordinates([], vectors, folder / "coordinates.json", seed=3, settings={})
    return (folder / "coordinates.json").read_bytes()


def clusters(folder, vectors):
    choice = {"classes": 4, "scores": False, "unit_rows": True, "restarts": 1, "fitted_locations": 300, "seed": 0}
    segments.write_segments(vectors, folder / "segments.json", **choice, draws=2, settings={})
    return Store(folder / "segments.json").description["content"]


def gram(file):
    lengths, products = rotated.gram(np.load(file, mmap_mode="r+"), True)
    return lengths.tobytes() + products.tobytes()


@pytest.mark.slow
def test_stages_on_two_processes_of_which_one_is_killed_answer_the_same(tmp_path, monkeypatch):
    """Counts on both; among the parts of the regressions the kill; clusters and the Gram matrix on what is left."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.delenv(CLUSTER, raising=False)
    for stage, name in ((matching, "BLOCK_IMAGES"), (segments, "BLOCK_IMAGES"), (rotated, "BLOCK_IMAGES")):
        monkeypatch.setattr(stage, name, 1)
    monkeypatch.setattr(coordinates, "MOST_IMAGES", 1)
    np.save(tmp_path / "x.npy", crowd(IMAGES))
    given = {
        counts: (
            image_stores(tmp_path / "labels", random_labels(IMAGES), (7, IMAGES - 7)),
            segment_store(tmp_path / "s.json", [3, 6], regions=random_regions(IMAGES), grid=GRID),
        ),
        errors: (vector_stores(tmp_path / "half", half_informed(IMAGES), grid=(8, 8)),),
        clusters: (vector_stores(tmp_path / "crowd", crowd(IMAGES), (IMAGES - 9, 9)),),
    }

    def answers(folder):
        folder.mkdir()
        return [*(ask(folder, *of) for ask, of in given.items()), gram(tmp_path / "x.npy")]

    here = answers(tmp_path / "here")
    killed = []
    choice = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**choice) as cluster:
        monkeypatch.setenv(CLUSTER, cluster.scheduler_address)

        def killing(work, parts, **more):
            for number, answer in enumerate(spread(work, parts, **more)):
                if number == 1:
                    killed.append(cluster.workers[0].pid)
                    os.kill(killed[-1], signal.SIGKILL)
                yield answer

        monkeypatch.setattr(coordinates, "spread", killing)
        there = answers(tmp_path / "there")
    assert len(killed) == 1
    assert there == here
