"""Every claim on hand-made evidence, the card, and docs/claims.md."""

import functools
import json
import operator
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import tiny_config
from scipy.stats import t as student

from memflow import epochs, provenance
from memflow.claims import card, proxy, size, teaching, time
from memflow.claims.card import CLAIMS, COLUMNS, PARTS, Claim, describe, judge
from memflow.claims.evidence import Evidence
from memflow.claims.rules import CONTRADICTED, DEFINITIONAL, SUPPORTED, UNDETERMINED, Part, p_value
from memflow.config import Study
from memflow.errors import InputError
from memflow.files import write_csv, write_npz

N, MANY = 120, 900  # many examples: enough that chance alone selects some
NAMES = {2: ["small", "large"], 3: ["small", "medium", "large"]}
RULE = {"tau": 0.15, "memorised_at": 0.25, "confidence": 0.95}
DOCS = Path(__file__).parents[2] / "docs/claims.md"
FIND = {claim.name: claim.find for claim in CLAIMS}
NATURAL = np.arange(N) % 5 != 4  # what the fixture `simulate` calls so


@pytest.fixture(scope="module")
def family(simulate):
    """Makes counts of a family from the out-of-sample accuracies of its sizes."""

    def make(*acc_out, acc_in=1.0, groups=10, n=N, **changes):
        made = [
            simulate(np.broadcast_to(acc_in, n), np.broadcast_to(of, n), groups=groups, seed=number)
            for number, of in enumerate(acc_out)
        ]
        names = NAMES[len(made)]
        return {
            name: replace(of, parameters=1000 * number, **changes)
            for number, (name, of) in enumerate(zip(names, made, strict=True), 1)
        }

    return make


def row(value, se=0.01, df=9, n_examples=50, **keys):
    return {**keys, "value": value, "low": value - 2.262157 * se, "high": value + 2.262157 * se, "se": se, "df": df} | {
        "n_examples": n_examples
    }


def table(*rows):
    return pd.DataFrame(rows)


def evidence(sizes, **tables):
    return Evidence(sizes, **RULE, **tables)


def judged(name, of):
    """Verdict of one claim alone, or what is missing."""
    parts = FIND[name](of)
    if isinstance(parts, str):
        return parts
    p, verdict = p_value(parts)
    return verdict if p <= 0.05 else UNDETERMINED


# Size.


def test_the_mean_falls_only_among_sizes_that_fit(family):
    assert judged("mean falls", evidence(family(0.3, 0.6))) == SUPPORTED
    assert judged("mean falls", evidence(family(0.6, 0.3))) == CONTRADICTED
    late = family(0.3, 0.9) | {"small": family(0.9, 0.9, acc_in=0.5)["small"]}
    assert judged("mean falls", evidence(late)) == (
        "two sizes with a mean in-sample accuracy of 0.99 or more; there are 1"
    )
    three = {"tiny": late["small"], **family(0.3, 0.6)}
    (part,) = size.falls(evidence(three))
    assert part.value == pytest.approx(-0.3, abs=0.05)  # not from the smallest, which fits nothing
    assert part.n_examples == NATURAL.sum()


def test_the_mean_is_that_of_natural_examples(family):
    only_wrong = np.where(NATURAL, 0.5, 0.1), np.where(NATURAL, 0.5, 0.9)
    (part,) = size.falls(evidence(family(*only_wrong)))
    assert abs(part.value) < 0.05


def test_both_tails_must_grow(family):
    spread = np.linspace(0, 0.1, N)  # up to the edge of the tails: without variation there would be no evidence
    flat, polar, low = np.full(N, 0.5), np.where(np.arange(N) % 2, 1 - spread, spread), np.full(N, 0.99)
    assert judged("tails grow", evidence(family(flat, polar, groups=6))) == SUPPORTED
    assert judged("tails grow", evidence(family(polar, flat, groups=6))) == CONTRADICTED
    parts = size.tails(evidence(family(flat, low, groups=6)))
    assert [part.value > 0.5 for part in parts] == [True, False]


def test_types_are_selected_on_one_half_and_measured_on_the_other(family):
    nothing = evidence(family(0.5, 0.5, 0.5, n=MANY, groups=20))
    for kind in ("increasing", "decreasing", "cap-shaped"):
        assert judged(kind, nothing) == CONTRADICTED
    third = np.arange(N) % 3
    planted = evidence(family(*(np.choose(third, of) for of in ([0.9, 0.3, 0.9], [0.6, 0.6, 0.3], [0.2, 0.95, 0.9]))))
    for kind in ("increasing", "decreasing", "cap-shaped"):
        assert judged(kind, planted) == SUPPORTED


def test_constant_is_an_equivalence(family):
    assert judged("constant", evidence(family(0.98, 0.98))) == SUPPORTED
    assert judged("constant", evidence(family(0.98, 0.88, n=MANY))) == CONTRADICTED
    few = judged("constant", evidence(family(np.where(np.arange(N) < 5, 1.0, 0.9), np.where(np.arange(N) < 5, 1, 0.1))))
    assert few == "10 examples that each half of the runs calls constant; there are 4"  # the fifth is a wrong label


def test_a_cap_needs_a_size_between(family):
    assert judged("cap-shaped", evidence(family(0.9, 0.9))) == "a family of three sizes or more"
    assert judged("cap-shaped", evidence(family(1.0, 1.0, 1.0))) == (
        "10 examples that each half of the runs calls cap-shaped; there are 0"
    )


def test_wrong_labels_are_enriched_among_what_increases(family):
    wrong_rise = np.where(NATURAL, 0.9, 0.9), np.where(NATURAL, 0.9, 0.1)
    others_rise = np.where(NATURAL, 0.9, 0.9), np.where(NATURAL, 0.1, 0.9)
    both_rise = np.full(N, 0.9), np.full(N, 0.1)
    assert judged("wrong labels", evidence(family(*wrong_rise))) == SUPPORTED
    assert judged("wrong labels", evidence(family(*both_rise))) != SUPPORTED
    # Too few that rise cannot support the claim, but their share can refute it.
    assert judged("wrong labels", evidence(family(*others_rise))) == CONTRADICTED
    few = np.where(np.arange(N) % 15 == 4, 0.1, 0.9)
    assert judged("wrong labels", evidence(family(0.9, few))) == (
        "10 examples that each half of the runs calls increasing among the wrong labels; there are 8"
    )
    unknown = family(0.5, 0.5, label_noise=np.zeros(N, dtype=bool))
    assert judged("wrong labels", evidence(unknown)).startswith("wrong labels that are known (label_noise")


def test_wrong_labels_that_noise_calls_increasing_do_not_increase(family):
    between = np.where(np.arange(MANY) % 5 == 4, 0.5, 0.99)  # only the accuracies of wrong labels leave room for noise
    share, change = size.wrong_labels(evidence(family(between, between, between, n=MANY)))
    assert share.value > 0.02
    assert abs(change.value) < 0.05
    assert p_value([change])[1] == CONTRADICTED


def test_natural_examples_must_fall_and_artificial_ones_must_not(family):
    half = np.arange(N) % 2 == 0
    few = np.where(half, 0.7, 0.8)  # near the threshold: without variation there would be no evidence
    falls = np.where(NATURAL, 0.5 * few, few), np.where(NATURAL, 0.5 + 0.5 * few, 0.5 * few)
    both = 0.5 * few, 0.5 + 0.5 * few
    assert judged("natural falls", evidence(family(*falls))) == SUPPORTED
    assert judged("natural falls", evidence(family(*both))) == CONTRADICTED
    unknown = family(0.5, 0.5, label_noise=np.zeros(N, dtype=bool))
    assert judged("natural falls", evidence(unknown)).startswith("wrong labels or noise images")


@pytest.mark.parametrize(("n", "verdict"), [(MANY, SUPPORTED), (N, UNDETERMINED)])
def test_of_artificial_examples_that_are_all_memorised_one_more_or_less_is_the_error(family, n, verdict):
    natural = np.arange(n) % 5 != 4
    near = np.linspace(0.6, 0.9, n)
    sizes = family(np.where(natural, near, 0.0), np.where(natural, 0.2 + 0.8 * near, 0.0), n=n)
    other = size.natural_falls(evidence(sizes))[1]
    assert (other.value, other.se) == (0, pytest.approx(1 / (~natural).sum()))
    assert judged("natural falls", evidence(sizes)) == verdict  # of 24, one is .042 and the margin .05


def test_the_error_of_a_share_is_at_least_one_example_only_where_nothing_varies():
    assert size.of_a_share(0.0, 50) == 0.02
    assert size.of_a_share(1e-17, 50) == 0.02
    assert size.of_a_share(0.001, 50) == 0.001


def test_each_half_of_the_runs_has_its_own_peak_of_the_caps(family):
    # By the even groups the caps peak at the second of four sizes, by the odd ones at the third.
    flat, high = np.full(N, 0.9), np.full(N, 0.2)
    made = [family(flat, of)["large"] for of in (flat, high, high, flat)]
    lower = family(flat, np.full(N, 0.5))["large"]
    odd = np.arange(10) % 2 == 1

    def mixed(of_even, of_odd):
        columns = ("correct_in", "correct_out")
        return replace(
            of_even,
            **{name: np.where(odd[:, None], getattr(of_odd, name), getattr(of_even, name)) for name in columns},
        )

    sizes = [made[0], mixed(made[1], lower), mixed(lower, made[2]), made[3]]
    parts = size.cap_shaped(evidence(dict(zip(("a", "b", "c", "d"), sizes, strict=True))))
    # Each half measures at the other's peak, where its own scores are only .4 higher than at the ends, not .7.
    assert [part.value for part in parts] == pytest.approx([0.4, 0.4], abs=0.06)


FLOW = {
    "quantity": "later",
    "from_state": "not fitted",
    "to_state": "memorised or generalised",
    "examples": "clean label",
}
OF_SET = {"kind": "model-wise", "examples": "clean label"}
DROP = OF_SET | {"quantity": "drop"}


@pytest.mark.parametrize(
    ("name", "stage", "keys", "inside", "outside", "missing"),
    [
        (
            "transient in size",
            "transient",
            OF_SET | {"quantity": "drop"},
            0.2,
            0.0,
            "10 natural examples that a smaller",
        ),
        ("small groups", "transient", OF_SET | {"quantity": "log2_size"}, -0.5, 0.1, "sub-populations of unequal size"),
    ],
)
def test_what_is_read_from_the_transitions(family, name, stage, keys, inside, outside, missing):
    sizes = family(0.5, 0.5)

    def of(*rows):
        return judged(name, evidence(sizes, **{stage: table(*rows)}))

    assert of(row(inside, **keys)) == SUPPORTED
    assert of(row(outside, **keys)) == CONTRADICTED
    assert of(row(inside, se=0.0, **keys)) == UNDETERMINED
    for rows in (
        [],
        [row(np.nan, **keys)],
        [row(inside, n_examples=9.5, **keys)],
        [row(inside, **keys | {"examples": "all"})],
    ):
        assert of(*rows).startswith(missing)


def test_what_the_smallest_does_not_fit_must_be_fitted_by_the_largest_and_not_by_other_runs_of_the_smallest(family):
    hard, well = np.arange(N) % 2 == 0, np.arange(N) % 8 != 0
    unfitted, fitted = np.where(hard, 0.25, 1.0), np.where(hard & ~well, 0.25, 1.0)

    def sizes(*acc_in):
        made = [family(0.1, 0.1, acc_in=of) for of in acc_in]
        return {"small": made[0]["small"], "large": made[1]["large"]}

    def of(of_sizes, *rows):
        return judged("not fitted", evidence(of_sizes, flows=table(*rows)))

    grown, alike = sizes(unfitted, fitted), sizes(unfitted, unfitted)
    assert of(grown, row(0.8, **FLOW)) == SUPPORTED
    assert of(grown, row(0.2, **FLOW)) == CONTRADICTED
    assert of(alike, row(0.8, **FLOW)) != SUPPORTED
    _, gain = size.not_fitted(evidence(grown, flows=table(row(0.8, **FLOW))))
    assert 0.4 < gain.value < 0.8
    _, nothing = size.not_fitted(evidence(alike, flows=table(row(0.8, **FLOW))))
    assert abs(nothing.value) < 0.15
    for rows in (
        [],
        [row(np.nan, **FLOW)],
        [row(0.8, n_examples=9.5, **FLOW)],
        [row(0.8, **FLOW | {"examples": "all"})],
    ):
        assert of(grown, *rows) == "10 natural examples that the smallest model does not fit"


# Time.


def curve(**quantities):
    return table(*(row(value, examples="clean label", quantity=name, epoch=4) for name, value in quantities.items()))


def test_three_stages_are_a_rise_and_a_fall(family):
    sizes = family(0.5, 0.5)
    for rise, fall, verdict in ((0.2, 0.1, SUPPORTED), (0.2, 0.0, UNDETERMINED), (0.2, -0.1, CONTRADICTED)):
        assert judged("three stages", evidence(sizes, epochs={"large": curve(rise=rise, fall=fall)})) == verdict
    for tables in ({}, {"small": curve(rise=0.2, fall=0.1)}, {"large": curve(rise=np.nan, fall=np.nan)}):
        assert judged("three stages", evidence(sizes, epochs=tables)).startswith("three evaluated epochs")


def test_the_schedule_matters_if_the_fall_is_larger_with_it(family):
    sizes = family(0.5, 0.5)
    schedules = {name: {"alike": "a", "decays": name == "large"} for name in ("large", "steady")}

    def of(decaying, steady, known=schedules):
        curves = {"large": curve(fall=decaying), "steady": curve(fall=steady)}
        return judged("schedule", evidence(sizes, epochs=curves, schedules=known))

    assert of(0.2, 0.05) == SUPPORTED
    assert of(0.05, 0.2) == CONTRADICTED
    needed = "one architecture of the family under two recipes"
    assert of(0.2, 0.05, {"large": schedules["large"]}).startswith(needed)
    assert of(0.2, 0.05, schedules | {"steady": {"alike": "b", "decays": False}}).startswith(needed)
    other_family = {name: schedules["large"] | {"decays": name == "other"} for name in ("other", "steady")}
    assert of(0.2, 0.05, other_family).startswith(needed)


def test_what_is_memorised_for_a_time_drops_again(family):
    sizes = family(0.5, 0.5)
    for drop, verdict in ((0.2, SUPPORTED), (0.0, CONTRADICTED)):
        assert judged("transient in time", evidence(sizes, epochs={"large": curve(transient_drop=drop)})) == verdict
    assert judged("transient in time", evidence(sizes)).startswith("10 natural examples that are memorised at the peak")


def test_the_gap_is_a_correlation_over_sizes_and_epochs(family):
    sizes = family(0.5, 0.5)
    gaps = np.array([0.05, 0.1, 0.2])
    rows = [
        row(value, examples="all", quantity=quantity, epoch=epoch)
        for epoch, gap in enumerate(gaps)
        for quantity, value in (("acc_in", 0.9), ("acc_test", 0.9 - gap), ("memorisation", 2 * gap))
    ]
    (part,) = time.gap(evidence(sizes, epochs=dict.fromkeys(sizes, table(*rows))))
    assert part.value == pytest.approx(1)
    assert np.isnan(part.limits(0.95)).all()  # epochs of one size share their runs
    assert time.gap(evidence(sizes, epochs={"large": table(*rows)})) == "five sizes and epochs together"
    assert time.gap(evidence(sizes)) == "five sizes and epochs together"


# Teaching.


def students(family, *acc_out, **changes):
    return {name: replace(of, **changes) for name, of in family(*acc_out).items()}


TAUGHT = {"teachers": {"by big": "big"}, "teacher_sizes": {"big": 9000}}


@pytest.mark.parametrize(
    ("name", "up", "down", "missing"),
    [
        ("students fall", (0.8, 0.7), (0.3, 0.2), "students of a larger network of the study"),
        ("small students", (0.9, 0.5), (0.5, 0.9), "students of a larger network of the study"),
    ],
)
def test_what_distillation_does_to_the_mean(family, name, up, down, missing):
    sizes = family(0.5, 0.5)
    for acc_out, verdict in ((up, SUPPORTED), (down, CONTRADICTED)):
        taught = {"by big": students(family, *acc_out)}
        assert judged(name, evidence(sizes, distilled=taught, **TAUGHT)) == verdict
    small_teacher = {"teachers": {"by big": "big"}, "teacher_sizes": {"big": 1500}}
    of = judged(name, evidence(sizes, distilled=taught, **small_teacher))
    assert of.startswith(missing) or of.startswith("two students of one larger teacher")
    assert isinstance(FIND[name](evidence(sizes)), str)


def test_one_student_is_not_compared_with_itself(family):
    taught = {"by big": {"small": family(0.8, 0.8)["small"]}}
    of = evidence(family(0.5, 0.5), distilled=taught, **TAUGHT)
    assert judged("small students", of) == "two students of one larger teacher (distillation), in the family"
    assert judged("students fall", of) == SUPPORTED


def test_of_two_teachers_the_larger_lowers_the_score_more(family):
    sizes = family(0.5, 0.5)
    strong, weak = students(family, 0.8, 0.8), students(family, 0.55, 0.55)
    sized = {"teachers": {"by big": "big", "by mid": "mid"}, "teacher_sizes": {"big": 9000, "mid": 4000}}
    for taught, verdict in (((strong, weak), SUPPORTED), ((weak, strong), CONTRADICTED)):
        distilled = dict(zip(sized["teachers"], taught, strict=True))
        assert judged("large teachers", evidence(sizes, distilled=distilled, **sized)) == verdict
    itself = {"teachers": {"by big": "big", "self": "self"}, "teacher_sizes": {"big": 9000}}
    distilled = {"by big": {"large": strong["large"]}, "self": {"large": weak["large"]}}
    assert judged("large teachers", evidence(sizes, distilled=distilled, **itself)) == SUPPORTED
    alone = evidence(sizes, distilled={"by big": strong}, **TAUGHT)
    assert judged("large teachers", alone).startswith("one student that learns from two teachers of different size")
    as_large = sized | {"teacher_sizes": {"big": 4000, "mid": 4000}}
    of = evidence(sizes, distilled=dict(zip(sized["teachers"], (strong, weak), strict=True)), **as_large)
    assert judged("large teachers", of).startswith("one student that learns from two teachers of different size")


def test_increasing_examples_are_lowered_most(family):
    rising = np.arange(N) % 2 == 0
    before = np.where(rising, 0.9, 0.5), np.where(rising, 0.2, 0.5)
    for gain, verdict in ((0.4 * rising, SUPPORTED), (0.4 * ~rising, CONTRADICTED)):
        taught = {"by big": {"large": family(0.5, before[1] + gain)["large"]}}
        of = evidence(family(*before), distilled=taught, **TAUGHT)
        assert judged("most increasing", of) == verdict
    nothing = evidence(family(1.0, 1.0), distilled=taught, **TAUGHT)
    assert judged("most increasing", nothing).startswith("10 examples that each half of the runs calls increasing")
    assert judged("most increasing", evidence(family(*before))) == teaching.NO_STUDENTS


def test_students_gain_test_accuracy(family):
    sizes = family(0.5, 0.5)
    correct = sizes["small"].correct_test
    random = np.random.default_rng(0)
    for chance, verdict in ((0.95, SUPPORTED), (0.6, CONTRADICTED)):
        after = random.binomial(10, chance, correct.shape).astype(np.uint8)
        taught = {"by big": students(family, 0.5, 0.5, correct_test=after)}
        assert judged("students gain", evidence(sizes, distilled=taught, **TAUGHT)) == verdict
    assert judged("students gain", evidence(sizes)) == teaching.NO_STUDENTS


def test_removal_is_judged_without_copies_where_there_are_any(family):
    sizes = family(0.5, 0.5)

    def removed(examples, value):
        return row(value, se=0.001, examples=examples, quantity="random - memorised", runs=5)

    def of(*rows, name="large"):
        return judged("removal", evidence(sizes, removal={name: table(*rows)}))

    assert of(removed("all", 0.02)) == SUPPORTED
    assert of(removed("all", -0.02)) == CONTRADICTED
    assert of(removed("all", 0.02), removed("no copy in training", -0.02)) == CONTRADICTED
    assert of(removed("all", 0.02), name="elsewhere").startswith("runs without memorised examples")
    assert judged("removal", evidence(sizes)).startswith("runs without memorised examples")


# Proxies.


def agreement(*values):
    keys = {"statistic": "spearman", "examples": "clean label", "runs": 10}
    return table(*(row(value, proxy=name, **keys) for name, value in zip(proxy.NAMED, values, strict=True)))


def summary(quantity="sarle", **values):
    keys = {"examples": "clean label", "quantity": quantity, "runs": 10}
    return table(*(row(value, proxy=name, **keys) for name, value in values.items()))


def test_proxies_rank_if_both_do(family):
    sizes = family(0.5, 0.5)
    for values, verdict in (((0.6, 0.5), SUPPORTED), ((0.6, 0.31), UNDETERMINED), ((0.6, 0.0), CONTRADICTED)):
        assert judged("proxies rank", evidence(sizes, agreement={"large": agreement(*values)})) == verdict
    assert judged("proxies rank", evidence(sizes, agreement={"small": agreement(0.6, 0.5)})) == proxy.lacks(
        proxy.NAMED[0]
    )
    (part, _) = proxy.correlate(evidence(sizes, agreement={"large": agreement(0.6, 0.5)}))
    assert (part.se, part.df) == (pytest.approx(0.01, rel=1e-4), 9)


def test_the_error_of_an_interval_that_was_cut_off_is_that_of_its_other_side(family):
    cut = agreement(0.99, 0.9)
    cut["high"] = cut["high"].clip(upper=1.0)
    (part, _) = proxy.correlate(evidence(family(0.5, 0.5), agreement={"large": cut}))
    assert part.se == pytest.approx(0.01, rel=1e-4)


def test_proxies_lack_modes_only_if_the_score_has_them(family):
    sizes = family(0.5, 0.5)
    for modes, verdict in (
        ((0.8, 0.4, 0.4), SUPPORTED),
        ((0.8, 0.4, 0.8), CONTRADICTED),
        ((0.4, 0.4, 0.4), CONTRADICTED),
    ):
        tables = {"large": summary(**dict(zip(("memorisation", *proxy.NAMED), modes, strict=True)))}
        assert judged("proxies' modes", evidence(sizes, proxies=tables)) == verdict
    assert judged("proxies' modes", evidence(sizes)) == proxy.lacks("memorisation")


def test_proxies_lack_a_trend_only_if_their_means_are_equivalent(family):
    sizes = family(0.5, 0.5)

    def of(change, error, *names):
        def ends(name):
            means = dict.fromkeys(proxy.NAMED, 0.5 + change * (name == "large"))
            spread = summary("deviation", **dict.fromkeys(proxy.NAMED, 0.2))
            return pd.concat([summary("mean", **means).assign(low=means[proxy.NAMED[0]] - error), spread])

        tables = {name: ends(name).assign(high=lambda found: found["value"]) for name in names or sizes}
        return judged("proxies' trend", evidence(sizes, proxies=tables))

    assert of(0.002, 0.005) == SUPPORTED
    assert of(0.002, 0.05) == UNDETERMINED  # no trend is seen, and none is excluded
    assert of(0.1, 0.005) == CONTRADICTED
    assert of(-0.1, 0.005) == CONTRADICTED
    assert of(0.0, 0.005, "large") == proxy.lacks(proxy.NAMED[0])
    assert of(0.0, 0.005, "small") == proxy.lacks(proxy.NAMED[0])


def test_only_cumulative_accuracy_is_said_to_lack_a_trend(family):
    tables = {}
    for name, depth in (("small", 0.2), ("large", 0.8)):  # deeper networks have more layers to be deep in
        means = summary("mean", cumulative_accuracy=0.5, prediction_depth=depth)
        tables[name] = pd.concat([means.assign(runs=7), summary("deviation", cumulative_accuracy=0.9)])
    (part,) = proxy.no_trend(evidence(family(0.5, 0.5), proxies=tables))
    assert part.name == "change of the mean cumulative_accuracy, in deviations over the examples"
    assert (part.value, part.df, part.runs) == (0, 6, 7)
    assert part.se == pytest.approx(2**0.5 * 0.01 * 2.262157 / student.ppf(0.975, 6) / 0.9)


def test_proxies_are_those_of_natural_examples(family):
    sizes = family(0.5, 0.5)
    modes = summary(memorisation=0.8, cumulative_accuracy=0.4, prediction_depth=0.4)
    of_all = modes.assign(examples="all", value=0.5)
    (score, *_) = proxy.not_bimodal(evidence(sizes, proxies={"large": pd.concat([modes, of_all])}))
    assert score.value == 0.8
    only = judged("proxies' modes", evidence(sizes, proxies={"large": of_all}))
    assert only == proxy.lacks("memorisation")
    unnoised = {name: replace(of, label_noise=np.zeros(N, dtype=bool)) for name, of in sizes.items()}
    (score, *_) = proxy.not_bimodal(evidence(unnoised, proxies={"large": of_all}))
    assert score.value == 0.5


# The card.


def certain(name, p):
    """A claim of one number with a two-sided p-value near p; large ones are undetermined."""
    return Claim(name, f"{name} holds", "Someone", lambda _: [Part(name, student.isf(p / 2, 9), 1.0, 9, above=0.0)])


def test_the_card_adjusts_over_all_families_and_datasets(family):
    sizes = evidence(family(0.5, 0.5))
    everything = {("digits", "A"): sizes, ("digits", "B"): sizes, ("other", "A"): sizes}
    claims = [certain("strong", 0.001), certain("weak", 0.02)]
    found, parts = judge(everything, 0.95, claims)
    assert list(found.columns) == COLUMNS
    assert list(parts.columns) == PARTS
    assert found["p_holm"].tolist() == pytest.approx([0.006, 0.06] * 3)
    assert found["verdict"].tolist() == [SUPPORTED, UNDETERMINED] * 3
    assert judge({("digits", "A"): sizes}, 0.95, claims)[0]["verdict"].tolist() == [SUPPORTED, SUPPORTED]
    assert len(parts) == len(found) == 6
    assert (found["runs"] == 100).all()
    assert (found["missing"] == "").all()


def test_the_card_shows_the_deciding_part_and_lists_all(family):
    parts = [Part("strong", 9.0, 1.0, 9, above=0.0), Part("weak", 3.0, 1.0, 9, below=4.0, n_examples=7)]
    claim = Claim("both", "Both hold", "Someone", lambda _: parts)
    found, listed = judge({("digits", "A"): evidence(family(0.5, 0.5))}, 0.95, [claim])
    (only,) = found.to_dict("records")
    assert (only["statistic"], only["value"], only["claimed"], only["n_examples"]) == ("weak", 3.0, "below 4", 7)
    assert only["low"] == pytest.approx(3 - 2.262, abs=1e-3)
    assert listed["statistic"].tolist() == ["strong", "weak"]
    assert (listed["claim"] == "both").all()


def test_weights_that_may_have_seen_the_images_allow_no_claim(family):
    why = "weights that have not seen the held-out images (pretraining_overlap of vit)"
    everything = {("digits", "seen"): why, ("digits", "unseen"): evidence(family(0.5, 0.5))}
    found, parts = judge(everything, 0.95, [certain("strong", 0.001)])
    assert found["verdict"].tolist() == [UNDETERMINED, SUPPORTED]
    assert found["missing"].tolist() == [why, ""]
    assert found["p_holm"].tolist() == pytest.approx([np.nan, 0.001], nan_ok=True)  # it is no test
    assert parts["family"].tolist() == ["unseen"]


def test_the_runs_of_a_claim_are_those_of_its_number(family):
    sizes = family(0.5, 0.5)  # 100 runs each
    removed = row(0.02, se=0.001, examples="all", quantity="random - memorised", runs=5)
    found, _ = judge({("digits", "A"): evidence(sizes, removal={"large": table(removed)})}, 0.95)
    runs = found.set_index("claim")["runs"]
    assert runs[["removal", "mean falls", "students fall"]].tolist() == [5, 100, 100]


def over_epochs(acc_out, groups=10):
    """Table of the epochs of a network that fits all of its subsets."""
    random, shape, everyone = np.random.default_rng(0), (len(acc_out), 2, N), np.ones(N, dtype=bool)
    sets = []
    for group in range(groups):
        half = np.arange(2) == group % 2
        runs = [np.repeat(number * half[:, None], N, axis=1) for number in (7, 3)]
        correct_out = random.binomial(runs[1], np.reshape(acc_out, (-1, 1, 1)), shape)
        sets.append(epochs.Tally(np.broadcast_to(runs[0], shape), correct_out, *runs, np.zeros(len(acc_out)), 10))
    examples = {"all": everyone, "clean label": NATURAL}
    whole = functools.reduce(operator.add, sets)
    return epochs.statistics(whole, sets, np.arange(len(acc_out)), examples, memorised_at=0.25, confidence=0.95)


def test_a_curve_that_only_rises_contradicts_three_stages(family):
    sizes = family(0.5, 0.5)
    for course, verdict in (((0.9, 0.8, 0.6, 0.4), CONTRADICTED), ((0.9, 0.4, 0.4, 0.9), SUPPORTED)):
        assert judged("three stages", evidence(sizes, epochs={"large": over_epochs(course)})) == verdict


def test_what_holds_by_definition_is_shown_and_not_judged(family):
    claim = replace(certain("gap", 1e-6), is_definitional=True)
    found, _ = judge({("digits", "A"): evidence(family(0.5, 0.5))}, 0.95, [claim, certain("other", 0.04)])
    assert found["verdict"].tolist() == [DEFINITIONAL, SUPPORTED]
    assert np.isnan(found["p_value"][0])
    assert found["p_holm"][1] == pytest.approx(0.04)
    assert card.finding(found.iloc[0]) == f"gap: {found['value'][0]:.3f}"  # without limits


def test_a_study_of_counts_alone_says_what_each_claim_needs(family):
    found, _ = judge({("digits", "A"): evidence(family(0.3, 0.6, 0.9))}, 0.95)
    assert found["claim"].tolist() == [claim.name for claim in CLAIMS]
    by_claim = found.set_index("claim")
    for name in ("mean falls", "decreasing", "wrong labels", "natural falls"):
        assert by_claim.loc[name, "missing"] == ""
    for name in ("students fall", "proxies rank", "three stages", "schedule", "small groups", "removal", "not fitted"):
        assert by_claim.loc[name, "verdict"] == UNDETERMINED
        assert len(by_claim.loc[name, "missing"]) > 20


def test_the_terminal_says_verdict_statement_number_and_what_is_missing(family):
    parts = [Part("change", -0.5, 0.1, 9, below=-0.01)]
    claims = [
        Claim("falls", "It falls", "Someone", lambda _: parts),
        Claim("lacks", "It is", "Other", lambda _: "runs"),
    ]
    claims.append(Claim("still", "It stands", "Third", lambda _: [Part("share", 1.0, 0.0, 9, above=0.5)]))
    text = describe(judge({("digits", "ResNets"): evidence(family(0.5, 0.5))}, 0.95, claims)[0])
    assert text.splitlines() == [
        "digits, ResNets",
        "  supported     It falls (Someone)",
        "                change: −0.500 [−0.726, −0.274], claimed below −0.01",
        "  undetermined  It is (Other)",
        "                needs runs",
        "  undetermined  It stands (Third)",
        "                share: 1.000, without variation between the runs",
    ]


def test_numbers_beyond_one_have_the_same_minus(family):
    parts = [Part("log2 of the size-mean", -1.5, 0.1, 9, below=-0.25)]
    claim = Claim("small", "They are small", "Someone", lambda _: parts)
    text = describe(judge({("digits", ""): evidence(family(0.5, 0.5))}, 0.95, [claim])[0])
    assert text.splitlines()[0] == "digits"
    assert "log2 of the size-mean: −1.500 [−1.726, −1.274], claimed below −0.25" in text


def test_a_card_is_read_from_the_results_of_a_study(tmp_path, family):
    with pytest.raises(InputError, match=r"holds no claims\.csv; run snakemake first"):
        card.read(tmp_path)
    found, _ = judge({("digits", ""): evidence(family(0.3, 0.6))}, 0.95)
    write_csv(tmp_path / "claims.csv", found)
    provenance.write([tmp_path / "claims.csv"], {}, inputs={}, started=provenance.now())
    again = card.read(tmp_path)
    assert describe(again) == describe(found)
    assert again["verdict"].tolist() == found["verdict"].tolist()


def test_the_card_is_judged_from_the_files_of_a_study(tmp_path, simulate_family):
    config = tiny_config(families={"sizes": {"title": "Sizes", "architectures": ["mlp", "resnet"]}})
    spec = Study(config).claims_spec()
    is_hard = np.arange(N) % 8 == 0
    scores = [np.where(is_hard, 0.0, 0.7), np.where(is_hard, 0.9, 0.4)]
    acc_in = [np.where(is_hard, 0.1, 1.0), np.ones(N)]
    sizes = dict(zip(("mlp", "resnet"), simulate_family(scores, acc_in=acc_in), strict=True))
    rows = [
        row(value, examples="clean label", quantity=name, epoch=6)
        for name, value in (("rise", 0.2), ("fall", 0.1), ("transient_drop", 0.2))
    ]
    along = "transitions/digits/sizes/one-hot"
    tables = {f"epochs/digits/{name}/one-hot.csv": table(*rows) for name in sizes}
    tables |= {f"{along}.csv": table(row(0.8, **FLOW)), f"{along}.transient.csv": table(row(0.2, **DROP))}
    for name, of in tables.items():
        write_csv(tmp_path / name, of)
    for name, of in sizes.items():
        write_npz(tmp_path / f"counts/digits/{name}/one-hot.npz", vars(of))
    for path in [*tmp_path.rglob("*.csv"), *tmp_path.rglob("*.npz")]:
        provenance.write([path], {}, inputs={}, started=provenance.now())
    card.run(spec, tmp_path, tmp_path / "claims.csv")
    found = card.read(tmp_path).set_index("claim")
    for name in ("decreasing", "three stages", "transient in time", "transient in size"):
        assert found.loc[name, "verdict"] == SUPPORTED, name
    assert found.loc["schedule", "missing"].startswith("one architecture of the family under two recipes")
    parts = pd.read_csv(tmp_path / "claims.parts.csv")
    assert parts["claim"].value_counts()[["three stages", "not fitted"]].tolist() == [2, 2]
    record = provenance.read(tmp_path / "claims.csv")
    assert record["definition"] == json.loads(json.dumps(spec))
    assert len(record["inputs"]) == len(sizes) + len(tables)
    (tmp_path / f"{along}.csv").write_text("changed")
    with pytest.raises(provenance.ProvenanceError, match=r"one-hot\.csv"):
        card.run(spec, tmp_path, tmp_path / "claims.csv")


# The document.


def documented():
    """Rows of the table in docs/claims.md: names, number, region and source."""
    text = DOCS.read_text()
    rows = [re.split(r"\s*\|\s*", line.strip("| \n")) for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows[2:] if len(row) == 4]


def test_the_document_names_the_claims_in_order_with_their_sources():
    rows = documented()
    assert [name for row in rows for name in row[0].split(", ")] == [claim.name for claim in CLAIMS]
    sources = {name: row[3] for row in rows for name in row[0].split(", ")}
    assert sources == {claim.name: claim.source for claim in CLAIMS}
    assert [row[2] for row in rows if row[0] == "gap"] == [DEFINITIONAL]


def test_the_document_states_the_margins_that_are_used():
    claimed = {row[0]: row[2] for row in documented()}
    margins = {
        **dict.fromkeys(
            ("mean falls", "tails grow", "natural falls", "three stages", "schedule"), size.SMALLEST_CHANGE
        ),
        **dict.fromkeys(("students fall", "small students", "large teachers"), size.SMALLEST_CHANGE),
        **dict.fromkeys(("constant", "increasing, decreasing", "cap-shaped"), size.SMALLEST_MOVE),
        **dict.fromkeys(("transient in size", "transient in time"), size.SMALLEST_MOVE),
        "wrong labels": size.ENRICHED,
        "most increasing": teaching.LARGER_FALL,
        **dict.fromkeys(("students gain", "removal"), teaching.SMALLEST_GAIN),
        "proxies rank": proxy.CORRELATED,
        "proxies' trend": proxy.TREND,
        "small groups": 0.25,
        "not fitted": 0.5,
    }
    for name, margin in margins.items():
        assert f"{margin:g}".lstrip("0") in re.findall(r"\.\d+", claimed[name]), name
    assert {*claimed} == {*margins, "proxies' modes", "gap"}
    assert "5/9" in claimed["proxies' modes"]
    assert proxy.UNIFORM == 5 / 9
    assert f"accuracy of {size.INTERPOLATES:g}".replace("0.", ".") in DOCS.read_text()
