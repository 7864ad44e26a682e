"""One table, as CSV, Markdown and LaTeX."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.tables import write_table

    write_table(Path(snakemake.output[0]), snakemake.input, **snakemake.params.settings)
