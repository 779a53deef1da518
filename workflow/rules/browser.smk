rule browser:
    input:
        data=collect(f"{RESULTS}/data/{{dataset}}.npz", dataset=study.datasets),
        hazards=collect(f"{RESULTS}/data/{{dataset}}.hazards.csv", dataset=study.datasets),
        scores=all_scores(),
        trajectories=all_trajectories(),
        distillation=all_distillation(),
        proxies=all_proxies(),
        influence=all_influence(),
        page=f"{PAGE}/index.html",
        sources=sources_of_page(),
    output:
        **with_sidecars(page=f"{RESULTS}/browser/index.html"),
    log:
        f"{RESULTS}/logs/browser.log",
    conda:
        ENVIRONMENT
    params:
        spec=browser_spec,
        results=subpath(output.page, ancestor=2),
    shell:
        "memflow browse --spec {params.spec:q} --results {params.results:q} --page {input.page:q}"
        " --output {output.page:q} --log {log:q}"
