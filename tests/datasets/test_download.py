"""Downloads from a server on this machine that can be told to misbehave."""

import hashlib
import os
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from tests.serving import CONTENT, refused, sha256
from whatwhere.datasets import download as downloading
from whatwhere.datasets.download import DownloadError, download, noted


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "a.bin"


@pytest.fixture
def get(server, path):
    def get(url=None, **values):
        settings = {"checksum": sha256(CONTENT), "first_pause_s": 0.001, **values}
        return download(url or server.url(), path, **settings)

    return get


def beside(path, ending):
    return path.with_name(f"{path.name}.{ending}")


def half(path, content=CONTENT[:100_000]):
    path.parent.mkdir(parents=True, exist_ok=True)
    beside(path, "partial").write_bytes(content)


@pytest.mark.parametrize("size_bytes", [None, len(CONTENT)])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_is_fetched_whole(server, get, path, ranges, size_bytes):
    server.ranges = ranges
    assert get(size_bytes=size_bytes) == path
    assert path.read_bytes() == CONTENT
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.bin", "a.bin.verified"]
    assert server.encodings == {"identity"}


def test_md5_and_redirects(server, get, path):
    get(server.url("/moved/a.bin"), checksum=f"md5:{hashlib.md5(CONTENT).hexdigest()}")
    assert path.read_bytes() == CONTENT


def test_a_verified_file_is_neither_fetched_nor_hashed_again(server, get, monkeypatch):
    get()
    monkeypatch.setattr(downloading, "_digest", None)
    get()
    assert len(server.requests) == 1


@pytest.mark.parametrize("marker", [None, "", '{"checksum": 1}'])
def test_a_file_without_its_marker_is_hashed_and_not_fetched(server, get, path, marker):
    get()
    beside(path, "verified").unlink()
    if marker is not None:
        beside(path, "verified").write_text(marker)
    get()
    assert len(server.requests) == 1
    assert noted(path) == sha256(CONTENT)


@pytest.mark.parametrize("marker", ["[]", "1", '"a"', "{}", '{"checksum": null}'])
def test_a_marker_that_is_none_notes_nothing(get, path, marker):
    get()
    beside(path, "verified").write_text(marker)
    assert noted(path) is None


def test_without_a_published_checksum_the_files_own_is_noted(server, get, path, monkeypatch):
    get(checksum=None)
    assert path.read_bytes() == CONTENT
    assert noted(path) == sha256(CONTENT)
    monkeypatch.setattr(downloading, "_digest", None)
    get(checksum=None)
    assert len(server.requests) == 1


def test_without_a_published_checksum_a_file_put_there_by_hand_is_noted_as_it_is(server, get, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    get(checksum=None)
    assert noted(path) == sha256(b"mine")
    path.write_bytes(b"mine now")
    assert noted(path) is None
    get(checksum=None)
    assert noted(path) == sha256(b"mine now")
    assert not server.requests


def test_without_a_published_checksum_a_broken_connection_is_still_noticed(server, get, path):
    server.cut_after = 200_000
    get(checksum=None)
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges == [None, "bytes=200000-"]


def test_a_checksum_published_later_is_compared(get, path):
    get(checksum=None)
    get()
    refused(lambda: get(checksum=sha256(b"other")), sha256(CONTENT), "remove")


@pytest.mark.parametrize("change", [CONTENT[:-1], CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])])
def test_a_changed_file_is_noticed_and_not_deleted(get, path, change):
    get()
    before = path.stat().st_mtime_ns
    path.write_bytes(change)
    os.utime(path, ns=(before, before + 1))
    refused(get, str(path), sha256(change), "remove")
    assert path.read_bytes() == change


def test_another_checksum_is_another_file(get):
    get()
    refused(lambda: get(checksum=sha256(b"other")), "remove")


@pytest.mark.parametrize("checksum", [sha256(CONTENT), None])
def test_something_else_at_the_path(get, path, checksum):
    path.mkdir(parents=True)
    refused(lambda: get(checksum=checksum), "no file")


def test_a_partial_file_is_continued(server, get, path):
    half(path)
    get()
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges == ["bytes=100000-"]


def test_a_server_without_ranges_sends_it_from_the_start(server, get, path):
    server.ranges = False
    half(path, b"x" * 100_000)
    get()
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges == ["bytes=100000-"]


@pytest.mark.parametrize(("size_bytes", "asked"), [(None, ["bytes=300001-", None]), (len(CONTENT), [None])])
def test_a_partial_file_longer_than_the_file(server, get, path, size_bytes, asked):
    half(path, CONTENT + b"x")
    get(size_bytes=size_bytes)
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges == asked


@pytest.mark.parametrize(("size_bytes", "asked"), [(None, ["bytes=300000-"]), (len(CONTENT), [])])
def test_a_complete_partial_file_is_only_verified(server, get, path, size_bytes, asked):
    half(path, CONTENT)
    get(size_bytes=size_bytes)
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges == asked


def test_another_range_than_asked_for_is_not_appended(server, get, path):
    server.shift = 7
    half(path)
    get()
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("lengths", [True, False])
def test_more_cuts_than_attempts_are_no_failure_while_bytes_come(server, get, path, lengths):
    server.cut_after, server.lengths = 30_000, lengths
    get(size_bytes=len(CONTENT), attempts=2)
    assert path.read_bytes() == CONTENT
    assert server.asked_ranges[:3] == [None, "bytes=30000-", "bytes=60000-"]


def test_without_progress_it_is_given_up_and_what_came_stays(server, get, path):
    server.cut_after, server.ranges = 30_000, False
    refused(lambda: get(attempts=3), server.url(), "3 times", str(path), kind=DownloadError)
    assert len(server.requests) == 4
    assert beside(path, "partial").read_bytes() == CONTENT[:30_000]
    server.cut_after, server.ranges = None, True
    get()
    assert server.asked_ranges[-1] == "bytes=30000-"
    assert path.read_bytes() == CONTENT


def test_a_stalled_connection_is_broken(server, get, monkeypatch):
    monkeypatch.setattr(downloading, "_TIMEOUT_S", 0.05)
    server.cut_after, server.stall_s, server.ranges = 10, 0.5, False
    refused(lambda: get(attempts=1), "ReadTimeout")


def test_pauses_double_and_begin_anew_after_progress(server, get, monkeypatch):
    slept = []
    monkeypatch.setattr(downloading.time, "sleep", lambda seconds: slept.append(seconds) if seconds else None)
    server.statuses, server.cut_after = [503, 429, 500], 200_000
    get(first_pause_s=3.0)
    assert slept == [3, 6, 12, 3]


def test_a_wrong_file_is_deleted_and_named(get, path):
    error = refused(lambda: get(checksum=sha256(b"other")), sha256(CONTENT), "deleted", str(path), kind=DownloadError)
    assert sha256(b"other") in str(error)
    assert not list(path.parent.iterdir())


def test_a_file_of_another_size_is_not_even_begun(server, get, path):
    refused(lambda: get(size_bytes=2_000_000), "2,000,000", "300,000", str(path), kind=DownloadError)
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("status", [401, 403, 404, 410, 304])
def test_a_final_answer_is_not_asked_for_again(server, get, path, status):
    server.statuses = [status] * 2
    refused(get, str(status), "elsewhere", str(path), kind=DownloadError)
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "nonsense", "http://[", "ftp://127.0.0.1/a.bin"])
def test_addresses_that_cannot_be_asked(get, path, url):
    refused(lambda: get(url), url, kind=DownloadError)
    assert not path.exists()


def test_redirects_in_a_circle(server, get):
    refused(lambda: get(server.url("/moved/loop")), "TooManyRedirects", kind=DownloadError)


def test_without_a_network_the_line_says_what_to_put_where(get, path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.bin"
    refused(lambda: get(url, attempts=2), url, "2 times", "elsewhere", str(path), kind=DownloadError)


def test_no_room_is_noticed_before_a_byte_is_written(server, get, path, monkeypatch):
    half(path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: usage(0, 0, 199_999))
    error = refused(get, "199,999", "200,000", "free some")
    assert not isinstance(error, DownloadError)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: usage(0, 0, 200_000))
    get()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_up(get, path):
    path.parent.mkdir()
    beside(path, "partial").symlink_to("/dev/full")
    refused(get, "No space left", "free space")
    assert not path.exists()


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    refused(lambda: download(server.url(), tmp_path / "file" / "a.bin", checksum=sha256(CONTENT)), "permissions")


@pytest.mark.parametrize("checksum", ["", "md5:12", "sha1:" + "0" * 40, "0" * 32, "sha256:" + "0" * 32])
def test_checksums_of_no_known_kind(server, get, checksum):
    refused(lambda: get(checksum=checksum), "md5:", "sha256:")
    assert not server.requests
