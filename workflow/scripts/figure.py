"""Figure 3 for one data set, backbone and method."""

from whatwhere.job import job

with job(snakemake.log[0], 1):
    from pathlib import Path

    from whatwhere.stages.drawing import draw_figure3

    given, settings = snakemake.input, snakemake.params.settings
    draw_figure3(given.images, given.vectors, given.regions, Path(snakemake.output[0]), settings)
