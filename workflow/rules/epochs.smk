rule epochs:
    input:
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
        counts=one_hot("npz"),
        sidecar=one_hot("npz.prov.json"),
        blocks=one_hot_blocks("npz"),
        block_sidecars=one_hot_blocks("npz.prov.json"),
    output:
        **with_sidecars(
            table=f"{RESULTS}/epochs/{{dataset}}/{{architecture}}/{ONE_HOT}.csv",
            histogram=f"{RESULTS}/epochs/{{dataset}}/{{architecture}}/{ONE_HOT}.histogram.csv",
        ),
    log:
        f"{RESULTS}/logs/epochs/{{dataset}}/{{architecture}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=epochs_spec,
    shell:
        "memflow epochs --spec {params.spec:q} --dataset {input.dataset:q} --counts {input.counts:q}"
        " --blocks {input.blocks:q} --output {output.table:q} --log {log:q}"
