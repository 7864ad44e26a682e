"""Which images of a data set go into which shard."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.datasets import load_dataset
    from whatwhere.datasets.images import View
    from whatwhere.stages.images import write_index

    settings = snakemake.params.settings
    write_index(
        load_dataset(snakemake.wildcards.dataset, **settings["dataset"]),
        Path(snakemake.output[0]),
        view=View(**settings["view"]),
        shard_images=settings["shard_images"],
        unreadable=settings["unreadable"],
        settings=settings,
    )
