rule privacy:
    input:
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
        counts=f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{{method}}.npz",
        sidecar=f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{{method}}.npz.prov.json",
        blocks=blocks_of("npz"),
        block_sidecars=blocks_of("npz.prov.json"),
    output:
        **with_sidecars(
            table=f"{RESULTS}/privacy/{{dataset}}/{{architecture}}/{{method}}.parquet",
            rates=f"{RESULTS}/privacy/{{dataset}}/{{architecture}}/{{method}}.rates.csv",
            curves=f"{RESULTS}/privacy/{{dataset}}/{{architecture}}/{{method}}.curves.csv",
            levels=f"{RESULTS}/privacy/{{dataset}}/{{architecture}}/{{method}}.levels.csv",
        ),
    log:
        f"{RESULTS}/logs/privacy/{{dataset}}/{{architecture}}/{{method}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=privacy_spec,
    shell:
        "memflow privacy --spec {params.spec:q} --dataset {input.dataset:q} --counts {input.counts:q}"
        " --blocks {input.blocks:q} --output {output.table:q} --log {log:q}"
