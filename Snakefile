include: "workflow/Snakefile"


# an included file can neither start anything with a run nor set the default target
onstart:
    begin()


rule everything:
    default_target: True
    input:
        rules.all.input,
