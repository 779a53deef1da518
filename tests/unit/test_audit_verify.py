"""What a verification reads, holds against each other and derives again, on results of a few small runs."""

import json
import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from audit_helpers import digest, write
from helpers import noise_images, tiny_config

from memflow import counts, files, provenance, scores
from memflow.audit import verify
from memflow.audit.records import Records
from memflow.config import Study
from memflow.data import prepared
from memflow.errors import InputError
from memflow.provenance import sidecar
from memflow.training import blocks

FAMILY = {"networks": {"title": "Networks", "architectures": ["mlp", "resnet"]}}
STUDENTS = {"taught": {"teacher": "resnet"}, "leaky": {"teacher": "resnet", "teacher_data": "full"}}
PROXIES = {"runs": 4, "block_size": 2}
STUDY = Study(tiny_config({"evaluate_every": 1}, families=FAMILY, distillation=STUDENTS, proxies=PROXIES))
DATA = "data/digits.npz"
TEACHER, WEIGHTS = "runs/digits/resnet/one-hot/block-1.npz", "runs/digits/resnet/one-hot/block-1.weights.npz"
BLOCK = "runs/digits/mlp/taught/block-1.npz"
COUNTS, LEAKY = "counts/digits/mlp/taught.npz", "counts/digits/mlp/leaky.npz"
TABLE, HALVES = "scores/digits/mlp/taught.parquet", "scores/digits/mlp/taught.halves.parquet"


def train(results, architecture, method, block, teachers=()):
    run = ("digits", architecture, method)
    keep = STUDY.teacher_epochs(architecture, method) if run in STUDY.taught_by else []
    output = results / f"runs/digits/{architecture}/{method}/block-{block}.npz"
    blocks.run(STUDY.block_spec(*run, block), results / DATA, output, teachers=teachers, keep=keep)
    return output.with_suffix(".weights.npz")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Students of two blocks, whose teachers saw their subsets or everything, merged and scored."""
    results = tmp_path_factory.mktemp("trained") / "results/small"
    dataset = noise_images()
    prepared.save(dataset, results / DATA)
    details = {"fingerprint": dataset.fingerprint}
    provenance.write([results / DATA], {"stage": "data"}, inputs={}, started=provenance.now(), details=details)
    taught = [train(results, "resnet", "one-hot", block) for block in (0, 1)]
    full = [train(results, "resnet", "full-data", 0)]
    for method, teachers in (("taught", taught), ("leaky", full)):
        for block in (0, 1):
            train(results, "mlp", method, block, full if method == "leaky" else [taught[block]])
        merged = [results / f"runs/digits/mlp/{method}/block-{block}.npz" for block in (0, 1)]
        output = results / f"counts/digits/mlp/{method}.npz"
        counts.run(STUDY.counts_spec("digits", "mlp", method), results / DATA, merged, output, teachers)
    scores.run(STUDY.scores_spec("digits", "mlp", "taught"), results / COUNTS, results / TABLE)
    return results


@pytest.fixture
def results(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "results/small")
    return tmp_path / "results/small"


def problems(results, *names, sample=None):
    records = Records(results)
    return verify.run(records, list(names) or records.names(), sample=sample).problems


def assert_found(results, target, name, *words, sample=None):
    """Verifying a target finds a problem that names this file and says these words."""
    found = problems(results, target, sample=sample)
    assert any(problem.startswith(f"{name}: ") and all(word in problem for word in words) for problem in found), found


def edit_record(path, change):
    """Change the records of all files of a job."""
    record = json.loads(sidecar(path).read_text())
    change(record)
    for name in record["outputs"]:
        sidecar(path.with_name(name)).write_text(json.dumps(record))


def forge(results, name, *made_from_it):
    """Write the record of a changed file anew, and those of some files that were made from it."""

    def fit(record):
        record["outputs"][(results / name).name] = files.sha256(results / name)

    def follow(record):
        record["inputs"] |= {path: files.sha256(results / name) for path in record["inputs"] if path.endswith(name)}

    edit_record(results / name, fit)
    for other in made_from_it:
        edit_record(results / other, follow)


def change_arrays(results, name, **changes):
    with np.load(results / name) as file:
        arrays = {key: file[key] for key in file.files}
    files.write_npz(results / name, arrays | {key: change(arrays[key]) for key, change in changes.items()})


def test_nothing_is_wrong_with_untouched_results_of_students_and_teachers(trained):
    found = verify.run(Records(trained), Records(trained).names(), sample=None)
    assert found.problems == []
    assert found.derived == {"subsets": 26, "blocks": 7, "counts": 2, "score tables": 1}
    assert found.files == len([path for path in trained.rglob("*") if path.is_file()]) / 2
    assert verify.describe(found).endswith("no problems: all files are what their records say")


def test_results_may_have_been_moved_and_renamed(results, tmp_path, monkeypatch):
    moved = results.rename(tmp_path / "archive of 2025")
    monkeypatch.chdir(moved.root)
    assert problems(moved) == []


def test_unfinished_results_are_verified_as_far_as_they_are(results):
    shutil.rmtree(results / "scores")
    shutil.rmtree(results / "counts")
    files.write_bytes(results / "runs/digits/mlp/taught/block-2.npz.partial/0123/seed-8.npz", b"kept")
    assert problems(results) == []


def test_results_without_any_record_are_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to verify; run snakemake"):
        problems(tmp_path)


def test_a_folder_stands_for_what_is_recorded_in_it(results):
    (results / BLOCK).write_bytes(b"")
    (results / TABLE).write_bytes(b"")
    assert problems(results, "runs/digits/resnet") == []
    assert_found(results, "runs/digits", BLOCK, "is not what its record describes")
    assert_found(results, ".", TABLE, "is not what its record describes")


def test_a_target_that_is_not_there_is_a_problem_that_says_so(results):
    assert problems(results, "figures/none.pdf") == [
        "figures/none.pdf: is not there, and has no readable record of its own; delete what there is of it and run "
        "snakemake"
    ]


def test_weights_may_be_deleted_once_students_learnt_from_them(results):
    (results / WEIGHTS).unlink()
    assert problems(results) == []
    sidecar(results / WEIGHTS).unlink()
    assert_found(results, COUNTS, BLOCK, f"was made from {WEIGHTS}, which is missing")


def test_other_weights_than_students_learnt_from_are_found(results):
    with np.load(results / WEIGHTS) as file:
        name = next(key for key in file.files if key.startswith("weights "))
    change_arrays(results, WEIGHTS, **{name: np.negative})
    forge(results, WEIGHTS)
    assert_found(results, COUNTS, BLOCK, f"was made from another {WEIGHTS}")
    forge(results, WEIGHTS, BLOCK)
    assert_found(results, TEACHER, TEACHER, "are others than students know them by")


def test_a_student_of_other_teachers_is_found(results):
    edit_record(results / BLOCK, lambda record: record.update(learnt_from=["0" * 16]))
    assert_found(results, COUNTS, BLOCK, "learnt from other weights")
    edit_record(results / BLOCK, lambda record: record.update(inputs={}))
    assert_found(results, COUNTS, BLOCK, "names no teacher")


def test_teachers_that_saw_everything_are_told_from_those_that_did_not(results):
    block = "runs/digits/mlp/leaky/block-1.npz"
    edit_record(results / block, lambda record: record["definition"]["distillation"].update(teacher_data="subset"))
    assert_found(results, LEAKY, block, "is no teacher of these students")
    assert_found(results, LEAKY, LEAKY, block, "teacher_data is 'subset', expected 'full'")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record["definition"].update(code="0" * 16), "code is '0000000000000000'"),
        (lambda record: record["definition"].update(extra=1), "extra is 1, expected 'missing'"),
        (lambda record: record["definition"].pop("recipe"), "recipe is 'missing'"),
    ],
)
def test_a_block_of_another_definition_than_its_counts_repeat_is_found(results, change, words):
    edit_record(results / BLOCK, change)
    assert_found(results, COUNTS, COUNTS, f"{BLOCK} does not belong", words)


def test_counts_of_another_definition_than_their_scores_repeat_are_found(results):
    edit_record(results / COUNTS, lambda record: record["definition"].update(target_accuracy=0.0))
    assert_found(results, TABLE, TABLE, f"{COUNTS} does not belong", "target_accuracy is 0.0")


def test_conditions_that_were_changed_in_one_record_only_are_found(results):
    edit_record(results / BLOCK, lambda record: record["bit_conditions"].update(device_name="another"))
    assert_found(results, COUNTS, COUNTS, "does not name all conditions")
    edit_record(results / COUNTS, lambda record: record["runs_made_under"][0].update(device_name="a third"))
    assert_found(results, COUNTS, COUNTS, "conditions that none of their records names")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"definition": {}}, "cannot be read as a block (KeyError"),
        ({"masks": None}, "cannot be read as a block (TypeError"),
        ({"masks": []}, "has 0 subsets for 4 seeds"),
        ({"learnt_from": []}, "cannot be read as a block (IndexError"),
    ],
)
def test_a_record_that_is_none_of_a_block_is_found(results, change, words):
    edit_record(results / BLOCK, lambda record: record.update(change))
    assert_found(results, BLOCK, BLOCK, words)


def test_a_record_of_more_seeds_than_anybody_could_draw_is_found_at_once(results):
    edit_record(results / BLOCK, lambda record: record["definition"].update(seeds=[10**12, 2 * 10**12]))
    assert_found(results, BLOCK, BLOCK, "has 4 subsets for 1000000000000 seeds")


@pytest.mark.parametrize(("name", "array"), [(BLOCK, "train_correct"), (COUNTS, "correct_in")])
def test_a_damaged_archive_with_a_record_that_fits_is_found(results, name, array):
    content = bytearray((results / name).read_bytes())
    with np.load(results / name) as file:
        content[content.index(file[array].tobytes())] ^= 1
    (results / name).write_bytes(content)
    forge(results, name, COUNTS)
    assert_found(results, COUNTS, name, "cannot be read as", "Bad CRC-32")


def doubled(values):
    return np.concatenate([values, values])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": lambda label: label[::-1]}, "holds another label than the dataset"),
        ({"in_test": np.logical_not}, "holds another in_test than the dataset"),
        ({"accuracy": doubled, "converged": doubled}, "holds another number of runs than 8"),
        ({"converged": np.logical_not}, "marks other runs as converged"),
        ({"group_size": lambda size: size * 2}, "has groups of 4 runs"),
        ({"correct_in": lambda correct: correct + 9}, "has more in correct_in than runs in n_in"),
        ({"correct_out": lambda correct: correct[:, ::-1]}, "is not the sum of its correct_out"),
        ({"epoch_correct_in": lambda correct: correct[:, ::-1]}, "is not the sum of its correct_in"),
        ({"losses": np.negative}, f"its losses are not those that {BLOCK} gives"),
        ({"correct_test": lambda correct: correct[:, ::-1]}, f"its correct_test are not those that {BLOCK} gives"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_counts_that_cannot_be_are_found_though_their_record_fits(results, changes, words):
    change_arrays(results, COUNTS, **changes)
    forge(results, COUNTS)
    assert_found(results, COUNTS, COUNTS, words)


def test_earlier_epochs_are_summed_again_if_all_blocks_are_counted(results):
    def shift(correct):
        return np.concatenate([np.roll(correct[:1], 1, axis=-1), correct[1:]])

    change_arrays(results, COUNTS, epoch_correct_in=shift)
    forge(results, COUNTS)
    assert problems(results, COUNTS, sample=1) == []
    assert_found(results, COUNTS, COUNTS, "its epoch_correct_in are not those that its blocks give")


def test_a_block_that_the_record_of_its_counts_no_longer_names_is_found(results):
    edit_record(results / COUNTS, lambda record: record["inputs"].pop(next(p for p in record["inputs"] if BLOCK in p)))
    assert_found(results, "counts", COUNTS, f"of which {BLOCK} is missing")  # of what the counts were made from
    assert_found(results, ".", COUNTS, f"of which its record does not name {BLOCK}")


def test_scores_are_made_again_whatever_code_their_record_names(results):
    table = pq.read_table(results / HALVES)
    files.write_parquet(results / HALVES, table.to_pandas().assign(memorisation=0.5), {})
    forge(results, HALVES)
    edit_record(results / TABLE, lambda record: record["definition"].update(code="0" * 16))
    assert_found(results, TABLE, HALVES, f"holds other numbers than {COUNTS} gives by the code as it is now")


def test_scores_whose_record_no_longer_names_their_counts_are_found(results):
    edit_record(results / TABLE, lambda record: record.update(inputs={}))
    assert_found(results, TABLE, TABLE, f"its record does not name {COUNTS}")


def test_what_a_table_says_of_itself_is_derived_again(results):
    table = pq.read_table(results / TABLE)
    metadata = json.loads(table.schema.metadata[b"memflow"])
    files.write_parquet(results / TABLE, table.to_pandas(), metadata | {"runs": 4000})
    forge(results, TABLE)
    assert_found(results, TABLE, TABLE, "holds other numbers")
    edit_record(results / TABLE, lambda record: record["summary"].update(runs=4000))
    assert_found(results, TABLE, TABLE, "its record sums up other numbers")


def test_rounding_of_another_processor_is_no_problem(results):
    table = pq.read_table(results / TABLE)
    metadata = json.loads(table.schema.metadata[b"memflow"])
    rounded = table.to_pandas().assign(se=lambda scores: np.nextafter(scores["se"], 1))
    files.write_parquet(results / TABLE, rounded, metadata)
    forge(results, TABLE)
    assert problems(results, TABLE) == []


def test_a_record_behind_a_link_is_found(results, tmp_path):
    moved = shutil.move(sidecar(results / BLOCK), tmp_path / "elsewhere.json")
    sidecar(results / BLOCK).symlink_to(moved)
    assert_found(results, BLOCK, BLOCK, f"has a record that is a link to {moved}")


@pytest.mark.parametrize(
    ("of_input", "of_file", "words"),
    [
        ({"dirty": True}, {"dirty_ancestry": False}, "does not say that a.csv"),
        ({"dirty_ancestry": True}, {"dirty_ancestry": False}, "does not say that a.csv"),
        ({"dirty": False}, {"dirty_ancestry": True}, "neither it nor any of its inputs admits"),
    ],
)
def test_uncommitted_code_that_is_no_longer_admitted_is_found(tmp_path, of_input, of_file, words):
    write(tmp_path, ["a.csv"], **of_input)
    write(tmp_path, ["b.csv"], ["a.csv"], **of_file)
    assert_found(tmp_path, "b.csv", "b.csv", words)


@pytest.mark.parametrize(
    ("of_input", "of_file"),
    [({"dirty": True}, {"dirty_ancestry": True}), ({}, {"dirty": True, "dirty_ancestry": True})],
)
def test_uncommitted_code_that_is_admitted_is_no_problem(tmp_path, of_input, of_file):
    write(tmp_path, ["a.csv"], **of_input)
    write(tmp_path, ["b.csv"], ["a.csv"], **of_file)
    assert problems(tmp_path, "b.csv") == []


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"finished": "2999-01-01T00:00:00+00:00"}, "is from the future"),
        ({"finished": "2026-11-03T09:00:00+00:00"}, "before it was started"),
        ({"started": "2026-10-01T09:00:00+00:00", "finished": "2026-10-01T10:00:00+00:00"}, "before what it was made"),
        ({"finished": "2026-11-03T10:30:00"}, "without readable times"),
        ({"finished": None}, "without readable times"),
    ],
)
def test_dates_that_cannot_be_are_found(tmp_path, times, words):
    write(tmp_path, ["a.csv"])
    write(tmp_path, ["b.csv"], ["a.csv"], **times)
    (problem,) = problems(tmp_path, "b.csv")
    assert problem.startswith("b.csv: ")
    assert words in problem


def test_clocks_of_two_machines_may_differ(tmp_path):
    write(tmp_path, ["a.csv"], finished="2026-11-04T10:00:00+00:00")
    write(tmp_path, ["b.csv"], ["a.csv"])
    assert problems(tmp_path) == []


def test_a_users_own_file_that_changed_is_found_and_one_that_is_gone_is_told(tmp_path, caplog):
    write(tmp_path / "small", ["a.npz"])
    (tmp_path / "labels.npy").write_bytes(b"labels")
    own = {"labels.npy": files.sha256(tmp_path / "labels.npy"), "images.npy": "0" * 64}
    edit_record(tmp_path / "small/a.npz", lambda record: record["inputs"].update(own))
    records = Records(tmp_path / "small", tmp_path)
    with caplog.at_level(logging.WARNING, logger="memflow"):
        assert verify.run(records, ["a.npz"]).problems == []
    assert "made from ./images.npy, outside of the results and not there to compare" in caplog.text
    (tmp_path / "labels.npy").write_bytes(b"others")
    (problem,) = verify.run(Records(tmp_path / "small", tmp_path), ["a.npz"]).problems
    assert "a.npz: was made from another ./labels.npy" in problem


def test_a_link_is_a_problem_also_where_it_leads_to_the_same_bytes(tmp_path):
    write(tmp_path / "small", ["a.csv"])
    shutil.move(tmp_path / "small/a.csv", tmp_path / "a.csv")
    (tmp_path / "small/a.csv").symlink_to(tmp_path / "a.csv")
    (problem,) = problems(tmp_path / "small")
    assert problem.startswith(f"a.csv: is a link to {tmp_path / 'a.csv'}")
    os.remove(tmp_path / "a.csv")
    assert any("a.csv: is missing" in problem for problem in problems(tmp_path / "small"))


def test_it_imports_neither_torch_nor_snakemake():
    code = "import sys; import memflow.audit.verify; print({'torch', 'snakemake'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_a_page_loads_is_verified_with_it(tmp_path):
    folder = tmp_path / "small/browser"
    (folder / "data").mkdir(parents=True)
    (folder / "data/a.js").write_bytes(b"columns")
    write(tmp_path / "small", ["browser/index.html"], assets={"data/a.js": digest(folder / "data/a.js")})
    assert problems(tmp_path / "small") == []
    (folder / "data/a.js").write_bytes(b"column")
    (problem,) = problems(tmp_path / "small")
    assert problem.startswith("browser/index.html: loads browser/data/a.js, which is not what it was made with (sha256")
    (folder / "data/a.js").unlink()
    (problem,) = problems(tmp_path / "small")
    assert "(it is missing)" in problem
