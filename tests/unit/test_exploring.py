"""The keys `influence`, `privacy` and `probabilities` of the config: what they ask for, and what they change."""

import pytest
from helpers import ARCHITECTURES, tiny_config
from spec_helpers import changed_specs, full_config

from memflow import costs, outputs
from memflow.config import Study
from memflow.validation import ConfigError

TAUGHT = {"distillation": {"taught": {"teacher": "resnet"}}}
RATIOS = {"proxies": {"runs": 4, "block_size": 4, "ratios": ["1/4"]}}
BOTH = {"influence": {}, "privacy": {}}


def test_they_are_asked_for_by_name_or_for_all_that_can_have_them():
    study = Study(full_config() | TAUGHT | RATIOS | BOTH)
    one_hot = [("mlp", "one-hot"), ("mlp", "taught"), ("resnet", "one-hot")]
    others = [("neighbour", "one-hot"), ("wide", "one-hot")]
    assert sorted(study.influence_on("digits")) == sorted(one_hot + others)  # no other ratios
    assert sorted(study.privacy_on("digits")) == sorted([*one_hot, others[1]])  # no learner without logits
    named = Study(full_config() | TAUGHT | {"influence": {"architectures": ["mlp"]}})
    assert named.influence_on("digits") == one_hot[:2]
    assert named.privacy_on("digits") == Study(full_config()).influence_on("digits") == []


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"influence": {"architectures": ["mpl"]}}, "influence.architectures names 'mpl' (did you mean 'mlp'?"),
        (
            {"privacy": {"architectures": ["neighbour"]}},
            "privacy.architectures names 'neighbour' (allowed: mlp, resnet)",
        ),
        ({"influence": {"threshold": 1.5}}, "influence.threshold is 1.5; it must be at most 1"),
        ({"influence": {"top": 0}}, "influence.top is 0; it must be at least 1"),
        ({"influence": {"treshold": 0.2}}, "influence: unknown key 'treshold' (did you mean 'threshold'?"),
        ({"probabilities": "some"}, "probabilities is 'some'; it must be of type boolean"),
        (
            {"privacy": {}, "architectures": {"neighbour": ARCHITECTURES["neighbour"]}},
            "privacy: the study has no network, and without logits membership cannot be inferred",
        ),
    ],
)
def test_mistakes_are_named_with_what_is_allowed(entries, said):
    with pytest.raises(ConfigError) as error:
        Study(tiny_config(**entries))
    assert said in str(error.value)


def test_they_change_no_other_spec():
    kinds = {spec[0] for spec in changed_specs(full_config(), full_config() | BOTH)}
    assert kinds == {"influence", "privacy", "privacy figure"}
    other = {"influence": {"threshold": 0.2, "top": 3}, "privacy": {}}
    assert {spec[0] for spec in changed_specs(full_config() | BOTH, full_config() | other)} == {"influence"}


def test_probabilities_are_kept_by_networks_on_subsets_only():
    before = full_config() | RATIOS | {"removal": {"runs": 4, "block_size": 4}}
    differing = changed_specs(before, before | {"probabilities": True})
    runs = {spec[2:] for spec in differing if spec[0] == "runs"}
    assert {method for _, method in runs} == {"one-hot", "ratio-1-4", "removal-memorised", "removal-random"}
    assert not any("neighbour" in run for run in runs)
    kept = Study(before | {"probabilities": True})
    assert [run for run in kept.runs if "probabilities" in kept.runs_spec(*run)] == [
        run for run in kept.scored if run[1] != "neighbour"
    ]


def test_what_is_kept_for_other_tools_is_in_the_cost_that_was_measured_without():
    plain, keeping = (Study(full_config() | {"probabilities": keep}) for keep in (False, True))
    run = ("digits", "resnet", "one-hot")
    assert costs.definition(plain.runs_spec(*run)) == costs.definition(keeping.runs_spec(*run))


def test_every_output_is_listed_with_the_spec_it_is_made_from():
    study = Study(full_config() | TAUGHT | BOTH)
    jobs = {job.output: job for job in outputs.jobs(study)}
    assert jobs["influence/digits/mlp/taught.parquet"].spec == study.influence_spec("digits", "mlp", "taught")
    assert jobs["privacy/noisy/resnet/one-hot.parquet"].spec == study.privacy_spec("noisy", "resnet", "one-hot")
    assert jobs["figures/noisy/memorisation_vs_vulnerability.pdf"].stage == "figures"
    assert jobs["browser/index.html"].spec == study.browser_spec()
    order = list(jobs)
    assert order.index("browser/index.html") < order.index("audit.json")
    figures = outputs.figures_on(Study(full_config() | TAUGHT), "digits")
    assert "memorisation_vs_vulnerability" not in figures


def test_the_specs_tell_whose_teachers_saw_all_labels():
    leaky = {"distillation": {"leaky": {"teacher": "resnet", "teacher_data": "full"}}} | RATIOS | BOTH
    study = Study(full_config() | leaky)
    assert study.privacy_spec("digits", "mlp", "leaky")["teacher_data"] == "full"
    assert "teacher_data" not in study.influence_spec("digits", "mlp", "one-hot")
