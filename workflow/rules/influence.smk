rule influence:
    input:
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
        counts=f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{{method}}.npz",
        sidecar=f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{{method}}.npz.prov.json",
        blocks=blocks_of("npz"),
        block_sidecars=blocks_of("npz.prov.json"),
    output:
        **with_sidecars(
            pairs=f"{RESULTS}/influence/{{dataset}}/{{architecture}}/{{method}}.parquet",
            by_train=f"{RESULTS}/influence/{{dataset}}/{{architecture}}/{{method}}.by_train.parquet",
            by_test=f"{RESULTS}/influence/{{dataset}}/{{architecture}}/{{method}}.by_test.parquet",
            summary=f"{RESULTS}/influence/{{dataset}}/{{architecture}}/{{method}}.summary.csv",
        ),
    log:
        f"{RESULTS}/logs/influence/{{dataset}}/{{architecture}}/{{method}}.log",
    conda:
        ENVIRONMENT
    threads: 2
    params:
        spec=influence_spec,
    shell:
        "memflow influence --spec {params.spec:q} --dataset {input.dataset:q} --counts {input.counts:q}"
        " --blocks {input.blocks:q} --output {output.pairs:q} --threads {threads} --log {log:q}"
