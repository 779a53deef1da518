import logging
import os
from datetime import date

import pytest
from helpers import block_spec, half_masks, noise_images, tiny_config

from memflow import costs, probe, registry
from memflow.config import Study
from memflow.data import prepared
from memflow.errors import InputError


@pytest.fixture
def data(tmp_path):
    prepared.save(noise_images(), tmp_path / "data.npz")
    return {"digits": tmp_path / "data.npz"}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(probe, "ENOUGH", 0.0)


def test_a_study_is_probed_architecture_by_architecture(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    study, table = Study(tiny_config()), tmp_path / "costs.csv"
    probe.run(study, data, table)
    rows = {row.architecture: row for row in costs.read(table)}
    assert rows.keys() == study.architectures.keys()
    assert [record.message for record in caplog.records] == [
        "probing 1 of 3: digits mlp",
        "probing 2 of 3: digits resnet",
        "probing 3 of 3: digits neighbour",
    ]
    for name, row in rows.items():
        spec = study.runs_spec("digits", name, "one-hot")
        assert (row.dataset, row.definition, row.device) == ("digits", costs.definition(spec), costs.device(spec))
        assert 0 < row.seconds_per_model < 60
        assert row.seconds_fixed > 0.1  # the imports alone
        assert 50 < row.memory_mb < 10_000  # at least the interpreter with torch
        assert date.fromisoformat(row.measured) <= date.today()
    assert rows["mlp"].seconds_per_model < rows["resnet"].seconds_per_model


def test_what_cannot_be_trained_is_refused_with_the_reason_and_no_row(data, tmp_path):
    study = Study(tiny_config(recipe={"batch_size": 36}))  # subsets have 35 examples
    with pytest.raises(InputError, match="batch_size is 36"):
        probe.run(study, data, tmp_path / "costs.csv")
    assert costs.read(tmp_path / "costs.csv") == []


def test_a_probe_that_is_killed_is_reported(data, tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "measure", die)
    with pytest.raises(InputError, match="the probe of digits mlp was killed"):
        probe.run(Study(tiny_config()), data, tmp_path / "costs.csv")


def die(*arguments):
    os._exit(9)


def test_a_whole_recipe_is_what_its_cut_version_says():
    start, initialise, epoch, evaluate, finish = 100.0, 2.0, 3.0, 1.0, 0.5
    first = start + initialise + epoch
    third = first + 2 * epoch + evaluate
    marks = [start, first, first + epoch, third, third + finish]
    recipe = {"epochs": 12, "evaluate_every": 5}
    whole = initialise + 12 * epoch + 3 * evaluate + finish
    assert probe.extrapolate(recipe, marks) == pytest.approx(whole)


@pytest.mark.parametrize(
    "schedule",
    [
        {"shape": "triangular", "peak": 0.9},
        {"shape": "step", "milestones": [2, 30], "warmup_epochs": 15},
        {"shape": "cosine", "warmup_epochs": 3},  # the cosine itself would divide by zero in three epochs
        {"shape": "cosine", "warmup_epochs": 39},
    ],
)
def test_a_long_recipe_is_cut_whatever_its_schedule(schedule, quick):
    seen = []
    spec, data = block_spec("mlp", recipe={"epochs": 40, "schedule": schedule}), noise_images()

    def learn(given, *rest):
        seen.append(given["recipe"])
        return registry.resolve(spec["learner"])(given, *rest)

    assert probe.seconds_per_unit(learn, spec, data, half_masks(data, range(2)), range(2)) > 0
    assert [(recipe["epochs"], recipe["evaluate_every"]) for recipe in seen] == [(3, 3)]
    assert {key: value for key, value in seen[0].items() if key not in ("epochs", "evaluate_every", "schedule")} == {
        key: value for key, value in spec["recipe"].items() if key not in ("epochs", "evaluate_every", "schedule")
    }


@pytest.mark.parametrize("architecture", ["mlp", "neighbour"])
def test_a_short_recipe_and_a_learner_without_epochs_are_not_cut(architecture, quick):
    seen = []
    spec, data = block_spec(architecture), noise_images()

    def learn(given, *rest):
        seen.append(given)
        return registry.resolve(spec["learner"])(given, *rest)

    probe.seconds_per_unit(learn, spec, data, half_masks(data, range(2)), range(2))
    assert seen == [spec]


def test_a_quick_unit_is_measured_again():
    times = []
    spec, data = block_spec("neighbour"), noise_images(n=20, n_test=5)

    def learn(*arguments):
        times.append(len(times))
        return registry.resolve(spec["learner"])(*arguments)

    probe.seconds_per_unit(learn, spec, data, half_masks(data, range(2)), range(2))
    assert len(times) > 10
