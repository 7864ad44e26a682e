"""Features to X: Eq. 5, Eq. 3-4 and Eq. 8 for every image."""


def solver_code(wildcards):
    kind = SETTINGS.methods[wildcards.method].kind
    return code("stages.vectors", *([] if kind == "final" else [f"solve.{kind}"]))


rule vectors:
    input:
        rules.features.output,
    output:
        f"{RESULTS}/vectors/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.json",
    params:
        method=lambda w: values(SETTINGS.methods[w.method]),
        seed=SETTINGS.seed,
        threads=SETTINGS.threads,
        code=solver_code,
    log:
        f"{RESULTS}/logs/vectors/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.log",
    threads: SETTINGS.threads
    conda:
        "../../envs/torch.yaml"
    script:
        "../scripts/vectors.py"
