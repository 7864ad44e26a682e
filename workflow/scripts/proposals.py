"""Ranked masks of objects in the images of one shard, as COCO results."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.store import Store
    from whatwhere.stages.proposals import write_proposals

    settings = dict(snakemake.params.settings)
    stores = [Store(snakemake.input[name]) for name in ("images", "vectors", "regions")]
    write_proposals(*stores, Path(snakemake.output[0]), crf=settings.pop("crf"), choice=settings)
