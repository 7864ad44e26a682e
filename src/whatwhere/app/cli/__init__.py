"""`whatwhere …`: for people with one image or one question. The workflow does everything else."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from whatwhere.app.cli.arguments import as_options, complain
from whatwhere.app.cli.bench import add_bench
from whatwhere.app.cli.discover import add_discover
from whatwhere.app.cli.photos import add_photo_commands, photo_with_dash
from whatwhere.app.cli.plan import add_plan
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.provenance import VERSION

#: Objects made before the collector looks for cycles: libraries make a million as they are imported, and keep them.
FEW_COLLECTIONS = 100_000

EPILOGUE = """examples:
  whatwhere segment photo.jpg
  whatwhere segment photos/
  whatwhere segment *.jpg --backbone dino-vits16 --clusters 6 --out regions
  whatwhere segment --prompts "a red car, a tree, sky" photo.jpg
  whatwhere instances photo.jpg
  whatwhere explore photo.jpg
  whatwhere discover photos/ --out found
  whatwhere apply found new.jpg
  whatwhere explore found
  whatwhere plan --configfile config/paper.yaml
  whatwhere show results/embedded/features/scenes/zoo-dino
  whatwhere show --unused
  whatwhere backbones
  whatwhere bench solve --json
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; exit status 2, with one line, for bad input."""
    arguments = sys.argv[1:] if arguments is None else arguments
    gc.set_threshold(FEW_COLLECTIONS)
    if dashed := photo_with_dash(arguments):
        complain(f"{dashed}: expected an option, got a photograph; write ./{dashed}, or -- before all photos")
        sys.exit(2)
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except InputError as error:
        complain(as_options(str(error)) if hasattr(options, "backbone") else str(error))
        sys.exit(2)
    except BrokenPipeError:  # whoever reads has enough
        sys.stdout = None  # nor is the rest written at the end
        sys.exit(1)
    except OSError as error:
        what = error.filename or "output"
        complain(f"{what}: expected to read or write it, got {error.strerror}; check path and disk")
        sys.stdout = None
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("whatwhere", description=__doc__, epilog=EPILOGUE, formatter_class=shape)
    parser.add_argument("--version", action="version", version=f"whatwhere {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="command")
    add_photo_commands(commands)
    add_discover(commands)
    show = commands.add_parser("show", help="what is in a store: names, shapes, chunks, settings, provenance")
    show.add_argument("path", type=Path, nargs="?", help="a .zarr store, its .json manifest, or a folder of them")
    show.add_argument("--verify", action="store_true", help="read every file and compare its hash")
    show.add_argument("--full", action="store_true", help="of a folder of several: all of each, not a line")
    show.add_argument(
        "--unused", action="store_true", help="what a run's folder has that its configuration never asks for"
    )
    show.add_argument("--remove", action="store_true", help="with --unused: take it away")
    show.add_argument(
        "--configfile", nargs="+", type=Path, default=[], metavar="FILE", help="with --unused: overlays, of another run"
    )
    show.set_defaults(run=_show)
    backbones = commands.add_parser("backbones", help="what can be used, and the layers each is read at")
    backbones.add_argument("--configfile", type=Path, help="also list the backbones under this overlay")
    backbones.set_defaults(run=_backbones)
    add_plan(commands)
    add_bench(commands)
    schema = commands.add_parser("schema", help="JSON schema of config.yaml, for editors")
    schema.set_defaults(run=_schema)
    return parser


def _show(options: argparse.Namespace) -> None:
    if options.unused:
        _unused(options)
        return
    if options.path is None:
        raise InputError("show: expected a store or a folder of them, got none; name one, such as results/embedded")
    from whatwhere.app.show import describe

    print(describe(options.path, verify=options.verify, full=options.full))


def _unused(options: argparse.Namespace) -> None:
    from whatwhere.app.unused import page, take_away, unused
    from whatwhere.config.overlay import configured

    found = unused(configured(options.configfile))
    if options.remove:
        take_away(found)
        print(f"{sum(len(one.manifests) for one in found)} stores taken away")
    else:
        print(page(found))


def _backbones(options: argparse.Namespace) -> None:
    from whatwhere.app.show import describe_backbones
    from whatwhere.config.overlay import configured

    own = configured([options.configfile]).backbones if options.configfile else {}
    print(describe_backbones({name: b.model_dump(exclude={"view"}) for name, b in own.items()}))


def _schema(options: argparse.Namespace) -> None:
    from whatwhere.config.described import schema

    sys.stdout.write(schema())
