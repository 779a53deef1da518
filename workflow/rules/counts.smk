rule count:
    input:
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
        blocks=blocks_of("npz"),
        sidecars=blocks_of("npz.prov.json"),
        teachers=teachers_sidecars,
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
        " --teachers {input.teachers:q}"
        " --output {output.counts:q} --log {log:q}"
