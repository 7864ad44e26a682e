"""The names of a data set's classes as a backbone reads them."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], snakemake.params.settings["threads"]):
    from pathlib import Path

    from whatwhere.artifacts.store import read_json
    from whatwhere.backbones import load_backbone
    from whatwhere.stages.texts import write_texts

    settings = snakemake.params.settings
    known = read_json(Path(snakemake.input.index))["classes"]
    backbone = load_backbone(snakemake.wildcards.backbone, **settings["backbone"], device=settings["device"])
    write_texts(known, backbone, Path(snakemake.output[0]), **settings["asked"], settings=settings)
