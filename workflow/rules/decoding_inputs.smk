"""What the rules about names and objects are given."""


def text_inputs(wildcards):
    """The names of the classes, and a local checkpoint."""
    view = SETTINGS.backbones[wildcards.backbone].view
    index = expand(rules.index.output[0], dataset=wildcards.dataset, view=view)[0]
    return {"index": index, "weights": SETTINGS.backbones[wildcards.backbone].local_files()}


def text_settings(wildcards):
    """What is asked; how answers are judged is another rule's."""
    naming = values(SETTINGS.namings[wildcards.naming])
    asked = {key: naming[key] for key in ("classes", "phrases", "templates")}
    backbone = {"backbone": backbone_settings(wildcards), "device": SETTINGS.device, "threads": SETTINGS.threads}
    return {**backbone, "asked": asked}


def naming_settings(wildcards):
    naming = values(SETTINGS.namings[wildcards.naming])
    return {key: naming[key] for key in ("measure", "threshold", "most")}


def named_inputs(wildcards):
    """Features, texts and regions; no regions for a method that takes tokens for them."""
    made = dict(rules.features.output.items())
    found = {name: expand(pattern, **wildcards)[0] for name, pattern in made.items()}
    inputs = {"features": found["manifest"], "beside": [path for name, path in found.items() if name != "manifest"]}
    inputs["texts"] = expand(rules.texts.output[0], **wildcards)[0]
    if not SETTINGS.is_of_tokens(wildcards.method):
        inputs["regions"] = expand(rules.regions.output[0], **wildcards)[0]
    return inputs


def proposal_inputs(wildcards):
    steps = {"vectors": rules.vectors, "regions": rules.regions}
    found = {name: expand(step.output[0], **wildcards)[0] for name, step in steps.items()}
    return {"images": images_of(wildcards), **found}


def detection_inputs(wildcards):
    """The true objects and the masks of all shards, in the same order."""
    run = (wildcards.dataset, wildcards.backbone, wildcards.method)
    truths = every_shard(rules.images.output.instances, *run)
    return {"truths": truths, "proposals": every_shard(rules.proposals.output[0], *run)}


def of_naming(pattern, named):
    """An output's pattern filled in for a data set, backbone, method and naming, for each shard there is."""
    *run, naming = named
    return every_shard(pattern.replace("{naming}", naming), *run)


def texts_of(named):
    """The texts behind a naming."""
    dataset, backbone, _, naming = named
    return expand(rules.texts.output[0], dataset=dataset, backbone=backbone, naming=naming)


def decoded_inputs(table):
    """The files behind a table of names or of objects."""
    if table.kind == "zeroshot":
        return {"confusion": [path for named in table.named() for path in of_naming(rules.confusion.output[0], named)]}
    return {"matches": [of_run(rules.detections.output.matches, run) for run in whatwhere.config.runs(table)]}


def decoded_artifacts():
    """Every output about names and objects, and what it is computed from."""
    found = []
    for dataset, backbone, method, naming in SETTINGS.named():
        run, kept = (dataset, backbone, method), [rules.features] * SETTINGS.features.keep
        found += texts_of((*run, naming))
        found += [
            path for step in (rules.images, *kept) for pattern in step.output for path in every_shard(pattern, *run)
        ]
        for step in (rules.named, rules.confusion):
            found += of_naming(step.output[0], (*run, naming))
    for run in SETTINGS.detected():
        found += every_shard(rules.proposals.output[0], *run)
        found += [of_run(pattern, run) for pattern in rules.detections.output]
    return found
