"""The zoo's page and its pictures."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.zoo.training.page import write_page

    trainings = {Path(path).parent.name: Path(path) for path in snakemake.input.training}
    evidence = {Path(path).stem: Path(path) for path in snakemake.input.evidence}
    write_page(trainings, evidence, Path(snakemake.output[0]), **snakemake.params.settings)
