"""X of every image of one shard, or what a baseline clusters."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], snakemake.params.settings["threads"]):
    from pathlib import Path

    from whatwhere.artifacts.store import Store
    from whatwhere.stages.baselines import FINDERS, write_baseline

    settings = snakemake.params.settings
    method = dict(settings["method"])
    given = {"kind": method.pop("kind"), "method": method, "settings": settings}
    if given["kind"] in FINDERS:
        write_baseline(Store(snakemake.input[0]), Path(snakemake.output[0]), **given)
    else:
        from whatwhere.stages.vectors import write_vectors

        given |= {"seed": settings["seed"], "device": settings["device"]}
        write_vectors(Store(snakemake.input[0]), Path(snakemake.output[0]), **given)
