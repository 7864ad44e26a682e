"""Counts of every cluster in every class."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.store import Store
    from whatwhere.stages.matching import write_matching

    images, segments = [Store(path) for path in snakemake.input.images], Store(snakemake.input.segments)
    write_matching(images, segments, Path(snakemake.output[0]), **snakemake.params.settings)
