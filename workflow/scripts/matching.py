"""Counts of every cluster in every class."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.matching import write_matching
    from whatwhere.store import Store

    images, segments = [Store(path) for path in snakemake.input.images], Store(snakemake.input.segments)
    write_matching(images, segments, Path(snakemake.output[0]), **snakemake.params.settings)
