# A teacher's weights are kept, for the students of every method that learns from it.
ruleorder: train_teacher > train


rule train:
    input:
        dataset=unless_stale(dataset_of),
        teachers=unless_stale(teachers),
        removed=unless_stale(removed),
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
        keep_weights="none",
    params:
        spec=block_spec,
    shell:
        TRAIN


# The same command: a block that has both outputs is as good without the second, when nobody learns from it any more.
use rule train as train_teacher with:
    output:
        **with_sidecars(
            block=f"{RESULTS}/runs/{{dataset}}/{{architecture}}/{{method}}/block-{{block}}.npz",
            weights=f"{RESULTS}/runs/{{dataset}}/{{architecture}}/{{method}}/block-{{block}}.weights.npz",
        ),
    wildcard_constraints:
        dataset="|".join(taught_blocks()) or "none",
    resources:
        gpu=train_gpus,
        runtime=train_minutes,
        mem_mb=train_memory,
        checkpoint_minutes=10,
        keep_weights=keep_weights,
