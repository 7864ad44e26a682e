"""The zoo's page and its pictures."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], snakemake.params.settings["threads"]):
    from pathlib import Path

    from whatwhere.zoo.training.page import write_page

    settings = snakemake.params.settings
    trainings = {Path(path).parent.name: Path(path) for path in snakemake.input.training}
    evidence = {Path(path).stem: Path(path) for path in snakemake.input.evidence}
    write_page(trainings, evidence, Path(snakemake.output[0]), seed=settings["seed"], shown=settings["shown"])
