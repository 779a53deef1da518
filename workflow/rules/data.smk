# May download: on a cluster, the nodes often cannot.
localrules:
    prepare,


rule prepare:
    input:
        files_of_users,
    output:
        **with_sidecars(
            dataset=f"{RESULTS}/data/{{dataset}}.npz",
            hazards=f"{RESULTS}/data/{{dataset}}.hazards.csv",
        ),
    log:
        f"{RESULTS}/logs/data/{{dataset}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=prepare_spec,
    shell:
        "memflow prepare --spec {params.spec:q} --output {output.dataset:q} --log {log:q}"
