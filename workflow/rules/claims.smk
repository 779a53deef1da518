rule claims:
    input:
        counts=claimed_counts(),
        sidecars=[f"{path}.prov.json" for path in claimed_counts()],
        distillation=all_distillation(),
        proxies=all_proxies(),
        epochs=all_epochs(),
        transitions=all_transitions(),
        removal=all_removal(),
    output:
        **with_sidecars(card=f"{RESULTS}/claims.csv", parts=f"{RESULTS}/claims.parts.csv"),
    log:
        f"{RESULTS}/logs/claims.log",
    conda:
        ENVIRONMENT
    params:
        spec=claims_spec,
        results=subpath(output.card, parent=True),
    shell:
        "memflow judge --spec {params.spec:q} --results {params.results:q} --output {output.card:q} --log {log:q}"
