"""What there is to download, as data, and one way to have it: fetched, unpacked, counted, then written down."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.datasets import coarse, coco, cocostuff27, voc
from whatwhere.datasets.download import DownloadError, download, noted
from whatwhere.datasets.images import PathLike
from whatwhere.datasets.unpack import filling, unpack


@dataclass(frozen=True)
class NameList:
    """A text file of `names` names, and the files that stand for each of them (`{}` is the name)."""

    path: str
    names: int
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One file of the network and what must be in it.

    `urls` hold the same file, the preferred one first; `checksum` and `size_bytes` as for `download`. `members` are
    the patterns of what is unpacked; without any the file is no archive. `counts` (glob, files) and `lists` are
    checked in the folder before it counts as there.
    Where nobody publishes a checksum (None) the file must be a zip, which holds one (CRC-32) of each of its members,
    compared when they are unpacked (of a checkpoint, when it is read); what came is then in the manifest for a second
    machine to compare with.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str | None
    terms: str
    size_bytes: int | None = None
    members: tuple[str, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    lists: tuple[NameList, ...] = ()

    @property
    def file(self) -> str:
        """The name under which the file is kept."""
        return self.urls[0].rpartition("/")[2]


_VOC = "VOCdevkit/VOC2012"
_VOC_ARCHIVE = "VOCtrainval_11-May-2012.tar"
_VOC_FILES = (_VOC + "/JPEGImages/{}.jpg", _VOC + "/SegmentationClass/{}.png", _VOC + "/SegmentationObject/{}.png")
_COCO_TERMS = "annotations CC BY 4.0; the photographs are Flickr users', under its terms of use"
#: In the manifest beside a checksum that was compared with none.
_UNPUBLISHED = "no checksum is published for this file: this is the one of the file that came, for others to compare"

_ALL = (
    Source(
        name="voc2012",
        urls=(
            f"https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/{_VOC_ARCHIVE}",
            f"http://host.robots.ox.ac.uk/pascal/VOC/voc2012/{_VOC_ARCHIVE}",
            f"https://data.pjreddie.com/files/{_VOC_ARCHIVE}",
        ),
        checksum="md5:6cd6e144f989b92b3379bac3b3de84fd",
        size_bytes=1_999_639_040,
        terms="photographs from Flickr, under its terms of use; for research",
        members=(f"{_VOC}/ImageSets/Segmentation/*.txt", *(path.format("*") for path in _VOC_FILES)),
        lists=tuple(
            NameList(f"{_VOC}/ImageSets/Segmentation/{split}.txt", names, _VOC_FILES)
            for split, names in voc.SPLITS.items()
        ),
    ),
    Source(
        name="coco-val2017",
        urls=("http://images.cocodataset.org/zips/val2017.zip",),
        checksum="md5:442b8da7639aecaf257c1dceb8ba8c80",
        size_bytes=815_585_330,
        terms=_COCO_TERMS,
        members=("val2017/*.jpg",),
        counts=(("val2017/*.jpg", 5000),),
    ),
    Source(
        name="coco-annotations2017",
        urls=("http://images.cocodataset.org/annotations/annotations_trainval2017.zip",),
        checksum="md5:f4bbac642086de4f52a3fdda2de5fa2c",
        size_bytes=252_907_541,
        terms=_COCO_TERMS,
        members=("annotations/*_val2017.json",),
        counts=(("annotations/instances_val2017.json", 1), ("annotations/captions_val2017.json", 1)),
    ),
    Source(
        name="coco-stuffthingmaps2017",
        urls=("http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip",),
        checksum=None,
        terms="annotations of COCO-Stuff, derived from COCO's, CC BY 4.0",
        members=("val2017/*.png",),
        counts=(("val2017/*.png", 5000),),
    ),
    Source(
        name="coco-stuff27-list",
        urls=(f"https://raw.githubusercontent.com/janghyuncho/PiCIE/master/curated/val2017/{cocostuff27.LIST}",),
        checksum="sha256:7c629734c88f1a74bba6311e01d4d9fe976df84f07cb4fc86452ce5116e51655",
        terms="names of images only",
        lists=(NameList(cocostuff27.LIST, cocostuff27.IMAGES),),
    ),
    *(
        Source(
            name=f"stego-{dataset}",
            urls=(f"https://marhamilresearch4.blob.core.windows.net/stego-public/saved_models/{file}",),
            checksum=None,
            terms="MIT, as the authors' code",
            counts=((file, 1),),
        )
        for dataset, file in (
            ("cocostuff27", "cocostuff27_vit_base_5.ckpt"),
            ("cityscapes", "cityscapes_vit_base_1.ckpt"),
        )
    ),
)
SOURCES = {source.name: source for source in _ALL}
#: Kinds of data sets that are downloaded: each source, and where one's own copy of it may lie under the root. The last
#: of a kind's `PLACES` is a download's.
FETCHED: dict[str, dict[str, tuple[str, ...]]] = {
    "voc": {"voc2012": ("ImageSets", "VOC2012/ImageSets", "VOCdevkit/VOC2012/ImageSets")},
    "coco": {name: places[:-1] for name, places in coco.PLACES.items()},
    "cocostuff27": {
        name: (*places[:-1], coarse.COARSE, *coarse.PANOPTIC) for name, places in cocostuff27.PLACES.items()
    },
}


def fetch(source_name: str, root: PathLike) -> Path:
    """The folder `root/<source_name>` with all that the source holds, fetched if need be. See `obtain`."""
    if source_name not in SOURCES:
        raise InputError(f"sources: expected one of {', '.join(SOURCES)}, got {source_name!r}; choose one")
    return obtain(SOURCES[source_name], root)


def manifest_path(source_name: str, root: PathLike) -> Path:
    """The JSON file that `fetch` writes last: checksum, counts, terms, addresses."""
    return Path(root) / f"{source_name}.json"


def obtain(source: Source, root: PathLike) -> Path:
    """Downloads `root/<file>`, unpacks it to `root/<name>/`, checks that, writes `root/<name>.json` last.

    May be killed anywhere and called again, also by two processes at once. A folder that is already there is
    checked and taken as it is (a link to one's own copy, say), and a file at `root/<file>` is not fetched again;
    it may be deleted once the manifest is there. The manifest's `checksum` is null where nobody saw the archive, and
    has a `note` beside it where none is published to compare it with.
    Raises InputError where no address delivers, or for anything that is not as the source says.
    """
    root = Path(root)
    folder, manifest = root / source.name, manifest_path(source.name, root)
    with _alone(root / f".{source.name}.lock"):
        recorded = _recorded(manifest)
        if recorded is None or not folder.exists():
            manifest.unlink(missing_ok=True)
            recorded = None
        if not folder.exists():
            _place(source, _downloaded(source, root), folder)
        counts = _check(source, folder)
        seen = recorded["checksum"] if recorded else _seen(source, root)
        if None not in (seen, source.checksum) and seen != source.checksum:
            raise _refusal(source, folder, f"the content of {source.checksum}", f"that of {seen}")
        content = {
            "source": source.name,
            "checksum": seen,
            "counts": counts,
            "terms": source.terms,
            "urls": source.urls,
        }
        if seen and not source.checksum:
            content["note"] = _UNPUBLISHED
        _write(manifest, content)
    return folder


def _downloaded(source: Source, root: Path) -> Path:
    """The file from the first address that delivers it. Raises what the first said where none does."""
    first: DownloadError | None = None
    for url in source.urls:
        try:
            return download(url, root / source.file, checksum=source.checksum, size_bytes=source.size_bytes)
        except DownloadError as error:
            first = first or error
    assert first is not None
    raise first


def _place(source: Source, file: Path, folder: Path) -> None:
    if source.members:
        unpack(file, folder, members=source.members, known=source.checksum is not None)
        return
    with filling(folder) as unfinished:
        shutil.copyfile(file, unfinished / file.name)


def _check(source: Source, folder: Path) -> dict[str, int]:
    """Files (or names) by pattern (or list), all as many as the source says."""
    found = {pattern: sum(1 for _ in folder.glob(pattern)) for pattern, _ in source.counts}
    for pattern, files in source.counts:
        if found[pattern] != files:
            raise _refusal(source, folder, f"{files:,} files {pattern}", f"{found[pattern]:,}")
    return found | {names.path: _check_list(source, folder, names) for names in source.lists}


def _check_list(source: Source, folder: Path, wanted: NameList) -> int:
    path = folder / wanted.path
    names = path.read_text("utf-8", errors="replace").split() if path.is_file() else []
    if len(set(names)) != wanted.names or len(names) != wanted.names:
        raise _refusal(source, folder, f"{wanted.names:,} different names in {wanted.path}", f"{len(set(names)):,}")
    files = [pattern.format(name) for name in names for pattern in wanted.files]
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        got = f"{len(missing):,} missing, first {missing[0]!r}"
        raise _refusal(source, folder, f"the {len(files):,} files that {wanted.path} names", got)
    return len(names)


def _refusal(source: Source, folder: Path, expected: str, got: str) -> InputError:
    return InputError(f"{source.name} in {str(folder)!r}: expected {expected}, got {got}; remove it and run again")


def _seen(source: Source, root: Path) -> str | None:
    """The checksum of the archive beside the folder, if that is the one it must have come from."""
    checksum = noted(root / source.file)
    return checksum if checksum == (source.checksum or checksum) else None


def _recorded(manifest: Path) -> dict[str, Any] | None:
    """The manifest, if there is one that can be read."""
    try:
        content = json.loads(manifest.read_text("utf-8"))
        return content if isinstance(content, dict) and "checksum" in content else None
    except (OSError, ValueError):
        return None


def _write(manifest: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    if not manifest.is_file() or manifest.read_text("utf-8") != text:  # an unchanged file keeps its date
        with replacing(manifest) as partial:
            partial.write_text(text, "utf-8")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Waits for another process that fetches the same; the system frees the lock of a killed one."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR)
    except OSError as error:
        got = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{str(lock.parent)!r}: expected a folder to write to, got {got}; choose another root"
        ) from error
    try:
        with suppress(OSError):  # a file system without locks: two processes at once are then the person's to avoid
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
