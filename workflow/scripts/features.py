"""Queries, keys and values of one shard."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], snakemake.params.settings["threads"]):
    from pathlib import Path

    from whatwhere.artifacts.once import once
    from whatwhere.artifacts.store import Store
    from whatwhere.backbones import load_backbone
    from whatwhere.stages.features import extract

    settings = snakemake.params.settings
    wanted = {name: settings[name] for name in ("values", "joint", "seed")}
    wanted["kept"] = not hasattr(snakemake.output, "store")  # one that is named is deleted after its last use

    def make():
        backbone = load_backbone(snakemake.wildcards.backbone, **settings["backbone"], device=settings["device"])
        choice = {**settings["features"], **wanted, "settings": settings}
        extract(Store(snakemake.input.images), backbone, Path(snakemake.output[0]), **choice)

    once(snakemake, make, more=("values", "joint"))
