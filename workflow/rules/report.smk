"""Scores and artifacts to tables, figures and one report."""


def table_scores(wildcards):
    table = SETTINGS.tables[wildcards.table]
    runs = dict.fromkeys((r.backbone, r.method) for r in table.rows if r.backbone)
    pattern = f"{RESULTS}/scores/{table.dataset}/{{}}/{{}}/{{{{shard}}}}.parquet"
    return [p for b, m in runs for p in every_shard(pattern.format(b, m), table.dataset, b)]


def figure_stores(stage):
    """The manifests that a figure draws from: images at the backbone's view, vectors or regions."""

    def manifests(wildcards):
        f = SETTINGS.figures[wildcards.figure]
        view = SETTINGS.backbones[f.backbone].view
        folder = view if stage == "images" else f"{f.backbone}/{f.method}"
        pattern = f"{RESULTS}/{stage}/{f.dataset}/{folder}/{{shard}}.json"
        return every_shard(pattern, f.dataset, f.backbone)

    return manifests


rule table:
    input:
        table_scores,
    output:
        expand(f"{RESULTS}/tables/{{{{table}}}}.{{kind}}", kind=["csv", "md", "tex", "meta.json"]),
    params:
        table=lambda w: values(SETTINGS.tables[w.table]),
        methods={k: values(m) for k, m in SETTINGS.methods.items()},
        statistics={"seed": SETTINGS.seed, "resamples": SETTINGS.bootstrap},
        code=code("tables"),
    log:
        f"{RESULTS}/logs/tables/{{table}}.log",
    conda:
        "../../envs/data.yaml"
    script:
        "../scripts/table.py"


rule figure:
    input:
        images=figure_stores("images"),
        vectors=figure_stores("vectors"),
        regions=figure_stores("regions"),
    output:
        f"{RESULTS}/figures/{{figure}}.png",
    params:
        figure=lambda w: values(SETTINGS.figures[w.figure]),
        code=code("stages.drawing"),
    log:
        f"{RESULTS}/logs/figures/{{figure}}.log",
    conda:
        "../../envs/data.yaml"
    script:
        "../scripts/figure.py"


rule report:
    input:
        tables=expand(f"{RESULTS}/tables/{{table}}.csv", table=SETTINGS.tables),
        figures=expand(rules.figure.output[0], figure=SETTINGS.figures),
    output:
        f"{RESULTS}/report.html",
    params:
        settings=values(SETTINGS),
        code=code("stages.reporting"),
    log:
        f"{RESULTS}/logs/report.log",
    conda:
        "../../envs/data.yaml"
    script:
        "../scripts/report.py"
