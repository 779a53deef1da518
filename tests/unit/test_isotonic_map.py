import numpy as np
import pytest

from memflow.statistics import isotonic_map
from memflow.statistics.trajectory_types import describe

SIZES, N = 4, 4000


def observed(true, noise, random):
    """Two halves of a measure and their mean."""
    even, odd = (true + random.normal(0, noise, true.shape) for _ in range(2))
    return even, odd, (even + odd) / 2


def test_the_map_rises_and_is_level_beyond_the_data():
    random = np.random.default_rng(0)
    measure = random.random(500)
    fitted = isotonic_map.fit(measure, measure + random.normal(0, 0.3, 500))
    mapped = isotonic_map.apply(fitted, np.linspace(-1, 2, 301))
    assert (np.diff(mapped) >= 0).all()
    assert len(set(mapped[:100])) == len(set(mapped[-100:])) == 1


def test_no_rising_map_fits_better():
    measure, score = np.array([3.0, 1.0, 2.0, 4.0]), np.array([0.2, 0.0, 0.6, 1.0])
    mapped = isotonic_map.apply(isotonic_map.fit(measure, score), measure)
    assert np.allclose(mapped, [0.4, 0.0, 0.4, 1.0])  # the pair in the wrong order shares its mean


def test_what_is_not_finite_is_left_out_of_the_fit_and_maps_to_nan():
    measure, score = np.array([0.0, 1.0, np.nan, np.inf, 0.5]), np.array([0.0, 1.0, 0.3, 0.4, np.nan])
    fitted = isotonic_map.fit(measure, score)
    assert np.allclose(isotonic_map.apply(fitted, measure), [0, 1, np.nan, np.nan, 0.5], equal_nan=True)
    assert np.isnan(isotonic_map.apply(fitted, np.full((2, 3), np.nan))).all()


def test_without_any_pair_there_is_no_map():
    with pytest.raises(ValueError, match="no example has both"):
        isotonic_map.fit(np.array([np.nan, 1.0]), np.array([1.0, np.nan]))


def test_a_constant_measure_maps_to_the_mean_score():
    fitted = isotonic_map.fit(np.zeros(4), np.array([0.0, 0.2, 0.4, 1.0]))
    assert np.allclose(isotonic_map.apply(fitted, np.array([-1.0, 0.0, 5.0])), 0.4)


@pytest.mark.parametrize("monotone", [np.sqrt, np.exp, lambda score: 5 * score**2 - 3], ids=["root", "exp", "square"])
def test_a_monotone_function_of_the_score_with_noise_recovers_its_mean_at_every_size(monotone):
    random = np.random.default_rng(1)
    difficulty = random.beta(0.4, 0.8, N)
    true = difficulty * np.array([1.0, 0.85, 0.7, 0.55])[:, None]  # the mean falls with size
    proxy = monotone(true)
    even, _, full = observed(proxy, 0.03 * np.ptp(proxy), random)
    score, *_ = observed(true, 0.05, random)
    fitted = isotonic_map.fit(even[1], score[1])
    means = isotonic_map.apply(fitted, full).mean(axis=1)
    assert np.allclose(means, true.mean(axis=1), atol=0.02)
    assert (np.diff(means) < -0.03).all()


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("sizes", [2, 4, 7])
def test_noise_alone_makes_a_twentieth_of_the_trajectories_anything_but_constant(sizes, noise):
    random = np.random.default_rng(2)
    true = np.tile(random.random(N), (sizes, 1))
    even, odd, full = observed(true, noise, random)
    tau = isotonic_map.range_of_noise(even, odd)
    changing = (describe(full, tau) != "constant").mean()
    assert abs(changing - 0.05) < 4 * np.sqrt(2 * 0.05 * 0.95 / N)


@pytest.mark.parametrize("noise", [0.03, 0.1, 0.3])
def test_this_holds_after_mapping(noise):
    random = np.random.default_rng(3)
    true = np.tile(random.random(N), (SIZES, 1))
    halves = observed(true, noise, random)
    score, *_ = observed(true[0] ** 2, 0.1, random)
    fitted = isotonic_map.fit(halves[0][1], score)
    even, odd, full = (isotonic_map.apply(fitted, half) for half in halves)
    changing = (describe(full, isotonic_map.range_of_noise(even, odd)) != "constant").mean()
    assert 0.02 < changing < 0.08


def test_what_changes_beyond_the_noise_is_found():
    random = np.random.default_rng(4)
    true = np.tile(random.random(N), (SIZES, 1))
    true[-1, : N // 4] += 1
    even, odd, full = observed(true, 0.05, random)
    types = describe(full, isotonic_map.range_of_noise(even, odd))
    assert (types[: N // 4] == "increasing").mean() > 0.99
    assert (types[N // 4 :] == "constant").mean() > 0.93


def test_the_range_of_noise_leaves_out_what_a_size_lacks():
    even = np.array([[0.0, 0.0, np.nan], [1.0, 0.2, 0.0]])
    assert np.isclose(isotonic_map.range_of_noise(even, np.zeros((2, 3)), quantile=1), 0.5)
    assert np.isnan(isotonic_map.range_of_noise(even[:, 2:], np.zeros((2, 1))))
