"""A placebo of the scorecard with real networks: one architecture under the names of several.

They are trained on the same subsets from other seeds. So are the "distilled" students, the recipe "without decay" and
the runs "without memorised examples". Flags of wrong labels and of parts of the classes stand on random examples.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from memflow import counts, epochs, subsets, transitions
from memflow.claims.card import CLAIMS, describe, judge
from memflow.claims.evidence import Evidence
from memflow.claims.rules import CONTRADICTED, DEFINITIONAL, SUPPORTED
from memflow.config import Study
from memflow.counts import Counts
from memflow.data import digits
from memflow.data.prepared import Dataset, Split
from memflow.removal import compare
from memflow.statistics import mixture
from memflow.summary import populations
from memflow.training import sgd
from memflow.training.outcomes import pack

torch.set_num_threads(1)

N, TEST, RUNS, RATIO = 400, 200, 40, Fraction(1, 2)
GROUP = 2  # runs in a group
NAMES = ["small", "medium", "large", "huge"]
RULE = {"memorised_at": 0.25, "confidence": 0.95}
RECIPE = {"epochs": 32, "batch_size": 16, "learning_rate": 0.1, "schedule": {"shape": "cosine"}, "fuse": RUNS}
CONFIG = {
    "study": "placebo",
    "seeds": RUNS,
    "block_size": RUNS,
    "ratio": str(RATIO),
    "datasets": {"digits": {"source": "digits"}},
    "recipes": {"short": RECIPE | {"evaluate_every": 4}},
    "architectures": {"mlp": {"model": "mlp", "hidden": [32], "recipe": "short"}},
}
# Time is real: what networks memorise may well rise and fall. Proxies are left out.
NOT_A_PLACEBO = ["three stages", "transient in time"]
HOLDS = ["constant"]


class Placebo:
    """Trains the one architecture, each time from seeds that were not used yet."""

    def __init__(self) -> None:
        train, test, names = digits.load()
        random = np.random.default_rng(0)
        kept, tested = (np.sort(random.permutation(len(of))[:n]) for of, n in ((train, N), (test, TEST)))
        train, test = (Split(of.images[k], of.labels[k], of.index[k]) for of, k in ((train, kept), (test, tested)))
        train, test = (replace(of, images=_blurred(of.images, random)) for of in (train, test))
        is_small = random.random(N) < 1 / 3
        self.dataset = Dataset.unflagged(
            train,
            test,
            names,
            label_noise=random.random(N) < 0.1,  # though no label was changed
            subpopulation=(10 + 2 * train.labels + is_small).astype(np.int32),
        )
        self.spec = Study(CONFIG).block_spec("digits", "mlp", "one-hot", 0)
        self.masks = subsets.masks("balanced", RATIO, range(RUNS), np.arange(N))
        self.trained = 0

    def outcome(self, masks):
        """Outcomes of some runs on their subsets."""
        seeds = range(1000 + self.trained, 1000 + self.trained + len(masks))
        self.trained += len(masks)
        return sgd.learn(self.spec, self.dataset, masks, seeds, lambda share: None)

    def counts(self, parameters):
        """Counts of runs on the study's subsets, and their table of epochs."""
        block = pack(self.outcome(self.masks), self.masks)
        counted = counts.count(block, self.masks, TEST, GROUP, first_group=0)
        names = ("label_noise", "input_noise", "conflicting_label", "in_test", "duplicate_group")
        identity = {name: getattr(self.dataset, name) for name in (*names, "near_duplicate_group", "subpopulation")}
        identity |= {"index": self.dataset.train.index, "label": self.dataset.train.labels}
        converged = np.ones(RUNS, dtype=bool)
        merged = Counts(**counted | {"parameters": parameters}, **identity, converged=converged, group_size=GROUP)
        sets = epochs.by_set([(block, self.masks)], merged.n_groups, GROUP)
        return merged, epochs.statistics(epochs.total(merged), sets, merged.epochs, populations(merged), **RULE)

    def removal(self, runs=10):
        """Three arms from which nothing was removed."""
        everything = np.ones((runs, N), dtype=bool)
        arms = {arm: self.outcome(everything)["test_correct"][:, -1] for arm in ("none", "memorised", "random")}
        return compare(arms, np.zeros(TEST, dtype=bool), RULE["confidence"])


def _blurred(images, random):
    """The images with noise, without which the networks would agree on nearly all of them."""
    return np.clip(images + random.normal(0, 70, images.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def evidence():
    placebo = Placebo()
    trained = {name: placebo.counts(1000 * number) for number, name in enumerate(NAMES, 1)}
    sizes = {name: merged for name, (merged, _) in trained.items()}
    taught = {name: placebo.counts(sizes[name].parameters)[0] for name in NAMES}
    _, steady = placebo.counts(0)
    return Evidence(
        sizes,
        tau=0.15,
        **RULE,
        distilled={"from-teacher": taught, "from-assistant": {"huge": placebo.counts(4000)[0]}},
        teachers={"from-teacher": "teacher", "from-assistant": "assistant"},
        teacher_sizes={"teacher": 9000, "assistant": 5000},
        epochs={name: table for name, (_, table) in trained.items()} | {"steady": steady},
        schedules={name: {"alike": "", "decays": name == "huge"} for name in ("huge", "steady")},
        flows=transitions.flows(sizes, **RULE),
        transient=transitions.summarise(sizes, **RULE),
        removal={"huge": placebo.removal()},
    )


def test_the_networks_memorise(evidence):
    # Otherwise the placebo would have nothing to be wrong about.
    for merged in evidence.sizes.values():
        scores = merged.scores()
        assert 0.05 < scores.mean() < 0.5
        assert (scores >= RULE["memorised_at"]).mean() > 0.1
    assert len({merged.correct_out.tobytes() for merged in evidence.sizes.values()}) == len(NAMES)


def test_the_card_of_a_placebo_holds_no_false_verdict(evidence, monkeypatch):
    monkeypatch.setattr(mixture, "TOLERANCE", 1e-5)  # of the two tails, in a tenth of the time
    card, parts = judge({("digits", "one architecture"): evidence}, RULE["confidence"])
    print(f"\n{describe(card)}{parts[['claim', 'statistic', 'value', 'se', 'df', 'n_examples']].to_string()}")
    judged = card.set_index("claim")["verdict"]
    assert {*judged.index} == {claim.name for claim in CLAIMS}
    null = judged.drop([*NOT_A_PLACEBO, *HOLDS, "gap"])
    assert not (null == SUPPORTED).any(), null[null == SUPPORTED]
    assert (judged[HOLDS] != CONTRADICTED).all()
    assert judged["gap"] == DEFINITIONAL
    missing = {*card.loc[card["missing"] != "", "claim"]}
    assert missing <= {"proxies rank", "proxies' modes", "proxies' trend", "not fitted", "transient in time"}
    # It is not silence that keeps it from erring.
    assert judged["constant"] == SUPPORTED
    assert judged["students fall"] == CONTRADICTED
