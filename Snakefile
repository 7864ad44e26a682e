include: "workflow/Snakefile"


# an included file can neither start anything with a run nor set the default target
onstart:
    warm()


rule everything:
    default_target: True
    input:
        rules.all.input,
