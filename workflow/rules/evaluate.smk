"""Regions and labels to the counts behind every score."""


rule scores:
    input:
        images=images_of,
        regions=rules.regions.output,
    output:
        f"{RESULTS}/scores/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.parquet",
    params:
        code=code("stages.scores"),
    log:
        f"{RESULTS}/logs/scores/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.log",
    conda:
        "../../envs/data.yaml"
    script:
        "../scripts/scores.py"
