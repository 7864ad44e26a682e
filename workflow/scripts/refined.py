"""Clusters after a dense CRF on every image."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.artifacts.store import Store
    from whatwhere.stages.refining import write_refined

    found, settings = snakemake.input, snakemake.params.settings
    images, vectors = [Store(path) for path in found.images], [Store(path) for path in found.vectors]
    write_refined(images, vectors, Store(found.segments[0]), Path(snakemake.output[0]), crf=settings, settings=settings)
