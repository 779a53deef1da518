rule train:
    input:
        dataset=ancient(f"{RESULTS}/data/{{dataset}}.npz"),
    output:
        **with_sidecars(block=f"{RESULTS}/runs/{{dataset}}/{{architecture}}/{{method}}/block-{{block}}.npz"),
    log:
        f"{RESULTS}/logs/runs/{{dataset}}/{{architecture}}/{{method}}/block-{{block}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=train_gpus,
        runtime=train_minutes,
        mem_mb=train_memory,
        checkpoint_minutes=10,
    params:
        spec=block_spec,
    shell:
        "memflow train --spec {params.spec:q} --dataset {input.dataset:q} --output {output.block:q} --log {log:q}"
        " --checkpoint-minutes {resources.checkpoint_minutes}"
