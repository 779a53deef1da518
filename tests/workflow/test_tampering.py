"""Ways to change a finished study unseen, each of which the verification finds and names."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memflow import files, provenance
from memflow.audit import verify
from memflow.audit.records import Records
from memflow.data import prepared
from memflow.training.outcomes import block_masks

RUNS = "runs/digits-noisy/mlp-8/one-hot"
BLOCK, OTHER = f"{RUNS}/block-0.npz", f"{RUNS}/block-1.npz"
FOREIGN = "runs/digits-noisy/resnet8-w1/one-hot/block-0.npz"
DATA = "data/digits-noisy.npz"
COUNTS = "counts/digits-noisy/mlp-8/one-hot.npz"
SCORES = "scores/digits-noisy/mlp-8/one-hot"
FIGURE = "figures/digits-noisy/mean_memorisation.pdf"
HAZARDS = "figures/digits-noisy/hazards.pdf"  # made from the dataset alone


@pytest.fixture
def results(finished, tmp_path):
    """The results of the finished study, to break at will."""
    return Path(shutil.copytree(finished.root / "results/tiny", tmp_path / "tiny", symlinks=True))


def problems(results, *names, sample=3):
    records = Records(results)
    return verify.run(records, list(names) or records.names(), sample=sample).problems


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_record(path, change):
    """Change the records of all files of a job."""
    record = json.loads(path.with_name(f"{path.name}.prov.json").read_text())
    change(record)
    for name in record["outputs"]:
        path.with_name(f"{name}.prov.json").write_text(json.dumps(record))


def forge(path):
    """Write the records of a job anew, to fit what its files are now."""

    def fit(record):
        record["outputs"] = {name: files.sha256(path.with_name(name)) for name in record["outputs"]}

    edit_record(path, fit)


def change_arrays(path, change):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    files.write_npz(path, arrays)


def swap(first, second):
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def assert_found(results, name, *words, target=COUNTS, sample=3):
    """Verifying a target finds a problem that names this file and says these words."""
    found = problems(results, target, sample=sample)
    assert any(problem.startswith(f"{name}: ") and all(word in problem for word in words) for problem in found), found


def test_an_untouched_study_has_no_problem(results):
    assert problems(results, sample=None) == []


def test_a_flipped_byte_is_found_whatever_the_file_is(results):
    names = [
        BLOCK,
        f"{SCORES}.parquet",
        f"{SCORES}.summary.csv",
        COUNTS,
        FIGURE,
        DATA,
        "audit.json",
        "report/report.html",
    ]
    for name in names:
        flip(results / name)
    found = problems(results)
    for name in names:
        assert any(problem.startswith(f"{name}: is not what its record describes") for problem in found), name


def test_a_flipped_byte_of_a_record_is_found(results):
    path = results / f"{BLOCK}.prov.json"
    path.write_text(path.read_text().replace('"batch_size": 64', '"batch_size": 65'))
    assert_found(results, COUNTS, BLOCK, "recipe.batch_size is 65, expected 64")
    path.write_text(path.read_text()[1:])
    assert_found(results, BLOCK, "has no readable record")


def test_an_output_that_was_edited_with_its_time_set_back_is_found(results):
    path = results / COUNTS
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    flip(path)
    os.utime(path, ns=times)
    assert_found(results, COUNTS, "edited, truncated or swapped")


def test_swapped_blocks_are_found(results):
    for suffix in ("", ".prov.json"):
        swap(results / f"{BLOCK}{suffix}", results / f"{OTHER}{suffix}")
    assert_found(results, BLOCK, "has no readable record")


def test_swapped_blocks_with_records_that_fit_their_new_names_are_found(results):
    for suffix in ("", ".prov.json"):
        swap(results / f"{BLOCK}{suffix}", results / f"{OTHER}{suffix}")
    for path in (results / BLOCK, results / OTHER):
        record = json.loads(path.with_name(f"{path.name}.prov.json").read_text())
        record["outputs"] = {path.name: files.sha256(path)}
        path.with_name(f"{path.name}.prov.json").write_text(json.dumps(record))
    assert_found(results, BLOCK, "holds seeds 4 to 7, which belong into another block")


def test_swapped_blocks_whose_records_name_the_seeds_of_their_new_places_are_found(results):
    swap(results / BLOCK, results / OTHER)
    for name in (BLOCK, OTHER):
        forge(results / name)
    assert_found(results, COUNTS, f"was made from another {BLOCK}")
    assert_found(results, BLOCK, "holds other seeds than 0 to 3, which its record names")


def copy_in(results, source, change=lambda record: None):
    """A block of elsewhere in place of the first one, with its record, which is changed to fit."""
    record = json.loads((results / f"{source}.prov.json").read_text())
    content = (results / source).read_bytes()
    change(record)
    (results / BLOCK).write_bytes(content)
    record["outputs"] = {"block-0.npz": files.sha256(results / BLOCK)}
    (results / f"{BLOCK}.prov.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: None, "architecture.depth is 8, expected 'missing'"),
        (lambda record: record["definition"]["recipe"].update(epochs=3), "recipe.epochs is 3, expected 2"),
        (lambda record: record["definition"].update(code="0" * 16), "code is '0000000000000000'"),
        (lambda record: record["definition"].update(ratio="7/10"), "was trained on other subsets"),
        (lambda record: record["definition"].update(fingerprint="0"), "was trained on other images or labels"),
    ],
    ids=["another architecture", "another recipe", "other code", "another study", "another dataset"],
)
def test_a_block_of_elsewhere_is_found(results, change, words):
    copy_in(results, FOREIGN if "architecture" in words else BLOCK, change)
    found = problems(results, COUNTS)
    assert any(BLOCK in problem and words in problem for problem in found), found


def test_a_block_whose_bits_were_changed_is_found_by_its_accuracies(results):
    change_arrays(results / BLOCK, lambda arrays: arrays["train_correct"].__ixor__(1))
    forge(results / BLOCK)
    assert_found(results, BLOCK, "holds accuracies that its bits and subsets do not give")


def test_a_block_that_was_changed_with_its_record_is_found_by_counting_again(results):
    dataset = prepared.load(results / DATA)
    definition = json.loads((results / f"{BLOCK}.prov.json").read_text())["definition"]
    mask = block_masks(definition, dataset, range(4))[0]

    def exchange(arrays):
        bits = np.unpackbits(arrays["train_correct"][0, -1])
        inside = np.flatnonzero(mask)
        right = next(example for example in inside if bits[example])
        wrong = next(example for example in inside if not bits[example])
        bits[[right, wrong]] = bits[[wrong, right]]
        arrays["train_correct"][0, -1] = np.packbits(bits)

    change_arrays(results / BLOCK, exchange)
    forge(results / BLOCK)
    assert_found(results, COUNTS, f"was made from another {BLOCK}")

    def fit(record):
        (name,) = (path for path in record["inputs"] if path.endswith(BLOCK))
        record["inputs"][name] = files.sha256(results / BLOCK)

    edit_record(results / COUNTS, fit)
    assert_found(results, COUNTS, "its correct_in are not those that", BLOCK, sample=None)


def test_counts_that_were_changed_with_their_records_are_found(results):
    change_arrays(results / COUNTS, lambda arrays: arrays.update(correct_out=np.roll(arrays["correct_out"], 1, axis=1)))
    forge(results / COUNTS)
    assert_found(results, COUNTS, "its correct_out are not those that", BLOCK)
    found = problems(results, f"{SCORES}.parquet")
    assert any(f"{SCORES}.parquet: was made from another {COUNTS}" in problem for problem in found)
    assert any(f"{SCORES}.parquet: holds other numbers than" in problem for problem in found)


def test_an_edited_score_table_with_a_record_that_fits_is_found(results):
    path = results / f"{SCORES}.summary.csv"
    path.write_text(path.read_text().replace("0.", "0.9", 1))
    forge(path)
    found = problems(results, FIGURE)
    assert any(f"{SCORES}.summary.csv: holds other numbers than" in problem for problem in found)
    assert any(f"{FIGURE}: was made from another {SCORES}.summary.csv" in problem for problem in found)


@pytest.mark.parametrize("suffix", [".pdf", ".csv"])
def test_a_figure_that_was_changed_with_its_record_is_found_by_the_audit(results, suffix):
    path = (results / HAZARDS).with_suffix(suffix)
    flip(path)
    forge(path)
    name = HAZARDS.replace(".pdf", suffix)
    assert_found(results, name, "is not the file that the audit of the study saw later", target=HAZARDS)
    assert_found(results, "audit.json", f"was made from another {name}", target="audit.json", sample=0)


def test_a_figure_that_was_made_again_after_the_audit_is_no_problem(results):
    path = results / HAZARDS
    flip(path)
    forge(path)
    edit_record(path, lambda record: record["circumstance"].update(finished=provenance.now()))
    assert problems(results, HAZARDS) == []


def test_a_label_that_was_changed_in_the_dataset_is_found(results):
    before = prepared.load(results / DATA)
    change_arrays(results / DATA, lambda arrays: arrays["train_labels"].__setitem__(0, 9 - arrays["train_labels"][0]))
    forge(results / DATA)
    assert_found(results, DATA, "the file was changed after it was prepared")
    labels = before.train.labels.copy()
    labels[0] = (labels[0] + 1) % 10
    prepared.save(
        replace(before, train=replace(before.train, labels=labels)), results / DATA
    )  # as if it always had been
    forge(results / DATA)
    assert_found(results, DATA, "do not have the recorded fingerprint")
    assert_found(results, BLOCK, "was trained on other images or labels")


def test_a_repeated_seed_is_found(results):
    edit_record(results / OTHER, lambda record: record["definition"].update(seeds=[0, 4]))
    assert_found(results, OTHER, "holds seeds 0 to 3, which belong into another block")
    change_arrays(results / BLOCK, lambda arrays: arrays["seeds"].__setitem__(0, 1))
    forge(results / BLOCK)
    assert_found(results, BLOCK, "holds other seeds than 0 to 3")


def test_a_missing_block_is_found(results):
    for suffix in ("", ".prov.json"):
        (results / f"{OTHER}{suffix}").unlink()
    assert_found(results, COUNTS, f"of which {OTHER} is missing")
    assert_found(results, OTHER, "is not there, and has no readable record")


@pytest.mark.parametrize(
    ("key", "time", "words"),
    [
        ("finished", "2999-01-01T00:00:00+00:00", "is from the future"),
        ("finished", "1999-01-01T00:00:00+00:00", "before it was started"),
        ("started", "yesterday", "without readable times"),
    ],
)
def test_a_date_that_cannot_be_is_found(results, key, time, words):
    edit_record(results / HAZARDS, lambda record: record["circumstance"].update({key: time}))
    assert_found(results, HAZARDS, words, target=HAZARDS)


def test_a_file_that_was_replaced_by_a_link_is_found_wherever_it_points(results, tmp_path):
    moved = shutil.move(results / BLOCK, tmp_path / "elsewhere.npz")
    (results / BLOCK).symlink_to(moved)
    assert_found(results, BLOCK, "is a link to")
    (results / BLOCK).unlink()
    (results / BLOCK).symlink_to(results / OTHER)
    assert_found(results, BLOCK, "is not what its record describes")


def test_what_a_target_was_not_made_from_is_not_looked_at(results):
    flip(results / FOREIGN)
    assert problems(results, COUNTS) == []
    assert problems(results, FOREIGN) != []


def test_the_command_ends_with_status_1_where_something_is_wrong(clone):
    target = f"results/tiny/{HAZARDS}"
    done = clone.run("memflow", "audit", "verify", target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("no problems: all files are what their records say\n")
    flip(clone.root / target)
    done = clone.run("memflow", "audit", "verify", target)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{HAZARDS}: is not what its record describes")
    assert done.stdout.endswith("1 problem\n")


def test_reading_needs_neither_torch_nor_snakemake(finished):
    modules = "import sys; from memflow.audit import diff, states, trace, tree, verify"
    code = f"{modules}; print({{'torch', 'snakemake'}} & {{*sys.modules}})"
    assert finished.run("python", "-c", code).stdout.strip() == "set()"
