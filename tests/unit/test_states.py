import numpy as np
import pytest

from memflow.statistics.states import STATES, states


@pytest.mark.parametrize(
    ("score", "acc_out", "expected"),
    [
        (0.0, 0.0, "not fitted"),
        (0.24, 0.4, "not fitted"),
        (0.24, 0.5, "generalised"),
        (0.0, 1.0, "generalised"),
        (-0.3, 0.9, "generalised"),
        (-0.3, 0.4, "not fitted"),
        (0.25, 0.0, "memorised"),
        (0.25, 0.7, "memorised"),  # also where most runs without it are right
        (1.0, 0.0, "memorised"),
    ],
)
def test_a_state_follows_from_score_and_out_of_sample_accuracy(score, acc_out, expected):
    assert STATES[states(np.array([score]), np.array([acc_out]), 0.25)[0]] == expected


def test_a_score_that_rounding_put_below_the_threshold_is_memorised():
    scores = np.array([0.7 - 0.45, 0.25 - 1e-6])
    assert states(scores, np.array([0.45, 0.45]), 0.25).tolist() == [1, 0]


def test_an_example_without_a_score_has_no_state():
    found = states(np.array([np.nan, np.nan, 0.5]), np.array([np.nan, 0.7, 0.2]), 0.25)
    assert found.tolist() == [-1, -1, 1]
    assert found.dtype == np.int8


def test_the_states_are_a_partition_at_any_shape():
    random = np.random.default_rng(0)
    acc_in, acc_out = random.random((2, 3, 4, 500))
    found = states(acc_in - acc_out, acc_out, 0.25)
    assert found.shape == (3, 4, 500)
    assert set(np.unique(found)) == {0, 1, 2}
    memorised = acc_in - acc_out >= 0.25
    assert np.array_equal(found == 1, memorised)
    assert np.array_equal(found == 2, ~memorised & (acc_out >= 0.5))
