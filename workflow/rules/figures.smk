rule mean_memorisation:
    input:
        summary=drawn("summary.csv"),
    output:
        **with_sidecars(
            pdf=f"{RESULTS}/figures/{{dataset}}/mean_memorisation.pdf",
            png=f"{RESULTS}/figures/{{dataset}}/mean_memorisation.png",
            csv=f"{RESULTS}/figures/{{dataset}}/mean_memorisation.csv",
        ),
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
        **with_sidecars(
            pdf=f"{RESULTS}/figures/{{dataset}}/score_distribution.pdf",
            png=f"{RESULTS}/figures/{{dataset}}/score_distribution.png",
            csv=f"{RESULTS}/figures/{{dataset}}/score_distribution.csv",
        ),
    log:
        f"{RESULTS}/logs/figures/{{dataset}}/score_distribution.log",
    conda:
        ENVIRONMENT
    params:
        spec=figure_spec("score_distribution"),
    shell:
        "python workflow/scripts/score_distribution.py --spec {params.spec:q} --summary {input.summary:q}"
        " --histogram {input.histogram:q}"
        " --pdf {output.pdf:q} --png {output.png:q} --csv {output.csv:q} --log {log:q}"
