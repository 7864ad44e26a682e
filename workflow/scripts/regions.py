"""Regions of every image of one shard."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.regions import write_regions
    from whatwhere.store import Store

    settings = snakemake.params.settings
    write_regions(Store(snakemake.input[0]), Path(snakemake.output[0]), **settings, settings=settings)
