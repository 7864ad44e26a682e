"""The report of a run."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.reporting import write_run_report

    given = snakemake.input
    write_run_report(Path(snakemake.output[0]), given.tables, given.figures, snakemake.params.settings)
