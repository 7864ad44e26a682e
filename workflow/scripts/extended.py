"""X of every image of one shard, by what was solved of others."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], snakemake.params.settings["threads"]):
    from pathlib import Path

    from whatwhere.artifacts.once import once
    from whatwhere.artifacts.store import Store
    from whatwhere.stages.joint_landmarks import write_extended

    settings = snakemake.params.settings
    features, codebook = (Store(path) for path in (*snakemake.input.inputs, snakemake.input.codebook))
    stores, output = (features, codebook), Path(snakemake.output[0])
    once(snakemake, lambda: write_extended(*stores, output, method=settings["method"], settings=settings))
