"""A server that can be told to misbehave, archives of every kind, and the one-line refusal."""

import hashlib
import io
import tarfile
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from whatwhere.artifacts.errors import InputError

CONTENT = np.random.default_rng(0).bytes(300_000)


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        served = self.server
        served.requests.append((self.path, self.headers.get("Range")))
        served.encodings.add(self.headers.get("Accept-Encoding"))
        if served.statuses:
            return self.answer(served.statuses.pop(0))
        if self.path.startswith("/moved"):
            return self.answer(302, Location=self.path.replace("/moved", "/loop" if "loop" in self.path else ""))
        if self.path.startswith("/loop"):
            return self.answer(302, Location=self.path)
        content = served.contents.get(self.path)
        return self.answer(404) if content is None else self.send(content)

    def answer(self, status, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, content):
        served, asked = self.server, self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and served.ranges else 0
        if asked and served.ranges and start >= len(content):
            return self.answer(416, **{"Content-Range": f"bytes */{len(content)}"})
        start += served.shift if asked else 0
        self.send_response(206 if asked and served.ranges else 200)
        if asked and served.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if served.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: served.cut_after])
        self.wfile.flush()
        time.sleep(served.stall_s)
        return None


class Server(ThreadingHTTPServer):
    """Serves `contents` by path; `cut_after` bytes the connection breaks."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents, self.statuses, self.requests, self.encodings = {"/a.bin": CONTENT}, [], [], set()
        self.ranges, self.lengths, self.cut_after, self.shift, self.stall_s = True, True, None, 0, 0.0

    def url(self, path="/a.bin"):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    @property
    def asked_ranges(self):
        return [asked for _, asked in self.requests]


def refused(function, *words, kind=InputError):
    with pytest.raises(kind) as caught:
        function()
    message = str(caught.value)
    assert "\n" not in message
    for word in ("expected", "got", ";", *words):
        assert word in message, message
    return caught.value


FILES = {"top/a.txt": b"a", "top/deep/b.bin": CONTENT, "top/deep/c.txt": b"", "other/d.txt": b"d"}


def tar_of(path, entries, mode="w"):
    """`entries`: (name, content) or a TarInfo without content."""
    with tarfile.open(path, mode) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return path


def zip_of(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries:
            packed.writestr(name, content)
    return path


def tar_entry(name, kind, link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


def zip_entry(name, mode):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


def tree(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


KINDS = ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip"]


def archive_of(path, entries):
    if path.suffix == ".zip":
        return zip_of(path, entries)
    return tar_of(path, entries, "w" if path.suffix == ".tar" else f"w:{path.suffix[1:]}")
