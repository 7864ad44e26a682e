"""What the masks of all shards match, by COCO's protocol."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.proposals import write_detections

    given, made = snakemake.input, snakemake.output
    write_detections(given.truths, given.proposals, Path(made.results), Path(made.matches))
