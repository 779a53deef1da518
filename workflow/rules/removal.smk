rule select:
    input:
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
        counts=f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{ONE_HOT}.npz",
        sidecar=f"{RESULTS}/counts/{{dataset}}/{{architecture}}/{ONE_HOT}.npz.prov.json",
    output:
        **with_sidecars(removed=f"{RESULTS}/removal/{{dataset}}/{{architecture}}.removed.npz"),
    log:
        f"{RESULTS}/logs/removal/{{dataset}}/{{architecture}}.removed.log",
    conda:
        ENVIRONMENT
    params:
        spec=selection_spec,
    shell:
        "memflow select --spec {params.spec:q} --dataset {input.dataset:q} --counts {input.counts:q}"
        " --output {output.removed:q} --log {log:q}"


rule removal:
    input:
        dataset=f"{RESULTS}/data/{{dataset}}.npz",
        hazards=f"{RESULTS}/data/{{dataset}}.hazards.csv",
        removed=f"{RESULTS}/removal/{{dataset}}/{{architecture}}.removed.npz",
        none=arm("none"),
        memorised=arm("memorised"),
        random=arm("random"),
        sidecars=all_arms("npz.prov.json"),
    output:
        **with_sidecars(table=f"{RESULTS}/removal/{{dataset}}/{{architecture}}.csv"),
    log:
        f"{RESULTS}/logs/removal/{{dataset}}/{{architecture}}.log",
    conda:
        ENVIRONMENT
    params:
        spec=removal_spec,
    shell:
        "memflow removal --spec {params.spec:q} --dataset {input.dataset:q} --hazards {input.hazards:q}"
        " --removed {input.removed:q} --none {input.none:q} --memorised {input.memorised:q} --random {input.random:q}"
        " --output {output.table:q} --log {log:q}"
