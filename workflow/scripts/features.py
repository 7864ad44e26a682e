"""Queries, keys and values of one shard."""

from whatwhere.job import job

with job(snakemake.log[0], snakemake.params.threads):
    from pathlib import Path

    from whatwhere.backbones import load_backbone
    from whatwhere.stages.features import extract
    from whatwhere.store import Store

    p = snakemake.params
    choice = dict(p.features)
    backbone = load_backbone(snakemake.wildcards.backbone, **p.backbone, device=choice.pop("device"))
    settings = {"backbone": p.backbone, "features": p.features}
    extract(Store(snakemake.input.images), backbone, Path(snakemake.output[0]), **choice, settings=settings)
