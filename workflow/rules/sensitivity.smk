rule sensitivity:
    input:
        counts=family_counts_at_all_ratios,
        sidecars=sidecars_of(family_counts_at_all_ratios),
    output:
        **with_sidecars(table=f"{RESULTS}/sensitivity/{{dataset}}/{{family}}.csv"),
    log:
        f"{RESULTS}/logs/sensitivity/{{dataset}}/{{family}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=sensitivity_spec,
    shell:
        "memflow sensitivity --spec {params.spec:q} --counts {input.counts:q} --output {output.table:q} --log {log:q}"
