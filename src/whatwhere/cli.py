"""`whatwhere …`: for people with one image or one question. The workflow does everything else."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from whatwhere.errors import InputError

EPILOGUE = """examples:
  whatwhere segment photo.jpg
  whatwhere segment *.jpg --backbone zoo-mae --clusters 6 --out regions
  whatwhere show results/embedded/features/scenes/zoo-dino
  whatwhere backbones
  whatwhere bench solve --json
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exit status 2, with one line, for bad input."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        sys.exit(_complain(str(error)))
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(text: str) -> int:
    sys.stderr.write(f"whatwhere: {text}\n")
    return 2


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("whatwhere", description=__doc__, epilog=EPILOGUE, formatter_class=shape)
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_segment(commands)
    show = commands.add_parser("show", help="what is in a store: names, shapes, chunks, settings, provenance")
    show.add_argument("path", type=Path, help="a .zarr store, its .json manifest, or a folder of them")
    show.add_argument("--verify", action="store_true", help="read every file and compare its hash")
    show.set_defaults(run=_show)
    backbones = commands.add_parser("backbones", help="what can be used, and the layers each is read at")
    backbones.add_argument("--configfile", type=Path, help="also list the backbones of this configuration")
    backbones.set_defaults(run=_backbones)
    _add_bench(commands)
    schema = commands.add_parser("schema", help="JSON schema of config.yaml, for editors")
    schema.set_defaults(run=_schema)
    return parser


def _add_segment(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "segment",
        help="regions and eigenvectors of your own photographs",
        description="Writes NAME_regions.png (overlay), NAME_vectors.png (eigenvectors three at a time as RGB), "
        "NAME_labels.png (label map) and NAME.npz for each photograph.",
        epilog="example: whatwhere segment cat.jpg dog.png --backbone dino-vits16 --clusters auto --out regions",
    )
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    command.add_argument(
        "--backbone",
        default="zoo-dino",
        help="a name of `whatwhere backbones`, any ViT of timm, a folder, or owner/name on the hub (zoo-dino: small, "
        "comes with the package)",
    )
    command.add_argument("--weights", metavar="FILE", help="a checkpoint instead of the hub's; or: random")
    command.add_argument("--vectors", type=_whole, default=10, metavar="C", help="eigenvectors (10)")
    command.add_argument("--clusters", default="auto", type=_clusters, metavar="K", help="auto (2 to 10) or a number")
    command.add_argument(
        "--size",
        type=_whole,
        metavar="PX",
        help="short side, or side of the square, shown to the backbone (its own: see whatwhere backbones)",
    )
    command.add_argument("--pathway", choices=["qk", "vv"], default="qk", help="where (qk) or what (vv)")
    command.add_argument("--solver", choices=["exact", "gradient", "released"], default="exact")
    command.add_argument("--seed", type=_whole, default=0)
    command.add_argument("--out", type=Path, default=Path("segments"), metavar="DIR", help="default: segments")
    command.set_defaults(run=_segment)


def _add_bench(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "bench",
        help="measure this machine",
        description="What each step takes on this machine: `whatwhere bench solve --help` and so on say more.",
        epilog="examples: whatwhere bench solve --json; whatwhere bench solve --backbone zoo-diffusion --solver exact; "
        "whatwhere bench extract; whatwhere bench dataset --images 16 32 64",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = command.add_subparsers(required=True, metavar="what")
    solve = kinds.add_parser("solve", help="forward pass, folding and every solver on one image, all layers and heads")
    _add_backbone(solve, "untrained-vits16")
    solve.add_argument("--solver", choices=["all", "exact"], default="all", help="exact: leave out those that descend")
    solve.add_argument("--size", type=_whole, metavar="PX", help="side of the image (the backbone's own)")
    solve.add_argument("--steps", type=_whole, default=1000, help="gradient steps (1000)")
    solve.set_defaults(run=_bench_solve)
    extract = kinds.add_parser("extract", help="the forward pass with and without writing what it leaves behind")
    _add_backbone(extract, "untrained-vits16")
    extract.add_argument("--size", type=_whole, metavar="PX", help="side of the image (the backbone's own)")
    extract.set_defaults(run=_bench_extract)
    _add_bench_dataset(kinds)


def _add_bench_dataset(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser(
        "dataset",
        help="how time and memory of the solvers for a data set grow with its images",
        description="Solves sets of rendered scenes by mini-batches and globally, for both pathways, each in a\n"
        "process of its own, and scores the solutions of one size. Writes bench.json, bench.md and bench.png.\n"
        "The features lie in a temporary folder (TMPDIR) until the end.",
        epilog="examples:\n  whatwhere bench dataset\n  whatwhere bench dataset --images 8 16 32 --batch 8 --epochs 1\n"
        "  whatwhere bench dataset --backbone zoo-dino --images 64 128 256 512 --out growth --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_backbone(command, "zoo-diffusion")
    sizes = {"type": _whole, "nargs": "+", "default": [32, 64, 128, 256]}
    command.add_argument(
        "--images", **sizes, metavar="N", help="sizes of the sets: multiples of the smallest (32 64 128 256)"
    )
    command.add_argument("--vectors", type=_whole, default=50, metavar="C", help="eigenvectors (50)")
    command.add_argument("--batch", type=_whole, default=16, metavar="N", help="images of a mini-batch (16)")
    command.add_argument("--epochs", type=_whole, default=2, metavar="N", help="passes of the mini-batches (2)")
    command.add_argument(
        "--out", type=Path, default=Path("bench-dataset"), metavar="FOLDER", help="default: bench-dataset"
    )
    command.set_defaults(run=_bench_dataset)


def _add_backbone(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument("--backbone", default=default, help=f"as of segment ({default})")
    command.add_argument("--weights", metavar="FILE", help="a checkpoint instead of the hub's; or: random")
    command.add_argument("--device", default="cpu")
    command.add_argument("--json", action="store_true", help="numbers only, as JSON")


def _whole(text: str) -> int:
    if text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")


def _clusters(text: str) -> int | str:
    if text == "auto" or (text.isdigit() and int(text) > 0):
        return text if text == "auto" else int(text)
    raise argparse.ArgumentTypeError(f"expected auto or a positive number, got {text!r}")


def _segment(options: argparse.Namespace) -> None:
    from whatwhere.segment import segment_photos

    choice = {"weights": options.weights} if options.weights else {}
    failures = segment_photos(
        options.photos,
        options.out,
        backbone=options.backbone,
        backbone_settings=choice,
        vectors=options.vectors,
        clusters=options.clusters,
        size_px=options.size,
        pathway=options.pathway,
        solver=options.solver,
        seed=options.seed,
        report=print,
    )
    for failure in failures:
        _complain(failure)
    if failures:
        sys.exit(2)


def _show(options: argparse.Namespace) -> None:
    from whatwhere.show import describe

    print(describe(options.path, verify=options.verify))


def _backbones(options: argparse.Namespace) -> None:
    from whatwhere.config import read
    from whatwhere.show import describe_backbones

    own = read(options.configfile).backbones if options.configfile else {}
    print(describe_backbones({name: b.model_dump(exclude={"view"}) for name, b in own.items()}))


def _bench_solve(options: argparse.Namespace) -> None:
    from whatwhere.backbones import load_backbone
    from whatwhere.bench.solve import bench_solve, bench_table

    backbone = load_backbone(options.backbone, weights=options.weights, device=options.device)
    descents = options.solver == "all"
    measured = bench_solve(backbone, size_px=options.size, steps=options.steps, descents=descents)
    print(json.dumps(measured, indent=1) if options.json else bench_table(measured))


def _bench_extract(options: argparse.Namespace) -> None:
    from whatwhere.backbones import load_backbone
    from whatwhere.bench.extract import bench_extract

    backbone = load_backbone(options.backbone, weights=options.weights, device=options.device)
    print(json.dumps(bench_extract(backbone, size_px=options.size), indent=1))


def _bench_dataset(options: argparse.Namespace) -> None:
    from whatwhere.bench.dataset import bench_dataset
    from whatwhere.bench.page import check_output, page, write_page
    from whatwhere.bench.plan import Plan

    plan = Plan(tuple(options.images), options.vectors, options.batch, options.epochs, options.device)
    check_output(options.out)
    measured = bench_dataset(options.backbone, plan, settings={"weights": options.weights}, report=_note)
    write_page(measured, options.out)
    print(json.dumps(measured, indent=1) if options.json else page(measured))


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _schema(options: argparse.Namespace) -> None:
    from whatwhere.config import schema

    sys.stdout.write(schema())


if __name__ == "__main__":
    main()
