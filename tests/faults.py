"""Faults, tried: `python -m tests.faults --rounds 20 --out docs/faults` on a small run, whose figures the docs show.

A round kills a whole run with -9, one to three times, each at a random moment, takes it up again as the docs say, and
compares every artifact and table with the undisturbed run's. Beside the rounds: flipped bits and deletions in stores,
a full disk, a read-only folder, limits of memory, a store of another version.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.workflow.test_workflow import SMALL, Project, brief
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.manifest import place
from whatwhere.artifacts.store import Store
from whatwhere.artifacts.warm import SOCKET

#: Few images and methods, all stages: seconds a run.
SETTINGS = {
    "datasets": {"scenes": {**SMALL["datasets"]["scenes"], "images": 4}},
    "features": {"run_images": 1},
    **brief("exact", "maskcut"),
    "figures": {"figure3": SMALL["figures"]["figure3"]},
}
HEADER = ("fault", "tried", "as it should", "what that is")
#: Ends whatever a fault made hang.
PATIENCE_S = 600

Row = tuple[str, int, int, str]


def main() -> None:
    """Tries all faults and writes `faults.csv` and `kills.csv`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bits", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("docs/faults"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows, kills = campaign(Path(folder), rounds=asked.rounds, seed=asked.seed, bits=asked.bits)
    asked.out.mkdir(parents=True, exist_ok=True)
    _write(asked.out / "faults.csv", HEADER, rows)
    _write(asked.out / "kills.csv", KILLS, kills)
    sys.exit(any(tried != well for _, tried, well, _ in rows))


def campaign(folder: Path, *, rounds: int, seed: int, bits: int) -> tuple[list[Row], list[tuple[Any, ...]]]:
    """Rows of faults (`HEADER`), and of each round of kills (`KILLS`)."""
    chance = random.Random(seed)
    whole = Project(folder / "whole", **SETTINGS)
    began = monotonic()
    whole.snakemake("--cores", "1")
    seconds = monotonic() - began
    expected = whole.contents()
    kills = [_killed(folder / "killed", chance, seconds, expected, number) for number in range(1, rounds + 1)]
    well = sum(kill[-1] == "yes" for kill in kills)
    rows: list[Row] = [("runs killed with -9, one to three times each", rounds, well, "taken up again, all the same")]
    root = whole.folder / "results/small"
    rows.append(("bits flipped in stores", *_flips(root, chance, bits), "store, array and chunk named"))
    rows += [(f"deleted in a store: {what}", *found, "named") for what, found in _deletions(root).items()]
    rows.append(("stores of another version", *_versions(root), "refused, with what to run"))
    rows.append(("photographs too large for the memory, in a batch", *_memory(folder), "a line; the others are done"))
    return rows + _disks(whole, expected), kills


def _write(path: Path, header: tuple[str, ...], rows: list[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


# ------------------------------------------------------------------------------------------- kills

KILLS = ("round", "killed after (s)", "steps done at the kills", "the same as undisturbed")


def _killed(folder: Path, chance: random.Random, seconds: float, expected: Any, number: int) -> tuple[Any, ...]:
    shutil.rmtree(folder, ignore_errors=True)
    project = Project(folder, **SETTINGS)
    moments, done = [], []
    for _ in range(chance.randint(1, 3)):
        moments.append(chance.uniform(0.5, seconds))
        _kill(project, moments[-1])
        done.append(len(list((folder / "results").rglob("*.log"))))
    _run(project)
    same = "yes" if project.contents() == expected and not _left(folder) else "no"
    return number, " ".join(f"{moment:.1f}" for moment in moments), " ".join(map(str, done)), same


def _left(folder: Path) -> list[Path]:
    return [path for path in (folder / "results").rglob("*.partial") if ".seen" not in path.name]


def _kill(project: Project, after: float) -> None:
    """Starts the run, as the docs say to do after a kill, and kills it with all its jobs."""
    project.snakemake("--unlock")
    with project.begun("--cores", "1") as process:
        end = monotonic() + after
        while monotonic() < end and process.poll() is None:
            sleep(0.01)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _run(project: Project) -> None:
    project.snakemake("--unlock")
    project.snakemake("--cores", "1")


# ------------------------------------------------------------------------------------------- stores


def _manifests(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.json") if path.with_suffix(".zarr").exists())


def _said(call: Callable[[], Any]) -> str:
    """What is wrong, in a line; empty where nothing is said."""
    try:
        call()
    except InputError as error:
        return str(error)
    return ""


@contextmanager
def _harmed(file: Path) -> Iterator[None]:
    """What happens to a file in the block is undone at its end."""
    content, folder = file.read_bytes(), file.parent
    try:
        yield
    finally:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _flips(root: Path, chance: random.Random, bits: int) -> tuple[int, int]:
    """One bit at a time, anywhere in any file of any store: the verification must say where."""
    files = [(m, f) for m in _manifests(root) for f in m.with_suffix(".zarr").rglob("*") if f.is_file()]
    named = 0
    for _ in range(bits):
        manifest, file = chance.choice(files)
        with _harmed(file):
            content = bytearray(file.read_bytes())
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            file.write_bytes(content)
            where = place(file.relative_to(manifest.with_suffix(".zarr")).as_posix())
            line = _said(lambda at=manifest: Store(at).verify())
            named += f"{manifest.with_suffix('.zarr')}, {where}:" in line and "run: rm" in line
    return bits, named


def _deletions(root: Path) -> dict[str, tuple[int, int]]:
    """Each kind of thing that a store has, of every store."""
    found: dict[str, tuple[int, int]] = {}
    for manifest in _manifests(root):
        store = manifest.with_suffix(".zarr")
        files = [file for file in sorted(store.rglob("*")) if file.is_file()]
        small = json.loads(manifest.read_text())["coordinates"]
        for file in files:
            name = file.relative_to(store).as_posix()
            kind = "metadata" if file.name == "zarr.json" else "a chunk"
            kind = "a coordinate" if kind == "a chunk" and name.partition("/c/")[0] in small else kind
            with _harmed(file):
                file.unlink()
                line = _said(lambda at=manifest: Store(at))
            tried, well = found.get(kind, (0, 0))
            found[kind] = tried + 1, well + (f"{store}, {place(name)}:" in line)
        tried, well = found.get("all of it", (0, 0))
        store.rename(aside := store.with_suffix(".aside"))
        line = _said(lambda at=manifest: Store(at))
        aside.rename(store)
        found["all of it"] = tried + 1, well + ("no such folder" in line)
        tried, well = found.get("its manifest", (0, 0))
        with _harmed(manifest):
            manifest.unlink()
            line = _orphan(root)
        found["its manifest"] = tried + 1, well + (str(store) in line)
    return found


def _orphan(root: Path) -> str:
    from whatwhere.app.show import describe

    return _said(lambda: describe(root, verify=True))


def _versions(root: Path) -> tuple[int, int]:
    tried = named = 0
    for manifest in _manifests(root):
        for other in (1, 2, 99, "3"):
            with _harmed(manifest):
                manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": other}))
                line = _said(lambda at=manifest: Store(at))
            tried, named = tried + 1, named + (f"got {other}" in line and f"run: rm {manifest}" in line)
    return tried, named


# ------------------------------------------------------------------------------------------- memory and disks


def _memory(folder: Path) -> tuple[int, int]:
    """A batch under a limit of address space: a picture that does not fit between two that do."""
    from PIL import Image

    photos = folder / "photos"
    photos.mkdir()
    for name, side in (("a", 96), ("b", 9_000), ("c", 96)):
        Image.linear_gradient("L").resize((side, side)).save(photos / f"{name}.png")
    limit = 6 * 10**9  # more than the network and its libraries take by far, less than the pixels of the second would
    command = [sys.executable, "-m", "whatwhere.app.cli", "segment", str(photos), "--backbone", "zoo-dino"]
    done = subprocess.run(
        [*command, "--size", "64", "--out", str(folder / "out")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    lines = [line for line in done.stderr.splitlines() if "b.png" in line]
    well = done.returncode == 2 and len(lines) == 1 and "memory" in lines[0]
    there = {path.stem for path in (folder / "out").glob("*.npz")}
    return 1, int(well and there == {"a", "c"})


FULL, BARRED = "a disk full in the middle of a run", "a read-only folder of results"
NO_DISK = "not tried: no disk can be mounted here (unshare, tmpfs)"
#: In a namespace of its own, where another disk takes the place of the results: first it may not be written to, then it
#: is too small for a run, then it has room.
_DISK = """
mount -t tmpfs -o size={size}k none results && mount -o remount,ro results || exit 77
{run} > barred.txt 2>&1; echo $? >> barred.txt
mount -o remount,rw results
{unlock} > unlock.txt 2>&1
{run} > full.txt 2>&1; echo $? >> full.txt
mount -o remount,size=400m results
{unlock} > unlock.txt 2>&1
{run} > last.txt 2>&1; echo $? >> last.txt
cp -r results made
"""


def _disks(whole: Project, expected: Any) -> list[Row]:
    """A disk that is read-only, and one that is full in the middle; where none can be mounted, that."""
    used = sum(file.stat().st_blocks for file in (whole.folder / "results").rglob("*") if file.is_file()) // 2
    rows = {FULL: "path and room named; with more room the same", BARRED: "one line before any job; then the same"}
    if not (found := _on_disk(whole, used // 2, expected)):
        return [(what, 0, 0, NO_DISK) for what in rows]
    said, same = found
    well = {
        FULL: any("expected room on the disk" in line and "run again" in line for line in said["full"]),
        BARRED: len(said["barred"]) == 1 and "read-only" in said["barred"][0],
    }
    return [(what, 1, int(well[what] and same), then) for what, then in rows.items()]


def _on_disk(whole: Project, size: int, expected: Any) -> tuple[dict[str, list[str]], bool] | None:
    """Our lines of the first two runs, and whether the last made all that was expected; None where none can be tried.

    `size`: 10³ bytes that the disk holds before it has room.
    """
    project = Project(whole.folder.with_name("disk"), **SETTINGS)
    (project.folder / "results").mkdir()
    run = f"{sys.executable} -m snakemake"
    text = _DISK.format(size=size, run=f"{run} --cores 1", unlock=f"{run} --unlock")
    # a warm parent that serves other runs sees none of what is mounted here
    environment = {name: value for name, value in project.environment.items() if name != SOCKET}
    done = subprocess.run(["unshare", "-rm", "sh", "-c", text], cwd=project.folder, env=environment, timeout=PATIENCE_S)
    if done.returncode == 77 or not (project.folder / "barred.txt").exists():
        return None
    (project.folder / "results").rmdir()
    (project.folder / "made").rename(project.folder / "results")
    said = {name: _ours(project.folder / f"{name}.txt") for name in ("barred", "full")}
    return said, project.contents() == expected


def _ours(said: Path) -> list[str]:
    lines = [line for line in said.read_text().splitlines() if line.startswith("whatwhere: ")]
    return [line for line in lines if not re.search("a run is going on|a line of ours", line)]


if __name__ == "__main__":
    main()
