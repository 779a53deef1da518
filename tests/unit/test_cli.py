import json
import re
import shutil

import pandas as pd
import pytest
import yaml
from helpers import block_spec, noise_images, tiny_config

from memflow import cli
from memflow.config import Study
from memflow.data import prepared

VERBS = {
    "config": "check a config file",
    "plan": "say what a study would run",
    "status": "say how far a study is",
    "clean": "delete the weights of teachers",
    "summary": "say what a finished study found",
    "claims": "say which of the literature's claims a finished study supports",
    "suspects": "rank training examples by how likely their label is wrong",
    "show": "show one training example",
    "export": "write a study's results as files that other tools read",
    "validate": "compare a study's scores with published",
    "audit": "say where results come from",
    "prepare": "load a dataset",
    "train": "train one block of seeds",
    "count": "merge blocks into counts",
    "score": "turn counts into score tables",
    "classify": "tell how every example's score changes",
    "distil": "tell how learning from a teacher changes",
    "proxies": "merge what tracked runs tell of every example",
    "epochs": "tell how scores change during training",
    "transitions": "tell which examples change from memorised to generalised",
    "sensitivity": "tell how results depend on runs",
    "influence": "tell which training examples help",
    "privacy": "tell how well membership",
    "judge": "judge the claims of the literature",
    "select": "choose the memorised examples",
    "removal": "compare the test accuracy without memorised",
    "browse": "write the browser of all examples",
    "report": "write the report of a finished study",
}


@pytest.fixture
def refused(capsys):
    """Runs a command that must fail; returns its message on stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        assert end.value.code == 1
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert said.out == ""
        return said.err

    return run


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(tiny_config()))
    return path


@pytest.fixture
def train(tmp_path):
    """Arguments of a small ``train`` command whose dataset exists."""
    prepared.save(noise_images(), tmp_path / "data.npz")
    arguments = {"spec": json.dumps(block_spec("mlp"))}
    arguments |= {name: tmp_path / file for name, file in (("dataset", "data.npz"), ("output", "block-0.npz"))}
    arguments["log"] = tmp_path / "logs" / "block-0.log"
    return lambda **changes: ["train", *(part for k, v in (arguments | changes).items() for part in (f"--{k}", v))]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_says_what_it_does(verb, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([verb, "--help"])
    assert end.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert VERBS[verb].lower() in said.lower()


@pytest.mark.parametrize("verb", ["status", "trace", "verify", "rerun", "accept", "diff", "export", "make"])
def test_the_help_of_the_audit_lists_its_verbs_and_each_teaches(verb, capsys):
    for arguments, words in ((["audit", "--help"], f"    {verb} "), (["audit", verb, "--help"], f"audit {verb} ")):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == 0
        assert words in capsys.readouterr().out


def test_the_help_lists_every_verb_and_how_to_run_a_study(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "snakemake --cores all" in said
    assert re.findall(r"^ {4}(\w+)", said.partition("VERB\n")[2], re.M) == [*VERBS]
    listed = said.partition("Verbs for you:")[2].partition(" explains each")[0]
    assert [verb for verb in VERBS if not re.search(rf"\b{verb}\b", listed)] == []


def test_the_help_of_a_rules_verb_says_how_to_see_its_calls(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert "snakemake --dry-run" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["trian"], ["train"]])
def test_a_wrong_command_line_ends_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: memflow" in capsys.readouterr().err


def test_config_prints_the_file_with_every_default(config_file, capsys):
    cli.main(["config", str(config_file)])
    assert yaml.safe_load(capsys.readouterr().out) == Study(tiny_config()).config


def test_config_refuses_a_wrong_file_with_the_reason(config_file, refused):
    config_file.write_text(config_file.read_text().replace("seeds:", "seedz:"))
    said = refused("config", config_file)
    assert said.startswith("memflow: the config is wrong:")
    assert "did you mean 'seeds'?" in said


def test_verbs_name_a_path_that_does_not_exist(tmp_path, refused):
    assert "no config file" in refused("config", tmp_path / "absent.yaml")
    assert f"{tmp_path} holds no finished study" in refused("summary", tmp_path)
    assert f"{tmp_path} holds no claims.csv; run snakemake first" in refused("claims", tmp_path)


def test_claims_prints_the_card_with_verdict_and_finding(tmp_path, capsys):
    numbers = {"statistic": "change", "value": 0.2, "low": 0.1, "high": 0.3, "claimed": "above 0.01", "missing": ""}
    row = {"dataset": "digits", "family": "MLPs", "verdict": "supported", **numbers, "statement": "It rises"}
    other = row | dict.fromkeys(numbers) | {"missing": "two sizes", "verdict": "undetermined", "statement": "It falls"}
    pd.DataFrame([row | {"source": "A 2020"}, other | {"source": "B 2021"}]).to_csv(tmp_path / "claims.csv")
    cli.main(["claims", str(tmp_path)])
    assert [line.split() for line in capsys.readouterr().out.splitlines() if line] == [
        ["digits,", "MLPs"],
        ["supported", "It", "rises", "(A", "2020)"],
        ["change:", "0.200", "[0.100,", "0.300],", "claimed", "above", "0.01"],
        ["undetermined", "It", "falls", "(B", "2021)"],
        ["needs", "two", "sizes"],
    ]


def test_train_writes_block_sidecar_and_log(train, tmp_path, capsys):
    cli.main([str(argument) for argument in train()])
    assert (tmp_path / "block-0.npz").is_file()
    assert (tmp_path / "block-0.npz.prov.json").is_file()
    logged = (tmp_path / "logs" / "block-0.log").read_text()
    assert "4/4 models" in logged
    assert "4/4 models" in capsys.readouterr().err


def test_code_that_changed_since_planning_is_refused_and_nothing_is_written(train, tmp_path, refused):
    said = refused(*train(spec=json.dumps(block_spec("mlp") | {"code": "0" * 16})))
    assert said.startswith("memflow: the code of stage 'runs' changed between planning and running")
    assert said in (tmp_path / "logs" / "block-0.log").read_text()
    assert not (tmp_path / "block-0.npz").exists()


def test_a_damaged_dataset_is_refused_on_the_terminal_and_in_the_log(train, tmp_path, refused):
    (tmp_path / "data.npz").write_bytes(b"no dataset")
    said = refused(*train())
    assert "data.npz is not a readable prepared dataset" in said
    logged = (tmp_path / "logs" / "block-0.log").read_text()
    assert said in logged
    assert "Traceback" not in logged


def test_a_dataset_that_does_not_exist_is_refused_by_name(train, tmp_path, refused):
    assert "absent.npz" in refused(*train(dataset=tmp_path / "absent.npz"))


FAMILY = {"families": {"sizes": {"title": "Sizes", "architectures": ["mlp", "resnet"]}}}
WITHOUT = {"removal": {"runs": 2, "block_size": 2, "architectures": ["mlp"]}}
REFUSING = {  # verbs that read the outputs of others, and which of these has no sidecar
    "count": (("dataset", "blocks", "output"), "block-0"),
    "score": (("counts", "output"), "counts"),
    "classify": (("counts", "output"), "counts"),
    "epochs": (("dataset", "counts", "blocks", "output"), "counts"),
    "transitions": (("counts", "output"), "counts"),
    "sensitivity": (("counts", "output"), "counts"),
    "select": (("dataset", "counts", "output"), "counts"),
    "removal": (("dataset", "hazards", "removed", "none", "memorised", "random", "output"), "removed"),
}


@pytest.mark.parametrize("verb", REFUSING)
def test_a_verb_refuses_an_input_without_sidecar_by_name(verb, tmp_path, refused):
    options, missing = REFUSING[verb]
    study = Study(tiny_config(block_size=8, **FAMILY, **WITHOUT))
    of_family = {"classify": "trajectories", "transitions": "transitions", "sensitivity": "sensitivity"}
    named = {"count": "counts", "score": "scores", "epochs": "epochs", "select": "selection", "removal": "removal"}
    arguments = ["digits", "sizes"] if verb in of_family else ["digits", "mlp"]
    arguments += ["one-hot"] if verb in ("count", "score") else []
    spec = getattr(study, f"{(of_family | named)[verb]}_spec")(*arguments)
    files = {"blocks": "block-0.npz", "hazards": "hazards.csv", "output": "made/output.csv"}
    prepared.save(noise_images(), tmp_path / "dataset.npz")
    for option in options[:-1]:
        path = tmp_path / files.get(option, f"{option}.npz")
        if not path.exists():
            shutil.copy(tmp_path / "dataset.npz", path)
    given = [part for option in options for part in (f"--{option}", tmp_path / files.get(option, f"{option}.npz"))]
    if verb in of_family:
        given.insert(given.index("--counts") + 1, tmp_path / "counts.npz")
    assert f"{missing}.npz has no sidecar" in refused(verb, "--spec", json.dumps(spec), *given)
    assert not (tmp_path / "made").exists()


def test_judge_refuses_a_study_whose_counts_have_no_sidecar(tmp_path, refused):
    spec = Study(tiny_config(block_size=8, **FAMILY)).claims_spec()
    for member in ("mlp", "resnet"):
        path = tmp_path / f"counts/digits/{member}/one-hot.npz"
        path.parent.mkdir(parents=True)
        prepared.save(noise_images(), path)
    card = tmp_path / "claims.csv"
    said = refused("judge", "--spec", json.dumps(spec), "--results", tmp_path, "--output", card)
    assert "mlp/one-hot.npz has no sidecar" in said
    assert not card.exists()


def test_a_bug_ends_with_its_traceback_on_the_terminal_and_in_the_log(train, tmp_path, capsys):
    spec = block_spec("mlp")
    del spec["design"]
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in train(spec=json.dumps(spec))])
    assert end.value.code == 1
    for said in (capsys.readouterr().err, (tmp_path / "logs" / "block-0.log").read_text()):
        assert "Traceback" in said
        assert "KeyError: 'design'" in said


def test_a_later_job_in_the_same_process_does_not_log_to_an_earlier_file(train, tmp_path):
    cli.main([str(argument) for argument in train()])
    first = (tmp_path / "logs" / "block-0.log").read_text()
    cli.main([str(argument) for argument in train(output=tmp_path / "again.npz", log=tmp_path / "again.log")])
    assert (tmp_path / "logs" / "block-0.log").read_text() == first
    assert "4/4 models" in (tmp_path / "again.log").read_text()
