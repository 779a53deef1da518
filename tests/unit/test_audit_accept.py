"""What changed code has to show before it counts as equal; making the cheap stages again is in the workflow's tests."""

import copy
import json
import re
import shutil

import numpy as np
import pytest
from audit_helpers import write
from helpers import ARCHITECTURES, noise_images, tiny_config

from memflow import accepted, config, files, outputs
from memflow.audit import accept
from memflow.audit.audited import Audited
from memflow.audit.records import Records
from memflow.config import Study
from memflow.data import prepared
from memflow.errors import InputError
from memflow.methods import ONE_HOT
from memflow.provenance import sidecar
from memflow.training import blocks

OLD, OLDER = "0123456789abcdef", "00000000ffffffff"
TWIN = {"twin": ARCHITECTURES["mlp"] | {"hidden": [4]}}  # by the same code as the other one
CONFIG = tiny_config(architectures=ARCHITECTURES | TWIN, proxies={"runs": 2, "block_size": 2})
STUDY = Study(CONFIG)
RUNS = [run for run in STUDY.runs if run[2] == ONE_HOT]
RUN = RUNS[1]  # no other is made by its code


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    """No version counts as equal at first."""
    monkeypatch.setattr(accepted, "FILE", tmp_path / "accepted.json")
    accepted._oldest.cache_clear()
    yield tmp_path / "accepted.json"
    accepted._oldest.cache_clear()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Blocks of every architecture, and nothing else but the dataset."""
    results = tmp_path_factory.mktemp("trained") / "results/small"
    prepared.save(noise_images(), results / "data/digits.npz")
    for run in RUNS:
        for block in (0, 1):
            blocks.run(STUDY.block_spec(*run, block), results / "data/digits.npz", results / path_of(run, block))
    return results


@pytest.fixture
def results(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "results/small")
    return tmp_path / "results/small"


def path_of(run, block):
    return f"runs/{'/'.join(run)}/block-{block}.npz"


def age(results, run, block, code=OLD, **changes):
    """Have a block recorded as if it had been made by other code, or by another definition."""
    path = sidecar(results / path_of(run, block))
    record = json.loads(path.read_text())
    record["definition"] |= {"code": code, **changes}
    path.write_text(json.dumps(record))


def of(results):
    return Audited(Study(CONFIG), Records(results))  # a study's specs are of the code as it is when they are asked for


def test_code_that_gives_the_same_bits_is_accepted_with_the_evidence(results, file):
    for block in (0, 1):
        age(results, RUN, block)
    now = STUDY.runs_spec(*RUN)["code"]
    found = accept.run(of(results), 1)
    assert found.is_accepted
    assert f"Accepted ({now} = {OLD}) in accepted.json" in accept.describe(found)
    (entry,) = json.loads(file.read_text())
    assert entry["equal"] == {now: OLD}
    (again,) = entry["evidence"]["trained_again"]
    assert again["block"] in {path_of(RUN, block) for block in (0, 1)}
    assert again["bit_conditions"]["device"] == "cpu"
    assert entry["evidence"]["study"] == "small"
    assert {"date", "commit", "uncommitted"} <= set(entry["evidence"])
    for block in (0, 1):
        definition = json.loads(sidecar(results / path_of(RUN, block)).read_text())["definition"]
        assert definition == definition | json.loads(config.as_text(STUDY.block_spec(*RUN, block)))
    assert accept.describe(accept.run(of(results), 1)).startswith("Nothing to accept")


def test_code_that_gives_other_bits_is_not_and_what_differs_is_told(results, file):
    def edit(name):
        arrays = dict(np.load(results / name))
        arrays["train_correct"][..., 0] ^= 128  # the first example in every run
        files.write_npz(results / name, arrays)
        record = json.loads(sidecar(results / name).read_text())
        record["outputs"] = {(results / name).name: files.sha256(results / name)}
        sidecar(results / name).write_text(json.dumps(record))

    for block in (0, 1):
        age(results, RUN, block)
        edit(path_of(RUN, block))
    found = accept.run(of(results), 2)
    said = accept.describe(found)
    assert not found.is_accepted
    assert len(re.findall(r"resnet/one-hot/block-[01].npz: seeds . to ., .*\n.*\n *train_correct: 2 of 140", said)) == 2
    assert said.endswith("Not accepted: the code gives other results; snakemake makes them.")
    assert not file.exists()


@pytest.mark.parametrize(("size", "runs", "trained_again"), [(1, 3, 3), (4, 4, 4), (99, 4, 8)])
def test_a_sample_has_every_version_first_and_then_each_architecture_in_turn(results, size, runs, trained_again):
    for run in RUNS:
        for block in (0, 1):
            age(results, run, block, code=f"{STUDY.runs_spec(*run)['code'][:-1]}x")
    names = [one.name for one in accept.run(of(results), size).runs]
    assert len(set(names)) == len(names) == trained_again
    assert {"resnet", "neighbour"} < {name.split("/")[2] for name in names[:3]}
    assert len({name.rpartition("/")[0] for name in names[:4]}) == runs


@pytest.mark.parametrize("other", [OLDER, None], ids=["two old versions", "an old one and the one of now"])
def test_results_of_one_kind_by_two_versions_are_refused_with_what_to_do(results, file, other):
    age(results, RUN, 0)
    if other:
        age(results, RUN, 1, code=other)
    with pytest.raises(InputError) as error:
        accept.run(of(results), 1)
    for part in (f"1 by {OLD}", path_of(RUN, 0), path_of(RUN, 1), "delete the files of the others, accept"):
        assert part in str(error.value)
    assert not file.exists()


def test_results_by_another_version_than_the_one_that_others_were_accepted_as_are_refused(results, file):
    """Else those others, perhaps thousands of runs of another study, would be stale without a word."""
    accepted.add({STUDY.runs_spec(*RUN)["code"]: OLDER}, {})
    before = file.read_bytes()
    for block in (0, 1):
        age(results, RUN, block)
    with pytest.raises(InputError, match=rf"was made by version {OLD} .* says that the code is equal to {OLDER}"):
        accept.run(of(results), 1)
    assert file.read_bytes() == before


def test_what_another_config_made_is_left_alone(results, file):
    for block in (0, 1):
        age(results, RUN, block, ratio="1/3")
    assert accept.run(of(results), 1).pairs == {}
    assert not file.exists()


def test_what_was_made_from_other_inputs_is_left_alone(tmp_path):
    results, job = tmp_path / "results/small", job_of("counts")
    definition = {**job.spec, "code": OLD}
    write(results, ["data/digits.npz"])
    write(results, [job.output], ["data/digits.npz"], definition=definition)
    assert [found.output for found in accept.made_by_other_code(of(results))] == [job.output]
    files.write_bytes(results / "data/digits.npz", b"another")
    assert accept.made_by_other_code(of(results)) == []


@pytest.mark.parametrize(("of_table", "of_figure", "is_compared"), [(0, 0, True), (1, 1, True), (0, 1, False)])
def test_a_figure_whose_mark_it_would_not_get_again_is_left_to_snakemake(tmp_path, of_table, of_figure, is_compared):
    results, job = tmp_path / "results/small", job_of("figures")
    write(results, ["claims.csv"], dirty=bool(of_table))
    write(results, [job.output], ["claims.csv"], definition=aged(job.spec), dirty=bool(of_figure))
    assert (job.output in [found.output for found in accept.made_by_other_code(of(results))]) == is_compared


def test_other_code_of_what_an_output_was_made_from_is_no_other_config_however_deep(tmp_path):
    job = job_of("proxies")
    assert job.spec["counts"][0]["runs"]["code"]
    write(tmp_path / "results/small", [job.output], definition=aged(job.spec))
    assert [found.output for found in accept.made_by_other_code(of(tmp_path / "results/small"))] == [job.output]


def job_of(stage):
    return next(job for job in outputs.jobs(STUDY) if job.stage == stage)


def aged(value):
    """A spec with another digest wherever there is one."""
    if isinstance(value, list):
        return [aged(part) for part in value]
    if isinstance(value, dict):
        return {key: OLD if key == "code" else aged(part) for key, part in value.items()}
    return copy.copy(value)
