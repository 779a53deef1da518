import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from memflow import rng

KEYS = st.lists(st.integers(-(2**70), 2**70) | st.text(max_size=5), max_size=3).map(tuple)
CHANCE = 1e-4  # seeds are fixed; with fresh ones a uniform stream would fail once in 10,000


def test_streams_are_fixed_for_ever():
    assert rng.raw("subset", ("7/10", 1437, 0), 3).tolist() == [
        13380155144244648327,
        11430901008124694414,
        18390609555651496303,
    ]
    assert rng.permutation("order", (3, 1), 8).tolist() == [7, 0, 2, 4, 3, 5, 6, 1]
    assert rng.integers("to what", (5,), 6, 10).tolist() == [0, 6, 1, 0, 7, 5]
    assert rng.uniform("how much", (2,), 2).tolist() == [0.9044790421606724, 0.4000669606000419]
    assert rng.torch_seed("initial weights", (0,)) == 713246204400269855


@given(KEYS, st.integers(0, 50), st.integers(0, 50))
def test_a_longer_stream_begins_with_the_shorter_one(key, length, more):
    assert np.array_equal(rng.raw("p", key, length + more)[:length], rng.raw("p", key, length))


@given(KEYS, KEYS)
def test_streams_differ_exactly_where_their_keys_differ(one, other):
    assert np.array_equal(rng.raw("p", one, 4), rng.raw("p", other, 4)) == (one == other)


def test_purpose_and_type_of_a_key_matter():
    streams = [rng.raw(*of, 4) for of in (("p", (1, 2)), ("q", (1, 2)), ("p", ("1", 2)), ("p", (12,)), ("p", (2, 1)))]
    assert len({stream.tobytes() for stream in streams}) == len(streams)


def test_a_shape_only_reshapes():
    assert np.array_equal(rng.raw("p", (1,), (3, 4)).ravel(), rng.raw("p", (1,), 12))


def test_raw_numbers_use_all_64_bits():
    bits = np.unpackbits(rng.raw("p", (0,), 4096).view(np.uint8).reshape(4096, 8), axis=1)
    assert abs(bits.mean(axis=0) - 0.5).max() < 4.5 * 0.5 / 4096**0.5  # 64 bits, each within 4.5 standard errors


@given(KEYS, st.integers(0, 200))
def test_a_permutation_holds_every_index_once(key, n):
    assert np.array_equal(np.sort(rng.permutation("p", key, n)), np.arange(n))


def test_permutations_are_uniform():
    drawn = np.stack([rng.permutation("p", (seed,), 4) for seed in range(4800)])
    _, count = np.unique(drawn, axis=0, return_counts=True)
    assert len(count) == 24
    assert chisquare(count).pvalue > CHANCE


@given(KEYS, st.integers(1, 1000))
def test_integers_stay_below_their_limit(key, high):
    drawn = rng.integers("p", key, (5, 4), high)
    assert drawn.shape == (5, 4)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
    assert drawn.max() < high


def test_integers_are_uniform():
    assert chisquare(np.bincount(rng.integers("p", (1,), 7000, 7), minlength=7)).pvalue > CHANCE


@given(KEYS)
def test_uniform_numbers_are_the_leading_53_bits(key):
    drawn, raw = rng.uniform("p", key, (3, 5)), rng.raw("p", key, (3, 5))
    assert drawn.dtype == np.float64
    assert np.array_equal(drawn * 2.0**53, (raw // 2**11).astype(np.float64))
    assert drawn.min() >= 0
    assert drawn.max() < 1


def test_the_largest_raw_number_stays_below_one(monkeypatch):
    monkeypatch.setattr(rng, "raw", lambda purpose, key, size: np.full(size, 2**64 - 1, dtype=np.uint64))
    assert rng.uniform("p", (), 1)[0] == 1 - 2.0**-53


def test_uniform_numbers_are_uniform():
    assert kstest(rng.uniform("p", (1,), 10_000), "uniform").pvalue > CHANCE


@given(KEYS)
def test_a_torch_seed_fits_into_63_bits(key):
    assert 0 <= rng.torch_seed("p", key) < 2**63
