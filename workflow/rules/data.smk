"""Data sets to images and labels at a view's size, in shards of one size."""


rule fetch:
    output:
        "{root}/{source}.json",
    log:
        f"{RESULTS}/logs/fetch/{{root}}/{{source}}.log",
    conda:
        "../../envs/data.yaml"
    script:
        "../scripts/fetch.py"


checkpoint index:
    input:
        fetched,
    output:
        f"{RESULTS}/images/{{dataset}}/{{view}}/index.json",
    log:
        f"{RESULTS}/logs/index/{{dataset}}/{{view}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        settings=index_settings,
        code=data_code,
    script:
        "../scripts/index.py"


rule images:
    input:
        rules.index.output,
    output:
        images=f"{RESULTS}/images/{{dataset}}/{{view}}/{{shard}}.json",
        instances=f"{RESULTS}/images/{{dataset}}/{{view}}/{{shard}}.instances.json",
    log:
        f"{RESULTS}/logs/images/{{dataset}}/{{view}}/{{shard}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        settings=image_settings,
        code=data_code,
    script:
        "../scripts/images.py"
