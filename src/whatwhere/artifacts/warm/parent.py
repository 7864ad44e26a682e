"""The warm parent: `parent.py SOCKET DESCRIPTOR LIBRARY…` imports the libraries and forks a child for each command.

It has one thread, computes nothing and touches no device: a child begins with what the imports left. It ends when its
standard input does, that is with the process that started it, and ends the children that still run.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

#: What may differ between a command's environment and this process's: it is read when a command runs, not at an import.
FREE = {"PYTHONPATH", "PATH", "PWD", "OLDPWD", "SHLVL", "_", "TMPDIR", "TMP", "TEMP", "TEMPDIR"}
FREE |= {"LINES", "COLUMNS", "PYTEST_CURRENT_TEST"}
#: So are all names that begin so: nothing of this package is imported before.
OWN = "WHATWHERE_"
#: And what a child is told of: all that are given say the same.
THREADS = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"}
THREADS |= {"GOTO_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"}
#: Seconds that a launcher may take to say what it wants.
PATIENCE_S = 10


@dataclass(frozen=True)
class Asked:
    """A command that a child is to run, as its launcher sent it: with its streams 0, 1 and 2."""

    command: list[str]
    folder: str
    environment: dict[str, str]
    umask: int
    streams: list[int]

    def fits(self, before: dict[str, str]) -> bool:
        """Whether a fork can do what a process of its own would. `before`: the environment that the imports met."""
        theirs, now = self.environment, os.environ
        names = before.keys() | theirs.keys() | now.keys()
        differ = {name for name in names if theirs.get(name) not in (before.get(name), now.get(name))}
        differ = {name for name in differ if not name.startswith(OWN)}
        script = len(self.command) > 1 and (self.command[1] == "-m" or not self.command[1].startswith("-"))
        return bool(self.threads) and script and differ <= FREE | THREADS and self.command[0] == sys.executable

    @property
    def threads(self) -> int:
        """That the libraries are to have; 0 where not all are to have as many."""
        said = {self.environment[name] for name in THREADS if name in self.environment} or {"1"}
        return int(said.pop()) if len(said) == 1 and max(said).isdecimal() else 0


class Parent:
    """The sockets and children of a warm parent."""

    def __init__(self, listening: socket.socket) -> None:
        self.environment = dict(os.environ)  # as it is before libraries put their own into it
        self.launchers: dict[int, socket.socket] = {}  # by their children
        self.listening = listening
        self.woken, self.wakes = os.pipe()
        os.set_blocking(self.wakes, False)
        signal.set_wakeup_fd(self.wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # at the keyboard it means the children; this process ends last
        self.ended = False
        self.waiting = selectors.DefaultSelector()
        for what in (self.listening, self.woken, 0):
            self.waiting.register(what, selectors.EVENT_READ)

    def serve(self, libraries: list[str]) -> Asked | None:
        """Returns in every child what it is to run, and None in the parent at its end."""
        gc.disable()  # libraries make a million objects as they are imported, and keep them
        for library in libraries:
            with suppress(Exception):  # a job that needs it will say what is wrong with it
                importlib.import_module(library)
            if asked := self._turn(0):
                gc.enable()
                return asked
        gc.enable()
        gc.collect()
        _leave_standing()
        gc.freeze()  # no child's collector writes to what it shares with the others
        while not self.ended:
            if asked := self._turn(None):
                return asked
        return None

    def _turn(self, seconds: float | None) -> Asked | None:
        """Waits for what happens next, at most so long, and answers it."""
        for key, _ in [] if self.ended else self.waiting.select(seconds):
            if key.fileobj == 0:
                self._end()
            elif key.fileobj == self.woken:
                os.read(self.woken, 4096)
                self._bury()
            elif key.fileobj is not self.listening:
                self._pass_on(key.fileobj, key.data)
            elif asked := self._answer(self.listening.accept()[0]):
                return asked
        return None

    def _answer(self, launcher: socket.socket) -> Asked | None:
        """Forks, or tells the launcher to run its command itself; in the child, what to run."""
        asked = None
        with suppress(OSError, ValueError):
            asked = _heard(launcher)
            child = os.fork() if asked.fits(self.environment) else -1
            if child == 0:
                launcher.close()
                self._leave()
                return asked
            if child > 0:
                self.launchers[child] = launcher
                self.waiting.register(launcher, selectors.EVENT_READ, child)
            launcher.send(b"r" if child < 0 else b"s")
        for stream in asked.streams if asked else []:
            os.close(stream)
        if launcher not in self.launchers.values():
            launcher.close()
        return None

    def _pass_on(self, launcher: Any, child: int) -> None:
        """Signals for a child; a launcher that is gone takes its child with it."""
        with suppress(OSError):  # it has ended in the meantime
            signals = launcher.recv(16)
            for number in signals or [signal.SIGKILL]:
                os.kill(child, number)
            if not signals:
                self.waiting.unregister(launcher)

    def _bury(self) -> None:
        """Tells launchers how their children ended."""
        for child in list(self.launchers):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                with self.launchers.pop(child) as launcher, suppress(OSError):
                    if launcher in self.waiting.get_map():
                        self.waiting.unregister(launcher)
                    launcher.sendall(status.to_bytes(4, "big"))

    def _end(self) -> None:
        for child in self.launchers:
            os.kill(child, signal.SIGKILL)
        self.ended = True

    def _leave(self) -> None:
        """What a child does not keep."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.waiting.close()
        for one in (self.listening, *self.launchers.values()):
            one.close()
        for end in (self.woken, self.wakes):
            os.close(end)


def _heard(launcher: socket.socket) -> Asked:
    launcher.settimeout(PATIENCE_S)
    length, streams, *_ = socket.recv_fds(launcher, 8, 3)
    left, said = int.from_bytes(length, "big"), b""
    while len(said) < left and (part := launcher.recv(left - len(said))):
        said += part
    launcher.settimeout(None)
    return Asked(**json.loads(said), streams=streams)


def become(asked: Asked, searched: list[str], environment: dict[str, str]) -> None:
    """Runs a command as Python does that has just been started.

    `searched`: where modules are, the script's own aside. `environment`: what the imports began with.
    """
    for number, stream in enumerate(asked.streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    for name in environment.keys() - asked.environment.keys():
        del os.environ[name]
    os.environ.update(asked.environment)
    os.umask(asked.umask)
    os.chdir(asked.folder)
    importlib.invalidate_caches()
    places = [entry for entry in asked.environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    _, *arguments = asked.command
    module = arguments[0] == "-m"
    sys.argv = arguments[1:] if module else arguments
    sys.path[:] = [os.getcwd() if module else os.path.dirname(os.path.abspath(arguments[0])), *places, *searched]
    _take(asked.threads)
    said = {"LOADED_THREADS": asked.threads}  # for `job`: how many threads the libraries have
    if module:
        runpy.run_module(arguments[1], said, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(arguments[0], said, run_name="__main__")


def _leave_standing() -> None:
    """What torch does as a process ends, no child does: it takes operators apart and tells of what it compiled.

    Either touches so much of what is shared with the parent that a fork's end costs more than its beginning.
    """
    for each in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        each.atexit = False
    telling = getattr(sys.modules.get("torch._dynamo.utils"), "dump_compile_times", None)
    if telling:  # not every version of torch has it
        atexit.unregister(telling)


def _take(threads: int) -> None:
    """What the libraries read from the environment as they were loaded: one thread for each."""
    if threads > 1:
        import threadpoolctl

        threadpoolctl.threadpool_limits(threads)
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads)


def _ended(run: Callable[[], None]) -> int:
    """Runs what a program is and returns the exit status that Python would end with."""
    try:
        run()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main(path: str, listening: int, libraries: list[str]) -> None:
    """Serves who asks at an open socket, which lies at `path`, until the end of standard input."""
    own = {os.path.dirname(os.path.abspath(__file__)), *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    searched = sys.path[:] = [entry for entry in sys.path if entry not in own]
    parent, status = Parent(socket.socket(fileno=listening)), 0
    if asked := parent.serve(libraries):
        status = _ended(lambda: become(asked, list(searched), parent.environment))
        # what Python does at its end, but for taking every module apart, which copies what is shared
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    else:
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
