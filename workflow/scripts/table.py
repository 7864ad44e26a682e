"""One table, as CSV, Markdown and LaTeX."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.joint_tables import write_matching_table, write_position_table
    from whatwhere.stages.tables import write_oracle_table, write_seconds_table

    settings = snakemake.params.settings
    writers = {
        "oracle": write_oracle_table,
        "seconds": write_seconds_table,
        "matching": write_matching_table,
        "position": write_position_table,
    }
    writers[settings["table"]["kind"]](Path(snakemake.output[0]), dict(snakemake.input.items()), **settings)
