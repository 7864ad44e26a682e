"""A name for each region of the images of one shard."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.store import Store
    from whatwhere.stages.named import write_named

    given, choice = dict(snakemake.input.items()), snakemake.params.settings
    regions = Store(given["regions"]) if "regions" in given else None
    parts = (Store(given["features"]), regions, Store(given["texts"]))
    write_named(*parts, Path(snakemake.output[0]), choice=choice, settings=choice)
