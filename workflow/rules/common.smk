"""The checked configuration, and what rules look up in it."""

import atexit
import dataclasses
import functools
import json
import os
import sys
from pathlib import Path

import whatwhere.artifacts.again
import whatwhere.artifacts.before
import whatwhere.artifacts.codehash
import whatwhere.artifacts.leaves
import whatwhere.artifacts.seeding
import whatwhere.config
import whatwhere.config.methods
import whatwhere.config.needed
import whatwhere.config.overlay
import whatwhere.datasets
import whatwhere.datasets.sources
import whatwhere.artifacts.errors
import whatwhere.artifacts.spread
import whatwhere.artifacts.warm
import whatwhere.method.joint.sample

try:
    # the shipped files, then --configfile in their order, then --config: as `whatwhere plan` reads them
    overlays, more = workflow.overwrite_configfiles, workflow.config_settings.config
    SETTINGS = whatwhere.config.overlay.configured_run(overlays, more)
except whatwhere.artifacts.errors.InputError as error:
    sys.stderr.write(f"whatwhere: {error}\n")
    sys.exit(2)

# Snakemake starts jobs by the interpreter's path, and does not quote it
sys.executable = whatwhere.artifacts.before.without_blank(sys.executable)

# where Snakemake would answer with a traceback, or after hours
if workflow.is_main_process and (words := whatwhere.artifacts.before.hindrance(SETTINGS.run, SETTINGS.device)):
    sys.stderr.write(f"whatwhere: {words}\n")
    sys.exit(2)

# said before Snakemake's own words, which name the command at their end, and no jobs of a run that is going on
if workflow.is_main_process and list(Path(".snakemake/locks").glob("*")) and "--unlock" not in sys.argv:
    words = "a run is going on here, or one was killed and left its lock; if none is: make unlock"
    sys.stderr.write(f"whatwhere: .snakemake/locks: {words} (or snakemake --unlock)\n")

RESULTS = f"results/{SETTINGS.run}"
ZOO = "results/zoo"
SEEN = Path("results/.seen.json")  # what is in files of data sets, so that each is read once
FEW = 4  # jobs import what they need in less time than a warm parent would import all
FAMILIES = ("dino", "mae", "clip", "diffusion")
FETCHED = whatwhere.datasets.sources.FETCHED

# jobs in conda environments of their own find the package beside the workflow
SOURCE = Path(workflow.current_basedir).parent.parent / "src"
os.environ.update(PYTHONPATH=os.pathsep.join([str(SOURCE), dict(os.environ).get("PYTHONPATH", "")]))
# no parameters: what a job answers does not depend on who worked on it, nor (but for clusters, which have it as one, and
# for limits of colour scales) on how much of it at a time
os.environ[whatwhere.artifacts.spread.BLOCK] = str(SETTINGS.block_locations)
if SETTINGS.dask:
    os.environ[whatwhere.artifacts.spread.CLUSTER] = SETTINGS.dask
else:
    os.environ.pop(whatwhere.artifacts.spread.CLUSTER, None)


wildcard_constraints:
    dataset="[^/]+",
    view="[^/]+",
    backbone="[^/]+",
    method="[^/]+",
    naming="[^/]+",
    shard=r"\d+x\d+-\d+",
    source="|".join(whatwhere.datasets.sources.SOURCES),
    decoded="segments|refined",
    stage="|".join([*FAMILIES, "autoencoder"]),
    family="|".join(FAMILIES),


WARM = whatwhere.artifacts.warm.Warm()  # ends with this process


def warm():
    """Lets jobs come from a warm parent: on this machine, in this environment, none with a GPU, and many."""
    here = workflow.local_exec and not workflow.deployment_settings.deployment_method and SETTINGS.device == "cpu"
    many = whatwhere.artifacts.warm.SOCKET in os.environ or sum(1 for _ in workflow.dag.needrun_jobs()) > FEW
    if here and many:
        shell.prefix(whatwhere.artifacts.warm.prefix(WARM.start()))


def begin():
    """Notes how this run is made, for those who read what to do about one of its files, and warms up."""
    given = {key: value for key, value in more.items() if isinstance(value, (str, int, float))}
    whatwhere.artifacts.again.note(Path(RESULTS), overlays, given)
    warm()
    if workflow.local_exec:
        # Snakemake's limit of jobs a second leaves, for each job that ended, a timer that looks through all jobs every
        # second from then on: after 200 jobs that kept half a core busy
        workflow.scheduler.job_rate_limiter = None


def watch_scripts():
    """Every script's code becomes a parameter of who runs it; touched, or with another comment, it is the same."""
    for each in workflow.rules:
        if each.script:
            script = Path(each.basedir, each.script)
            each.set_params(script=whatwhere.artifacts.codehash.file_hash(script))
    if workflow.is_main_process:
        atexit.register(whatwhere.artifacts.codehash.keep)  # also what rules ask about later, when jobs are known


def code(*modules):
    """The hash that makes a rule rerun when the code it uses changes."""
    return whatwhere.artifacts.codehash.code_hash(*(f"whatwhere.{module}" for module in ("artifacts.job", *modules)))


def values(model, *left_out):
    """A settings model as plain values, for `params`."""
    return model.model_dump(mode="json", exclude=set(left_out))


def every_shard(pattern, dataset, backbone, method=None):
    """An output's pattern filled in for a run, for each shard of the data set as the backbone sees it.

    The shards are known once the index is: asking for them makes the workflow wait for it.
    """
    view = SETTINGS.backbones[backbone].view
    return shards_of_view(pattern, dataset, view, backbone=backbone, method=method)


def shards_of_view(pattern, dataset, view, **run):
    """The same for a data set as a view shows it."""
    return expand(pattern, shard=list(indexed(dataset, view)), dataset=dataset, view=view, **run)


def indexed(dataset, view):
    """The shards of a data set as a view shows it, and the ids of the images in each."""
    index = checkpoints.index.get(dataset=dataset, view=view).output[0]
    return shards_in(index, os.stat(index).st_mtime_ns)


@functools.cache
def shards_in(index, written):
    """What an index says, read once as long as it is the same: it is asked of every job."""
    with open(index) as file:
        return json.load(file)["shards"]


def some_shards(dataset, view, first, ids):
    """Those that hold so many of the first images, and those that hold these."""
    found, before = [], 0
    for shard, names in indexed(dataset, view).items():
        found += [shard] * (before < first or not set(ids).isdisjoint(names))
        before += len(names)
    return found


def is_published(data):
    """Whether a data set is one that is downloaded, and never changes."""
    return data["kind"] in FETCHED and not data.get("annotations")


def index_settings(wildcards):
    """What the index of a data set depends on; `files` changes when the files under its root do."""
    data = values(SETTINGS.datasets[wildcards.dataset])
    return {
        "dataset": data,
        "files": "" if is_published(data) else whatwhere.datasets.fingerprint(data, SEEN),
        "view": values(SETTINGS.views[wildcards.view]),
        "shard_images": SETTINGS.shard_images,
        "unreadable": SETTINGS.unreadable,
    }


def fetched(wildcards):
    """What says that a data set was downloaded, for those that are."""
    data = SETTINGS.datasets[wildcards.dataset]
    # one's own copies lie where a download never puts anything: the answer must not change when it is done
    sources = FETCHED.get(data.kind, {}) if is_published(values(data)) else {}
    missing = [name for name, own in sources.items() if not any((data.root / place).exists() for place in own)]
    return [f"{data.root}/{source}.json" for source in missing]


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
        "backbone": backbone_settings(wildcards),
        "features": values(SETTINGS.features, "keep"),
        "values": SETTINGS.keeps_values(wildcards.dataset, wildcards.backbone),
        "joint": SETTINGS.keeps_joint(wildcards.dataset, wildcards.backbone),
        "device": SETTINGS.device,
        "seed": SETTINGS.seed if SETTINGS.backbones[wildcards.backbone].draws() else 0,
        "threads": SETTINGS.threads,
    }


def backbone_settings(wildcards):
    """What the configuration says of a backbone, and whether its weights are a package's; the rest is the catalogue's."""
    backbone = SETTINGS.backbones[wildcards.backbone]
    said = {key: value for key, value in values(backbone, "view").items() if value is not None}
    here = backbone.weights_here()
    return said if isinstance(here, str) else {**said, "weights": dataclasses.asdict(here)}


def kept(path):
    """The manifest and store of features, which a configuration for a large set deletes after their last use."""
    if SETTINGS.features.keep:
        return {"manifest": f"{path}.json"}
    return {"manifest": temp(f"{path}.json"), "store": temp(directory(f"{path}.zarr"))}


def torch_threads(wildcards):
    """All cores for a job on a GPU, so that no two share it."""
    return (SETTINGS.device.startswith("cuda") and workflow.cores) or SETTINGS.threads


def all_cores(wildcards):
    """All cores. Asked when the job is: what does not run, `--unlock` say, has none."""
    return workflow.cores


def solver_settings(wildcards):
    """Of the method all but what its clusters alone depend on."""
    method = values(SETTINGS.methods[wildcards.method], "unit_rows")
    return {"method": method, "device": SETTINGS.device, "seed": SETTINGS.seed, "threads": SETTINGS.threads}


def solver_code(wildcards):
    method = SETTINGS.methods[wildcards.method]
    if isinstance(method, whatwhere.config.methods.Solver):
        return code("stages.vectors", f"method.solve.{method.kind}")
    return code("stages.baselines")


def timed_methods(wildcards):
    """The methods that a table of seconds asks of a backbone on a data set."""
    methods = whatwhere.config.needed.timed(SETTINGS)[wildcards.dataset, wildcards.backbone]
    return {method: values(SETTINGS.methods[method]) for method in methods}


def timing_inputs(wildcards):
    images = every_shard(rules.images.output.images, wildcards.dataset, wildcards.backbone)
    return {"images": images[:1], "weights": SETTINGS.backbones[wildcards.backbone].local_files()}


def timing_code(wildcards):
    solvers = [f"method.solve.{method['kind']}" for method in timed_methods(wildcards).values()]
    return code("stages.timings", "backbones", *solvers)


def timing_settings(wildcards):
    regions = values(SETTINGS.regions, "borders")
    settings = {key: value for key, value in feature_settings(wildcards).items() if key not in ("values", "joint")}
    return {**settings, "seed": SETTINGS.seed, "methods": timed_methods(wildcards), "regions": regions}


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


def every_artifact(wildcards):
    """Every output by name: an intermediate file that nobody names would, when it is lost or its job failed,
    not be made again, and what was computed from its former content would pass for current.
    """
    steps = [rules.images, rules.vectors, rules.regions] + [rules.features] * SETTINGS.features.keep
    wanted = [(pattern, run) for run in SETTINGS.shown() for step in steps for pattern in step.output]
    wanted += [(rules.scores.output[0], run) for run in SETTINGS.scored()]
    found = [path for pattern, run in wanted for path in every_shard(pattern, *run)]
    timed = [table for table in SETTINGS.tables.values() if table.kind == "seconds"]
    found += [path for table in timed for path in timing_files(table)]
    found += expand(rules.table.output, table=SETTINGS.tables) + expand(rules.figure.output, figure=SETTINGS.figures)
    found += expand(rules.explored.output, dataset=whatwhere.config.needed.explored(SETTINGS))
    return list(dict.fromkeys(found + joint_artifacts() + decoded_artifacts()))


def timing_files(table):
    """One file of timings a backbone."""
    runs = dict.fromkeys((dataset, backbone) for dataset, backbone, _ in whatwhere.config.runs(table))
    return [f"{RESULTS}/timings/{dataset}/{backbone}.json" for dataset, backbone in runs]
