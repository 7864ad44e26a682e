"""Regions of every image of one shard."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.store import Store
    from whatwhere.stages.regions import write_regions

    settings = snakemake.params.settings
    write_regions(Store(snakemake.input[0]), Path(snakemake.output[0]), **settings, settings=settings)
