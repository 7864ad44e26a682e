"""Archives: what comes out, and what never does."""

import errno
import tarfile
import zipfile

import pytest

from tests.serving import (
    FILES,
    KINDS,
    archive_of,
    refused,
    tar_entry,
    tar_of,
    tree,
    zip_entry,
    zip_of,
)
from whatwhere.artifacts.errors import InputError
from whatwhere.datasets import unpack as unpacking
from whatwhere.datasets.unpack import unpack


@pytest.mark.parametrize("kind", KINDS)
def test_archives_of_every_kind(tmp_path, kind):
    archive = archive_of(tmp_path / kind, FILES.items())
    assert unpack(archive, tmp_path / "out") == 4
    assert tree(tmp_path / "out") == FILES
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("kind", ["a.tar", "a.zip"])
def test_only_what_matches_is_written(tmp_path, kind):
    archive = archive_of(tmp_path / kind, [("./" + name, content) for name, content in FILES.items()])
    assert unpack(archive, tmp_path / "out", members=("top/*.txt", "*/b.bin")) == 3
    assert sorted(tree(tmp_path / "out")) == ["top/a.txt", "top/deep/b.bin", "top/deep/c.txt"]
    refused(lambda: unpack(archive, tmp_path / "none", members=("TOP/*",)), "match TOP/*", "none")
    assert not (tmp_path / "none").exists()


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    zip_of(tmp_path / "inner.zip", [("x", b"x")])
    archive = tar_of(tmp_path / "a.tar", [("inner.zip", (tmp_path / "inner.zip").read_bytes())])
    unpack(archive, tmp_path / "out")
    assert list(tree(tmp_path / "out")) == ["inner.zip"]


OUTSIDE = ["/etc/x", "../x", "a/../../x", "a/..", "..", "//x", "C:\\x", "C:x", "..\\x", "a\\..\\..\\x", "\\x"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["a.tar", "a.zip"])
def test_no_name_leaves_the_folder(tmp_path, kind, name):
    (tmp_path / "in").mkdir()
    nothing_is_left(archive_of(tmp_path / "in" / kind, [("good.txt", b"good"), (name, b"evil")]), tmp_path)


NO_FILES = [
    [tar_entry("x", tarfile.SYMTYPE, "../../outside")],
    [tar_entry("x", tarfile.SYMTYPE, "/etc"), ("x/passwd", b"evil")],
    [tar_entry("x", tarfile.SYMTYPE, "good.txt")],
    [tar_entry("x", tarfile.LNKTYPE, "../outside")],
    [tar_entry("x", tarfile.LNKTYPE, "good.txt")],
    [("", b"evil")],
    [tar_entry("x", tarfile.FIFOTYPE)],
    [tar_entry("x", tarfile.CHRTYPE)],
    [tar_entry("x", tarfile.BLKTYPE)],
    [tar_entry("x", tarfile.GNUTYPE_SPARSE)],
]


@pytest.mark.parametrize("entries", NO_FILES)
def test_nothing_but_files_comes_out_of_a_tar(tmp_path, entries):
    (tmp_path / "in").mkdir()
    nothing_is_left(tar_of(tmp_path / "in" / "a.tar", [("good.txt", b"good"), *entries]), tmp_path)


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010666])
def test_nothing_but_files_comes_out_of_a_zip(tmp_path, mode):
    (tmp_path / "in").mkdir()
    archive = zip_of(tmp_path / "in" / "a.zip", [("good.txt", b"good"), (zip_entry("x", mode), b"/etc")])
    nothing_is_left(archive, tmp_path)


def nothing_is_left(archive, tmp_path, *words):
    """The archive is refused, and neither its folder nor anything beside has appeared."""
    (tmp_path / "outside").write_text("untouched")
    before = sorted(tmp_path.rglob("*"))
    refused(lambda: unpack(archive, tmp_path / "out"), str(archive), "fetch it again", *words)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "outside").read_text() == "untouched"


def test_what_does_not_match_is_not_judged(tmp_path):
    archive = tar_of(tmp_path / "a.tar", [("../x", b"evil"), tar_entry("y", tarfile.SYMTYPE, "/"), ("z.txt", b"z")])
    assert unpack(archive, tmp_path / "out", members=("*.txt",)) == 1
    assert tree(tmp_path / "out") == {"z.txt": b"z"}


@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a"), ("a", "a/b/c")])
def test_every_name_comes_once(tmp_path, names):
    archive = tar_of(tmp_path / "a.tar", [(name, b"x") for name in names])
    nothing_is_left(archive, tmp_path, "once")


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_cut_anywhere_is_damaged(tmp_path, kind):
    archive = archive_of(tmp_path / kind, FILES.items())
    whole = archive.read_bytes()
    for kept in (0, 5, 512, 513, 1024, len(whole) // 2, len(whole) - 20 if kind != "a.tar" else 302_592):
        archive.write_bytes(whole[:kept])
        nothing_is_left(archive, tmp_path)


def test_a_tar_cut_between_two_files_is_damaged(tmp_path):
    archive = tar_of(tmp_path / "a.tar", FILES.items())
    archive.write_bytes(archive.read_bytes()[:1024])
    nothing_is_left(archive, tmp_path, "damaged", "no end of the archive")


@pytest.mark.parametrize("where", [1024 + 10, 1024 + 150])
def test_a_tar_with_a_damaged_header_does_not_end_there(tmp_path, where):
    archive = tar_of(tmp_path / "a.tar", FILES.items())
    content = bytearray(archive.read_bytes())
    content[where] ^= 1
    archive.write_bytes(content)
    nothing_is_left(archive, tmp_path, "damaged")


def test_a_zip_with_a_flipped_bit_is_damaged(tmp_path):
    archive = zip_of(tmp_path / "a.zip", FILES.items())
    content = bytearray(archive.read_bytes())
    content[150_000] ^= 1
    archive.write_bytes(content)
    nothing_is_left(archive, tmp_path, "damaged", "CRC")


def test_a_zip_whose_index_promises_more(tmp_path):
    archive = zip_of(tmp_path / "a.zip", [("a", b"four")])
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 24] += 1  # the uncompressed size, in the list of members
    archive.write_bytes(content)
    nothing_is_left(archive, tmp_path, "5 bytes in 'a'", "got 4")


def test_no_archive_at_all(tmp_path):
    (tmp_path / "a.tar").write_text("<html>log in</html>" * 100)
    nothing_is_left(tmp_path / "a.tar", tmp_path, "damaged")
    refused(lambda: unpack(tmp_path / "gone.tar", tmp_path / "out"), "gone.tar", "no file")


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
def test_a_full_disk_or_an_interrupt_leaves_nothing(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    archive = tar_of(tmp_path / "a.tar", FILES.items())
    monkeypatch.setattr(unpacking, "_copy", fail)
    expected = InputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected, match="free space" if expected is InputError else None):
        unpack(archive, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar"]


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    archive = tar_of(tmp_path / "a.tar", FILES.items())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    refused(lambda: unpack(archive, tmp_path / "out"), "out", "move it")
    assert list(tree(tmp_path / "out")) == ["mine"]
    (tmp_path / "dangling").symlink_to("nowhere")
    refused(lambda: unpack(archive, tmp_path / "dangling"), "dangling")


def test_what_a_killed_process_left_is_emptied_and_no_link_followed(tmp_path):
    archive = tar_of(tmp_path / "a.tar", FILES.items())
    (tmp_path / "one.partial").mkdir()
    (tmp_path / "one.partial" / "stale").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    (tmp_path / "two.partial").symlink_to("mine")
    for name in ("one", "two"):
        unpack(archive, tmp_path / name)
        assert tree(tmp_path / name) == FILES
    assert (tmp_path / "mine" / "kept").exists()


def bomb(path, megabytes):
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("zeros", "w", force_zip64=True) as file,
    ):
        for _ in range(megabytes):
            file.write(bytes(1 << 20))
    return path


def test_an_archive_that_would_fill_a_disk_is_not_unpacked_unless_it_is_known(tmp_path):
    archive = bomb(tmp_path / "a.zip", 200)
    assert archive.stat().st_size < 300_000
    nothing_is_left(archive, tmp_path, "at most 100.0 MB", "209.7 MB or more")
    assert unpack(archive, tmp_path / "out", known=True) == 1


def test_what_the_disk_has_no_room_for_is_not_begun(tmp_path, monkeypatch):
    archive = tar_of(tmp_path / "a.tar", FILES.items())
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: unpacking.shutil._ntuple_diskusage(10, 10, 0))
    refused(lambda: unpack(archive, tmp_path / "out"), "room for", "make room")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar"]
