"""Pixels of every name in every true one."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.named import write_confusion
    from whatwhere.store import Store

    write_confusion(Store(snakemake.input.images), Store(snakemake.input.named), Path(snakemake.output[0]))
