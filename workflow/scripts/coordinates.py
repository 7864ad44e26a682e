"""The error of a linear regression from X to positions."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.store import Store
    from whatwhere.stages.coordinates import write_coordinates

    images, vectors = ([Store(path) for path in part] for part in (snakemake.input.images, snakemake.input.vectors))
    settings = snakemake.params.settings
    write_coordinates(images, vectors, Path(snakemake.output[0]), **settings, settings=settings)
