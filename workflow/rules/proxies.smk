rule proxies:
    input:
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
        blocks=full_data_blocks("npz"),
        sidecars=full_data_blocks("npz.prov.json"),
        counts=counts_at_all_ratios,
        counts_sidecars=sidecars_of(counts_at_all_ratios),
    output:
        **with_sidecars(
            table=f"{RESULTS}/proxies/{{dataset}}/{{architecture}}.parquet",
            agreement=f"{RESULTS}/proxies/{{dataset}}/{{architecture}}.agreement.csv",
            summary=f"{RESULTS}/proxies/{{dataset}}/{{architecture}}.summary.csv",
        ),
    log:
        f"{RESULTS}/logs/proxies/{{dataset}}/{{architecture}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=proxies_spec,
    shell:
        "memflow proxies --spec {params.spec:q} --dataset {input.dataset:q} --blocks {input.blocks:q}"
        " --counts {input.counts:q} --output {output.table:q} --log {log:q}"
