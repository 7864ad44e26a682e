"""One network of the zoo; a run that was killed goes on from its checkpoint."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], snakemake.params.settings["threads"]):
    from pathlib import Path

    from whatwhere.zoo.training.families import train_family

    settings = dict(snakemake.params.settings)
    settings.pop("threads")
    folder = Path(snakemake.output[0]).parent
    stage = snakemake.wildcards.stage
    checkpoint = folder.parent / "checkpoints" / f"{stage}.pt"
    scenes = Path(snakemake.input.scenes).parent
    before = snakemake.input.get("before")
    settings |= {"checkpoint": checkpoint, "device": snakemake.config.get("zoo", {}).get("device", "cpu")}
    train_family(stage, scenes, folder, before=before and Path(before).parent, **settings)
