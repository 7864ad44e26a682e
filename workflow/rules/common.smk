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
    whatwhere.config.check_files(SETTINGS)
except whatwhere.errors.InputError as error:
    sys.stderr.write(f"whatwhere: {error}\n")
    sys.exit(2)

RESULTS = f"results/{SETTINGS.run}"
ZOO = "results/zoo"
FAMILIES = ("dino", "mae", "clip", "diffusion")

# jobs in conda environments of their own find the package beside the workflow
SOURCE = Path(workflow.current_basedir).parent.parent / "src"
os.environ.update(PYTHONPATH=os.pathsep.join([str(SOURCE), dict(os.environ).get("PYTHONPATH", "")]))


wildcard_constraints:
    dataset="[^/]+",
    view="[^/]+",
    backbone="[^/]+",
    method="[^/]+",
    shard=r"\d+x\d+-\d+",
    stage="|".join([*FAMILIES, "autoencoder"]),
    family="|".join(FAMILIES),


def code(*modules):
    """The hash that makes a rule rerun when the code it uses changes."""
    return whatwhere.codehash.code_hash(*(f"whatwhere.{module}" for module in ("job", *modules)))


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


def index_settings(wildcards):
    """What the index of a data set depends on; `files` changes when the files under its root do."""
    data = values(SETTINGS.datasets[wildcards.dataset])
    return {
        "dataset": data,
        "files": whatwhere.datasets.fingerprint(data),
        "view": values(SETTINGS.views[wildcards.view]),
        "shard_images": SETTINGS.shard_images,
        "unreadable": SETTINGS.unreadable,
    }


def image_settings(wildcards):
    wanted = ("dataset", "files", "view")
    chosen = {key: value for key, value in index_settings(wildcards).items() if key in wanted}
    return {**chosen, "run_images": SETTINGS.features.run_images}


def data_code(wildcards):
    kind = SETTINGS.datasets[wildcards.dataset].kind
    return code("stages.images", f"datasets.{kind}")


def images_of(wildcards):
    view = SETTINGS.backbones[wildcards.backbone].view
    return f"{RESULTS}/images/{wildcards.dataset}/{view}/{wildcards.shard}.json"


def feature_inputs(wildcards):
    """The images, and a local checkpoint: when it changes, so do the features."""
    return {"images": images_of(wildcards), "weights": SETTINGS.backbones[wildcards.backbone].local_files()}


def feature_settings(wildcards):
    return {
        "backbone": values(SETTINGS.backbones[wildcards.backbone], "view"),
        "features": values(SETTINGS.features),
        "threads": SETTINGS.threads,
    }


def feature_threads(wildcards):
    """All cores for a job on a GPU, so that no two share it."""
    on_gpu = SETTINGS.features.device.startswith("cuda")
    return (on_gpu and workflow.cores) or SETTINGS.threads


def solver_settings(wildcards):
    method = values(SETTINGS.methods[wildcards.method])
    return {"method": method, "seed": SETTINGS.seed, "threads": SETTINGS.threads}


def solver_code(wildcards):
    kind = SETTINGS.methods[wildcards.method].kind
    return code("stages.vectors", *([] if kind == "final" else [f"solve.{kind}"]))


def zoo_cores(wildcards):
    """All cores. Asked when the job is: what does not run, `--unlock` say, has none."""
    return workflow.cores


def zoo_inputs(wildcards):
    """The scenes, and the network that a stage builds on: diffusion's autoencoder, the MAE that DINO starts from."""
    inputs = {"scenes": rules.zoo_scenes.output[0]}
    before = {"diffusion": "autoencoder", "dino": "mae"}.get(wildcards.stage)
    return {**inputs, **({"before": f"{ZOO}/{before}/training.json"} if before else {})}


def zoo_settings(wildcards):
    """The recipe, and what it is trained on. Not the code: hours of training do not rerun for a changed word."""
    zoo = SETTINGS.zoo
    return {
        "recipe": values(getattr(zoo.recipes, wildcards.stage)),
        "described": values(zoo, "recipes", "evidence", "device"),
        "seed": SETTINGS.seed,
        "threads": SETTINGS.threads,
    }


TABLE_KINDS = ("csv", "md", "tex", "meta.json")


def table_scores(wildcards):
    runs = SETTINGS.tables[wildcards.table].runs()
    return [path for run in runs for path in every_shard(rules.scores.output[0], *run)]


def table_settings(wildcards):
    return {
        "table": values(SETTINGS.tables[wildcards.table]),
        "methods": {name: values(method) for name, method in SETTINGS.methods.items()},
        "seed": SETTINGS.seed,
        "resamples": SETTINGS.bootstrap,
    }


def figure_inputs(wildcards):
    """The manifests that a figure draws from."""
    f = SETTINGS.figures[wildcards.figure]
    steps = {"images": rules.images, "vectors": rules.vectors, "regions": rules.regions}
    return {k: every_shard(step.output[0], f.dataset, f.backbone, f.method) for k, step in steps.items()}


def every_artifact(wildcards):
    """Every output by name: an intermediate file that nobody names would, when it is lost or its job failed,
    not be made again, and what was computed from its former content would pass for current.
    """
    steps = (rules.images, rules.features, rules.vectors, rules.regions)
    wanted = [(pattern, run) for run in SETTINGS.runs() for step in steps for pattern in step.output]
    scored = [run for table in SETTINGS.tables.values() for run in table.runs()]
    wanted += [(rules.scores.output[0], run) for run in scored]
    return list(dict.fromkeys(path for pattern, run in wanted for path in every_shard(pattern, *run)))
