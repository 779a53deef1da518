import logging
import os
from datetime import date

import pytest
from helpers import noise_images, tiny_config

from memflow import costs, probe, sizes
from memflow.config import Study
from memflow.data import prepared
from memflow.errors import InputError
from memflow.sizes import Sizes


@pytest.fixture
def data(tmp_path):
    prepared.save(noise_images(), tmp_path / "data.npz")
    return {"digits": sizes.read(tmp_path / "data.npz")}


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


def test_what_is_not_prepared_is_probed_on_noise_of_its_sizes(tmp_path):
    study = Study(tiny_config(architectures={"mlp": {"model": "mlp", "hidden": [4], "recipe": "short"}}))
    probe.run(study, {"digits": Sizes(70, 20, (3, 6, 6), 3)}, tmp_path / "costs.csv")
    (row,) = costs.read(tmp_path / "costs.csv")
    assert row.definition == costs.definition(study.runs_spec("digits", "mlp", "one-hot"))
    assert row.seconds_per_model > 0


def test_noise_is_a_prepared_dataset_of_the_sizes(tmp_path):
    data = prepared.load(probe.noise(Sizes(70, 20, (3, 6, 5), 4), tmp_path / "noise.npz"))
    assert data.train.images.shape == (70, 6, 5, 3)
    assert data.test.images.shape == (20, 6, 5, 3)
    assert (data.image_shape, data.n_classes) == ((3, 6, 5), 4)
    assert set(data.train.labels) == {0, 1, 2, 3}
