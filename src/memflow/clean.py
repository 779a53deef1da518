"""Delete what a study no longer needs: the weights that others have learnt from."""

from pathlib import Path

from memflow.config import Study
from memflow.sizes import made_from
from memflow.text import size


def weights(study: Study, results: Path, only_say: bool = False) -> str:
    """Delete the weights of which every student is trained; sidecars stay, since merges compare them.

    Parameters
    ----------
    study : Study
    results : Path
        Folder of the study's results.
    only_say : bool
        Delete nothing.

    Returns
    -------
    str
        What was deleted, and what was kept and why.
    """
    done, freed, waiting = [], 0, list[str]()
    for dataset, architecture, method in study.runs:
        files = sorted((results / "runs" / dataset / architecture / method).glob("block-*.weights.npz"))
        if not files:
            continue
        if unfinished := _unfinished(study, results, dataset, architecture, method):
            waiting.append(f"  {dataset}/{architecture}/{method}, for {', '.join(unfinished)}")
            continue
        freed += sum(path.stat().st_size for path in files)
        done += files
        for path in files:
            if not only_say:
                path.unlink()
    said = [f"{'would delete' if only_say else 'deleted'} {len(done)} files of weights, {size(freed)}"]
    if waiting:
        said += ["kept, since students have yet to learn from them:", *waiting]
    if done:
        said.append("Further seeds need no old weights; further methods train these teachers again.")
    return "\n".join(said)


def _unfinished(study: Study, results: Path, dataset: str, architecture: str, method: str) -> list[str]:
    """Students of a teacher that are not all trained."""
    missing = []
    for name in study.config["distillation"]:
        for student in study.students(dataset, name):
            if (study.teacher(student, name), study.teachers_method(name)) != (architecture, method):
                continue
            folder = results / "runs" / dataset / student / name
            specs = ((block, study.block_spec(dataset, student, name, block)) for block in study.methods[name].blocks)
            if not all(made_from(folder / f"block-{block}.npz", spec) for block, spec in specs):
                missing.append(f"{student}/{name}")
    return missing
