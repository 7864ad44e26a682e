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
os.environ.update(
    PYTHONPATH=os.pathsep.join([str(SOURCE), dict(os.environ).get("PYTHONPATH", "")])
)


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


def every_shard(pattern, dataset, backbone):
    """`pattern` for each shard of a data set as `backbone` sees it, once the index says which there are."""
    view = SETTINGS.backbones[backbone].view
    index = checkpoints.index.get(dataset=dataset, view=view).output[0]
    with open(index) as file:
        return expand(pattern, shard=json.load(file)["shards"])


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


def gpus(wildcards):
    return int(SETTINGS.features.device.startswith("cuda"))


def solver_code(wildcards):
    kind = SETTINGS.methods[wildcards.method].kind
    return code("stages.vectors", *([] if kind == "final" else [f"solve.{kind}"]))


def table_scores(wildcards):
    table = SETTINGS.tables[wildcards.table]
    runs = dict.fromkeys((r.backbone, r.method) for r in table.rows if r.backbone)
    pattern = f"{RESULTS}/scores/{table.dataset}/{{}}/{{}}/{{{{shard}}}}.parquet"
    return [
        p for b, m in runs for p in every_shard(pattern.format(b, m), table.dataset, b)
    ]


def figure_stores(stage):
    """The manifests that a figure draws from: images at the backbone's view, vectors or regions."""

    def manifests(wildcards):
        f = SETTINGS.figures[wildcards.figure]
        view = SETTINGS.backbones[f.backbone].view
        folder = view if stage == "images" else f"{f.backbone}/{f.method}"
        pattern = f"{RESULTS}/{stage}/{f.dataset}/{folder}/{{shard}}.json"
        return every_shard(pattern, f.dataset, f.backbone)

    return manifests


def every_artifact(wildcards):
    """Each manifest and score by name: an intermediate file that nobody names would, when it is lost or its
    job failed, not be made again, and what was computed from its former content would pass for current.
    """
    patterns = {}
    for dataset, backbone, method in SETTINGS.runs():
        view, run = SETTINGS.backbones[backbone].view, f"{dataset}/{backbone}"
        made = [
            f"images/{dataset}/{view}",
            f"features/{run}",
            f"vectors/{run}/{method}",
            f"regions/{run}/{method}",
        ]
        patterns |= {
            f"{RESULTS}/{folder}/{{shard}}.json": (dataset, backbone) for folder in made
        }
    for dataset, backbone, method in SETTINGS.scored_runs():
        patterns[
            f"{RESULTS}/scores/{dataset}/{backbone}/{method}/{{shard}}.parquet"
        ] = (dataset, backbone)
    return [
        path
        for pattern, where in patterns.items()
        for path in every_shard(pattern, *where)
    ]
