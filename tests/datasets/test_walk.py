"""Folders as people have them: links, litter, cycles."""

import os
import shutil
import socket

import numpy as np
import pytest
from PIL import Image

from whatwhere.datasets import fingerprint, load_dataset, seen
from whatwhere.datasets.walk import files


def names(root):
    return [path.relative_to(root).as_posix() for path in files(root)]


@pytest.fixture
def root(tmp_path):
    """Two photographs in a folder, one more behind a link."""
    here, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    for number, path in enumerate([here / "a.png", here / "cats" / "b.png", elsewhere / "c.png"]):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(path)
    (here / "dogs").symlink_to(elsewhere)
    return here


def test_a_linked_folder_is_followed(root):
    assert names(root) == ["a.png", "cats/b.png", "dogs/c.png"]
    assert [record.id for record in load_dataset("mine", kind="folder", root=root).records] == ["a", "cats_b", "dogs_c"]


def test_a_link_back_ends(root):
    (root / "cats" / "up").symlink_to(root)
    (root / "self").symlink_to(root / "cats")
    assert names(root) == ["a.png", "cats/b.png", "dogs/c.png", "self/b.png"]


LITTER = (".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "cats/@eaDir/b.png")


@pytest.mark.parametrize("name", LITTER)
def test_litter_changes_nothing(root, name):
    before = names(root), fingerprint({"root": root})
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(b"x")
    assert (names(root), fingerprint({"root": root})) == before


def edited(root):
    Image.fromarray(np.ones((9, 9, 3), np.uint8)).save(root / "dogs" / "c.png")


def behind_a_link(root):
    (root / "cats" / "b.png").rename(root.parent / "b.png")
    (root / "cats" / "b.png").symlink_to(root.parent / "b.png")


def grown(root):
    Image.fromarray(np.ones((9, 9, 3), np.uint8)).save(root / "d.png")


@pytest.mark.parametrize("change", [edited, behind_a_link, grown])
def test_what_changed_is_noticed_also_behind_a_link(root, change):
    if change is behind_a_link:
        change(root)
        before = fingerprint({"root": root})
        Image.fromarray(np.ones((9, 9, 3), np.uint8)).save(root.parent / "b.png")
    else:
        before = fingerprint({"root": root})
        change(root)
    assert fingerprint({"root": root}) != before


def test_what_is_no_file_is_none(root):
    os.mkfifo(root / "pipe.png")
    (root / "gone.png").symlink_to(root / "nowhere.png")
    assert names(root) == ["a.png", "cats/b.png", "dogs/c.png", "gone.png"]  # whoever reads the last says so


def test_other_files_are_counted(root):
    (root / "notes.txt").write_text("x")
    assert load_dataset("mine", kind="folder", root=root).left_out == {"files that are no images": 1}


def test_what_is_no_file_is_counted_and_never_opened(root):
    os.mkfifo(root / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket.png"))
    (root / "folder.jpg").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / "folder.jpg" / "in.png")
    (root / "notes.txt").write_text("x")
    found = load_dataset("mine", kind="folder", root=root)
    assert [record.id for record in found.records] == ["a", "cats_b", "dogs_c", "folder.jpg_in"]
    assert found.left_out == {
        "files that are no images": 1,
        "pipes, sockets or devices": 2,
        "folders named as images are (what is in them was taken)": 1,
    }


def test_touched_and_copied_files_are_the_same(root, tmp_path):
    before = fingerprint({"root": root})
    for path in files(root):
        os.utime(path, (1, 1))
    assert fingerprint({"root": root}) == before
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)
    assert fingerprint({"root": tmp_path / "copy"}) == before


def test_files_are_read_once_and_again_where_something_changed(root, tmp_path, monkeypatch):
    notes, read = tmp_path / "results" / "seen.json", []
    digest = seen.digest
    monkeypatch.setattr(seen, "digest", lambda file: read.append(file.name) or digest(file))
    before = fingerprint({"root": root}, notes)
    assert read == ["a.png", "b.png", "c.png"]
    assert fingerprint({"root": root}, notes) == before == fingerprint({"root": root})
    assert len(read) == 6  # all three by the call without notes
    size, times = (root / "a.png").stat().st_size, (root / "a.png").stat()
    (root / "a.png").write_bytes(bytes(size))
    os.utime(root / "a.png", ns=(times.st_atime_ns, times.st_mtime_ns))  # as old as before, and of the same size
    assert fingerprint({"root": root}, notes) != before
    assert read[6:] == ["a.png"]


@pytest.mark.parametrize("text", ["", "[", "[3]", '{"a": 3}', "\x00"])
def test_damaged_notes_are_no_notes(root, tmp_path, text):
    (tmp_path / "seen.json").write_text(text)
    assert fingerprint({"root": root}, tmp_path / "seen.json") == fingerprint({"root": root})
