"""One table, as CSV, Markdown and LaTeX."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.table_kinds import WRITERS

    settings = snakemake.params.settings
    write = WRITERS[settings["table"]["kind"]]
    write(Path(snakemake.output[0]), dict(snakemake.input.items()), **settings)
