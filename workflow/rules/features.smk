"""Images to queries, keys and values of every attention layer."""


rule features:
    input:
        unpack(feature_inputs),
    output:
        f"{RESULTS}/features/{{dataset}}/{{backbone}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/features/{{dataset}}/{{backbone}}/{{shard}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: feature_threads
    params:
        settings=feature_settings,
        code=code("stages.features"),
    script:
        "../scripts/features.py"
