"""Work on parts of what lies on the disk, by Dask: in threads of this process, or on the workers of a cluster.

Answers come in the order of the parts, wherever they were worked on: sums that are made of them have one order, and do
not depend on threads, workers, or on one of these that was killed.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import islice
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from whatwhere.artifacts.errors import InputError, line
from whatwhere.artifacts.job import POOLS

Part = TypeVar("Part")
Answer = TypeVar("Answer")

#: In the environment: the scheduler of a cluster (`dask` of the configuration), as `tcp://host:8786`.
CLUSTER = "WHATWHERE_DASK"
#: Parts that are worked on, or whose answers wait for those before them: what bounds the memory.
AHEAD = 16
#: In the environment: locations that may be in memory at a time (`block_locations` of the configuration); else so many.
BLOCK = "WHATWHERE_BLOCK_LOCATIONS"
BLOCK_LOCATIONS = 100_000
#: Seconds that a scheduler may take to answer.
PATIENCE_S = 20


def spread(work: Callable[[Part], Answer], parts: Iterable[Part], *, ahead: int = AHEAD) -> Iterator[Answer]:
    """`work(part)` of every part, in their order; at most `ahead` of them are at work or wait to be taken.

    On a cluster where the environment names one (`CLUSTER`), else in as many threads as the job has. Work on a cluster
    is pickled: a function of a module, and parts whose stores are read again, and verified, where they arrive. What a
    worker had that is killed is done again by another. Libraries have one thread for each part, whoever works on it, so
    that sums have one order.

    Raises `InputError` where no scheduler or no worker answers, where a worker cannot do its part, and where the
    package `distributed` is not installed.
    """
    if address := os.environ.get(CLUSTER):
        return _in_cluster(work, parts, address, ahead)
    threads = int(os.environ.get(POOLS[0]) or 1)
    return map(work, parts) if threads == 1 else _in_threads(work, parts, threads, ahead)


def few(locations: int, *, parts: int = AHEAD) -> int:
    """How many images of so many locations a part may have, where so many `parts` are in memory at a time; one at
    least.
    """
    return max(1, int(os.environ.get(BLOCK) or BLOCK_LOCATIONS) // (parts * locations))


def _in_threads(work: Callable[[Part], Answer], parts: Iterable[Part], threads: int, ahead: int) -> Iterator[Answer]:
    import dask

    task, left = dask.delayed(work, pure=False), iter(parts)
    with threadpool_limits(1):
        while some := list(islice(left, ahead)):
            # no graph looks into a part: it is handed over as it is
            tasks = [task(dask.delayed(part, traverse=False)) for part in some]
            yield from dask.compute(*tasks, scheduler="threads", num_workers=threads)


def _in_cluster(work: Callable[[Part], Answer], parts: Iterable[Part], address: str, ahead: int) -> Iterator[Answer]:
    try:  # by name, as it comes with an extra: environments of jobs need not hold it
        client_of = import_module("distributed").Client
    except ImportError as error:
        wish = f"dask: expected the package distributed for {address}, got none"
        raise InputError(f"{wish}; pip install 'whatwhere[dask]', or set dask: null") from error
    try:
        client = client_of(address, timeout=PATIENCE_S, set_as_default=False)
    except (OSError, ValueError) as error:
        wish = f"dask: expected a scheduler at {address}, got {line(error)}"
        raise InputError(f"{wish}; start one (dask scheduler) and its workers, or set dask: null") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError as error:
            wish = f"dask: expected a worker at {address}, got none in {PATIENCE_S} s"
            raise InputError(f"{wish}; start one (dask worker {address}), or set dask: null") from error
        waiting: deque[Any] = deque()
        for part in parts:
            waiting.append(client.submit(_with_one_thread, work, part, pure=False))
            if len(waiting) >= ahead:
                yield _answer(waiting.popleft(), address)
        while waiting:
            yield _answer(waiting.popleft(), address)


def _with_one_thread(work: Callable[[Part], Answer], part: Part) -> Answer:
    threadpool_limits(1)  # for good: this is a worker's process
    return work(part)


def _answer(task: Any, address: str) -> Any:
    try:
        return task.result()
    except InputError:
        raise
    except Exception as error:  # of the worker, of what it imports, or of the way there
        wish = f"dask: expected an answer of a worker at {address}, got {type(error).__name__}: {line(error)}"
        raise InputError(f"{wish}; see the workers' logs, and that they have this version of whatwhere") from error
