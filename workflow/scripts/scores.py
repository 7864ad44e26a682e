"""Counts behind the scores of one shard."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.scores import write_scores
    from whatwhere.store import Store

    found = snakemake.input
    write_scores(Store(found.images), Store(found.regions), Path(snakemake.output[0]))
