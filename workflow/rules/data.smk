rule prepare:
    output:
        **with_sidecars(dataset=f"{RESULTS}/data/{{dataset}}.npz"),
    log:
        f"{RESULTS}/logs/data/{{dataset}}.log",
    params:
        spec=prepare_spec,
    conda:
        ENVIRONMENT
    shell:
        "memflow prepare --spec {params.spec:q} --output {output.dataset:q} --log {log:q}"
