"""How often the scorecard errs: simulated studies without any effect, with effects at the edge, and with clear ones.

Run with ``-s`` it prints the tables of false verdicts and of power.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import simulated_studies as simulated

from memflow.claims.card import CLAIMS
from memflow.claims.rules import CONTRADICTED, SUPPORTED, UNDETERMINED, Part, mean_of_halves, p_value, verdicts
from memflow.claims.size import not_fitted, tails, types
from memflow.distillation import group_changes
from memflow.statistics import mixture

STUDIES = 400
AT_EDGE, WITH_FEW_CLAIMS, WITH_TAILS, WITH_EFFECTS = 200, 120, 60, 30
LEVEL = 1 - simulated.RULE["confidence"]
# Simulated apart: the tails; not judged: the gap.
JUDGED = [claim for claim in CLAIMS if claim.name not in ("tails grow", "gap")]
HOLDS_WITHOUT_EFFECT = ("constant", "proxies' trend")
AT_THE_EDGE = [
    *("mean falls", "students fall", "small students", "large teachers", "students gain", "proxies' trend", "removal")
]
MOVING = {
    "rising": ((0.0, 0.025, 0.05), ("increasing", "constant")),
    "falling": ((0.0, 0.0, -0.05), ("decreasing", "constant", "transient in size")),
    "peaking": ((0.0, 0.05, 0.0), ("cap-shaped",)),
}


def judge(evidence, names=None):
    """Of every claim: the verdict alone, at the level without Holm's method, and the verdict on the card."""
    claims = [claim for claim in JUDGED if names is None or claim.name in names]
    found = {(family, claim.name): claim.find(of) for (_, family), of in evidence.items() for claim in claims}
    parts = [of if isinstance(of, list) else [] for of in found.values()]
    alone = [alone_by(of) for of in parts]
    card = [verdict for verdict, *_ in verdicts(parts, simulated.RULE["confidence"])]
    families, names = zip(*found, strict=True)
    return pd.DataFrame({"family": families, "claim": names, "alone": alone, "card": card})


def alone_by(parts: list[Part]) -> str:
    """Verdict without regard to other claims; empty without parts or their errors."""
    p, verdict = p_value(parts) if parts else (np.nan, "")
    if np.isnan(p):
        return ""
    return verdict if p <= LEVEL else UNDETERMINED


def joined(tables):
    return pd.concat(dict(enumerate(tables)), names=["study", "row"]).reset_index()


def bound(studies):
    """Largest share of studies with a false verdict that is in keeping with one in twenty: three standard errors."""
    return LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / np.maximum(studies, 1))


def shares(table, column="alone"):
    """Per claim: studies in which it could be judged, and shares of the verdicts among them."""
    judged = table[table[column] != ""]
    of = judged.groupby("claim", sort=False)[column]
    columns = {verdict: of.agg(lambda found, verdict=verdict: (found == verdict).mean()) for verdict in VERDICTS}
    return pd.DataFrame({"studies": of.size(), **columns})


VERDICTS = (SUPPORTED, CONTRADICTED, UNDETERMINED)


@pytest.fixture(scope="module")
def no_effect():
    return joined(judge(simulated.without_effect(seed)) for seed in range(STUDIES))


def is_false(table, column):
    wrong = np.where(table["claim"].isin(HOLDS_WITHOUT_EFFECT), CONTRADICTED, SUPPORTED)
    return table[column] == wrong


def test_without_any_effect_a_claim_is_wrongly_judged_in_one_study_of_twenty_at_most(no_effect):
    judged = no_effect[no_effect["alone"] != ""]
    false = is_false(judged, "alone").groupby(judged["claim"], sort=False)
    table = shares(no_effect).assign(false=false.mean())
    print(f"\nno effect, each claim judged alone\n{table.round(3).to_string()}")
    assert {*table.index} == {claim.name for claim in JUDGED}
    assert (table["studies"] >= STUDIES / 20).all()  # a claim that is never judged never errs
    assert (table["false"] <= bound(table["studies"])).all()
    assert (table.loc[list(HOLDS_WITHOUT_EFFECT), SUPPORTED] > 0.5).all()


def test_without_any_effect_a_whole_card_holds_a_false_verdict_in_one_study_of_twenty_at_most(no_effect):
    false = is_false(no_effect, "card").groupby(no_effect["study"]).any()
    print(f"\nno effect, whole cards: a false verdict in {false.mean():.4f} of {STUDIES} studies")
    assert false.mean() <= bound(STUDIES)


def test_wrong_labels_that_are_learned_otherwise_than_others_are_not_said_to_increase():
    studies = joined(judge(simulated.other_accuracies(90_000 + seed)) for seed in range(WITH_FEW_CLAIMS))
    judged = studies[studies["alone"] != ""]
    false = is_false(judged, "alone").groupby(judged["claim"], sort=False).mean()
    table = shares(studies).assign(false=false)
    print(f"\nno effect of four sizes, wrong labels unlike others\n{table.round(3).to_string()}")
    assert table.loc["wrong labels", "studies"] >= WITH_FEW_CLAIMS / 2
    assert (table["false"] <= bound(table["studies"])).all()
    whole_cards = is_false(studies, "card").groupby(studies["study"]).any()
    assert whole_cards.mean() <= bound(WITH_FEW_CLAIMS)


def test_a_share_that_only_rises_contradicts_three_stages():
    studies = joined(judge(simulated.only_rising(95_000 + seed), ["three stages"]) for seed in range(20))
    assert (studies["alone"] == CONTRADICTED).mean() >= 0.9


def one_family(*changes):
    return lambda seed: simulated.moving(seed, *changes)


def test_at_the_edge_of_what_counts_neither_verdict_comes_too_often():
    worlds = {"at the edge": (simulated.at_the_edge, AT_THE_EDGE)}
    worlds |= {name: (one_family(*changes), names) for name, (changes, names) in MOVING.items()}
    tables = []
    for number, (name, (make, names)) in enumerate(worlds.items(), 1):
        studies = joined(judge(make(10_000 * number + seed), names) for seed in range(AT_EDGE))
        tables.append(shares(studies).assign(world=name))
    table = pd.concat(tables)
    table["false"] = table[SUPPORTED] + table[CONTRADICTED]
    print(f"\nexactly at the edge, each claim judged alone\n{table.round(3).to_string()}")
    assert len(table) == len(AT_THE_EDGE) + sum(len(names) for _, names in MOVING.values())
    assert (table["studies"] >= AT_EDGE / 4).all()
    assert (table["false"] <= bound(table["studies"])).all()


def test_clear_effects_are_found():
    studies = joined(judge(simulated.with_effects(50_000 + seed)) for seed in range(WITH_EFFECTS))
    studies = studies[(studies["family"] == "fitting") == (studies["claim"] != "not fitted")]
    power = shares(studies).assign(card=shares(studies, "card")[SUPPORTED])
    print(f"\nclear effects, each claim judged alone, and with Holm's method\n{power.round(3).to_string()}")
    assert {*power.index} == {claim.name for claim in JUDGED}
    assert (power[SUPPORTED] >= 0.6).all()
    assert (power["card"] >= 0.3).all()
    assert (power[CONTRADICTED] <= bound(power["studies"])).all()


def test_what_is_close_to_being_fitted_is_fitted_by_other_runs_not_by_larger_models():
    share, gain, both = [], [], []
    for seed in range(80_000, 80_000 + 60):
        (evidence,) = simulated.borderline(seed).values()
        parts = not_fitted(evidence)
        for found, of in ((share, parts[:1]), (gain, parts[1:]), (both, parts)):
            found.append(alone_by(of))
    print(f"\nnot fitted, no effect of size: {Counter(share)} by the share, {Counter(both)} with the smallest's own")
    assert np.mean(np.array(share) == SUPPORTED) > 0.3
    assert np.mean(np.array(gain) == SUPPORTED) <= bound(60)
    assert np.mean(np.array(both) == SUPPORTED) <= bound(60)


# The tails, whose mixtures are quick where few count patterns are possible: all is fitted.


def tails_of(sizes):
    sizes = {name: replace(of, correct_in=of.n_in) for name, of in sizes.items() if name != "medium"}
    return tails(simulated.Evidence(sizes, **simulated.JUDGED))


def test_the_tails_grow_where_they_do_and_only_there(monkeypatch):
    monkeypatch.setattr(mixture, "TOLERANCE", 1e-5)  # in a tenth of the time
    placebo, planted = [], []
    for seed in range(60_000, 60_000 + WITH_TAILS):
        of = simulated.Simulation(seed)
        acc_out = simulated.spread(of)
        placebo.append(alone_by(tails_of(of.sizes([(1.0, acc_out)] * 2))))
        if seed % 5 == 0:
            polar = np.where(acc_out > np.median(acc_out), 0.99, 0.01)
            planted.append(alone_by(tails_of(of.sizes([(1.0, np.full_like(acc_out, 0.5)), (1.0, polar)]))))
    print(f"\ntails grow: no effect {Counter(placebo)}, clear effect {Counter(planted)}")
    assert np.mean(np.array(placebo) == SUPPORTED) <= bound(WITH_TAILS)
    assert np.mean(np.array(planted) == SUPPORTED) >= 0.6


# What happens without the halves.


def test_measured_on_the_runs_that_selected_them_examples_seem_to_increase():
    naive, fair = [], []
    for seed in range(70_000, 70_000 + 40):
        (evidence,) = simulated.moving(seed, 0.0, 0.0, 0.0).values()
        selected = types(evidence, "increasing")
        for found, of in ((fair, selected), (naive, selected[::-1])):
            change = group_changes(evidence.first, evidence.last, of)
            found.append(alone_by([mean_of_halves("change", change, 0, above=0.05)]))
    print(f"\nincreasing, no effect: {Counter(naive)} where selected, {Counter(fair)} by halves")
    assert np.mean(np.array(naive) == SUPPORTED) > 0.9
    assert np.mean(np.array(fair) == SUPPORTED) <= bound(40)
