"""Large files from the network: resumed where they stopped, and verified before they count.

A file is written to `NAME.partial`, checked against its published checksum and only then renamed to `NAME`.
`NAME.verified` notes the size and time of the file that was found right, so that gigabytes are hashed once.
Of a file without a published checksum it notes the one that the file has, for others to compare with.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.datasets.images import PathLike

if TYPE_CHECKING:
    from httpx2 import Response

_TIMEOUT_S = 60.0
_LONGEST_PAUSE_S = 60.0
#: Answers that may be another one a little later; any other but 200, 206 and 416 is final.
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(InputError):
    """This address did not deliver the file; another address may. One line, like every `InputError`."""


def download(
    url: str,
    path: PathLike,
    *,
    checksum: str | None,
    size_bytes: int | None = None,
    attempts: int = 4,
    first_pause_s: float = 1.0,
) -> Path:
    """The file at `url`, whole and verified, at `path`; nothing to do where it already is.

    `checksum` is `md5:...` or `sha256:...`, `size_bytes` the size where it is known. Where no checksum is published
    (None), nothing but the number of bytes says that the file is whole, and `noted` answers the sha256 that it has.
    A `path.partial` is continued where the server can, else begun again. A broken connection is tried again after a
    pause that doubles; after `attempts` failures in a row without a byte more it is given up, and what has come stays
    for the next call.
    Raises DownloadError where the address does not deliver, or not this file (then the partial file is deleted);
    InputError where `path` holds something else, the disk is full, or `checksum` is not of these kinds.
    """
    _algorithm(checksum)
    wanted = _Wanted(url, Path(path), size_bytes)
    with _on_disk(wanted.path):
        if wanted.path.exists():
            _verify(wanted.path, checksum)
            return wanted.path
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
    _fill(wanted, attempts, first_pause_s)
    with _on_disk(wanted.path):
        if (got := _digest(wanted.partial, checksum)) != (checksum or got):
            wanted.partial.unlink()
            raise wanted.fault(f"a file of {checksum}", f"{got} and deleted it")
        os.replace(wanted.partial, wanted.path)
        _mark(wanted.path, got)
    return wanted.path


def noted(path: Path) -> str | None:
    """The checksum that `path` was found to have, if it has not changed since, by size and time; no hashing."""
    try:
        marker = json.loads(_marker(path).read_text("utf-8"))
        return marker["checksum"] if marker == _signature(path, marker["checksum"]) else None
    except (OSError, ValueError, TypeError, KeyError):  # no file, no marker, half a marker, or something else
        return None


# ------------------------------------------------------------------------------------------- verification


def _verify(path: Path, checksum: str | None) -> None:
    """Notes that the file is right. Somebody may have put it there by hand: a wrong one is never deleted."""
    if not path.is_file():
        raise InputError(f"{str(path)!r}: expected a file, got something that is no file; remove it and run again")
    if (before := noted(path)) and before == (checksum or before):
        return
    if (got := _digest(path, checksum)) != (checksum or got):
        raise InputError(f"{str(path)!r}: expected a file of {checksum}, got {got}; remove it and run again")
    _mark(path, got)


def _mark(path: Path, checksum: str) -> None:
    with replacing(_marker(path)) as partial:
        partial.write_text(json.dumps(_signature(path, checksum)) + "\n", "utf-8")


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified")


def _signature(path: Path, checksum: str) -> dict[str, Any]:
    found = path.stat()
    return {"checksum": checksum, "size_bytes": found.st_size, "mtime_ns": found.st_mtime_ns}


def _algorithm(checksum: str | None) -> str:
    if checksum is None:
        return "sha256"
    kind, _, digits = checksum.partition(":")
    if len(digits) != {"md5": 32, "sha256": 64}.get(kind):
        raise InputError(f"checksum: expected md5: or sha256: and its digits, got {checksum!r}; correct it")
    return kind


def _digest(path: Path, checksum: str | None) -> str:
    """The file's own checksum, of the same kind as `checksum`; sha256 without one."""
    kind = _algorithm(checksum)
    with path.open("rb") as file:
        # against damage, not against forgery: md5 is what the data sets' owners publish
        return f"{kind}:{hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()}"


# ----------------------------------------------------------------------------------------------- transfer


@dataclass(frozen=True)
class _Wanted:
    url: str
    path: Path
    size_bytes: int | None

    @property
    def partial(self) -> Path:
        """Where the file is until it is complete."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def have(self) -> int:
        """Bytes that have come so far."""
        return self.partial.stat().st_size if self.partial.exists() else 0

    def fault(self, expected: str, got: str) -> DownloadError:
        """What went wrong with this address, and what to do."""
        advice = f"run again, or fetch it elsewhere and put it at {str(self.path)!r}"
        return DownloadError(f"{self.url}: expected {expected}, got {got}; {advice}")


def _fill(wanted: _Wanted, attempts: int, pause_s: float) -> None:
    """Tries until the partial file is complete; only a file longer than ever before counts as progress."""
    furthest = wanted.have
    failures = 0
    while fault := _attempt(wanted):
        failures = 0 if wanted.have > furthest else failures + 1
        furthest = max(furthest, wanted.have)
        if failures >= attempts:
            raise wanted.fault("to download it", f"{fault} ({failures} times)")
        time.sleep(min(pause_s * 2 ** max(failures - 1, 0), _LONGEST_PAUSE_S))


def _attempt(wanted: _Wanted) -> str:
    """One request for what is missing. Answers what broke it off, or nothing once the file is complete."""
    import httpx2

    if wanted.size_bytes is not None and wanted.have > wanted.size_bytes:
        wanted.partial.unlink()
    if (have := wanted.have) and have == wanted.size_bytes:
        return ""
    # identity: bytes are counted and hashed as they are stored there
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with httpx2.stream("GET", wanted.url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S) as response:
            return _receive(response, wanted)
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL, httpx2.TooManyRedirects) as error:
        raise wanted.fault("an address that answers", _line(error)) from error
    except httpx2.TransportError as error:
        return _line(error)


def _receive(response: Response, wanted: _Wanted) -> str:
    """Puts the answer's body where it belongs in the partial file; answers as `_attempt`."""
    status, have = response.status_code, wanted.have
    if status in _PASSING_STATUS:
        return f"HTTP status {status}"
    if status not in (200, 206, 416):
        raise wanted.fault("the file", f"HTTP status {status}")
    start, total = _extent(response)
    if None not in (total, wanted.size_bytes) and total != wanted.size_bytes:
        raise wanted.fault(f"a file of {wanted.size_bytes:,} bytes", f"one of {total:,}")
    if status == 416 and total == have:
        return ""  # complete: the last call was killed before it could verify it
    if status == 416 or start not in (0, have):
        wanted.partial.unlink(missing_ok=True)
        return f"HTTP status {status} for the rest of a partial file"
    return _write(response, wanted, start, wanted.size_bytes if total is None else total)


def _extent(response: Response) -> tuple[int, int | None]:
    """(first byte sent, size of the whole file where the server tells)."""
    if response.status_code == 200:  # from the start, whatever was asked for
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    sent, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    first = sent.partition("-")[0]
    return int(first) if first.isdecimal() else -1, int(total) if total.isdecimal() else None


def _write(response: Response, wanted: _Wanted, start: int, total: int | None) -> str:
    """The body from byte `start` on; answers what is missing from `total`."""
    from tqdm import tqdm

    free = shutil.disk_usage(wanted.partial.parent).free
    if total is not None and total - wanted.have > free:
        got = f"{free:,} bytes free of the {total - wanted.have:,} still to come"
        raise InputError(f"{str(wanted.path)!r}: expected room for the download, got {got}; free some and run again")
    bar = tqdm(initial=start, total=total, desc=wanted.path.name, unit="B", unit_scale=True, delay=2, leave=False)
    with bar, _on_disk(wanted.partial), wanted.partial.open("ab" if start else "wb") as file:
        for block in response.iter_raw():
            file.write(block)
            bar.update(len(block))
    return f"{wanted.have:,} of {total:,} bytes" if total is not None and wanted.have < total else ""


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """What the disk refuses, in one line; what has come stays."""
    try:
        yield
    except OSError as error:
        advice = "free space or check permissions, and run again"
        raise InputError(f"{str(path)!r}: expected to write it, got {_line(error)}; {advice}") from error


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
