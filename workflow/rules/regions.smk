"""X to regions: K-means over tokens."""


rule regions:
    input:
        rules.vectors.output,
    output:
        f"{RESULTS}/regions/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/regions/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.log",
    priority: 1  # before more features, which may wait to be deleted
    conda:
        "../../envs/data.yaml"
    params:
        settings={**values(SETTINGS.regions), "seed": SETTINGS.seed},
        code=code("stages.regions"),
    script:
        "../scripts/regions.py"
