"""The training scenes of the zoo."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.zoo.training.scenes import write

    settings = snakemake.params.settings
    write(Path(snakemake.output[0]).parent, **settings, processes=snakemake.threads)
