"""Pixels of every name in every true one."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.store import Store
    from whatwhere.stages.named import write_confusion

    write_confusion(Store(snakemake.input.images), Store(snakemake.input.named), Path(snakemake.output[0]))
