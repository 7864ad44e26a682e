"""Scores and artifacts to tables, figures, pages to point at, and one report."""


rule table:
    input:
        unpack(table_inputs),
    output:
        expand(f"{RESULTS}/tables/{{{{table}}}}.{{kind}}", kind=TABLE_KINDS),
    log:
        f"{RESULTS}/logs/tables/{{table}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        settings=table_settings,
        code=code("stages.table_kinds"),
    script:
        "../scripts/table.py"


rule figure:
    input:
        unpack(figure_inputs),
    output:
        f"{RESULTS}/figures/{{figure}}.png",
    log:
        f"{RESULTS}/logs/figures/{{figure}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        settings=figure_settings,
        code=code("stages.drawing"),
    script:
        "../scripts/figure.py"


rule explored:
    input:
        unpack(explored_inputs),
    output:
        f"{RESULTS}/explored/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/explored/{{dataset}}.log",
    conda:
        "../../envs/torch.yaml"
    params:
        settings=explored_settings,
        code=code("stages.explored"),
    script:
        "../scripts/explored.py"


rule report:
    input:
        unpack(report_inputs),
    output:
        expand(f"{RESULTS}/{{file}}", file=REPORTED),
    log:
        f"{RESULTS}/logs/report.log",
    conda:
        "../../envs/data.yaml"
    params:
        *whatwhere.artifacts.leaves.leaves(whatwhere.config.needed.used(SETTINGS)),
        code=code("stages.reporting"),
    script:
        "../scripts/report.py"
