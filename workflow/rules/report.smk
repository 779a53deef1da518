rule report:
    input:
        audit=f"{RESULTS}/audit.json",
        figures=all_figures(),
        scores=all_scores(),
        trajectories=all_trajectories(),
        distillation=all_distillation(),
        proxies=all_proxies(),
        template="workflow/report/report.html",
        claims=all_claims(),
        removal=all_removal(),
        sensitivity=all_sensitivity(),
        captions=collect("workflow/report/{figure}.rst", figure=outputs.ALL_FIGURES),
    output:
        **with_sidecars(report=f"{RESULTS}/report/report.html"),
    log:
        f"{RESULTS}/logs/report.log",
    conda:
        ENVIRONMENT
    params:
        spec=report_spec,
        results=subpath(output.report, ancestor=2),
    shell:
        "memflow report --spec {params.spec:q} --results {params.results:q} --template {input.template:q}"
        " --captions {input.captions:q} --output {output.report:q} --log {log:q}"
