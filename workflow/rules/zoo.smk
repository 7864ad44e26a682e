"""Our own small backbones: scenes -> trained networks -> what they learned. Not part of `all`: it takes hours."""


rule zoo:
    input:
        f"{ZOO}/docs/zoo.md",


rule zoo_scenes:
    output:
        f"{ZOO}/scenes/captions.json",
    log:
        f"{ZOO}/logs/scenes.log",
    conda:
        "../../envs/torch.yaml"
    threads: all_cores
    params:
        settings=values(SETTINGS.zoo, "recipes", "evidence", "sample_steps", "device", "held_out"),
        code=code("zoo.training.scenes"),
    script:
        "../scripts/zoo_scenes.py"


rule zoo_train:
    input:
        unpack(zoo_inputs),
    output:
        f"{ZOO}/{{stage}}/training.json",
    log:
        f"{ZOO}/logs/{{stage}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: SETTINGS.threads
    params:
        settings=zoo_settings,
    script:
        "../scripts/zoo_train.py"


rule zoo_evidence:
    input:
        f"{ZOO}/{{family}}/training.json",
    output:
        f"{ZOO}/evidence/{{family}}.json",
    log:
        f"{ZOO}/logs/evidence/{{family}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: SETTINGS.threads
    params:
        settings={**values(SETTINGS.zoo.evidence), "size_px": SETTINGS.zoo.size_px, "seed": SETTINGS.seed},
        code=code("zoo.training.evidence", "backbones"),
    script:
        "../scripts/zoo_evidence.py"


rule zoo_cards:
    input:
        training=expand(rules.zoo_train.output[0], stage=[*FAMILIES, "autoencoder"]),
        evidence=expand(rules.zoo_evidence.output[0], family=FAMILIES),
    output:
        f"{ZOO}/docs/zoo.md",
    log:
        f"{ZOO}/logs/cards.log",
    conda:
        "../../envs/torch.yaml"
    params:
        settings={"seed": SETTINGS.seed, "shown": SETTINGS.zoo.evidence.first_seed, "steps": SETTINGS.zoo.sample_steps},
        code=code("zoo.training.page"),
    script:
        "../scripts/zoo_cards.py"
