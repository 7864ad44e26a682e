"""Features to X: Eq. 5, Eq. 3-4 and Eq. 8 for every image."""


rule vectors:
    input:
        rules.features.output,
    output:
        f"{RESULTS}/vectors/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/vectors/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: torch_threads
    params:
        settings=solver_settings,
        code=solver_code,
    script:
        "../scripts/vectors.py"
