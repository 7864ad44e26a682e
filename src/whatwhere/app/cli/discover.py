"""`whatwhere discover` and `whatwhere apply`: classes of a folder of photographs, and of others by them."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from whatwhere.app.cli.arguments import cluster_count, complain, positive_number, whole_number
from whatwhere.app.cli.photos import photographs
from whatwhere.app.eyes import SEEING

#: Photographs that could not be done and are said one by one.
MOST_SAID = 20


def add_discover(commands: argparse._SubParsersAction) -> None:
    """`discover` and `apply`."""
    _add_discover(commands)
    _add_apply(commands)


def _add_discover(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "discover",
        help="the classes that a folder of photographs has, and a label map of each photograph",
        description="Finds classes in a sample of the photographs of a folder and of those below it, and labels all\n"
        "of them: classes.html shows the classes, classes.yaml names, merges and colours them (edit it, then run\n"
        "the same command again), labels/ has a label map (indexed PNG) of each photograph, archive/ the same\n"
        "with what else was found, as NPZ; classes.csv, photographs.csv, skipped.txt, and the codebook that\n"
        "`whatwhere apply` labels others with. What was interrupted goes on; photographs that are done stay.",
        epilog="examples:\n  whatwhere discover photos/ --out found\n"
        "  whatwhere discover photos/ --classes 12 --sample 100 --out found --panoptic\n"
        "  whatwhere apply found new.jpg more/ --out labelled",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_settings(command)
    command.set_defaults(run=_discover)


def _add_apply(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "apply",
        help="the classes of a folder's `discover` in other photographs",
        description="Writes NAME_classes.png (overlay), NAME_labels.png (indexed label map) and NAME.npz for each\n"
        "photograph, with the names, merges and colours of DIR/classes.yaml.",
        epilog="example: whatwhere apply found new.jpg more/ --out labelled",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("found", type=Path, metavar="DIR", help="what discover wrote")
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="a file, or a folder of photographs")
    _add_borders(command)
    command.add_argument("--out", type=Path, default=Path("applied"), metavar="DIR", help="default: applied")
    command.set_defaults(run=_apply)


def _add_settings(command: argparse.ArgumentParser) -> None:
    """What a codebook is made by, and where."""
    command.add_argument("folder", type=Path, metavar="FOLDER", help="photographs, in it or in folders below it")
    command.add_argument(
        "--classes", type=cluster_count, default="auto", metavar="K", help="auto (2 to 32) or a number"
    )
    command.add_argument(
        "--pathway",
        choices=["vv", "qk", "both"],
        default="vv",
        help="graphs of values: what things are (vv); of queries and keys: where they are (qk); or both (vv)",
    )
    command.add_argument("--backbone", default=SEEING, help=f"as of segment ({SEEING})")
    command.add_argument("--weights", metavar="FILE", help="a checkpoint instead of its own; or: hub, random")
    command.add_argument(
        "--sample", type=positive_number, default=48, metavar="N", help="photographs that are solved together (48)"
    )
    command.add_argument(
        "--landmarks",
        type=positive_number,
        default=2048,
        metavar="M",
        help="tokens of the sample that each photograph is compared with (2048)",
    )
    command.add_argument("--vectors", type=positive_number, default=50, metavar="C", help="eigenvectors (50)")
    command.add_argument(
        "--size", type=positive_number, metavar="PX", help="short side shown to the backbone (its own)"
    )
    command.add_argument("--seed", type=whole_number, default=0)
    command.add_argument("--panoptic", action="store_true", help="also panoptic.json and panoptic/, in COCO's format")
    _add_borders(command)
    command.add_argument("--out", type=Path, default=Path("discovered"), metavar="DIR", help="default: discovered")


def _add_borders(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--borders",
        choices=["image", "tokens"],
        default="image",
        help="where classes end: at the image's own edges, or between the tokens that the backbone sees (image)",
    )


def _discover(options: argparse.Namespace) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as of segment: before torch is imported
    from whatwhere.app.discover.codebook import Asked
    from whatwhere.app.discover.folder import discover_folder

    keys = ("backbone", "weights", "pathway", "classes", "sample", "landmarks", "vectors", "seed")
    asked = Asked(**{key: getattr(options, key) for key in keys}, size_px=options.size)
    choice = {"borders": options.borders, "panoptic": options.panoptic}
    say = partial(print, flush=True)
    _failed(discover_folder(options.folder, options.out, asked=asked, report=say, warn=complain, **choice))


def _apply(options: argparse.Namespace) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from whatwhere.app.discover.folder import apply_codebook

    photos, say = photographs(options.photos, options.out, complain), partial(print, flush=True)
    _failed(apply_codebook(options.found, photos, options.out, report=say, borders=options.borders))


def _failed(failures: list[str]) -> None:
    for failure in failures[:MOST_SAID]:
        complain(failure)
    if len(failures) > MOST_SAID:
        complain(f"and {len(failures) - MOST_SAID} more")
    if failures:
        sys.exit(2)
