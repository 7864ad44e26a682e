"""What tables and figures are made of."""

TABLE_KINDS = ("csv", "md", "tex", "meta.json", "draws.parquet")
REPORTED = ("report.html", "claims.csv", "stages.csv")  # the page first; verdicts and times as data


def table_inputs(wildcards):
    """What each kind of table is made of, by the kind of file."""
    table = SETTINGS.tables[wildcards.table]
    runs = whatwhere.config.runs(table)
    if table.kind == "oracle":
        return {"scores": [path for run in runs for path in every_shard(rules.scores.output[0], *run)]}
    if table.kind == "seconds":
        return {"timings": timing_files(table)}
    if table.kind in ("zeroshot", "instances"):
        return decoded_inputs(table)
    return {kind: [of_run(pattern, run) for run in runs] for kind, pattern, runs in judged(table)}


def table_settings(wildcards):
    table = SETTINGS.tables[wildcards.table]
    settings = {"table": values(table)}
    if table.kind == "oracle":
        used = {method: values(SETTINGS.methods[method]) for *_, method in whatwhere.config.runs(table)}
        chosen = SETTINGS.regions.clusters
        settings |= {"methods": used, "chosen": chosen}
    if table.kind != "seconds":
        settings |= {"seed": SETTINGS.seed, "resamples": SETTINGS.bootstrap}
    if table.kind == "zeroshot":
        used = dict.fromkeys(naming for *_, naming in table.named())
        settings["namings"] = {name: values(SETTINGS.namings[name]) for name in used}
    if table.kind in ("matching", "position"):
        settings["unit_rows"] = SETTINGS.segments.unit_rows
        settings["otherwise"] = whatwhere.config.needed.unlike_rows(SETTINGS, table)
    return settings


def figure_inputs(wildcards):
    """What a figure is drawn from, by its kind."""
    figure = SETTINGS.figures[wildcards.figure]
    if figure.kind == "curves":
        runs = whatwhere.config.runs(figure)
        return {"scores": [path for run in runs for path in every_shard(rules.scores.output[0], *run)]}
    if figure.kind == "method":
        return drawing_inputs(figure)
    if figure.kind == "classes":
        bars = list(enumerate(figure.named()))
        counts = {f"bar{number}": of_naming(rules.confusion.output[0], named) for number, named in bars}
        return {**counts, **{f"texts{number}": texts_of(named) for number, named in bars}}
    inputs = {"worst": of_naming(rules.confusion.output[0], figure.named()[-1])} if figure.worst else {}
    for number, column in enumerate(figure.columns):
        inputs |= {f"{kind}{number}": paths for kind, paths in column_inputs(figure, column).items()}
    return inputs


def column_inputs(figure, column):
    """What a column of pictures shows, by the kind of artifact."""
    backbone = column.backbone or figure.photographs or whatwhere.config.runs(figure)[0][1]
    run = (figure.dataset, backbone, column.method)
    images = {"images": every_shard(rules.images.output.images, *run)}
    if column.show == "named":
        named = (*run, column.naming)
        steps = {"named": rules.named, "confusion": rules.confusion}
        return {kind: of_naming(step.output[0], named) for kind, step in steps.items()}
    if column.show == "proposals":
        return {**images, "masks": [of_run(rules.detections.output.results, run)]}
    if column.show == "objects":
        return {**images, "masks": every_shard(rules.images.output.instances, *run)}
    if column.show not in ("eigenvectors", "regions"):
        return images
    kind = {"eigenvectors": "vectors"}.get(column.show, column.show)
    if kind == "vectors":
        return {kind: vectors_of(run)}
    if SETTINGS.is_joint(column.method):
        return {kind: [of_run(rules.segments.output[0], run)]}
    return {kind: every_shard(rules.regions.output[0], *run)}


def drawing_inputs(figure):
    """What is drawn of the method: images, and for each role of a method its vectors and regions."""
    place = (figure.dataset, figure.backbone)
    inputs = {"images": every_shard(rules.images.output.images, *place)}
    for role in ("what", "where"):
        run = (*place, getattr(figure, role))
        inputs[f"vectors_{role}"] = vectors_of(run)
        inputs[f"regions_{role}"] = [of_run(rules.segments.output[0], run)]
    if figure.drawing == "diagram":
        features = features_of(*place)
        return {**inputs, "features": features["inputs"], "beside": features["beside"]}
    for kind, made in (("vectors", rules.vectors), ("regions", rules.regions)):
        inputs[f"{kind}_single"] = every_shard(made.output[0], *place, figure.single)
    return inputs


def seen(figure):
    """The view that crops the images of a figure, if one does, and the models in it that photographs are new to."""
    backbones = [column.backbone for column in figure.columns if column.backbone]
    view = SETTINGS.backbones[figure.photographs or backbones[0]].view
    crop = view if (figure.dataset, view) in whatwhere.config.needed.crops(SETTINGS) else None
    new = whatwhere.config.needed.out_of_depth(SETTINGS)
    names = [SETTINGS.backbones[b].model for b in dict.fromkeys(backbones) if (figure.dataset, b) in new]
    return {"crop": crop, "scenes_only": list(dict.fromkeys(names))}


def figure_settings(wildcards):
    """What is drawn and how; a column of names with the classes that were asked about."""
    figure = values(SETTINGS.figures[wildcards.figure])
    for column in figure.get("columns", ()):
        if column["naming"]:
            column["asked"] = values(SETTINGS.namings[column["naming"]])["classes"]
    if figure["kind"] == "pictures":
        figure |= seen(SETTINGS.figures[wildcards.figure])
    halves = {"least_px": SETTINGS.segments.least_px, "ambiguous": SETTINGS.segments.ambiguous}
    return {**figure, "halves": halves, "seed": SETTINGS.seed, "resamples": SETTINGS.bootstrap}


def explored_inputs(wildcards):
    """The shards of images that figures show, and of their features."""
    asked = whatwhere.config.needed.explored(SETTINGS)[wildcards.dataset]
    place = (wildcards.dataset, asked.backbone)
    shards = some_shards(wildcards.dataset, SETTINGS.backbones[asked.backbone].view, asked.first, asked.ids)
    patterns = {"images": rules.images.output.images, **dict(rules.features.output.items())}
    found = {name: first_of(pattern, place, shards) for name, pattern in patterns.items()}
    return {"images": found.pop("images"), "features": found.pop("manifest"), "beside": sum(found.values(), [])}


def first_of(pattern, place, shards):
    """An output's pattern filled in for a data set, a backbone and these of its shards."""
    dataset, backbone = place
    return expand(pattern, dataset=dataset, backbone=backbone, view=SETTINGS.backbones[backbone].view, shard=shards)


def explored_settings(wildcards):
    """Whose eyes, of which images; vectors as a page of `whatwhere explore` has them."""
    asked = whatwhere.config.needed.explored(SETTINGS)[wildcards.dataset]
    known = {**asked._asdict(), "backbone": SETTINGS.backbones[asked.backbone].model, "vectors": 10}
    return {**known, "seed": SETTINGS.seed, "threads": SETTINGS.threads}


def report_inputs(wildcards):
    """Every table and figure, and the pages that it links to."""
    return {
        "explored": expand(rules.explored.output[0], dataset=whatwhere.config.needed.explored(SETTINGS)),
        "tables": expand(f"{RESULTS}/tables/{{table}}.csv", table=SETTINGS.tables),
        "figures": expand(rules.figure.output[0], figure=SETTINGS.figures),
    }
