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
        description="solve: forward pass, folding and every solver on one image, all layers and heads; extract: the "
        "forward pass with and without writing what it leaves behind.",
        epilog="examples: whatwhere bench solve --json; whatwhere bench solve --backbone zoo-diffusion --solver exact; "
        "whatwhere bench extract",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("what", choices=["solve", "extract"])
    command.add_argument("--backbone", default="untrained-vits16", help="as of segment (untrained-vits16)")
    command.add_argument("--weights", metavar="FILE", help="a checkpoint instead of the hub's; or: random")
    command.add_argument("--device", default="cpu")
    command.add_argument(
        "--solver", choices=["all", "exact"], default="all", help="exact: leave out those that descend"
    )
    command.add_argument("--json", action="store_true", help="numbers only, as JSON")
    command.add_argument("--size", type=_whole, metavar="PX", help="side of the image (the backbone's own)")
    command.add_argument("--steps", type=_whole, default=1000, help="gradient steps (1000)")
    command.set_defaults(run=_bench)


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


def _bench(options: argparse.Namespace) -> None:
    from whatwhere.backbones import load_backbone

    choice = {"weights": options.weights} if options.weights else {}
    backbone = load_backbone(options.backbone, **choice, device=options.device)
    if options.what == "extract":
        from whatwhere.bench.extract import bench_extract

        print(json.dumps(bench_extract(backbone, size_px=options.size), indent=1))
        return
    from whatwhere.bench.solve import bench_solve, bench_table

    descents = options.solver == "all"
    measured = bench_solve(backbone, size_px=options.size, steps=options.steps, descents=descents)
    print(json.dumps(measured, indent=1) if options.json else bench_table(measured))


def _schema(options: argparse.Namespace) -> None:
    from whatwhere.config import schema

    sys.stdout.write(schema())


if __name__ == "__main__":
    main()
