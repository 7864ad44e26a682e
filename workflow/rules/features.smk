"""Images to queries, keys and values of every attention layer."""


rule features:
    input:
        images=images_of,
        weights=weights_of,
    output:
        f"{RESULTS}/features/{{dataset}}/{{backbone}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/features/{{dataset}}/{{backbone}}/{{shard}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: SETTINGS.threads
    resources:
        gpu=gpus,
    params:
        backbone=lambda w: values(SETTINGS.backbones[w.backbone], "view"),
        features=values(SETTINGS.features),
        threads=SETTINGS.threads,
        code=code("stages.features"),
    script:
        "../scripts/features.py"
