"""`whatwhere segment`, `whatwhere instances` and `whatwhere explore`: one's own photographs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from whatwhere.app.cli.arguments import cluster_count, complain, positive_number, share, whole_number
from whatwhere.app.eyes import SEEING, SHIPPED, SPEAKING
from whatwhere.artifacts.errors import HubError, InputError
from whatwhere.datasets.folder import SUFFIXES
from whatwhere.datasets.walk import is_strange, left_out, shown
from whatwhere.method.rules import AUTO, RULES


def add_photo_commands(commands: argparse._SubParsersAction) -> None:
    """`segment`, `instances` and `explore`."""
    shape = argparse.RawDescriptionHelpFormatter
    command = commands.add_parser(
        "segment",
        help="regions and eigenvectors of your own photographs, and with --prompts their names",
        description="Writes NAME_regions.png (overlay), NAME_vectors.png (eigenvectors three at a time as RGB),\n"
        "NAME_labels.png (label map) and NAME.npz for each photograph; with --prompts also NAME_named.png.",
        epilog="examples:\n  whatwhere segment cat.jpg dog.png --backbone dino-vits16 --clusters auto --out regions\n"
        '  whatwhere segment --prompts "a red car, a tree, sky" --backbone clip-vit-b16 photo.jpg',
        formatter_class=shape,
    )
    _add_photo_arguments(command, out="segments")
    _add_solving_arguments(command)
    command.add_argument(
        "--clusters", default="auto", type=cluster_count, metavar="K", help="auto (1 to 10) or a number"
    )
    command.add_argument(
        "--choose", choices=RULES, default=AUTO, help=f"the rule behind auto ({AUTO}; the paper's: silhouette)"
    )
    command.add_argument("--prompts", type=_phrases, default=(), metavar="TEXT", help="names for regions, with commas")
    command.add_argument(
        "--threshold",
        type=share,
        metavar="P",
        help="with --prompts: regions whose most probable name is not above it stay without one (0; the paper: 0.7)",
    )
    command.set_defaults(run=_segment)
    command = commands.add_parser(
        "instances",
        help="masks of the objects in your own photographs, ranked",
        description="Writes NAME_instances.json (a data set in COCO's format, a score with each annotation) and\n"
        "NAME_instances.png (the first masks over the photograph, upright as its EXIF says) for each photograph.",
        epilog="example: whatwhere instances street.jpg --backbone stable-diffusion-v1-4 --out objects",
        formatter_class=shape,
    )
    _add_photo_arguments(command, out="objects")
    _add_solving_arguments(command)
    command.add_argument("--most", type=whole_number, default=100, metavar="N", help="masks in the file (100)")
    command.add_argument("--shown", type=whole_number, default=12, metavar="N", help="masks in the picture (12)")
    command.add_argument("--threshold", type=share, default=0.0, metavar="S", help="least score, a silhouette (0)")
    command.set_defaults(run=_instances)
    command = commands.add_parser(
        "explore",
        help="a page for each of your own photographs: point at a patch and see what the network connects it with",
        description="Writes NAME.html for each photograph, which opens in a browser without a network: where\n"
        "each patch looks and what it resembles, by layer and head; eigenvectors, regions, random walks.\n"
        "Where the folder holds several, index.html lists them.\n\n"
        "Of a folder that `whatwhere discover` wrote: DIR/explore/index.html, on which a patch of any photograph\n"
        "shows its strongest connections in others, with the folder's own classes and network. Goes on where it\n"
        "was interrupted.",
        epilog="examples:\n  whatwhere explore cat.jpg\n"
        "  whatwhere explore photos/ --backbone dino-vits16 --size 336 --out pages\n"
        "  whatwhere discover photos/ --out found && whatwhere explore found",
        formatter_class=shape,
    )
    _add_photo_arguments(command, out="explored, or explore/ in a folder of discover")
    command.set_defaults(run=_explore, out=None, vectors=None, seed=None)  # what is given is known


def photo_with_dash(arguments: Sequence[str]) -> str | None:
    """The first argument that would be read as an option, and is a photograph; None where there is none."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return next((one for one in options if one.startswith("-") and _is_photo(Path(one))), None)


def photographs(given: Sequence[Path], out: Path, warn: Callable[[str], None]) -> list[Path]:
    """The files that were named, and of a folder the photographs right in it, by name; warns of what else lies there.

    Not those of folders below it: what was written there for them would be taken for more. Of `out` nothing is said.
    Raises `InputError` for a folder without any.
    """
    found: list[Path] = []
    for path in given:
        there = shown(path) if path.is_dir() else [path]
        inside = [one for one in there if _is_photo(one)] if path.is_dir() else there
        if not inside:
            kinds = ", ".join(suffix[1:] for suffix in SUFFIXES)
            raise InputError(f"{path}: expected photographs ({kinds}) in the folder, got none; name another")
        if line := left_out(path, (one for one in there if one not in inside and one.resolve() != out.resolve())):
            warn(line)
        found += inside
    return found


def _is_photo(path: Path) -> bool:
    """By its name: whether a link leads anywhere is for whoever reads it to say."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not (path.is_dir() or is_strange(path))


def _add_photo_arguments(command: argparse.ArgumentParser, *, out: str) -> None:
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="a file, or a folder of photographs")
    command.add_argument(
        "--backbone",
        help="a name of `whatwhere backbones`, any ViT of timm, a folder, or owner/name on the hub "
        f"({SEEING}; with prompts {SPEAKING}, which is small and comes with the package)",
    )
    command.add_argument("--weights", metavar="FILE", help="a checkpoint instead of its own; or: hub, random")
    command.add_argument("--vectors", type=whole_number, default=10, metavar="C", help="eigenvectors (10)")
    command.add_argument(
        "--size",
        type=positive_number,
        metavar="PX",
        help="short side, or side of the square, shown to the backbone (its own: see whatwhere backbones)",
    )
    command.add_argument("--seed", type=whole_number, default=0)
    command.add_argument("--out", type=Path, default=Path(out), metavar="DIR", help=f"default: {out}")


def _add_solving_arguments(command: argparse.ArgumentParser) -> None:
    """What a page shows all of, and files one of."""
    command.add_argument(
        "--pathway",
        choices=["qk", "vv", "both"],
        default="qk",
        help="graphs of queries and keys: where (qk, the paper's); of values: what (vv); or both together",
    )
    command.add_argument(
        "--borders",
        choices=["image", "tokens"],
        default="image",
        help="where regions end: at the image's own edges, or between the tokens that the backbone sees (image)",
    )
    command.add_argument("--solver", choices=["exact", "gradient", "released"], default="exact")


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split(","))


def _segment(options: argparse.Namespace) -> None:
    from whatwhere.app.segment import segment_photos

    if options.threshold is not None and not options.prompts:
        raise InputError(
            f"--threshold: expected --prompts beside it, got {options.threshold:g} alone; "
            "name what may be in the photos, or leave it out"
        )
    asked = {
        "clusters": options.clusters,
        "choose": options.choose,
        "prompts": options.prompts,
        "threshold": options.threshold or 0.0,
    }
    _over(segment_photos, options, SPEAKING if options.prompts else SEEING, **asked, **_solving(options))


def _instances(options: argparse.Namespace) -> None:
    from whatwhere.app.instances import detect_photos

    asked = {"most": options.most, "shown": options.shown, "threshold": options.threshold}
    _over(detect_photos, options, SEEING, **asked, **_solving(options))


def _explore(options: argparse.Namespace) -> None:
    from whatwhere.app.explore.found import is_found

    if any(map(is_found, options.photos)):
        _explore_found(options)
        return
    from whatwhere.app.explore.photos import explore_photos

    for path in options.photos:
        if path.is_dir() and not any(map(_is_photo, path.iterdir())):
            raise InputError(
                f"{path}: expected photographs, or a folder that whatwhere discover wrote (with codebook.json), got "
                "neither; name another"
            )
    for name, value in (("out", Path("explored")), ("vectors", 10), ("seed", 0)):
        if getattr(options, name) is None:
            setattr(options, name, value)
    _over(explore_photos, options, SEEING)


def _explore_found(options: argparse.Namespace) -> None:
    """All photographs of a folder of `discover`, as its codebook sees them."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as below: before torch is imported
    from whatwhere.app.explore.folder import explore_found
    from whatwhere.app.explore.found import is_found

    given = [name for name in ("backbone", "weights", "size", "vectors", "seed") if getattr(options, name) is not None]
    if len(options.photos) > 1 or given:
        got = f"{len(options.photos)} of them" if len(options.photos) > 1 else f"--{given[0]}"
        raise InputError(
            f"{next(filter(is_found, options.photos))}: expected a folder of whatwhere discover alone, seen as its "
            f"codebook was, got {got}; leave all else out"
        )
    (folder,) = options.photos
    failures = explore_found(folder, options.out or folder / "explore", report=partial(print, flush=True))
    for failure in failures:
        complain(failure)
    if failures:
        sys.exit(2)


def _solving(options: argparse.Namespace) -> dict[str, Any]:
    return {"pathway": options.pathway, "solver": options.solver, "borders": options.borders}


def _over(work: Any, options: argparse.Namespace, backbone: str, **choice: Any) -> None:
    """What all of these commands pass on; complains of each photo that could not be read."""
    # before torch is imported: threads that wait for each other sleep. Where others use the cores too, those that spin
    # instead take them from each other: measured on two busy ones, six photographs in 80 s of the clock, and in 46
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    asked: dict[str, Any] = {
        "backbone": options.backbone or backbone,
        "backbone_settings": {"weights": options.weights} if options.weights else {},
        "vectors": options.vectors,
        "size_px": options.size,
        "seed": options.seed,
        "report": partial(print, flush=True),
        "warn": complain,
    }
    try:
        failures = work(photographs(options.photos, options.out, complain), options.out, **asked, **choice)
    except HubError as error:
        if options.backbone:
            raise
        raise HubError(f"{error}; or, at once: --backbone {SHIPPED}, which knows rendered scenes only") from error
    for failure in failures:
        complain(failure)
    if failures:
        sys.exit(2)
