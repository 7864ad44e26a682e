"""`whatwhere plan`: what a run will take, before anything starts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from whatwhere.app.cli.arguments import complain, positive_number, whole_number


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
        "  whatwhere plan --configfile config/scale.yaml --images 1000000 --gpu L4    what to rent for a million\n"
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
    command.add_argument(
        "--images",
        type=positive_number,
        metavar="N",
        help="plan for N photographs in every folder, by what those that are there take",
    )
    command.add_argument(
        "--busy",
        action="store_true",
        help="others use this machine: measure the processors' time, not the clock's",
    )
    command.add_argument("--out", type=Path, metavar="FOLDER", help="also write stages.csv and rent.csv there")
    command.add_argument("--json", action="store_true", help="numbers only, as JSON")
    command.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> None:
    from whatwhere.app.plan.page import page
    from whatwhere.app.plan.planning import make_plan
    from whatwhere.app.plan.renting import write_plan
    from whatwhere.config.overlay import configured

    config = configured(options.configfile)
    choice = {"gpu": options.gpu, "measure_s": options.measure, "images": options.images, "busy": options.busy}
    plan = make_plan(config, **choice, say=complain)
    if options.out:
        write_plan(plan, options.out)
    print(json.dumps(plan.as_dict(), indent=1) if options.json else page(plan))
