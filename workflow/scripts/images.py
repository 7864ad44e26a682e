"""Images and labels of one shard at the view's size."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.datasets import load_dataset
    from whatwhere.images import View
    from whatwhere.stages.images import write_images
    from whatwhere.store import read_json

    p, out = snakemake.params, snakemake.output
    dataset = load_dataset(snakemake.wildcards.dataset, **p.dataset)
    ids = read_json(Path(snakemake.input[0]))["shards"][snakemake.wildcards.shard]
    settings = {"dataset": p.dataset, "view": p.view}
    paths = (Path(out.images), Path(out.instances))
    write_images(dataset, ids, *paths, view=View(**p.view), run_images=p.run_images, settings=settings)
