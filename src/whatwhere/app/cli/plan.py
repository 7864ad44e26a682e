"""`whatwhere plan`: what a run will take, before anything starts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from whatwhere.app.cli.arguments import complain, whole_number


def add_plan(commands: argparse._SubParsersAction) -> None:
    """`plan`."""
    command = commands.add_parser(
        "plan",
        help="what a run will take, and what is missing, before anything starts",
        description="Images, passes through networks, jobs, hours on this machine, disk per stage, downloads, and\n"
        "what is missing (data, checkpoints, tokens) with how to get it. Starts nothing, downloads nothing.\n\n"
        "Hours come from the logs of earlier runs under results/; for what they do not tell, the run's own\n"
        "stages are tried on a handful of images, which takes a minute or two.",
        epilog="examples:\n"
        "  whatwhere plan\n"
        "  whatwhere plan --measure 0                                     counts at once; hours from logs alone\n"
        "  whatwhere plan --configfile my.yaml --measure 600              a slow machine, many networks\n"
        "  whatwhere plan --configfile config/paper.yaml --gpu H100       networks on a GPU that is not here\n"
        "  whatwhere plan --json | jq .totals",
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
    command.add_argument(
        "--measure",
        type=whole_number,
        default=180,
        metavar="SECONDS",
        help="measure for at most so long what no log tells (180; 0: not at all)",
    )
    command.add_argument(
        "--gpu", metavar="NAME", help="also reckon networks on this GPU (A40, the paper's, for one that is not here)"
    )
    command.add_argument("--json", action="store_true", help="numbers only, as JSON")
    command.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> None:
    from whatwhere.app.plan.page import page
    from whatwhere.app.plan.planning import make_plan
    from whatwhere.config.overlay import configured

    plan = make_plan(configured(options.configfile), gpu=options.gpu, measure_s=options.measure, say=complain)
    print(json.dumps(plan.as_dict(), indent=1) if options.json else page(plan))
