"""A page for each photograph that figures show of a data set."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], snakemake.params.settings["threads"]):
    from pathlib import Path

    from whatwhere.stages.explored import write_explored

    given, settings = snakemake.input, dict(snakemake.params.settings)
    del settings["threads"]
    write_explored(given.images, given.features, Path(snakemake.output[0]), **settings)
