"""The same clusters in every image of a data set."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.store import Store, read_json
    from whatwhere.stages.segments import write_segments

    settings = dict(snakemake.params.settings)
    classes = len(read_json(Path(snakemake.input.index[0]))["classes"]) or settings["clusters"]
    del settings["clusters"]
    vectors = [Store(path) for path in snakemake.input.vectors]
    write_segments(vectors, Path(snakemake.output[0]), classes=classes, **settings, settings=settings)
