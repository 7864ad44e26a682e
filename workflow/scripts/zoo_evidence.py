"""What one family of the zoo learned."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    import json
    from pathlib import Path

    from whatwhere.artifacts.atomic import replacing
    from whatwhere.zoo.training.evidence import measure

    found = measure(snakemake.wildcards.family, Path(snakemake.input[0]).parent, **snakemake.params.settings)
    with replacing(Path(snakemake.output[0])) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
