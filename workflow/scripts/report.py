"""The report of a run."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.leaves import tree_of
    from whatwhere.stages.reporting import write_run_report

    given, settings = snakemake.input, tree_of(value for value in snakemake.params if isinstance(value, tuple))
    write_run_report(Path(snakemake.output[0]), given.tables, given.figures, settings, explored=given.explored)
