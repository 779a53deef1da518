rule classify:
    input:
        counts=family_counts,
        sidecars=sidecars_of(family_counts),
    output:
        **with_sidecars(
            table=f"{RESULTS}/trajectories/{{dataset}}/{{family}}/{{method}}.parquet",
            halves=f"{RESULTS}/trajectories/{{dataset}}/{{family}}/{{method}}.halves.parquet",
            summary=f"{RESULTS}/trajectories/{{dataset}}/{{family}}/{{method}}.summary.csv",
            curves=f"{RESULTS}/trajectories/{{dataset}}/{{family}}/{{method}}.curves.csv",
            power=f"{RESULTS}/trajectories/{{dataset}}/{{family}}/{{method}}.power.csv",
        ),
    log:
        f"{RESULTS}/logs/trajectories/{{dataset}}/{{family}}/{{method}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=trajectories_spec,
    shell:
        "memflow classify --spec {params.spec:q} --counts {input.counts:q} --output {output.table:q} --log {log:q}"
