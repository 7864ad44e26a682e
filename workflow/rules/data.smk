"""Data sets to images and labels at a view's size, in shards of one size."""


checkpoint index:
    output:
        f"{RESULTS}/images/{{dataset}}/{{view}}/index.json",
    log:
        f"{RESULTS}/logs/index/{{dataset}}/{{view}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        dataset=dataset_params,
        view=view_params,
        shard_images=SETTINGS.shard_images,
        unreadable=SETTINGS.unreadable,
        files=lambda w: whatwhere.datasets.fingerprint(dataset_params(w)),
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
        dataset=dataset_params,
        view=view_params,
        run_images=SETTINGS.features.run_images,
        code=data_code,
    script:
        "../scripts/images.py"
