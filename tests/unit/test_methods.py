import subprocess
import sys
from fractions import Fraction

import pytest
from helpers import ARCHITECTURES, tiny_config
from spec_helpers import changed_specs, full_config, kept_but_changed, specs

from memflow import digest, methods, registry
from memflow.config import ConfigError, Study, check_code
from memflow.digest import digest as digest_of

TAUGHT = {"distilled-from-resnet": {"teacher": "resnet"}}
ALL_DATA = {"runs": 4, "block_size": 2}
MANY = {
    "distillation": {
        **TAUGHT,
        "own": {"teacher": "self"},
        "widely": {"teacher": "wide", "students": ["mlp"], "teacher_epoch": 5},
        "told": {"teacher": "resnet", "students": ["mlp", "wide"], "teacher_data": "full"},
    },
    "proxies": {**ALL_DATA, "ratios": ["3/4"]},
}
DATASETS = {"digits": {"source": "digits"}, "plain": {"source": "digits", "augment": False}}


def config_with(**entries):
    return full_config() | {"datasets": DATASETS} | entries


def study_with(**entries):
    return Study(config_with(**entries))


def many(key="", value=None):
    """The config with all kinds of methods; one value of theirs set at a dotted key."""
    distillation = {name: dict(entry) for name, entry in MANY["distillation"].items()}
    result = config_with(distillation=distillation, proxies=dict(MANY["proxies"]))
    if key:
        *folders, last = key.split(".")
        entry = result
        for name in folders:
            entry = entry[name]
        entry[last] = value
    return result


def refusal(config):
    with pytest.raises(ConfigError) as error:
        Study(config)
    return str(error.value)


def taught(**entry):
    return {"distillation": {"d": {"teacher": "resnet", **entry}}}


def tracked(**entry):
    return {"proxies": ALL_DATA | entry}


SAYS_OTHERWISE = "learns from the outputs of 'resnet' as trained on the student's subset, but the entry says otherwise"
REFUSED = {
    "one-hot again": (
        {"distillation": {"one-hot": {"teacher": "resnet"}}},
        ["distillation.one-hot: the name 'one-hot' is taken; choose another, such as distilled-from-resnet"],
    ),
    "an arm's name": ({"distillation": {"removal-none": {"teacher": "mlp"}}}, ["the name 'removal-none' is taken"]),
    "removal of a reference": (
        {"removal": {"architectures": ["neighbour"]}},
        ["removal.architectures names 'neighbour'", "allowed: mlp, resnet"],
    ),
    "removal in odd blocks": (
        {"removal": {"runs": 5, "block_size": 2}},
        ["removal.runs is 5; it must be a multiple of removal.block_size (2)"],
    ),
    "full-data again": ({"distillation": {"full-data": {"teacher": "mlp"}}}, ["the name 'full-data' is taken"]),
    "a ratio's name": ({"distillation": {"ratio-1-4": {"teacher": "mlp"}}}, ["the name 'ratio-1-4' is taken"]),
    "another teacher": (
        {"distillation": {"distilled-from-resnet": {"teacher": "mlp"}}},
        [f"distillation.distilled-from-resnet: a method of this name {SAYS_OTHERWISE}; rename it"],
    ),
    "a teacher of all data": (
        {"distillation": {"distilled-from-resnet": {"teacher": "resnet", "teacher_data": "full"}}, **tracked()},
        [SAYS_OTHERWISE],
    ),
    "no teacher's knowledge": (
        {"distillation": {"distilled-from-resnet": {"teacher": "resnet", "targets": "smoothed"}}},
        [SAYS_OTHERWISE],
    ),
    "an unknown teacher": (
        taught(teacher="resnt"),
        ["distillation.d.teacher is 'resnt' (did you mean 'resnet'? allowed: self, mlp, resnet, wide)"],
    ),
    "a teacher that is no network": (
        taught(teacher="neighbour"),
        ["distillation.d.teacher is 'neighbour' (allowed: self, mlp, resnet, wide)"],
    ),
    "an unknown student": (
        taught(students=["mpl"]),
        ["distillation.d.students names 'mpl' (did you mean 'mlp'? allowed: mlp, resnet, wide)"],
    ),
    "a student that is no network": (taught(students=["neighbour", "mlp"]), ["d.students names 'neighbour' (allowed:"]),
    "no student": (
        taught(teacher="wide"),
        ["distillation.d: nothing learns from 'wide', which is in no family; name its students (students)"],
    ),
    "no family": (taught(teacher="self") | {"families": {}}, ["distillation.d: nothing learns from 'self'"]),
    "nothing to learn": (
        taught(teacher_weight=0, label_weight=0.0),
        ["distillation.d: teacher_weight and label_weight are both 0", "raise one"],
    ),
    "an epoch too late": (taught(teacher_epoch=3), ["d.teacher_epoch is 3, but 'resnet' trains for 2 epochs"]),
    "an epoch too late for one": (
        taught(teacher="self", students=["wide", "mlp"], teacher_epoch=20),
        ["distillation.d.teacher_epoch is 20, but 'mlp' trains for 2 epochs"],
    ),
    "no runs on all data": (
        taught(teacher_data="full"),
        ["distillation.d.teacher_data is 'full', but 'resnet' has no runs on the whole training set; add `proxies`"],
    ),
    "no runs on all data of the teacher": (
        taught(teacher_data="full") | tracked(architectures=["mlp"]),
        ["but 'resnet' has no runs on the whole training set", "with it among the architectures"],
    ),
    "no runs on all data of one": (
        taught(teacher="self", teacher_data="full") | tracked(architectures=["mlp"]),
        ["but 'resnet' has no runs on the whole training set"],
    ),
    "an unknown architecture": (
        tracked(architectures=["mlpp"]),
        ["proxies.architectures names 'mlpp' (did you mean 'mlp'? allowed: mlp, resnet, wide)"],
    ),
    "a learner": (tracked(architectures=["neighbour"]), ["proxies.architectures names 'neighbour' (allowed: mlp"]),
    "half a block": (
        tracked(runs=5),
        ["proxies.runs is 5; it must be a multiple of proxies.block_size (2)"],
    ),
    "the study's ratio": (
        tracked(ratios=["2/4"]),
        ["proxies.ratios has 1/2, which is the study's ratio and need not be named"],
    ),
    "half a group": (
        tracked(ratios=["2/3"]),
        ["proxies.ratios has 2/3, whose balanced group has 3 runs", "block_size (4) must be a multiple of it"],
    ),
    "one group": (
        tracked(ratios=["3/4"]) | {"seeds": 4, "families": {}},
        ["proxies.ratios has 3/4, whose balanced group has 4 runs", "and seeds (4) 8 or more"],
    ),
    "a ratio twice": (tracked(ratios=["3/4", 0.75]), ["proxies.ratios names a ratio twice"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_methods_that_do_not_fit_are_refused_with_key_value_and_what_is_allowed(case):
    changes, said = REFUSED[case]
    message = refusal(config_with(**changes))
    assert [part for part in said if part not in message] == []


@pytest.mark.parametrize("case", REFUSED)
def test_one_mistake_is_one_line(case):
    assert len(refusal(config_with(**REFUSED[case][0])).splitlines()) == 2


def test_mistakes_of_several_methods_are_reported_at_once():
    message = refusal(config_with(**taught(teacher="resnt"), **tracked(runs=5)))
    assert "distillation.d.teacher is 'resnt'" in message
    assert "proxies.runs is 5" in message


def test_a_student_that_is_nowhere_trained_with_its_teacher_is_refused():
    architectures = full_config()["architectures"]
    architectures["mlp"]["datasets"], architectures["wide"]["datasets"] = ["plain"], ["digits"]
    apart = {"architectures": architectures, "families": {}}
    message = refusal(config_with(**taught(teacher="wide", students=["mlp"]), **apart))
    assert "distillation.d: 'mlp' and its teacher 'wide' are trained on no dataset in common" in message


def test_proxies_of_a_study_without_networks_are_refused():
    only = tiny_config(architectures={"neighbour": ARCHITECTURES["neighbour"]}, proxies=ALL_DATA)
    assert "proxies: the study has no network" in refusal(only)


@pytest.mark.parametrize("ratio", ["3/4", 0.75, "6/8"])
def test_an_independent_draw_needs_no_whole_groups_and_a_ratio_has_one_name(ratio):
    study = study_with(design="iid", **tracked(ratios=[ratio, "2/3"]))
    assert list(study.methods) == ["one-hot", "full-data", "ratio-3-4", "ratio-2-3"]
    assert study.methods["ratio-3-4"].ratio == "3/4"


def test_the_methods_of_a_study_have_their_runs_blocks_and_ratios():
    found = {
        name: (method.kind, method.seeds, list(method.blocks), method.ratio, method.architectures)
        for name, method in Study(many()).methods.items()
    }
    family = ("mlp", "resnet")
    assert found == {
        "one-hot": ("one-hot", 8, [0, 1], "1/2", ("mlp", "resnet", "neighbour", "wide")),
        "distilled-from-resnet": ("distilled", 8, [0, 1], "1/2", ("mlp",)),
        "own": ("distilled", 8, [0, 1], "1/2", family),
        "widely": ("distilled", 8, [0, 1], "1/2", ("mlp",)),
        "told": ("distilled", 8, [0, 1], "1/2", ("mlp", "wide")),
        "full-data": ("full-data", 4, [0, 1], "1", family),
        "ratio-3-4": ("ratio", 8, [0, 1], "3/4", family),
    }


def test_a_study_of_one_method_is_one_hot():
    study = study_with()
    assert list(study.methods) == ["one-hot"]
    assert study.runs == study.scored
    assert (study.taught_by, study.distilled_along("digits"), study.tracked("digits")) == ([], [], [])


WIDTHS = {"title": "Widths", "architectures": ["mlp", "wide"]}


@pytest.mark.parametrize(
    ("entry", "families", "expected"),
    [
        ({"teacher": "resnet"}, ["sizes"], ["mlp"]),
        ({"teacher": "mlp"}, ["sizes"], ["resnet"]),
        ({"teacher": "mlp"}, ["sizes", "widths"], ["resnet", "wide"]),
        ({"teacher": "wide"}, ["sizes", "widths"], ["mlp"]),
        ({"teacher": "self"}, ["sizes"], ["mlp", "resnet"]),
        ({"teacher": "self"}, ["sizes", "widths"], ["mlp", "resnet", "wide"]),
        ({"teacher": "resnet", "students": ["wide", "resnet"]}, [], ["resnet", "wide"]),
    ],
)
def test_students_are_those_that_are_named_or_all_others_of_the_teachers_families(entry, families, expected):
    known = full_config()["families"] | {"widths": WIDTHS}
    study = study_with(distillation={"d": entry}, families={name: known[name] for name in families})
    assert study.students("digits", "d") == list(study.methods["d"].architectures) == expected


@pytest.mark.parametrize(
    ("named", "families", "expected"),
    [
        (None, True, ["mlp", "resnet"]),
        (None, False, ["mlp", "resnet", "wide"]),
        (["wide", "mlp"], True, ["mlp", "wide"]),
    ],
)
def test_tracked_are_those_that_are_named_or_the_families_or_all_networks(named, families, expected):
    entry = ALL_DATA | ({"architectures": named} if named else {}) | {"ratios": ["3/4"]}
    study = study_with(proxies=entry, **({} if families else {"families": {}}))
    assert study.tracked("digits") == list(study.methods["ratio-3-4"].architectures) == expected


def test_runs_are_in_the_order_of_architectures_and_their_methods():
    runs = [run[1:] for run in Study(many()).runs if run[0] == "digits"]
    assert runs == [
        *(("mlp", name) for name in Study(many()).methods),
        *(("resnet", name) for name in ("one-hot", "own", "full-data", "ratio-3-4")),
        ("neighbour", "one-hot"),
        ("wide", "one-hot"),
        ("wide", "told"),
    ]


def test_all_runs_on_subsets_are_scored():
    study = Study(many())
    assert set(study.runs) - set(study.scored) == {run for run in study.runs if run[2] == "full-data"}
    assert len(study.runs) - len(study.scored) == 4


def test_weights_are_kept_of_those_that_others_learn_from_and_at_their_epochs():
    study = Study(many("distillation.own.students", ["mlp", "resnet", "wide"]))
    of_digits = [run[1:] for run in study.taught_by if run[0] == "digits"]
    assert of_digits == [("mlp", "one-hot"), ("resnet", "one-hot"), ("resnet", "full-data"), ("wide", "one-hot")]
    epochs = {run: study.teacher_epochs(*run) for run in of_digits}
    assert epochs == dict(zip(of_digits, [[2], [2], [2], [5, 20]], strict=True))


def test_one_teacher_may_be_learnt_from_at_several_epochs():
    entries = {f"after-{epoch}": {"teacher": "wide", "students": ["mlp"], "teacher_epoch": epoch} for epoch in (9, 3)}
    entries["last"] = {"teacher": "wide", "students": ["resnet"]}
    entries["same"] = {"teacher": "self", "students": ["wide"], "teacher_epoch": 3}
    assert study_with(distillation=entries).teacher_epochs("wide", "one-hot") == [3, 9, 20]


def test_no_weights_are_kept_that_nobody_learns_from():
    entries = {
        "own": {"teacher": "self", "students": ["wide"], "teacher_epoch": 20},
        "d": {"teacher": "resnet", "students": ["mlp"]},
    }
    assert study_with(distillation=entries).teacher_epochs("resnet", "one-hot") == [2]


def test_students_learn_only_where_their_teacher_is_trained():
    architectures = full_config()["architectures"]
    architectures["wide"]["datasets"] = ["plain"]
    study = study_with(architectures=architectures, distillation={"d": {"teacher": "wide", "students": ["mlp"]}})
    assert {name: study.students(name, "d") for name in study.datasets} == {"digits": [], "plain": ["mlp"]}
    assert [run for run in study.runs if run[2] == "d"] == [("plain", "mlp", "d")]
    assert study.taught_by == [("plain", "wide", "one-hot")]
    assert {name: study.distilled_along(name) for name in study.datasets} == {"digits": [], "plain": [("sizes", "d")]}


def test_distillation_is_compared_along_families_that_have_a_student():
    study = Study(many() | {"families": full_config()["families"] | {"widths": WIDTHS}})
    names = ["distilled-from-resnet", "own", "widely", "told"]
    assert study.distilled_along("digits") == [(family, name) for family in ("sizes", "widths") for name in names]
    assert study.distillation_spec("digits", "widths", "told")["students"] == ["mlp", "wide"]
    lonely = study_with(distillation={"d": {"teacher": "mlp", "students": ["wide"]}})
    assert lonely.distilled_along("digits") == []


def test_full_data_runs_differ_from_one_hot_runs_in_learner_design_ratio_and_when_they_evaluate():
    study = Study(many())
    full, one_hot = (study.runs_spec("digits", "mlp", name) for name in ("full-data", "one-hot"))
    differing = {key for key in full.keys() | one_hot.keys() if full.get(key) != one_hot.get(key)}
    assert differing == {"method", "learner", "design", "ratio", "recipe", "early", "code"}
    assert (full["learner"], full["design"], full["ratio"], full["early"]) == (registry.TRACKED, "whole", "1", 0.1)
    assert full["recipe"] == one_hot["recipe"] | {"evaluate_every": 2}


@pytest.mark.parametrize(("block_size", "fuse"), [(1, 1), (2, 2), (3, 1), (4, 2)])
def test_networks_side_by_side_divide_a_block_of_full_data_runs(block_size, fuse):
    study = study_with(proxies={"runs": 12, "block_size": block_size})
    assert study.runs_spec("digits", "mlp", "full-data")["recipe"]["fuse"] == fuse
    assert study.block_spec("digits", "mlp", "full-data", 2)["seeds"] == [2 * block_size, 3 * block_size]


def test_a_further_ratio_is_one_hot_in_all_but_its_ratio_and_name():
    study = Study(many())
    other, one_hot = (study.runs_spec("digits", "mlp", name) for name in ("ratio-3-4", "one-hot"))
    assert other == one_hot | {"ratio": "3/4", "method": "ratio-3-4"}


def test_the_spec_of_students_holds_their_teachers_and_how_they_learn():
    study = Study(many())
    spec = study.runs_spec("digits", "mlp", "widely")
    assert spec["teacher"] == study.runs_spec("digits", "wide", "one-hot")
    assert spec["learner"] == registry.DISTILLED
    assert spec["distillation"] == {
        "teacher_data": "subset",
        "targets": "teacher",
        "temperature": 4,
        "teacher_weight": 1,
        "label_weight": 0,
        "teacher_epoch": 5,
    }
    assert study.runs_spec("digits", "mlp", "told")["teacher"] == study.runs_spec("digits", "resnet", "full-data")
    assert study.runs_spec("digits", "resnet", "own")["teacher"] == study.runs_spec("digits", "resnet", "one-hot")
    assert study.runs_spec("digits", "resnet", "own")["distillation"]["teacher_epoch"] == 2


def test_the_last_epoch_of_the_teacher_may_be_named_or_left_out():
    assert changed_specs(many(), many("distillation.own.teacher_epoch", 2)) == set()


GROWTHS = {
    "a distillation": ({}, {"distillation": TAUGHT}, {"sizes figure"}),
    "a second distillation": (
        {"distillation": TAUGHT},
        {"distillation": TAUGHT | {"own": {"teacher": "self"}}},
        {"sizes figure", "distillation figure"},
    ),
    "runs on all data": ({}, tracked(), set()),
    "runs on all data beside students": ({"distillation": TAUGHT}, {"distillation": TAUGHT, **tracked()}, set()),
    "more runs on all data": (tracked(), tracked(runs=8), {"proxies"}),
    "a further architecture with runs on all data": (
        tracked(architectures=["mlp"]),
        tracked(architectures=["mlp", "wide"]),
        {"proxies figure"},
    ),
    "a further ratio": (tracked(), tracked(ratios=["3/4"]), {"proxies", "sensitivity"}),
    "a second further ratio": (
        *(tracked(ratios=["3/4"]), tracked(ratios=["3/4", "1/4"])),
        {"proxies", "sensitivity"},
    ),
    "runs without memorised examples": ({}, {"removal": {"runs": 4, "block_size": 4}}, set()),
    "more runs without memorised examples": (
        {"removal": {"runs": 4, "block_size": 4}},
        {"removal": {"runs": 8, "block_size": 4}},
        {"removal"},
    ),
    "a further student": (
        taught(teacher="wide", students=["mlp"]),
        taught(teacher="wide", students=["mlp", "resnet"]),
        {"sizes figure", "distillation", "distillation figure"},
    ),
}


@pytest.mark.parametrize("growth", GROWTHS)
def test_growing_changes_no_run_no_counts_no_score_and_no_trajectory_that_exists(growth):
    before, after, redone = GROWTHS[growth]
    old, new = config_with(**before), config_with(**after)
    assert specs(Study(old)).keys() < specs(Study(new)).keys()
    assert {spec[0] for spec in kept_but_changed(old, new)} == redone


def test_more_seeds_leave_the_specs_of_earlier_blocks_of_all_methods():
    differing = changed_specs(many(), many("seeds", 12))
    merges = {"proxies", "epochs"}  # of counts
    assert {spec[0] for spec in differing} == {"counts", "block", *merges}
    assert {spec[4] for spec in differing if spec[0] == "block"} == {2}
    assert {spec[3] for spec in differing if spec[0] not in merges} == {
        name for name in Study(many()).methods if name != "full-data"
    }


@pytest.mark.parametrize(
    ("key", "value", "also"),
    [
        ("temperature", 2, set()),
        ("teacher_weight", 0.5, set()),
        ("label_weight", 0.5, set()),
        ("teacher_epoch", 4, set()),
        ("targets", "smoothed", {"distillation", "distillation figure"}),
    ],
)
def test_how_students_learn_changes_exactly_their_runs_and_what_follows(key, value, also):
    differing = changed_specs(many(), many(f"distillation.widely.{key}", value))
    of_runs = {spec for spec in differing if spec[0] in ("runs", "block", "counts")}
    assert {spec[0] for spec in differing - of_runs} == also
    assert {spec[2:4] for spec in of_runs} == {("mlp", "widely")}
    assert {spec[0] for spec in of_runs} == {"runs", "block", "counts"}
    assert all("widely" in spec for spec in differing if spec[0] == "distillation")


def test_teachers_of_all_data_are_told_from_those_of_the_subset_in_every_score_and_figure():
    before = many("distillation.told", {"teacher": "resnet", "students": ["mlp", "wide"]})
    differing = changed_specs(before, many())
    follows = {"runs", "block", "counts", "scores", "distillation", "distillation figure", "sizes figure"}
    assert {spec[0] for spec in differing} == follows
    assert {spec[3] for spec in differing if len(spec) > 3} == {"told"}
    study = Study(many())
    marks = {run[2]: study.scores_spec(*run).get("teacher_data") for run in study.scored if run[1] == "mlp"}
    assert marks == {
        "one-hot": None,
        "distilled-from-resnet": "subset",
        "own": "subset",
        "widely": "subset",
        "told": "full",
        "ratio-3-4": None,
    }


def test_a_change_of_the_teachers_recipe_changes_its_students_and_no_other_run():
    differing = changed_specs(many(), many("recipes.long.learning_rate", 0.3))
    of_runs = {spec for spec in differing if spec[0] in ("runs", "block", "counts")}
    assert {spec[2:4] for spec in of_runs} == {("wide", "one-hot"), ("wide", "told"), ("mlp", "widely")}
    assert {spec[0] for spec in differing - of_runs} == {"epochs"}
    assert {spec[2] for spec in differing - of_runs} == {"wide"}


def test_a_change_of_the_teachers_network_changes_its_students():
    differing = changed_specs(many(), many("architectures.resnet.depth", 14))
    of_mlp = {spec[3] for spec in differing if spec[0] == "runs" and spec[2] == "mlp"}
    assert of_mlp == {"distilled-from-resnet", "told"}


def test_the_options_of_the_analysis_change_no_run_and_no_counts_of_any_method():
    kinds = {spec[0] for spec in changed_specs(many(), many() | {"memorised_at": 0.5, "confidence": 0.9, "tau": 0.2})}
    figures = {"figure", "sizes figure", "schedules figure", "distillation figure", "proxies figure"}
    stages = {"scores", "trajectories", "epochs", "transitions", "sensitivity", "distillation", "proxies"}
    assert kinds == stages | figures


def test_the_early_epoch_changes_full_data_runs_what_learns_from_them_and_their_proxies():
    differing = changed_specs(many(), many("proxies.early", 0.5))
    assert {spec[3] for spec in differing if spec[0] == "runs"} == {"full-data", "told"}
    assert {spec for spec in differing if spec[0] not in ("runs", "block", "counts")} == {
        ("proxies", dataset, architecture) for dataset in DATASETS for architecture in ("mlp", "resnet")
    }
    without = config_with(distillation=TAUGHT, proxies=MANY["proxies"])
    differing = changed_specs(without, without | {"proxies": {**MANY["proxies"], "early": 0.5}})
    assert {spec[3] for spec in differing if spec[0] in ("runs", "block")} == {"full-data"}
    assert {spec[0] for spec in differing} == {"runs", "block", "proxies"}


def test_target_accuracy_changes_the_counts_of_all_methods_and_no_run():
    differing = changed_specs(many(), many("recipes.short.target_accuracy", 0.5))
    users = {run for run in Study(many()).scored if run[1] in ("mlp", "resnet")}
    assert {spec for spec in differing if spec[0] == "counts"} == {("counts", *run) for run in users}
    assert {spec[0] for spec in differing} == {"counts", "proxies", "epochs"}


def test_augmentation_matters_only_to_students_on_datasets_that_take_it():
    differing = changed_specs(many(), many("recipes.long.augment", {"flip": True}))
    assert {spec[1] for spec in differing} == {"digits"}
    assert ("runs", "digits", "mlp", "widely") in differing


def test_what_is_a_copy_is_known_to_the_runs_of_all_methods_whose_subsets_keep_copies_together():
    copies = {"digits": {"source": "digits", "near_duplicates": 0.9}, "plain": DATASETS["plain"]}
    together = many() | {"subset_unit": "group"}
    differing = changed_specs(together, together | {"datasets": copies})
    assert {spec[1:] for spec in differing if spec[0] == "runs"} == {
        run for run in Study(many()).runs if run[0] == "digits"
    }
    differing = changed_specs(many(), many() | {"datasets": copies})
    assert {spec[0] for spec in differing} == {"prepare", "hazards"}


def test_students_share_the_masks_of_their_teachers():
    study = Study(many() | {"subset_unit": "group"})
    decides = ("dataset", "design", "ratio", "subset_unit", "near_duplicates", "duplicates")
    for run in study.runs:
        spec = study.runs_spec(*run)
        if "teacher" in spec and spec["distillation"]["teacher_data"] == "subset":
            assert [spec[key] for key in decides] == [spec["teacher"][key] for key in decides]


def test_the_code_of_the_teachers_network_is_in_the_students():
    study = Study(many())
    student, own = study.runs_spec("digits", "mlp", "distilled-from-resnet"), study.runs_spec("digits", "mlp", "own")
    of_student = ("memflow.training.blocks", registry.TEACHERS, registry.DISTILLED, registry.NETWORKS["mlp"])
    assert own["code"] == digest_of(*of_student)
    assert student["code"] == digest_of(*of_student, registry.NETWORKS["cifar-resnet"]) != own["code"]


def test_an_edit_of_the_teachers_network_stops_a_planned_job_of_its_students(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    nets = tmp_path / "nets_of_methods_test.py"
    nets.write_text("def build(): ...")
    config = many("distillation.own", {"teacher": "mine", "students": ["mlp"]})
    config["architectures"]["mine"] = {"model": "nets_of_methods_test:build", "recipe": "alone"}
    planned = {run: Study(config).block_spec(*run, 0) for run in Study(config).runs if run[:2] == ("digits", "mlp")}
    nets.write_text("def build(): return 1")
    digest._module.cache_clear()
    refused = set()
    for run, spec in planned.items():
        try:
            check_code(spec)
        except ConfigError:
            refused.add(run[2])
    digest._module.cache_clear()
    assert refused == {"own"}


@pytest.mark.parametrize("ratio", ["1/2", "7/10", "999/1000"])
def test_the_name_of_a_ratio_says_it(ratio):
    name = methods.ratio_method(ratio)
    assert Fraction("/".join(name.removeprefix("ratio-").split("-"))) == Fraction(ratio)
    assert "/" not in name


def test_a_plan_tells_every_method_apart_and_refuses_the_one_that_changed():
    before, after = Study(many()), Study(many("distillation.own.temperature", 2))
    after.check_plan(before.plan(), "digits", "mlp", "widely")
    with pytest.raises(ConfigError, match="digits/mlp/own changed after this job was submitted"):
        after.check_plan(before.plan(), "digits", "mlp", "own")


def test_reading_methods_imports_nothing_heavy():
    program = """
import sys
from memflow import config
study = config.Study({config})
[study.block_spec(*run, 0) for run in study.runs], [study.scores_spec(*run) for run in study.scored]
study.distillation_spec("digits", "sizes", "own"), study.proxies_spec("digits", "mlp")
study.distillation_figure_spec("teacher_transfer", "digits"), study.proxy_figure_spec("proxy_agreement", "digits")
heavy = {{"numpy", "torch", "pandas", "scipy", "sklearn", "matplotlib", "pyarrow", "seaborn"}}
print(*sorted(heavy & sys.modules.keys()))
"""
    command = [sys.executable, "-c", program.format(config=many())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
