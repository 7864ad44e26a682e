"""Features of a whole data set to one X per image, the same clusters in all of them, and what they say."""


rule joint:
    input:
        unpack(joint_inputs),
    output:
        f"{RESULTS}/joint/{{dataset}}/{{backbone}}/{{method}}.json",
    log:
        f"{RESULTS}/logs/joint/{{dataset}}/{{backbone}}/{{method}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: joint_threads
    params:
        settings=joint_settings,
        code=joint_code,
    script:
        "../scripts/joint.py"


rule codebook:
    input:
        unpack(codebook_inputs),
    output:
        f"{RESULTS}/codebook/{{dataset}}/{{backbone}}/{{method}}.json",
    log:
        f"{RESULTS}/logs/codebook/{{dataset}}/{{backbone}}/{{method}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: torch_threads
    params:
        settings=solver_settings,
        code=code("stages.joint_landmarks"),
    script:
        "../scripts/codebook.py"


rule extended:
    input:
        unpack(extended_inputs),
    output:
        f"{RESULTS}/extended/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/extended/{{dataset}}/{{backbone}}/{{method}}/{{shard}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: SETTINGS.threads
    params:
        settings=extended_settings,
        code=code("stages.joint_landmarks"),
    script:
        "../scripts/extended.py"


rule segments:
    input:
        unpack(segment_inputs),
    output:
        f"{RESULTS}/segments/{{dataset}}/{{backbone}}/{{method}}.json",
    log:
        f"{RESULTS}/logs/segments/{{dataset}}/{{backbone}}/{{method}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        settings=segment_settings,
        code=code("stages.segments"),
    script:
        "../scripts/segments.py"


rule refined:
    input:
        unpack(refined_inputs),
    output:
        f"{RESULTS}/refined/{{dataset}}/{{backbone}}/{{method}}.json",
    log:
        f"{RESULTS}/logs/refined/{{dataset}}/{{backbone}}/{{method}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        settings=values(SETTINGS.segments.crf),
        code=code("stages.refining"),
    script:
        "../scripts/refined.py"


rule matching:
    input:
        images=set_images,
        segments=f"{RESULTS}/{{decoded}}/{{dataset}}/{{backbone}}/{{method}}.json",
    output:
        f"{RESULTS}/matching/{{decoded}}/{{dataset}}/{{backbone}}/{{method}}.parquet",
    log:
        f"{RESULTS}/logs/matching/{{decoded}}/{{dataset}}/{{backbone}}/{{method}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        settings={"least_px": SETTINGS.segments.least_px, "ambiguous": SETTINGS.segments.ambiguous},
        code=code("stages.matching"),
    script:
        "../scripts/matching.py"


rule coordinates:
    input:
        images=set_images,
        vectors=joint_vectors,
    output:
        f"{RESULTS}/coordinates/{{dataset}}/{{backbone}}/{{method}}.json",
    log:
        f"{RESULTS}/logs/coordinates/{{dataset}}/{{backbone}}/{{method}}.log",
    conda:
        "../../envs/data.yaml"
    params:
        settings=coordinate_settings,
        code=code("stages.coordinates"),
    script:
        "../scripts/coordinates.py"
