"""The checked configuration, and what rules look up in it."""

import json
import os
import sys
from pathlib import Path

import whatwhere.codehash
import whatwhere.config
import whatwhere.datasets
import whatwhere.errors

try:
    SETTINGS = whatwhere.config.parse(config, where="config")
except whatwhere.errors.InputError as error:
    sys.stderr.write(f"whatwhere: {error}\n")
    sys.exit(2)

RESULTS = f"results/{SETTINGS.run}"

# jobs in conda environments of their own find the package beside the workflow
SOURCE = Path(workflow.current_basedir).parent.parent / "src"
os.environ.update(PYTHONPATH=os.pathsep.join([str(SOURCE), dict(os.environ).get("PYTHONPATH", "")]))


wildcard_constraints:
    dataset="[^/]+",
    view="[^/]+",
    backbone="[^/]+",
    method="[^/]+",
    shard=r"\d+x\d+-\d+",


def code(*modules):
    """The hash that makes a rule rerun when the code it uses changes."""
    return whatwhere.codehash.code_hash(*(f"whatwhere.{module}" for module in modules))


def values(model, *left_out):
    """A settings model as plain values, for `params`."""
    return model.model_dump(mode="json", exclude=set(left_out))


def every_shard(pattern, dataset, backbone, method=None):
    """An output's pattern filled in for a run, for each shard of the data set as the backbone sees it.

    The shards are known once the index is: asking for them makes the workflow wait for it.
    """
    view = SETTINGS.backbones[backbone].view
    index = checkpoints.index.get(dataset=dataset, view=view).output[0]
    with open(index) as file:
        shards = json.load(file)["shards"]
    run = {"dataset": dataset, "view": view, "backbone": backbone, "method": method}
    return expand(pattern, shard=shards, **run)


def dataset_params(wildcards):
    return values(SETTINGS.datasets[wildcards.dataset])


def view_params(wildcards):
    return values(SETTINGS.views[wildcards.view])


def data_code(wildcards):
    kind = SETTINGS.datasets[wildcards.dataset].kind
    return code("stages.images", f"datasets.{kind}")


def images_of(wildcards):
    view = SETTINGS.backbones[wildcards.backbone].view
    return f"{RESULTS}/images/{wildcards.dataset}/{view}/{wildcards.shard}.json"


def weights_of(wildcards):
    """A local checkpoint is an input: when it changes, so do the features."""
    weights = SETTINGS.backbones[wildcards.backbone].weights
    return [] if weights in ("hub", "random") else weights


def gpus(wildcards):
    return int(SETTINGS.features.device.startswith("cuda"))


def solver_code(wildcards):
    kind = SETTINGS.methods[wildcards.method].kind
    return code("stages.vectors", *([] if kind == "final" else [f"solve.{kind}"]))


def table_scores(wildcards):
    runs = SETTINGS.tables[wildcards.table].runs()
    return [path for run in runs for path in every_shard(rules.scores.output[0], *run)]


def figure_stores(step):
    """The manifests of one step that a figure draws from."""

    def manifests(wildcards):
        f = SETTINGS.figures[wildcards.figure]
        return every_shard(step.output[0], f.dataset, f.backbone, f.method)

    return manifests


def every_artifact(wildcards):
    """Every output by name: an intermediate file that nobody names would, when it is lost or its job failed,
    not be made again, and what was computed from its former content would pass for current.
    """
    steps = (rules.images, rules.features, rules.vectors, rules.regions)
    wanted = [(pattern, run) for run in SETTINGS.runs() for step in steps for pattern in step.output]
    scored = [run for table in SETTINGS.tables.values() for run in table.runs()]
    wanted += [(rules.scores.output[0], run) for run in scored]
    return list(dict.fromkeys(path for pattern, run in wanted for path in every_shard(pattern, *run)))
