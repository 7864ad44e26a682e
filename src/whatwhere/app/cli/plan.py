"""`whatwhere plan`: what a run will take, before anything starts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_plan(commands: argparse._SubParsersAction) -> None:
    """`plan`."""
    command = commands.add_parser(
        "plan",
        help="what a run will take, and what is missing, before anything starts",
        description="Images, passes through networks, hours on a GPU and on this machine's CPU, disk per stage, and\n"
        "what is missing (data, checkpoints, tokens) with how to get it. Starts nothing and downloads nothing.",
        epilog="examples:\n  whatwhere plan\n  whatwhere plan --configfile config/paper.yaml --gpu H100",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--configfile",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="laid over config.yaml, as snakemake does",
    )
    command.add_argument("--gpu", default="A40", help="the GPU to reckon with (A40, the paper's)")
    command.add_argument("--json", action="store_true", help="numbers only, as JSON")
    command.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> None:
    from whatwhere.app.plan import configured, make_plan, page

    plan = make_plan(configured(options.configfile), gpu=options.gpu)
    print(json.dumps(plan.as_dict(), indent=1) if options.json else page(plan))
