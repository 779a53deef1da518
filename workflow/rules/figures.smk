rule mean_memorisation:
    input:
        summary=drawn("summary.csv"),
    output:
        **figure("mean_memorisation"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/mean_memorisation.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("mean_memorisation"),
    shell:
        "python workflow/scripts/mean_memorisation.py --spec {params.spec:q} --summary {input.summary:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule score_distribution:
    input:
        summary=drawn("summary.csv"),
        histogram=drawn("histogram.csv"),
    output:
        **figure("score_distribution"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/score_distribution.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("score_distribution"),
    shell:
        "python workflow/scripts/score_distribution.py --spec {params.spec:q} --summary {input.summary:q} --histogram {input.histogram:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule most_memorised:
    input:
        halves=drawn("halves.parquet", study.largest),
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
    output:
        **figure("most_memorised"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/most_memorised.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("most_memorised"),
    shell:
        "python workflow/scripts/most_memorised.py --spec {params.spec:q} --halves {input.halves:q} --dataset {input.dataset:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule trajectories:
    input:
        summary=along_families("summary.csv"),
        curves=along_families("curves.csv"),
        halves=along_families("halves.parquet"),
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
    output:
        **figure("trajectories"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/trajectories.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("trajectories"),
    shell:
        "python workflow/scripts/trajectories.py --spec {params.spec:q}"
        " --summary {input.summary:q} --curves {input.curves:q} --halves {input.halves:q} --dataset {input.dataset:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule trajectory_examples:
    input:
        halves=along_families("halves.parquet"),
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
    output:
        **figure("trajectory_examples"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/trajectory_examples.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("trajectory_examples"),
    shell:
        "python workflow/scripts/trajectory_examples.py --spec {params.spec:q} --halves {input.halves:q} --dataset {input.dataset:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule hazards:
    input:
        pairs=f"{RESULTS}/data/{{dataset}}.hazards.csv",
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
    output:
        **figure("hazards"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/hazards.log",
    conda:
        ENVIRONMENT
    params:
        spec=hazards_spec,
    shell:
        "python workflow/scripts/hazards.py --spec {params.spec:q} --pairs {input.pairs:q} --dataset {input.dataset:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"
