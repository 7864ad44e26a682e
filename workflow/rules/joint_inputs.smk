"""What the rules about a data set as a whole are given."""


def joint_inputs(wildcards):
    """Features of all shards, or for a method that runs the network itself the images, and its checkpoint; for one that
    takes another's columns those.
    """
    dataset, backbone = wildcards.dataset, wildcards.backbone
    if others := SETTINGS.source((dataset, backbone, wildcards.method)):
        return {"inputs": [of_run(rules.joint.output[0], other) for other in others]}
    if not SETTINGS.is_live(wildcards.method):
        return features_of(dataset, backbone)
    images = every_shard(rules.images.output.images, dataset, backbone)
    return {"inputs": images, "weights": SETTINGS.backbones[backbone].local_files()}


def features_of(dataset, backbone, shards=None):
    """Manifests of features (of all shards, if none are named), and beside them whatever else is made with them: a
    store that is deleted after its last use must be asked for by every use.
    """
    some = shards or list(indexed(dataset, SETTINGS.backbones[backbone].view))
    patterns = rules.features.output
    manifests, *more = (expand(each, dataset=dataset, backbone=backbone, shard=some) for each in patterns)
    return {"inputs": manifests, "beside": [path for paths in more for path in paths]}


def codebook_inputs(wildcards):
    """Features of the shards that the sample is in."""
    dataset, backbone = wildcards.dataset, wildcards.backbone
    shards = indexed(dataset, SETTINGS.backbones[backbone].view)
    seed = whatwhere.artifacts.seeding.seed_for(SETTINGS.seed, "landmarks", dataset)
    sample = SETTINGS.methods[wildcards.method].sample
    return features_of(dataset, backbone, whatwhere.method.joint.sample.shards_of(shards, sample, seed=seed))


def extended_inputs(wildcards):
    """Features of one shard, and the codebook of all."""
    run = (wildcards.dataset, wildcards.backbone, wildcards.method)
    shard = features_of(*run[:2], [wildcards.shard])
    return {**shard, "codebook": of_run(rules.codebook.output[0], run)}


def joint_threads(wildcards):
    """As many times a job's threads as there are processes that share a solve."""
    processes = getattr(SETTINGS.methods[wildcards.method], "processes", 1)
    return min(torch_threads(wildcards) * processes, workflow.cores or 1)


def joint_settings(wildcards):
    live = SETTINGS.is_live(wildcards.method)
    return {
        "method": values(SETTINGS.methods[wildcards.method], "unit_rows"),
        "backbone": backbone_settings(wildcards) if live else None,
        "batch_images": SETTINGS.features.batch_images,
        "device": SETTINGS.device,
        "seed": SETTINGS.seed,
        "threads": SETTINGS.threads,
    }


def extended_settings(wildcards):
    """Of the method what an image alone depends on; the rest is the codebook's."""
    method = values(SETTINGS.methods[wildcards.method])
    return {
        "method": {name: method[name] for name in ("kind", "pathway", "layers", "time")},
        "threads": SETTINGS.threads,
    }


def joint_code(wildcards):
    return code("stages.joint", *(["backbones"] if SETTINGS.is_live(wildcards.method) else []))


def joint_vectors(wildcards):
    """X of a whole data set; none where labels stand for it."""
    if SETTINGS.methods[wildcards.method].kind == "truth":
        return []
    return vectors_of((wildcards.dataset, wildcards.backbone, wildcards.method))


def vectors_of(run):
    """The stores of X, by the stage that answers it."""
    stage = whatwhere.config.needed.stage_of(SETTINGS, run[2])
    if stage == "joint":
        return [of_run(rules.joint.output[0], run)]
    return every_shard({"extended": rules.extended, "vectors": rules.vectors}[stage].output[0], *run)


def segment_inputs(wildcards):
    view = SETTINGS.backbones[wildcards.backbone].view
    return {"vectors": joint_vectors(wildcards), "index": expand(rules.index.output[0], view=view, **wildcards)}


def segment_settings(wildcards):
    """With `block_locations`, as so many rows choose where centres begin."""
    chosen = values(SETTINGS.segments, "view", "least_px", "ambiguous", "crf")
    scores = SETTINGS.methods[wildcards.method].kind == "largest"
    unit_rows = whatwhere.config.needed.unit_rows(SETTINGS, wildcards.method)
    more = {"unit_rows": unit_rows, "scores": scores, "seed": SETTINGS.seed}
    return {**chosen, **more, "block_locations": SETTINGS.block_locations}


def coordinate_settings(wildcards):
    return {"seed": SETTINGS.seed}


def refined_inputs(wildcards):
    segments = expand(rules.segments.output[0], **wildcards)
    return {"images": set_images(wildcards), "vectors": joint_vectors(wildcards), "segments": segments}


def set_images(wildcards):
    """Images and labels in whose pixels all rows are scored."""
    view = SETTINGS.segments.view or SETTINGS.backbones[wildcards.backbone].view
    return shards_of_view(rules.images.output.images, wildcards.dataset, view)


DECODED = {"matching": "segments", "refined": "refined"}


def judged(table):
    """Kind, pattern and runs of the files behind a table about a data set as a whole."""
    runs = whatwhere.config.runs(table)
    clustered = [run for run in runs if SETTINGS.methods[run[2]].kind != "truth"]
    matching = rules.matching.output[0]
    if table.kind == "position":
        return [("coordinates", rules.coordinates.output[0], runs), ("matching", matching, clustered)]
    found = [("matching", matching, clustered), ("refined", matching, table.refined())]
    return [(kind, pattern.replace("{decoded}", DECODED[kind]), runs) for kind, pattern, runs in found]


def of_run(pattern, run):
    """An output's pattern filled in for a data set, backbone and method."""
    dataset, backbone, method = run
    return expand(pattern, dataset=dataset, backbone=backbone, method=method, decoded="segments")[0]


def joint_artifacts():
    """Every output about a data set as a whole, and what it is computed from."""
    found = []
    for dataset, backbone, method in SETTINGS.joint():
        run = (dataset, backbone, method)
        kept = SETTINGS.features.keep and not SETTINGS.is_live(method)
        steps = [rules.images] + [rules.features] * kept
        if SETTINGS.methods[method].kind != "truth":
            found += vectors_of(run)
        if SETTINGS.methods[method].kind == "landmarks":
            found.append(of_run(rules.codebook.output[0], run))
        found += [path for step in steps for pattern in step.output for path in every_shard(pattern, *run)]
        view = SETTINGS.segments.view or SETTINGS.backbones[backbone].view
        found += [path for pattern in rules.images.output for path in shards_of_view(pattern, dataset, view)]
    tables = [table for table in SETTINGS.tables.values() if table.kind in ("matching", "position")]
    found += [of_run(pattern, run) for table in tables for _, pattern, runs in judged(table) for run in runs]
    found += [of_run(rules.refined.output[0], run) for run in whatwhere.config.needed.refined(SETTINGS)]
    return found + [of_run(rules.segments.output[0], run) for run in whatwhere.config.needed.clustered(SETTINGS)]
