"""One downloaded data set, complete and checked."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from whatwhere.datasets.sources import fetch

    fetch(snakemake.wildcards.source, snakemake.wildcards.root)
