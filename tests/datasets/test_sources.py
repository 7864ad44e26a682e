"""Sources: downloaded, unpacked, counted and written down, whatever is killed in between."""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serving import CONTENT, refused, sha256, tar_of, tree, zip_of
from whatwhere.datasets import download as downloading
from whatwhere.datasets import sources
from whatwhere.datasets.sources import FETCHED, SOURCES, NameList, Source, fetch, manifest_path, obtain
from whatwhere.datasets.unpack import unpack

NAMES = ("one", "two", "three")
TREE = {f"top/images/{name}.jpg": CONTENT[:100_000] + name.encode() for name in NAMES}
TREE |= {"top/list.txt": "\n".join(NAMES).encode(), "top/unwanted.xml": b"<a/>"}


@pytest.fixture
def source(server, tmp_path):
    packed = tar_of(tmp_path / "made.tar", TREE.items()).read_bytes()
    server.contents["/data/set.tar"] = packed
    return Source(
        name="set",
        urls=(server.url("/data/set.tar"),),
        checksum=sha256(packed),
        terms="none",
        size_bytes=len(packed),
        members=("top/images/*", "top/*.txt"),
        counts=(("top/images/*.jpg", 3),),
        lists=(NameList("top/list.txt", 3, ("top/images/{}.jpg",)),),
    )


@pytest.fixture
def unpublished(server, source, tmp_path):
    """The same files as a zip of which nobody published a checksum."""
    server.contents["/data/set.zip"] = zip_of(tmp_path / "made.zip", TREE.items()).read_bytes()
    return replace(source, urls=(server.url("/data/set.zip"),), checksum=None, size_bytes=None)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def is_there(source, root):
    wanted = {name: content for name, content in TREE.items() if not name.endswith(".xml")}
    manifest = json.loads(manifest_path(source.name, root).read_text())
    return tree(root / "set") == wanted and manifest == {
        "source": "set",
        "checksum": source.checksum,
        "counts": {"top/images/*.jpg": 3, "top/list.txt": 3},
        "terms": "none",
        "urls": list(source.urls),
    }


def test_a_source_is_fetched_unpacked_counted_and_written_down(source, root):
    assert obtain(source, root) == root / "set"
    assert is_there(source, root)
    assert not list(root.rglob("*.partial"))


def test_a_second_call_does_nothing(server, source, root):
    obtain(source, root)
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    obtain(source, root)
    assert {file: file.stat().st_mtime_ns for file in root.rglob("*")} == before
    assert len(server.requests) == 1


def test_the_archive_may_go_once_the_manifest_is_there(server, source, root):
    obtain(source, root)
    (root / "set.tar").unlink()
    obtain(source, root)
    assert is_there(source, root)
    assert len(server.requests) == 1


def test_a_folder_that_is_gone_comes_again_from_the_archive(server, source, root):
    obtain(source, root)
    for file in sorted((root / "set").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (root / "set").rmdir()
    obtain(source, root)
    assert is_there(source, root)
    assert len(server.requests) == 1


def test_a_file_that_is_no_archive(server, source, root):
    server.contents["/names.txt"] = TREE["top/list.txt"]
    names = Source(
        "set", (server.url("/names.txt"),), sha256(TREE["top/list.txt"]), "", lists=(NameList("names.txt", 3),)
    )
    obtain(names, root)
    assert tree(root / "set") == {"names.txt": TREE["top/list.txt"]}


def mirrored(source, server, *paths):
    return Source(**{**vars(source), "urls": tuple(map(server.url, paths))})


def test_the_next_address_is_asked_where_one_fails(server, source, root):
    server.contents["/wrong/set.tar"] = bytes(source.size_bytes)
    obtain(mirrored(source, server, "/gone/set.tar", "/wrong/set.tar", "/data/set.tar"), root)
    assert [asked for asked, _ in server.requests] == ["/gone/set.tar", "/wrong/set.tar", "/data/set.tar"]
    assert tree(root / "set")


def test_where_no_address_delivers_the_first_fault_is_told(server, source, root):
    failing = mirrored(source, server, "/one/set.tar", "/two/set.tar")
    refused(lambda: obtain(failing, root), "/one/set.tar", "404", str(root / "set.tar"))
    assert len(server.requests) == 2


def test_a_fault_of_this_machine_asks_no_other_address(server, source, root):
    root.mkdir()
    (root / "set.tar").write_text("something else")
    refused(lambda: obtain(mirrored(source, server, "/one/set.tar", "/two/set.tar"), root), "remove")
    assert not server.requests


def test_an_archive_put_there_by_hand_is_taken(server, source, root):
    root.mkdir()
    (root / "set.tar").write_bytes(server.contents["/data/set.tar"])
    obtain(source, root)
    assert is_there(source, root)
    assert not server.requests


def test_ones_own_copy_is_taken_and_said_to_be_of_unknown_origin(server, source, root, tmp_path):
    unpack(tmp_path / "made.tar", tmp_path / "mine")
    root.mkdir()
    (root / "set").symlink_to(tmp_path / "mine")
    obtain(source, root)
    obtain(source, root)
    assert json.loads(manifest_path("set", root).read_text())["checksum"] is None
    assert not server.requests


def recorded(root):
    return json.loads(manifest_path("set", root).read_text())


def test_without_a_published_checksum_the_one_of_what_came_is_written_down(server, unpublished, root):
    assert obtain(unpublished, root) == root / "set"
    assert tree(root / "set") == {name: content for name, content in TREE.items() if not name.endswith(".xml")}
    assert recorded(root)["checksum"] == sha256(server.contents["/data/set.zip"])
    assert "no checksum is published" in recorded(root)["note"]
    before = manifest_path("set", root).stat().st_mtime_ns
    (root / "set.zip").unlink()
    obtain(unpublished, root)
    assert manifest_path("set", root).stat().st_mtime_ns == before
    assert len(server.requests) == 1


def test_without_a_published_checksum_ones_own_copy_has_none(unpublished, root, tmp_path):
    unpack(tmp_path / "made.zip", tmp_path / "mine")
    root.mkdir()
    (root / "set").symlink_to(tmp_path / "mine")
    (root / "set.zip").write_bytes(b"what the copy need not have come from")
    obtain(unpublished, root)
    assert recorded(root)["checksum"] is None
    assert "note" not in recorded(root)


def test_a_checksum_published_later_is_compared_with_what_came(server, unpublished, root):
    obtain(unpublished, root)
    obtain(replace(unpublished, checksum=sha256(server.contents["/data/set.zip"])), root)
    assert "note" not in recorded(root)
    refused(lambda: obtain(replace(unpublished, checksum=sha256(b"other")), root), sha256(b"other"), "remove")


@pytest.mark.parametrize("damage", ["a bit", "the end", "a page instead"])
def test_without_a_published_checksum_damage_is_found_on_unpacking(server, unpublished, root, damage):
    whole = server.contents["/data/set.zip"]
    at = whole.index(TREE["top/images/two.jpg"][5000:5100])
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    bodies = {"a bit": flipped, "the end": whole[:-100], "a page instead": b"<html>please log in</html>"}
    server.contents["/data/set.zip"] = bodies[damage]
    refused(lambda: obtain(unpublished, root), "set.zip", "damaged", "remove the archive")
    assert not (root / "set").exists()
    assert not manifest_path("set", root).exists()
    server.contents["/data/set.zip"] = whole
    (root / "set.zip").unlink()
    assert tree(obtain(unpublished, root))


KILLED = """
import json, os, sys
import httpx2
from whatwhere.datasets import download
from whatwhere.datasets import unpack
from whatwhere.datasets import sources

def die(*_, **__):
    os._exit(9)

def die_after_a_block(response, read=httpx2.Response.iter_raw):
    for block in read(response):
        yield block
        die()

def die_at_the_second(*values, write=unpack._write, seen=[]):
    seen.append(write(*values))
    len(seen) == 2 and die()

points = {
    "in the download": (httpx2.Response, "iter_raw", die_after_a_block),
    "before verification": (download, "_digest", die),
    "before the marker": (download, "_mark", die),
    "before unpacking": (sources, "unpack", die),
    "while unpacking": (unpack, "_write", die_at_the_second),
    "before the count": (sources, "_check", die),
    "before the manifest": (sources, "_write", die),
    "in the manifest": (sources, "replacing", die),
}
setattr(*points[sys.argv[1]])
values = json.loads(sys.argv[2])
values["lists"] = [sources.NameList(**one) for one in values["lists"]]
sources.obtain(sources.Source(**values), sys.argv[3])
"""
POINTS = [line.split('"')[1] for line in KILLED.splitlines() if line.startswith('    "')]


def killed(point, source, root):
    values = json.dumps({**vars(source), "lists": [vars(one) for one in source.lists]})
    done = subprocess.run([sys.executable, "-c", KILLED, point, values, str(root)], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert not manifest_path("set", root).exists()


@pytest.mark.parametrize("point", ["before verification", "before the marker", "before the manifest"])
def test_killed_without_a_published_checksum_it_still_writes_it_down(server, unpublished, root, point):
    killed(point, unpublished, root)
    obtain(unpublished, root)
    assert recorded(root)["checksum"] == sha256(server.contents["/data/set.zip"])


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_goes_on(server, source, root, point):
    killed(point, source, root)
    asked = len(server.requests)
    obtain(source, root)
    assert is_there(source, root)
    assert not list(root.rglob("*.partial"))
    again = server.asked_ranges[asked:]
    assert (len(again) == 1 and again[0].startswith("bytes=")) if point == "in the download" else not again


def test_two_at_once_fetch_once(server, source, root):
    server.stall_s = 0.1
    both = [threading.Thread(target=obtain, args=(source, root)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert is_there(source, root)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": (("top/images/*.jpg", 4),)}, ("4 files top/images/*.jpg", "got 3")),
        ({"lists": (NameList("top/list.txt", 2),)}, ("2 different names", "got 3")),
        ({"lists": (NameList("top/gone.txt", 2),)}, ("top/gone.txt", "got 0")),
        ({"lists": (NameList("top/list.txt", 3, ("top/{}.png",)),)}, ("3 files", "3 missing", "top/one.png")),
    ],
)
def test_a_wrong_count_leaves_no_manifest(source, root, change, words):
    refused(lambda: obtain(Source(**{**vars(source), **change}), root), "set", "remove", *words)
    assert not manifest_path("set", root).exists()


def test_names_that_come_twice_are_no_full_count(source, root):
    obtain(source, root)
    (root / "set/top/list.txt").write_text("one\none\ntwo\n")
    refused(lambda: obtain(source, root), "3 different names", "got 2")


def test_a_file_lost_later_is_noticed(source, root):
    obtain(source, root)
    (root / "set/top/images/two.jpg").unlink()
    refused(lambda: obtain(source, root), "got 2", "remove")


def test_another_version_of_the_source_is_noticed(source, root):
    obtain(source, root)
    newer = Source(**{**vars(source), "checksum": sha256(b"newer")})
    refused(lambda: obtain(newer, root), newer.checksum, source.checksum, "remove")


def test_a_damaged_manifest_is_written_again(source, root):
    obtain(source, root)
    manifest_path("set", root).write_text('{"half')
    obtain(source, root)
    assert is_there(source, root)


def test_a_root_that_is_no_folder(source, tmp_path):
    (tmp_path / "file").touch()
    refused(lambda: obtain(source, tmp_path / "file"), "another root")


def test_fetch_knows_its_sources(root, monkeypatch, source):
    refused(lambda: fetch("voc2013", root), "voc2012", "'voc2013'")
    monkeypatch.setitem(SOURCES, "set", source)
    assert fetch("set", root) == root / "set"
    assert is_there(source, root)


@pytest.mark.parametrize("name", sources.SOURCES)
def test_every_source_can_be_fetched_checked_and_named(name):
    source = SOURCES[name]
    assert source.name == name
    assert source.terms
    assert source.counts or source.lists
    downloading._algorithm(source.checksum)
    # without a checksum an archive whose members have their own: unpacked here, or a checkpoint's when it is read
    archive = (source.file.endswith(".zip") and source.members) or source.file.endswith(".ckpt")
    assert source.checksum or archive
    assert {url.rpartition("/")[2] for url in source.urls} == {source.file}
    assert all(url.startswith(("http://", "https://")) for url in source.urls)


def test_voc_is_what_the_protocol_says():
    source = SOURCES["voc2012"]
    assert source.checksum == "md5:6cd6e144f989b92b3379bac3b3de84fd"
    assert source.file == "VOCtrainval_11-May-2012.tar"
    assert {Path(names.path).stem: names.names for names in source.lists}["val"] == 1449


def test_coco_stuff_is_what_the_protocol_says():
    assert SOURCES["coco-stuffthingmaps2017"].file == "stuffthingmaps_trainval2017.zip"
    assert SOURCES["coco-stuffthingmaps2017"].counts == (("val2017/*.png", 5000),)
    assert SOURCES["coco-stuffthingmaps2017"].members == ("val2017/*.png",)
    listed = SOURCES["coco-stuff27-list"]
    assert listed.checksum == "sha256:7c629734c88f1a74bba6311e01d4d9fe976df84f07cb4fc86452ce5116e51655"
    assert listed.lists == (NameList("Coco164kFull_Stuff_Coarse_7.txt", 2175),)


def test_what_is_downloaded_for_a_data_set_is_known_and_ones_own_copy_lies_elsewhere():
    assert set(FETCHED) == {"voc", "coco", "cocostuff27"}
    for wanted in FETCHED.values():
        for name, own in wanted.items():
            assert name in SOURCES
            assert own
            # where a download goes, one's own copy would look as if it came and went with it
            assert not any(Path(place).parts[0] in SOURCES for place in own)
