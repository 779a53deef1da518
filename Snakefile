from snakemake.utils import min_version

min_version("9.27")


if "study" not in config:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/counts.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/trajectories.smk"
include: "workflow/rules/distillation.smk"
include: "workflow/rules/proxies.smk"
include: "workflow/rules/removal.smk"
include: "workflow/rules/epochs.smk"
include: "workflow/rules/transitions.smk"
include: "workflow/rules/sensitivity.smk"
include: "workflow/rules/influence.smk"
include: "workflow/rules/privacy.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/browser.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/report.smk"


onstart:
    # A cluster job parses all this again, perhaps after an edit of the config or the code; its scheduler hands it this
    # variable as it was when the job was submitted.
    os.environ.update(MEMFLOW_PLAN=study.plan())
    from memflow import status, uncommitted

    try:
        uncommitted.refuse(study)
    except ConfigError as error:
        sys.exit(f"memflow: {error}")
    print(*status.orphans(Path.cwd()), sep="\n", end="", file=sys.stderr)


rule all:
    default_target: True
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
        report=f"{RESULTS}/report/report.html",
