"""X of every image of a data set, solved jointly."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], snakemake.params.settings["threads"]):
    from pathlib import Path

    from whatwhere.artifacts.once import once
    from whatwhere.stages.joint import write_joint

    settings = snakemake.params.settings
    method = dict(settings["method"])
    chosen = {key: settings[key] for key in ("backbone", "batch_images", "seed", "device")}
    given = {"kind": method.pop("kind"), "method": method, "name": snakemake.wildcards.backbone, **chosen}
    inputs, output = list(snakemake.input.inputs), Path(snakemake.output[0])
    once(snakemake, lambda: write_joint(inputs, output, **given, settings=settings))
