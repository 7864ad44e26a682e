"""Regions and labels to the counts behind every score."""


rule scores:
    input:
        images=images_of,
        regions=rules.regions.output[0],
    output:
        f"{RESULTS}/scores/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/scores/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        code=code("stages.scores"),
    script:
        "../scripts/scores.py"
