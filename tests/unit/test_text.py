import pytest

from memflow import text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.0042, "0.0042 s"), (0.24, "0.24 s"), (3.14, "3.1 s"), (42, "42 s"), (99.4, "99 s"),
        (138, "2.3 min"), (2280, "38 min"), (5969, "99 min"), (4320 * 2, "2.4 h"), (36e5 * 2, "2,000 h"),
    ],
)  # fmt: skip
def test_durations_are_readable(seconds, words):
    assert text.duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (268_230, "268 kB"), (4.14e9, "4.1 GB"), (2.5e12, "2.5 TB")],
)
def test_sizes_are_readable(number, words):
    assert text.size(number) == words


def test_tables_have_text_to_the_left_and_numbers_to_the_right():
    rows = [["name", "jobs"], ["a", "1,600"], ["longest", ""]]
    assert text.aligned(rows, text_columns=1) == ["name      jobs", "a        1,600", "longest"]
