rule count:
    input:
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
        blocks=collect(
            f"{RESULTS}/runs/{{{{dataset}}}}/{{{{architecture}}}}/{{{{method}}}}/block-{{block}}.npz",
            block=study.blocks,
        ),
        sidecars=collect(
            f"{RESULTS}/runs/{{{{dataset}}}}/{{{{architecture}}}}/{{{{method}}}}/block-{{block}}.npz.prov.json",
            block=study.blocks,
        ),
    output:
        **with_sidecars(counts=f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{{method}}.npz"),
    log:
        f"{RESULTS}/logs/counts/{{dataset}}/{{architecture}}/{{method}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=counts_spec,
    shell:
        "memflow count --spec {params.spec:q} --dataset {input.dataset:q} --blocks {input.blocks:q}"
        " --output {output.counts:q} --log {log:q}"
