rule mean_memorisation:
    input:
        summary=all_methods("summary.csv"),
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
        spec=figure_spec("hazards"),
    shell:
        "python workflow/scripts/hazards.py --spec {params.spec:q} --pairs {input.pairs:q} --dataset {input.dataset:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule distillation_joint:
    input:
        pairs=of_distillation("parquet"),
    output:
        **figure("distillation_joint"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/distillation_joint.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("distillation_joint"),
    shell:
        "python workflow/scripts/distillation_joint.py --spec {params.spec:q} --pairs {input.pairs:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule distillation_by_trajectory:
    input:
        summary=of_distillation("summary.csv"),
    output:
        **figure("distillation_by_trajectory"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/distillation_by_trajectory.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("distillation_by_trajectory"),
    shell:
        "python workflow/scripts/distillation_by_trajectory.py --spec {params.spec:q} --summary {input.summary:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule teacher_transfer:
    input:
        transfer=of_distillation("transfer.csv"),
    output:
        **figure("teacher_transfer"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/teacher_transfer.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("teacher_transfer"),
    shell:
        "python workflow/scripts/teacher_transfer.py --spec {params.spec:q} --transfer {input.transfer:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule proxy_agreement:
    input:
        agreement=of_proxies("agreement.csv"),
    output:
        **figure("proxy_agreement"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/proxy_agreement.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("proxy_agreement"),
    shell:
        "python workflow/scripts/proxy_agreement.py --spec {params.spec:q} --agreement {input.agreement:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule proxy_bimodality:
    input:
        summary=of_proxies("summary.csv"),
    output:
        **figure("proxy_bimodality"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/proxy_bimodality.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("proxy_bimodality"),
    shell:
        "python workflow/scripts/proxy_bimodality.py --spec {params.spec:q} --summary {input.summary:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule proxy_trajectories:
    input:
        proxies=of_proxies("parquet"),
        halves=drawn("halves.parquet", study.tracked),
        summary=of_proxies("summary.csv"),
    output:
        **figure("proxy_trajectories"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/proxy_trajectories.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("proxy_trajectories"),
    shell:
        "python workflow/scripts/proxy_trajectories.py --spec {params.spec:q} --proxies {input.proxies:q} --halves {input.halves:q} --summary {input.summary:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule proxy_disagreement:
    input:
        proxies=of_proxies("parquet"),
        halves=drawn("halves.parquet", study.tracked),
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
    output:
        **figure("proxy_disagreement"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/proxy_disagreement.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("proxy_disagreement"),
    shell:
        "python workflow/scripts/proxy_disagreement.py --spec {params.spec:q} --proxies {input.proxies:q} --halves {input.halves:q} --dataset {input.dataset:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule memorised_vs_size:
    input:
        thresholds=drawn("thresholds.csv"),
    output:
        **figure("memorised_vs_size"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/memorised_vs_size.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("memorised_vs_size"),
    shell:
        "python workflow/scripts/memorised_vs_size.py --spec {params.spec:q} --thresholds {input.thresholds:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule memorised_vs_epoch:
    input:
        epochs=over_time("csv"),
    output:
        **figure("memorised_vs_epoch"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/memorised_vs_epoch.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("memorised_vs_epoch"),
    shell:
        "python workflow/scripts/memorised_vs_epoch.py --spec {params.spec:q} --epochs {input.epochs:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule score_distribution_by_epoch:
    input:
        histogram=over_time("histogram.csv", study.largest),
    output:
        **figure("score_distribution_by_epoch"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/score_distribution_by_epoch.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("score_distribution_by_epoch"),
    shell:
        "python workflow/scripts/score_distribution_by_epoch.py --spec {params.spec:q} --histogram {input.histogram:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule train_test_gap:
    input:
        epochs=over_time("csv"),
    output:
        **figure("train_test_gap"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/train_test_gap.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("train_test_gap"),
    shell:
        "python workflow/scripts/train_test_gap.py --spec {params.spec:q} --epochs {input.epochs:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule artificial_vs_natural:
    input:
        summary=drawn("summary.csv"),
        epochs=over_time("csv"),
    output:
        **figure("artificial_vs_natural"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/artificial_vs_natural.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("artificial_vs_natural"),
    shell:
        "python workflow/scripts/artificial_vs_natural.py --spec {params.spec:q} --summary {input.summary:q} --epochs {input.epochs:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule transitions_figure:
    input:
        flows=along_families("csv", "transitions"),
    output:
        **figure("transitions"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/transitions.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("transitions"),
    shell:
        "python workflow/scripts/transitions.py --spec {params.spec:q} --flows {input.flows:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule transient:
    input:
        sets=along_families("transient.parquet", "transitions"),
        transient=along_families("transient.csv", "transitions"),
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
    output:
        **figure("transient"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/transient.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("transient"),
    shell:
        "python workflow/scripts/transient.py --spec {params.spec:q} --sets {input.sets:q} --transient {input.transient:q} --dataset {input.dataset:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule sensitivity_figure:
    input:
        sensitivity=sensitivity,
    output:
        **figure("sensitivity"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/sensitivity.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("sensitivity"),
    shell:
        "python workflow/scripts/sensitivity.py --spec {params.spec:q} --sensitivity {input.sensitivity:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"


rule memorisation_vs_vulnerability:
    input:
        curves=of_privacy("curves.csv"),
        levels=of_privacy("levels.csv"),
    output:
        **figure("memorisation_vs_vulnerability"),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/memorisation_vs_vulnerability.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("memorisation_vs_vulnerability"),
    shell:
        "python workflow/scripts/memorisation_vs_vulnerability.py --spec {params.spec:q} --curves {input.curves:q} --levels {input.levels:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"
