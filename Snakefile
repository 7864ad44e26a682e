include: "workflow/Snakefile"


# an included file cannot set the default target
rule everything:
    default_target: True
    input:
        rules.all.input,
