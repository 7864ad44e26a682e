"""The stages of a run on a handful of images, timed in processes of their own, as `whatwhere plan` asks for them.

The first job of a process pays for what it imports, as every job of the workflow does.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from threading import Semaphore
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from whatwhere.artifacts.job import job
from whatwhere.stages.task import At, Task

if TYPE_CHECKING:
    from whatwhere.config import Config

#: Stages of which nothing but the start is timed.
PAGES = ("tables", "figures", "report")
#: What the script of a stage imports first, where it is not called like the stage.
_MODULES = {
    "index": "images",
    "codebook": "joint_landmarks",
    "extended": "joint_landmarks",
    "confusion": "named",
    "detections": "proposals",
    "refined": "refining",
    "tables": "table_kinds",
    "figures": "drawing",
    "report": "reporting",
}


def module_of(stage: str) -> str:
    """The module of this package that the script of a stage imports first."""
    return _MODULES.get(stage, stage)


@dataclass(frozen=True)
class Rehearsal:
    """A configuration, and the folder that everything is written to.

    `noise` as of `calls.Call`. Where an image takes longer than `patience_s`, or four times that at first, no more are
    tried. `busy`: others use this machine, so that what counts are seconds of the processors that a process itself had.
    """

    config: Config
    folder: Path
    noise: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    patience_s: float = 1.5
    busy: bool = False

    @property
    def clock(self) -> Callable[[], float]:
        """What tells the seconds."""
        return process_time if self.busy else perf_counter

    def timed(
        self, tasks: Sequence[Task], clock: Callable[[], float] | None = None
    ) -> Iterator[tuple[int, int, float]]:
        """Number of the task, images, and seconds: each task twice with few images and once with more.

        A task whose inputs are not there is left out, and so is one that fails, with its traceback on standard error.
        """
        paces = dict.fromkeys(range(len(tasks)), 0.0)
        for turn in range(3):
            for number, task in enumerate(tasks):
                images = task.sizes[turn == 2]
                if number not in paces or paces[number] > self.patience_s * (1 if turn == 2 else 4):
                    continue
                seconds = self._seconds(task, images, clock or self.clock)
                if seconds is None:
                    del paces[number]
                    continue
                # the first of all imports what is not imported yet: that says nothing of its second turn
                paces[number] = seconds / images if turn or number else 0.0
                yield number, images, seconds

    def _seconds(self, task: Task, images: int, clock: Callable[[], float]) -> float | None:
        from whatwhere.stages.calls import STAGES, Call

        given = {before[0]: self._output(before, images) for before in task.after}
        if not all(path.exists() for path in given.values()):
            return None
        output = self._output((task.stage, task.place), images)
        call = Call(self.config, task.place, images, given, output, self.noise)
        output.parent.mkdir(parents=True, exist_ok=True)
        began = clock()
        try:
            STAGES[task.stage](call)
        except Exception:  # whatever it is, the other tasks go on
            traceback.print_exc()
            return None
        return clock() - began

    def _output(self, at: At, images: int) -> Path:
        stage, place = at
        return self.folder.joinpath(str(images), stage, *place[:-1], f"{place[-1]}.json")


@dataclass(frozen=True)
class Group:
    """Tasks for one process. `module`: what the script of their stage imports first."""

    module: str
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Timed:
    """A process's answers: seconds of its imports (None: it did not get so far), and those of `Rehearsal.timed`."""

    imports_s: float | None
    tasks: tuple[tuple[int, int, float], ...]


def rehearse(small: Rehearsal, groups: Sequence[Group], *, at_once: int, until: float) -> Iterator[Timed]:
    """Every group in a process of its own, so many at once, each when those that it reads are done; answers in their
    order. A process that is still at work at `until`, of `perf_counter`, is stopped; what it has answered counts.
    """
    gate, started = Semaphore(at_once), dict[Group, Future[Timed]]()
    with ThreadPoolExecutor(max(1, len(groups))) as pool:
        for number, group in enumerate(groups):
            read = {at for task in group.tasks for at in task.after}
            before = [one for of, one in started.items() if read & {(task.stage, task.place) for task in of.tasks}]
            started[group] = pool.submit(_in_process, small, group, small.folder / str(number), before, gate, until)
        for one in started.values():
            yield one.result()


def _in_process(
    small: Rehearsal, group: Group, files: Path, before: Sequence[Future[Timed]], gate: Semaphore, until: float
) -> Timed:
    for one in before:
        one.result()
    answers, log = files.with_suffix(".json"), files.with_suffix(".log")
    command = [sys.executable, "-m", "whatwhere.stages.rehearsal", group.module, str(answers), str(log)]
    with gate, suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [*command, str(small.config.threads)],
            input=pickle.dumps((small, group.tasks)),
            timeout=max(0.1, until - perf_counter()),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    lines = answers.read_text("utf-8").splitlines(keepends=True) if answers.is_file() else []
    imports, *tasks = [json.loads(line) for line in lines if line.endswith("\n")] or [None]
    return Timed(imports, tuple(map(tuple, tasks)))


def main(module: str, answers: str, log: str, threads: str) -> None:
    """One process: reads a pickled `Rehearsal` and tasks from standard input, and writes lines of JSON to the file
    `answers`: the seconds that importing the stage's module took, then what `Rehearsal.timed` answers.
    """
    with job(log, int(threads)), Path(answers).open("w", encoding="utf-8") as file:
        began = {clock: clock() for clock in (perf_counter, process_time)}
        import_module(f"whatwhere.stages.{module}")
        took = {clock: clock() - start for clock, start in began.items()}
        small, tasks = pickle.load(sys.stdin.buffer)
        file.write(f"{json.dumps(took[small.clock])}\n")
        file.flush()
        for answer in small.timed(tasks):
            file.write(f"{json.dumps(answer)}\n")
            file.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
