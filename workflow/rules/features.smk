"""Images to queries, keys and values of every attention layer."""


def images_of(wildcards):
    view = SETTINGS.backbones[wildcards.backbone].view
    return f"{RESULTS}/images/{wildcards.dataset}/{view}/{wildcards.shard}.json"


def gpus(wildcards):
    return int(SETTINGS.features.device.startswith("cuda"))


rule features:
    input:
        images_of,
    output:
        f"{RESULTS}/features/{{dataset}}/{{backbone}}/{{shard}}.json",
    params:
        backbone=lambda w: values(SETTINGS.backbones[w.backbone], "view"),
        features=values(SETTINGS.features),
        threads=SETTINGS.threads,
        code=code("stages.features"),
    log:
        f"{RESULTS}/logs/features/{{dataset}}/{{backbone}}/{{shard}}.log",
    threads: SETTINGS.threads
    resources:
        gpu=gpus,
    conda:
        "../../envs/torch.yaml"
    script:
        "../scripts/features.py"
