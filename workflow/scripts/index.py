"""Which images of a data set go into which shard."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.datasets import load_dataset
    from whatwhere.images import View
    from whatwhere.stages.images import write_index

    p = snakemake.params
    write_index(
        load_dataset(snakemake.wildcards.dataset, **p.dataset),
        Path(snakemake.output[0]),
        view=View(**p.view),
        shard_images=p.shard_images,
        unreadable=p.unreadable,
        settings={"dataset": p.dataset, "view": p.view},
    )
