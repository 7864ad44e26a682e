"""A sample of a data set, solved, for all other images to be extended to."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], snakemake.params.settings["threads"]):
    from pathlib import Path

    from whatwhere.artifacts.once import once
    from whatwhere.stages.joint_landmarks import write_codebook

    settings = snakemake.params.settings
    given = {key: settings[key] for key in ("method", "seed", "device")}
    inputs, output = list(snakemake.input.inputs), Path(snakemake.output[0])
    once(snakemake, lambda: write_codebook(inputs, output, **given, settings=settings))
