"""Images and labels of one shard at the view's size."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.once import once
    from whatwhere.artifacts.store import read_json
    from whatwhere.datasets import load_dataset
    from whatwhere.datasets.images import View
    from whatwhere.stages.images import write_images

    settings, out = snakemake.params.settings, snakemake.output
    index = read_json(Path(snakemake.input[0]))
    choice = {"numbers": index["numbers"], "run_images": settings["run_images"], "settings": settings}

    def make():
        dataset = load_dataset(snakemake.wildcards.dataset, **settings["dataset"])
        ids, view = index["shards"][snakemake.wildcards.shard], View(**settings["view"])
        write_images(dataset, ids, Path(out.images), Path(out.instances), view=view, **choice)

    once(snakemake, make, outputs=2)
