"""`whatwhere bench …`: what each step takes on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whatwhere.app.cli.arguments import positive_number, whole_number
from whatwhere.app.eyes import SEEING

if TYPE_CHECKING:
    from whatwhere.datasets.record import Dataset


def add_bench(commands: argparse._SubParsersAction) -> None:
    """`bench` and what it can measure."""
    command = commands.add_parser(
        "bench",
        help="measure this machine",
        description="What each step takes on this machine: `whatwhere bench solve --help` and so on say more.",
        epilog="examples: whatwhere bench solve --json; whatwhere bench solve --backbone zoo-diffusion --solver exact; "
        "whatwhere bench extract; whatwhere bench dataset --images 16 32 64",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = command.add_subparsers(required=True, metavar="what")
    solve = kinds.add_parser(
        "solve",
        help="forward pass, folding and every solver on one image, all layers and heads: minutes",
        description="Takes minutes: the solvers that descend go their --steps for each operator. "
        "--solver exact leaves them out.",
    )
    _add_backbone(solve, "untrained-vits16")
    solve.add_argument("--solver", choices=["all", "exact"], default="all", help="exact: leave out those that descend")
    solve.add_argument("--size", type=positive_number, metavar="PX", help="side of the image (the backbone's own)")
    solve.add_argument("--steps", type=whole_number, default=1000, help="gradient steps (1000)")
    solve.set_defaults(run=_bench_solve)
    extract = kinds.add_parser("extract", help="the forward pass with and without writing what it leaves behind")
    _add_backbone(extract, "untrained-vits16")
    extract.add_argument("--size", type=positive_number, metavar="PX", help="side of the image (the backbone's own)")
    extract.set_defaults(run=_bench_extract)
    _add_bench_dataset(kinds)
    _add_bench_regions(kinds)
    _add_bench_discover(kinds)


def _add_bench_regions(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser(
        "regions",
        help="regions of photographs beside those that people drew: borders, how many, pictures of nothing",
        description="Solves photographs of PASCAL VOC and BSDS500 and compares ways to the pixels, rules for how many\n"
        "regions there are, and what tells a picture of nothing. Every other image is for choosing, the rest for the\n"
        "report. Writes borders.csv, clusters.csv and nothing.csv.",
        epilog="example: whatwhere bench regions --voc VOCdevkit/VOC2012 --bsds BSR/BSDS500/data --photos val2017",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--voc", type=Path, metavar="DIR", help="with JPEGImages and SegmentationClass")
    command.add_argument("--bsds", type=Path, metavar="DIR", help="with images/val and groundTruth/val")
    command.add_argument("--photos", type=Path, metavar="DIR", help="photographs, none of which shows nothing")
    command.add_argument("--images", type=positive_number, default=60, metavar="N", help="of each (60)")
    command.add_argument("--backbone", default=SEEING, help=f"as of segment ({SEEING})")
    command.add_argument("--out", type=Path, default=Path("bench-regions"), metavar="FOLDER")
    command.set_defaults(run=_bench_regions)


def _add_bench_discover(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser(
        "discover",
        help="classes of one half of a labelled folder, scored there and in the other half, with seconds",
        description="Solves every other photograph, extends to the others, and scores both halves. With --sample:\n"
        "solves so many of the one half, drawn or the farthest from one another, and scores the other half for both.",
        epilog="example: whatwhere bench discover --photos val --labels valannot --classes 11 --ignore 11",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--photos", type=Path, required=True, metavar="DIR")
    command.add_argument("--labels", type=Path, required=True, metavar="DIR", help="label maps, NAME.png of each")
    command.add_argument("--classes", type=positive_number, required=True, metavar="K", help="of the label maps")
    command.add_argument(
        "--ignore", type=whole_number, default=255, metavar="N", help="label that does not count (255)"
    )
    command.add_argument("--images", type=positive_number, default=50, metavar="N", help="of each half, at most (50)")
    command.add_argument("--landmarks", type=positive_number, default=2048, metavar="M", help="as of discover (2048)")
    command.add_argument("--size", type=positive_number, metavar="PX", help="as of discover (the backbone's own)")
    command.add_argument(
        "--sample", type=positive_number, metavar="N", help="solve so many of the half, by either way to choose them"
    )
    command.add_argument("--backbone", default=SEEING, help=f"as of segment ({SEEING})")
    command.set_defaults(run=_bench_discover)


def _add_bench_dataset(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser(
        "dataset",
        help="how time and memory of the solvers for a data set grow with its images",
        description="Solves sets of rendered scenes, or of photographs with label maps, by mini-batches, globally and\n"
        "by landmarks, for both pathways, each in a process of its own, and scores the solutions.\n"
        "Writes bench.json, bench.md, bench.csv and bench.png.\n"
        "The features lie in a temporary folder (TMPDIR) until the end.",
        epilog="examples:\n  whatwhere bench dataset\n  whatwhere bench dataset --images 8 16 32 --batch 8 --epochs 1\n"
        "  whatwhere bench dataset --backbone zoo-dino --images 64 128 256 512 --out growth --json\n"
        "  whatwhere bench dataset --backbone dinov2-vits14 --photos VOC2012/JPEGImages --classes 21\n"
        "    --labels VOC2012/SegmentationClass --size 224 --images 25 75 150 300 --batch 25 --sample 50",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_backbone(command, "zoo-diffusion")
    sizes = {"type": whole_number, "nargs": "+", "default": [32, 64, 128, 256]}
    command.add_argument(
        "--images", **sizes, metavar="N", help="sizes of the sets: multiples of the smallest (32 64 128 256)"
    )
    command.add_argument("--pathway", choices=["vv", "qk"], help="one of the two alone")
    command.add_argument("--vectors", type=whole_number, default=50, metavar="C", help="eigenvectors (50)")
    command.add_argument("--batch", type=whole_number, default=16, metavar="N", help="images of a mini-batch (16)")
    command.add_argument("--epochs", type=whole_number, default=2, metavar="N", help="passes of the mini-batches (2)")
    command.add_argument("--sample", type=whole_number, metavar="N", help="of landmarks (as many as the smallest set)")
    command.add_argument("--busy", action="store_true", help="others use this machine: count the processors' seconds")
    command.add_argument("--photos", type=Path, metavar="DIR", help="photographs instead of scenes, centres of them")
    command.add_argument("--labels", type=Path, metavar="DIR", help="their label maps, NAME.png of each")
    command.add_argument("--classes", type=positive_number, metavar="K", help="of the label maps")
    command.add_argument("--size", type=positive_number, metavar="PX", help="side of the images (the backbone's own)")
    command.add_argument(
        "--out", type=Path, default=Path("bench-dataset"), metavar="FOLDER", help="default: bench-dataset"
    )
    command.set_defaults(run=_bench_dataset)


def _add_backbone(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument("--backbone", default=default, help=f"as of segment ({default})")
    command.add_argument("--weights", metavar="FILE", help="a checkpoint instead of the hub's; or: random")
    command.add_argument("--device", default="cpu")
    command.add_argument("--json", action="store_true", help="numbers only, as JSON")


def _bench_solve(options: argparse.Namespace) -> None:
    from whatwhere.app.bench.solve import bench_solve, bench_table
    from whatwhere.backbones import load_backbone

    backbone = load_backbone(options.backbone, weights=options.weights, device=options.device)
    descents = options.solver == "all"
    if descents:
        _note(f"whatwhere: this takes minutes, {options.steps} steps of every descent; --solver exact leaves them out")
    measured = bench_solve(backbone, size_px=options.size, steps=options.steps, descents=descents)
    print(json.dumps(measured, indent=1) if options.json else bench_table(measured))


def _bench_extract(options: argparse.Namespace) -> None:
    from whatwhere.app.bench.extract import bench_extract
    from whatwhere.backbones import load_backbone

    backbone = load_backbone(options.backbone, weights=options.weights, device=options.device)
    print(json.dumps(bench_extract(backbone, size_px=options.size), indent=1))


def _bench_dataset(options: argparse.Namespace) -> None:
    from whatwhere.app.bench.dataset import bench_dataset
    from whatwhere.app.bench.page import check_output, page, write_page
    from whatwhere.app.bench.plan import PATHWAYS, Plan

    sizes = (tuple(options.images), options.vectors, options.batch, options.epochs, options.device)
    plan = Plan(
        *sizes, pathways=(options.pathway,) if options.pathway else PATHWAYS, sample=options.sample, busy=options.busy
    )
    check_output(options.out)
    seen: dict[str, Any] = {"photographs": _photographs(options), "size_px": options.size}
    measured = bench_dataset(options.backbone, plan, settings={"weights": options.weights}, **seen, report=_note)
    write_page(measured, options.out)
    print(json.dumps(measured, indent=1) if options.json else page(measured))


def _photographs(options: argparse.Namespace) -> Dataset | None:
    """Photographs with label maps, where they are asked for."""
    from whatwhere.artifacts.errors import InputError
    from whatwhere.datasets.folder import load

    asked = (options.photos, options.labels, options.classes)
    if not any(asked):
        return None
    if not all(asked):
        raise InputError("--photos: expected --photos, --labels and --classes together, got some; name the others")
    return load(
        "photographs", root=options.photos, labels_root=options.labels, classes=tuple(map(str, range(options.classes)))
    )


def _bench_regions(options: argparse.Namespace) -> None:
    from whatwhere.app.bench.regions import bench_regions
    from whatwhere.backbones import load_backbone

    roots = {"voc_root": options.voc, "bsds_root": options.bsds, "photos": options.photos}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, table in bench_regions(load_backbone(options.backbone), **roots, images=options.images).items():
        table.to_csv(options.out / f"{name}.csv", index=False)
        print(f"{name}\n{table.to_string(index=False)}\n")


def _bench_discover(options: argparse.Namespace) -> None:
    from whatwhere.app.bench.halves import bench_halves
    from whatwhere.app.bench.sampling import bench_sampling

    asked = {"most": options.images, "landmarks": options.landmarks, "backbone": options.backbone}
    asked |= {"classes": options.classes, "ignore_label": options.ignore, "size_px": options.size}
    if options.sample:
        found = bench_sampling(options.photos, options.labels, sample=options.sample, **asked)
    else:
        found = bench_halves(options.photos, options.labels, **asked)
    print(json.dumps(found, indent=1))


def _note(text: str) -> None:
    print(text, file=sys.stderr)
