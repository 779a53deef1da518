import math

import numpy as np
import pytest

from memflow.training.schedules import factor

TRIANGLE = {"shape": "triangular", "peak": 0.25}
STEPS = {"shape": "step", "milestones": [4, 6], "factor": 0.1, "warmup_epochs": 0}
COSINE = {"shape": "cosine", "warmup_epochs": 0}

BY_HAND = [
    (TRIANGLE, 8, {0: 0, 1: 0.5, 2: 1, 5: 0.5, 6.5: 0.25, 8: 0}),
    (STEPS, 10, {0: 1, 3.99: 1, 4: 0.1, 5.99: 0.1, 6: 0.01, 10: 0.01}),
    (STEPS | {"warmup_epochs": 2}, 10, {0: 0, 0.5: 0.25, 1: 0.5, 2: 1, 3: 1, 4: 0.1, 7: 0.01}),
    (STEPS | {"warmup_epochs": 8}, 10, {2: 0.25, 4: 0.05, 6: 0.0075, 8: 0.01}),
    (STEPS | {"milestones": []}, 10, {0: 1, 10: 1}),
    (COSINE, 6, {0: 1, 2: 0.75, 3: 0.5, 4: 0.25, 6: 0}),
    (COSINE | {"warmup_epochs": 2}, 10, {0: 0, 1: 0.5, 2: 1, 4: (1 + math.sqrt(0.5)) / 2, 6: 0.5, 10: 0}),
]
POINTS = [(schedule, epochs, at, value) for schedule, epochs, points in BY_HAND for at, value in points.items()]


@pytest.mark.parametrize(("schedule", "epochs", "epoch", "value"), POINTS)
def test_a_schedule_goes_through_points_worked_out_by_hand(schedule, epochs, epoch, value):
    assert factor(schedule, epoch, epochs) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(("schedule", "epochs"), [(schedule, epochs) for schedule, epochs, _ in BY_HAND])
def test_a_schedule_stays_between_zero_and_the_peak(schedule, epochs):
    values = [factor(schedule, epoch, epochs) for epoch in np.linspace(0, epochs, 101)]
    assert min(values) >= 0
    assert max(values) <= 1
