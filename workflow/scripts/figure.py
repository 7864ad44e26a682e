"""One figure."""

from whatwhere.artifacts.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.drawing import draw_figure

    draw_figure(Path(snakemake.output[0]), dict(snakemake.input.items()), snakemake.params.settings)
