"""Tables, figures and claims -> the report of a run."""

from __future__ import annotations

import csv
import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from whatwhere.artifacts.again import again
from whatwhere.artifacts.atomic import replacing
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.job import Spent, log_of, spent
from whatwhere.artifacts.manifest import digest
from whatwhere.artifacts.provenance import provenance
from whatwhere.artifacts.store import is_manifest, read_json
from whatwhere.artifacts.words import bytes_words, time_words
from whatwhere.publish.claims import judge
from whatwhere.publish.report import Facts, Judged, write_report
from whatwhere.publish.tables import read_draws

#: What a run's folder has beside artifacts.
_NO_STAGES = ("figures", "logs", "tables")
#: Stages whose files are named after an entry of the configuration, and its section; others' are named after shards.
_NAMED_AFTER = {
    **dict.fromkeys(("joint", "codebook", "segments", "refined", "matching", "coordinates", "detections"), "methods"),
    "timings": "backbones",
    "texts": "namings",
    "explored": "explored",
}
_CLAIMS = ("claim", "source", "table", "verdict", "numbers")
#: Of what is said of a stage so many columns are what it took; the rest is when, and digests.
_TOOK = 5
#: The index of a data set lists its shards; the artifacts are those.
_INDEX = "index.json"


@dataclass(frozen=True)
class _Artifact:
    """What one file, or the manifest of a store, says of itself."""

    place: Path
    """In the run's folder: stage, data set and so on."""
    digest: str
    size: int
    written: float
    """When, in seconds since 1970."""
    described: Mapping[str, Any]


def write_run_report(
    output: Path,
    tables: Sequence[str],
    figures: Sequence[str],
    settings: dict[str, Any],
    *,
    explored: Sequence[str] = (),
) -> None:
    """One HTML file with what was run on what, what became of the paper's claims, every table and figure, and origins,
    and links to the pages of its photographs that `explored`, manifests named after data sets, are about;
    beside it `claims.csv` and `stages.csv`, the verdicts and what each stage took as data.

    `output` lies in the folder of the run, whose artifacts' manifests say what versions and weights there are, and
    whose jobs' logs what time and memory they took; nothing else does: written again later, the report is the same.
    """
    captions = {name: figure["title"] for name, figure in settings["figures"].items()}
    artifacts = sorted(_artifacts(output.parent, settings), key=lambda artifact: artifact.place)
    claims = _judged(settings.get("claims") or (), [Path(table) for table in tables])
    stages = _stages(artifacts, output.parent / "logs")
    pages = {Path(path).stem: _pages(Path(path), output.parent) for path in explored}
    _write_csv(output.with_name("claims.csv"), _CLAIMS, [_cells(claim) for claim in claims])
    _write_csv(output.with_name("stages.csv"), stages.header[:_TOOK], [row[:_TOOK] for row in stages.rows])
    write_report(
        output,
        title=f"whatwhere: run {settings['run']}",
        summary=_summary(settings, _counts(output.parent, settings)),
        claims=claims,
        tables=[Path(table) for table in tables],
        figures=[(Path(path), captions[Path(path).stem]) for path in figures],
        pages={name: pages.get(figure.get("dataset"), {}) for name, figure in settings["figures"].items()},
        provenance=[
            _versions(artifacts),
            _circumstances(artifacts, settings),
            _weights(artifacts),
            stages,
            _hashes([*tables, *figures]),
        ],
        settings=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
    )


def _pages(manifest: Path, folder: Path) -> dict[str, str]:
    """By the id of an image, where its page that a manifest is about lies in a folder.

    Raises `InputError` for one that is gone, or not what was written.
    """
    found = {}
    for said in read_json(manifest)["pages"]:
        page = manifest.with_suffix("") / said["file"]
        if not page.is_file() or digest(page) != said["digest"]:
            got = "another" if page.is_file() else "none"
            raise InputError(f"{page}: expected the page that was made, got {got}; run: rm {manifest} && {again(page)}")
        found[said["title"]] = page.relative_to(folder).as_posix()
    return found


def _judged(claims: Sequence[Mapping[str, Any]], tables: Sequence[Path]) -> list[Judged]:
    rows = {table.stem: _rows(table) for table in tables} if claims else {}
    return [Judged(claim["says"], claim["source"], claim["table"], judge(claim, rows)) for claim in claims]


def _rows(table: Path) -> list[dict[str, Any]]:
    """What a table's `.meta.json` says of each row, with the draws of its numbers."""
    draws = read_draws(table.with_suffix(".draws.parquet"))
    rows = read_json(table.with_suffix(".meta.json")).get("rows", [])
    return [{**row, "draws": draws.get(entry, {})} for entry, row in enumerate(rows)]


def _cells(claim: Judged) -> list[str]:
    verdict = claim.verdict
    return [claim.says, claim.source, claim.table, verdict.verdict, verdict.words]


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _summary(settings: dict[str, Any], images: Mapping[str, str]) -> list[tuple[str, str]]:
    models = (f"{b['model']}{' (untrained)' * (b['weights'] == 'random')}" for b in settings["backbones"].values())
    sets = (f"{name} ({images[name]})" if name in images else name for name in settings["datasets"])
    return [
        ("Data sets", "; ".join(sets)),
        ("Backbones", ", ".join(dict.fromkeys(models))),
        ("Methods", ", ".join(dict.fromkeys(method["kind"] for method in settings["methods"].values()))),
        ("Regions", f"K-means, K = {settings['regions']['clusters']}"),
    ]


def _counts(root: Path, settings: dict[str, Any]) -> dict[str, str]:
    """Images of each data set that was used, by the lists of its shards, and those that were left out by name."""
    counts: dict[str, str] = {}
    for name in settings["datasets"]:
        for index in sorted((root / "images" / name).glob(f"*/{_INDEX}")):
            found = read_json(index)
            skipped = [one["id"] for one in found.get("skipped", ())]
            few = ", ".join(skipped[:5]) + ", …" * (len(skipped) > 5)
            out = f", {len(skipped)} unreadable and left out: {few}" if skipped else ""
            out += "".join(f", {count} {what} left out" for what, count in found.get("left_out", {}).items())
            out += f", {took}" if (took := found.get("took")) else ""
            out += f", no label of {', '.join(absent)}" if (absent := found.get("absent")) else ""
            counts[name] = f"{sum(len(shard) for shard in found['shards'].values())} images{out}"
    return counts


def _artifacts(root: Path, settings: dict[str, Any]) -> Iterator[_Artifact]:
    """Everything under `root` whose names are those of this configuration; what an earlier one left is not."""
    known = {name for section in settings.values() if isinstance(section, dict) for name in section}
    known |= {"segments", "refined"}  # what was matched
    for stage in sorted(path for path in root.iterdir() if path.is_dir() and path.name not in _NO_STAGES):
        named_after = _NAMED_AFTER.get(stage.name)
        for path in _files(stage):
            current = known.issuperset(path.relative_to(stage).parts[:-1])
            if named_after:
                current = current and path.stem in settings.get(named_after, {})
            if current and path.name != _INDEX:
                yield _artifact(path, root)


def _files(folder: Path) -> Iterator[Path]:
    """JSON and Parquet files, without what is inside of stores."""
    for path in folder.iterdir():
        if path.is_dir() and ".zarr" not in path.suffixes:
            yield from _files(path)
        elif path.suffix in (".json", ".parquet") and not path.name.startswith("."):
            yield path


def _artifact(path: Path, root: Path) -> _Artifact:
    status, described = path.stat(), read_json(path) if path.suffix == ".json" else {}
    if is_manifest(described):
        size, content = sum(size for size, _ in described["files"].values()), described["content"]
    else:
        size, content = status.st_size, _sha256(path)
    described = described if isinstance(described, dict) else {}
    size += sum(page["size"] for page in described.get("pages", ()))
    return _Artifact(path.relative_to(root), content, size, status.st_mtime, described)


def _versions(artifacts: Sequence[_Artifact]) -> Facts:
    """Those that stores were written with, all where there were several; without a store, those at hand."""
    found: dict[str, set[str]] = {}
    for versions in [a.described["provenance"] for a in artifacts if "provenance" in a.described] or [provenance()]:
        for name, version in versions.items():
            found.setdefault(name, set()).add(version)
    return Facts("Versions", [(name, ", ".join(sorted(versions))) for name, versions in found.items()])


def _circumstances(artifacts: Sequence[_Artifact], settings: dict[str, Any]) -> Facts:
    rows: list[tuple[str, str]] = [
        (key, str(settings[key])) for key in ("seed", "threads", "device") if key in settings
    ]
    machines = sorted({a.described["machine"] for a in artifacts if "machine" in a.described})
    rows.append(("machine", "; ".join(machines) or f"{platform.system()}, {platform.machine()}"))
    if artifacts:
        first, last = min(a.written for a in artifacts), max(a.written for a in artifacts)
        rows.append(
            ("artifacts written", f"{_moment(first)} to {_moment(last)}, {time_words(last - first)} with pauses")
        )
    return Facts("Seed, machine and time", rows)


def _weights(artifacts: Sequence[_Artifact]) -> Facts:
    """Where the weights of each backbone came from, as its artifacts state it: `stage/data set/backbone/…`."""
    stated = {
        a.place.parts[2].removesuffix(".json"): a.described["weights"] for a in artifacts if "weights" in a.described
    }
    return Facts("Weights", sorted(stated.items()))


def _stages(artifacts: Sequence[_Artifact], logs: Path) -> Facts:
    """Of each stage, in the order that they began: artifacts, size, times, and one digest over all of theirs."""
    stages: dict[str, list[_Artifact]] = {}
    for artifact in sorted(artifacts, key=lambda artifact: artifact.written):
        stages.setdefault(artifact.place.parts[0], []).append(artifact)
    rows = []
    for stage, those in stages.items():
        taken = bytes_words(sum(a.size for a in those))
        jobs = [spent(log) for log in sorted({log_of(logs, a.place) for a in those})]
        times = (_moment(those[0].written), _moment(those[-1].written))
        content = sorted(f"{a.place.as_posix()} {a.digest}" for a in those)
        digest = hashlib.blake2b("\n".join(content).encode(), digest_size=16).hexdigest()
        rows.append((stage, str(len(those)), taken, *_took(jobs), *times, digest))
    took = ("time of all jobs", "most memory of one")
    return Facts(
        "Artifacts",
        rows,
        ("stage", "artifacts", "size", *took, "first written", "last written", "digest of all contents"),
    )


def _took(jobs: Sequence[Spent | None]) -> tuple[str, str]:
    """Time and memory of a stage's jobs, as far as their logs are there and say so."""
    known = [job for job in jobs if job]
    if not known:
        return "–", "–"
    part = f" ({len(known)} of {len(jobs)} jobs)" if len(known) < len(jobs) else ""
    most = max(job.megabytes for job in known)
    return time_words(sum(job.seconds for job in known)) + part, f"{most} MB" if most else "–"


def _hashes(paths: Sequence[str]) -> Facts:
    return Facts("SHA-256", [(Path(path).name, _sha256(Path(path))) for path in paths])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
