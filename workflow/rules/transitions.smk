rule transitions:
    input:
        counts=one_hot_counts,
        sidecars=sidecars_of(one_hot_counts),
    output:
        **with_sidecars(
            table=f"{RESULTS}/transitions/{{dataset}}/{{family}}/{ONE_HOT}.csv",
            sets=f"{RESULTS}/transitions/{{dataset}}/{{family}}/{ONE_HOT}.transient.parquet",
            transient=f"{RESULTS}/transitions/{{dataset}}/{{family}}/{ONE_HOT}.transient.csv",
        ),
    log:
        f"{RESULTS}/logs/transitions/{{dataset}}/{{family}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=transitions_spec,
    shell:
        "memflow transitions --spec {params.spec:q} --counts {input.counts:q} --output {output.table:q} --log {log:q}"
