"""Regions to names (Table 7) and to masks of objects (Table 8)."""


rule texts:
    input:
        unpack(text_inputs),
    output:
        f"{RESULTS}/texts/{{dataset}}/{{backbone}}/{{naming}}.json",
    log:
        f"{RESULTS}/logs/texts/{{dataset}}/{{backbone}}/{{naming}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: torch_threads
    params:
        settings=text_settings,
        code=code("stages.texts", "backbones"),
    script:
        "../scripts/texts.py"


rule named:
    input:
        unpack(named_inputs),
    output:
        f"{RESULTS}/named/{{dataset}}/{{backbone}}/{{method}}/{{naming}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/named/{{dataset}}/{{backbone}}/{{method}}/{{naming}}/{{shard}}.log",
    priority: 1  # before more features, which may wait to be deleted
    conda:
        "../../envs/data.yaml"
    params:
        settings=naming_settings,
        code=code("stages.named"),
    script:
        "../scripts/named.py"


rule confusion:
    input:
        images=images_of,
        named=rules.named.output[0],
    output:
        f"{RESULTS}/confusion/{{dataset}}/{{backbone}}/{{method}}/{{naming}}/{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/confusion/{{dataset}}/{{backbone}}/{{method}}/{{naming}}/{{shard}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        code=code("stages.named"),
    script:
        "../scripts/confusion.py"


rule proposals:
    input:
        unpack(proposal_inputs),
    output:
        f"{RESULTS}/proposals/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/proposals/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        settings=values(SETTINGS.proposals),
        code=code("stages.proposals"),
    script:
        "../scripts/proposals.py"


rule detections:
    input:
        unpack(detection_inputs),
    output:
        results=f"{RESULTS}/detections/{{dataset}}/{{backbone}}/{{method}}.json",
        matches=f"{RESULTS}/detections/{{dataset}}/{{backbone}}/{{method}}.parquet",
    log:
        f"{RESULTS}/logs/detections/{{dataset}}/{{backbone}}/{{method}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        code=code("stages.proposals"),
    script:
        "../scripts/detections.py"
