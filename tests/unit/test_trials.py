from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from helpers import block_spec, noise_images

from memflow import registry, trials
from memflow.trials import Trial
from memflow.workload import Workload

RATIO = Fraction(1, 2)
WORK = Workload(epochs=3, steps=2, batch_size=8, evaluations=1, evaluated=30)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(trials, "ENOUGH", 0.0)


@pytest.fixture
def clock(monkeypatch):
    """A learner whose time passes as a formula says: seconds per trained and evaluated image, and to begin with."""

    class Clock:
        now, image, evaluation, start = 0.0, 0.5, 0.125, 2.0

        def learn(self, spec, dataset, masks, seeds, report):
            recipe = spec["recipe"]
            self.seen.append((len(dataset.train), len(dataset.test), recipe["batch_size"], masks.shape))
            self.now += self.start
            for epoch in range(recipe["epochs"]):
                self.now += self.image * (masks.shape[1] // 2 // recipe["batch_size"] * recipe["batch_size"])
                if epoch + 1 == recipe["epochs"]:
                    self.now += self.evaluation * (len(dataset.train) + len(dataset.test))
                report(0.5)

    clock = Clock()
    clock.seen = []  # training and test examples, batch, shape of the masks
    monkeypatch.setattr(trials, "_now", lambda: clock.now)
    monkeypatch.setattr(trials, "_status", lambda field: 100)
    monkeypatch.setattr(trials, "ENOUGH", 0.0)
    return clock


def marks(epoch, evaluation, start=2.0, warm=1.0, finish=0.5):
    """Marks of a trial whose first epoch also warms up."""
    first = 100.0 + start + warm + epoch
    third = first + 2 * epoch + evaluation
    return [100.0, first, first + epoch, third, third + finish]


def test_a_whole_recipe_is_what_its_trial_on_the_same_data_says():
    whole = replace(WORK, epochs=12, evaluations=3)
    assert trials.extrapolate(whole, WORK, marks(3.0, 1.0)) == pytest.approx(3.5 + 12 * 3 + 3 * 1)


def test_steps_and_evaluations_of_more_data_cost_as_much_more():
    whole = Workload(epochs=12, steps=20, batch_size=16, evaluations=3, evaluated=300)
    assert trials.extrapolate(whole, WORK, marks(3.0, 1.0)) == pytest.approx(3.5 + 12 * 3 * 20 + 3 * 1 * 10)


def test_an_evaluation_too_quick_for_the_clock_costs_nothing_and_no_time_is_negative():
    late = marks(3.0, -0.5, start=0.0, warm=-2.0, finish=0.0)
    assert trials.extrapolate(replace(WORK, epochs=10), WORK, late) == pytest.approx(30)


def test_a_trial_may_have_what_the_budget_allows(monkeypatch):
    monkeypatch.setattr(trials, "BUDGET", 50.0)
    whole = replace(WORK, steps=20, evaluated=300)  # three epochs of 30 s, one evaluation of 10 s
    assert trials.affordable(Trial(30, marks(3.0, 1.0), 0, 0), WORK, whole, 1000) == 500


@pytest.mark.parametrize(
    "schedule",
    [
        {"shape": "triangular", "peak": 0.9},
        {"shape": "step", "milestones": [2, 30], "warmup_epochs": 15},
        {"shape": "cosine", "warmup_epochs": 3},  # the cosine itself would divide by zero in three epochs
        {"shape": "cosine", "warmup_epochs": 39},
    ],
)
def test_a_recipe_is_shortened_whatever_its_schedule(schedule, quick):
    seen = []
    spec, data = block_spec("mlp", recipe={"epochs": 40, "schedule": schedule}), noise_images()

    def learn(given, *rest):
        seen.append(given["recipe"])
        return registry.resolve(spec["learner"])(given, *rest)

    seconds, memory = trials.measure(learn, spec, data, range(2))
    assert seconds > 0
    assert memory > 50  # at least the interpreter with torch
    assert [(recipe["epochs"], recipe["evaluate_every"], recipe["batch_size"]) for recipe in seen] == [
        (3, 3, 8),
        (3, 3, 16),
    ]
    changed = ("epochs", "evaluate_every", "batch_size", "schedule")
    assert all(recipe[key] == spec["recipe"][key] for recipe in seen for key in recipe if key not in changed)


def test_small_data_are_used_whole(clock):
    spec, data = block_spec("mlp", recipe={"epochs": 40, "evaluate_every": 10}), noise_images()
    clock.image = clock.evaluation = 0.01
    seconds, _ = trials.measure(clock.learn, spec, data, range(2))
    assert clock.seen == [(16, 5, 8, (2, 16)), (70, 20, 16, (2, 70))]
    assert seconds == pytest.approx(2 + 0.01 * (40 * 32 + 4 * 90))


def test_large_data_are_cut_to_the_budget_and_their_recipe_follows(clock):
    spec, data = block_spec("mlp", recipe={"epochs": 40, "evaluate_every": 10}), noise_images(n=4000, n_test=1000)
    clock.image, clock.evaluation = 0.01, 0.002
    seconds, _ = trials.measure(clock.learn, spec, data, range(2))
    used = clock.seen[-1][0]
    assert [seen[0] for seen in clock.seen] == [16, used]
    assert 200 < used < 800  # three epochs of half of them take the budget of 12 s
    assert clock.seen[-1][1:3] == (round(used / 4), 16)
    assert seconds == pytest.approx(2 + 0.01 * 40 * 2000 + 0.002 * 4 * 5000, rel=0.01)


def test_a_batch_that_takes_too_long_is_cut_too(clock):
    spec, data = block_spec("mlp", recipe={"epochs": 40, "batch_size": 500}), noise_images(n=4000, n_test=1000)
    clock.image, clock.evaluation = 0.1, 0.02
    seconds, _ = trials.measure(clock.learn, spec, data, range(2))
    assert 16 < clock.seen[-1][2] < 50
    assert seconds == pytest.approx(2 + 0.1 * 40 * 2000 + 0.02 * 4 * 5000, rel=0.05)


def test_a_network_too_slow_for_more_is_judged_by_the_smallest_trial(clock):
    spec, data = block_spec("mlp", recipe={"epochs": 40, "batch_size": 500}), noise_images(n=4000)
    clock.image = 5.0
    trials.measure(clock.learn, spec, data, range(2))
    assert [seen[0] for seen in clock.seen] == [16]


def test_trials_grow_until_time_allows_no_more():
    def attempt(size):
        return Trial(size, [0.0, 10.0], 0, 0)

    made = trials.growing(attempt, lambda trial: trial.examples * 3, 10, 1000)
    assert [trial.examples for trial in made] == [10, 30, 90, 270, 810, 1000]
    made = trials.growing(attempt, lambda trial: 35, 10, 1000)
    assert [trial.examples for trial in made] == [10, 35]


def test_a_quick_trial_is_made_again(monkeypatch):
    monkeypatch.setattr(trials, "ENOUGH", 0.1)
    made = trials.growing(lambda size: Trial(size, [0.0, 0.01], 0, 0), lambda trial: 50, 10, 50)
    assert [trial.examples for trial in made] == [10, *[50] * (len(made) - 1)]
    assert 3 < len(made) < 20
    assert trials.alike(made) == made[1:]


def test_a_comparing_learner_takes_pairs_times_log_and_runs():
    def seconds(n):
        return 3 * n + 0.01 * n**2 * np.log(n)

    said = trials.comparing_seconds((2000, seconds(2000)), (5000, seconds(5000)), 50_000)
    assert said == pytest.approx(seconds(50_000))


def test_no_part_of_a_comparing_learners_time_is_negative():
    linear = trials.comparing_seconds((2000, 30.0), (4000, 40.0), 8000)  # grows more slowly than its data
    assert linear == pytest.approx(80)
    steep = trials.comparing_seconds((2000, 1.0), (4000, 40.0), 8000)
    assert steep == pytest.approx(40 * 4 * np.log(8000) / np.log(4000))
    alone = trials.comparing_seconds((0, 0.0), (4000, 40.0), 8000)
    assert alone == steep


def test_a_comparing_learner_is_tried_on_parts_and_whole_where_it_can(quick):
    spec, data = block_spec("neighbour"), noise_images()
    seen = []

    def learn(given, part, *rest):
        seen.append((given, len(part.train)))
        return registry.resolve(spec["learner"])(given, part, *rest)

    trials.measure(learn, spec, data, range(2))
    assert seen == [(spec, 70)]


def test_memory_beyond_the_resident_grows_with_the_batch():
    first, last = Trial(10, [], 300, 350), Trial(100, [], 320, 520)
    assert trials.peak_of_all([first, last, replace(last, peak=530)], 1.0) == 530
    assert trials.peak_of_all([first, last], 8.0) == 520 + 7 * 200


def test_memory_of_the_examples_that_a_trial_had_not():
    data = noise_images(n=60_000, n_test=20_000, shape=(4, 4, 1), n_classes=10)
    recipe = {"epochs": 20, "evaluate_every": 10, "augment": {"crop": 2, "translate": 0, "flip": True}}
    padded, logits = 8 * 8 * 1, 5 * 4 * 4 * 10
    missing = (80_000 - 40_000) * (padded + logits) + (2 * 80_000 - 40_000) * 5 * 4
    assert trials.missing_mb(recipe, data, 30_000, 5) == pytest.approx(missing / 1e6, abs=1)
    assert trials.missing_mb({**recipe, "epochs": 10}, data, 60_000, 5) == 0


def test_a_part_has_the_first_examples_and_their_flags():
    data = noise_images()
    part = trials.part(data, 35)
    assert (len(part.train), len(part.test)) == (35, 10)
    assert np.array_equal(part.train.images, data.train.images[:35])
    assert np.array_equal(part.duplicate_group, data.duplicate_group[:35])
    assert part.class_names == data.class_names
    assert trials.part(data, 70).fingerprint == data.fingerprint
