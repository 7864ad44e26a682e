"""Counts behind the scores of one shard."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.store import Store
    from whatwhere.stages.scores import write_scores

    found = snakemake.input
    write_scores(Store(found.images), Store(found.regions), Path(snakemake.output[0]))
