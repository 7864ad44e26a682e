"""Seconds of each step of each method on the first image of a data set."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from whatwhere.artifacts.store import Store, write_json
    from whatwhere.backbones import load_backbone
    from whatwhere.stages.timings import time_methods

    settings, names = snakemake.params.settings, snakemake.wildcards
    backbone = load_backbone(names.backbone, **settings["backbone"], device=settings["device"])
    image = Store(snakemake.input.images[0]).read("rgb", 0)
    found = time_methods(backbone, image, settings["methods"], regions=settings["regions"])
    write_json(Path(snakemake.output[0]), {**found, "dataset": names.dataset, "backbone": names.backbone})
