"""One table, as CSV, Markdown and LaTeX."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.tables import write_oracle_table, write_seconds_table

    settings = snakemake.params.settings
    write = {"oracle": write_oracle_table, "seconds": write_seconds_table}[settings["table"]["kind"]]
    write(Path(snakemake.output[0]), snakemake.input, **settings)
