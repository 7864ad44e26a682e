"""Data sets to images and labels at a view's size, in shards of one size."""


def dataset_params(wildcards):
    return values(SETTINGS.datasets[wildcards.dataset])


def view_params(wildcards):
    return values(SETTINGS.views[wildcards.view])


def data_code(wildcards):
    kind = SETTINGS.datasets[wildcards.dataset].kind
    return code("stages.images", f"datasets.{kind}")


checkpoint index:
    output:
        f"{RESULTS}/images/{{dataset}}/{{view}}/index.json",
    params:
        dataset=dataset_params,
        view=view_params,
        shard_images=SETTINGS.shard_images,
        unreadable=SETTINGS.unreadable,
        files=lambda w: whatwhere.datasets.fingerprint(dataset_params(w)),
        code=data_code,
    log:
        f"{RESULTS}/logs/index/{{dataset}}/{{view}}.log",
    conda:
        "../../envs/data.yaml"
    script:
        "../scripts/index.py"


rule images:
    input:
        rules.index.output,
    output:
        images=f"{RESULTS}/images/{{dataset}}/{{view}}/{{shard}}.json",
        instances=f"{RESULTS}/images/{{dataset}}/{{view}}/{{shard}}.instances.json",
    params:
        dataset=dataset_params,
        view=view_params,
        run_images=SETTINGS.features.run_images,
        code=data_code,
    log:
        f"{RESULTS}/logs/images/{{dataset}}/{{view}}/{{shard}}.log",
    conda:
        "../../envs/data.yaml"
    script:
        "../scripts/images.py"
