"""Images to queries, keys and values of every attention layer."""


rule features:
    input:
        unpack(feature_inputs),
    output:
        **kept(f"{RESULTS}/features/{{dataset}}/{{backbone}}/{{shard}}"),
    log:
        f"{RESULTS}/logs/features/{{dataset}}/{{backbone}}/{{shard}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: torch_threads
    params:
        settings=feature_settings,
        code=code("stages.features", "backbones"),
    script:
        "../scripts/features.py"


rule timings:
    input:
        unpack(timing_inputs),
    output:
        f"{RESULTS}/timings/{{dataset}}/{{backbone}}.json",
    log:
        f"{RESULTS}/logs/timings/{{dataset}}/{{backbone}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: all_cores
    params:
        settings=timing_settings,
        code=timing_code,
    script:
        "../scripts/timings.py"
