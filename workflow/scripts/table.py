"""One table, as CSV, Markdown and LaTeX."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.tables import write_table

    p = snakemake.params
    write_table(Path(snakemake.output[0]), snakemake.input, p.table, p.methods, **p.statistics)
