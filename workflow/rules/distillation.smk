rule distil:
    input:
        counts=one_hot_counts,
        distilled=distilled_counts,
        teacher=teacher_counts,
        sidecars=sidecars_of(lambda w: [*one_hot_counts(w), *distilled_counts(w), *teacher_counts(w)]),
    output:
        **with_sidecars(
            table=f"{RESULTS}/distillation/{{dataset}}/{{family}}/{{method}}.parquet",
            summary=f"{RESULTS}/distillation/{{dataset}}/{{family}}/{{method}}.summary.csv",
            transfer=f"{RESULTS}/distillation/{{dataset}}/{{family}}/{{method}}.transfer.csv",
        ),
    log:
        f"{RESULTS}/logs/distillation/{{dataset}}/{{family}}/{{method}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=distillation_spec,
    shell:
        "memflow distil --spec {params.spec:q} --counts {input.counts:q} --distilled {input.distilled:q}"
        " --teacher {input.teacher:q} --output {output.table:q} --log {log:q}"
