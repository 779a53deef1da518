# After everything but the report, which shows it.
rule audit:
    input:
        figures=all_figures(),
        scores=all_scores(),
        trajectories=all_trajectories(),
        distillation=all_distillation(),
        proxies=all_proxies(),
        removal=all_removal(),
        epochs=all_epochs(),
        transitions=all_transitions(),
        sensitivity=all_sensitivity(),
        influence=all_influence(),
        privacy=all_privacy(),
        claims=all_claims(),
        browser=f"{RESULTS}/browser/index.html",
    output:
        **with_sidecars(audit=f"{RESULTS}/audit.json"),
    log:
        f"{RESULTS}/logs/audit.log",
    conda:
        ENVIRONMENT
    params:
        spec=audit_spec,
        results=subpath(output.audit, parent=True),
    shell:
        "memflow audit make --spec {params.spec:q} --results {params.results:q} --output {output.audit:q} --log {log:q}"
