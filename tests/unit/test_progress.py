import logging
from types import SimpleNamespace

import pytest

from memflow import progress
from memflow.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="memflow.progress")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_finished_unit_is_a_line_with_count_rate_time_left_and_accuracy(clock, lines):
    work = Progress("digits mlp", total=10, kept=0)
    clock.seconds += 2
    work.unit_done(4, 0.98765)
    assert lines() == ["digits mlp: 4/10 models, 2.0 models/s, 3 s left, in-sample accuracy 0.988"]


def test_kept_models_are_announced_and_do_not_count_as_speed(clock, lines):
    work = Progress("mlp", total=10, kept=6)
    clock.seconds += 2
    work.unit_done(2, 1.0)
    assert lines()[0] == "mlp: 6 of 10 models were finished by an earlier job and are kept"
    assert lines()[1] == "mlp: 8/10 models, 1.0 models/s, 2 s left, in-sample accuracy 1.000"


def test_within_a_unit_there_is_at_most_one_line_per_interval(clock, lines):
    work = Progress("mlp", total=8, kept=0)
    for _ in range(40):
        clock.seconds += progress.INTERVAL / 10
        work.within_unit(4, 0.5)
    assert len(lines()) == 4
    assert all(line.endswith("50% of the next 4 trained") for line in lines())


def test_a_slow_block_counts_in_models_per_hour_and_hours(clock, lines):
    work = Progress("resnet", total=101, kept=0)
    clock.seconds += 3600
    work.unit_done(1, 0.5)
    assert "1/101 models, 1 models/h, 100.0 h left" in lines()[0]


def test_nothing_done_in_no_time_is_no_error(clock, lines):
    work = Progress("mlp", total=4, kept=0)
    clock.seconds += progress.INTERVAL
    work.within_unit(4, 0.0)
    work.unit_done(4, 1.0)
    assert len(lines()) == 2


def test_the_end_of_a_long_reading_is_in_sight(monkeypatch, caplog):
    monkeypatch.setattr(progress, "INTERVAL", 0)
    with caplog.at_level(logging.INFO, logger="memflow"):
        assert list(progress.steadily(["a", "b"], "files read")) == ["a", "b"]
    assert caplog.messages == ["0 of 2 files read", "1 of 2 files read"]
