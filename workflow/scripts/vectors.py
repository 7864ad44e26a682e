"""X of every image of one shard."""

from whatwhere.job import job

with job(snakemake.log[0], snakemake.params.settings["threads"]):
    from pathlib import Path

    from whatwhere.stages.vectors import write_vectors
    from whatwhere.store import Store

    settings = snakemake.params.settings
    method = dict(settings["method"])
    write_vectors(
        Store(snakemake.input[0]),
        Path(snakemake.output[0]),
        kind=method.pop("kind"),
        method=method,
        seed=settings["seed"],
        settings=settings,
    )
