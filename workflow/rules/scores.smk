rule score:
    input:
        counts=f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{{method}}.npz",
        sidecar=f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{{method}}.npz.prov.json",
    output:
        **with_sidecars(
            table=f"{RESULTS}/scores/{{dataset}}/{{architecture}}/{{method}}.parquet",
            halves=f"{RESULTS}/scores/{{dataset}}/{{architecture}}/{{method}}.halves.parquet",
            epochs=f"{RESULTS}/scores/{{dataset}}/{{architecture}}/{{method}}.epochs.parquet",
            summary=f"{RESULTS}/scores/{{dataset}}/{{architecture}}/{{method}}.summary.csv",
            thresholds=f"{RESULTS}/scores/{{dataset}}/{{architecture}}/{{method}}.thresholds.csv",
            histogram=f"{RESULTS}/scores/{{dataset}}/{{architecture}}/{{method}}.histogram.csv",
        ),
    log:
        f"{RESULTS}/logs/scores/{{dataset}}/{{architecture}}/{{method}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=scores_spec,
    shell:
        "memflow score --spec {params.spec:q} --counts {input.counts:q} --output {output.table:q} --log {log:q}"
