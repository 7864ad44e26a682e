"""The launcher: `client.py SOCKET COMMAND…` runs a Python command as a child of the warm parent, or by itself.

Started once a job and therefore small: it imports nothing but a few of Python's own modules.
"""

import json
import os
import signal
import socket
import sys


def main(path: str, command: list[str]) -> None:
    """Ends as the command does: with its exit status, or by the signal that ended it."""
    with socket.socket(socket.AF_UNIX) as parent:
        if _served(parent, path, command):
            # what would end the launcher ends the child; an interrupt at the keyboard comes to both
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda number, _: parent.send(bytes([number])))
            _end_as(_read(parent, 4))
    os.execvp(command[0], command)


def _served(parent: socket.socket, path: str, command: list[str]) -> bool:
    """Asks for a child; whether there is one."""
    asked = {"command": command, "folder": os.getcwd(), "environment": dict(os.environ), "umask": _umask()}
    said = json.dumps(asked).encode()
    try:
        parent.connect(path)
        socket.send_fds(parent, [len(said).to_bytes(8, "big")], [0, 1, 2])
        parent.sendall(said)
        return parent.recv(1) == b"s"
    except OSError:
        return False


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found


def _read(parent: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        part = parent.recv(length - len(found))
        if not part:
            sys.exit("whatwhere: the process that holds the libraries of all jobs ended before this job; run again")
        found += part
    return found


def _end_as(status: bytes) -> None:
    code = os.waitstatus_to_exitcode(int.from_bytes(status, "big"))
    if code < 0:  # a signal ended it: then one ends the launcher, so that who started it sees the same
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
