import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import yaml
from helpers import ARCHITECTURES, noise_images, tiny_config

from memflow import cli, costs, plan, throughputs
from memflow.config import Study
from memflow.costs import Cost
from memflow.data import prepare, prepared
from memflow.errors import InputError
from memflow.statistics.proportions import newcombe
from memflow.training import blocks

# methods.md, precision: standard errors at r = 0.7
ORACLE = {
    100: (0.109, 0.091),
    200: (0.077, 0.065),
    400: (0.055, 0.046),
    1000: (0.035, 0.029),
    2000: (0.024, 0.020),
    4000: (0.017, 0.014),
}
RATIO = Fraction(7, 10)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with the config of a small study."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tiny_config()))
    return tmp_path


@pytest.fixture
def planned(tmp_path):
    """The text of a plan."""

    def run(table=(), half_width=0.1, **changes):
        for row in table:
            costs.record(tmp_path / "costs.csv", row)
        study = Study(tiny_config(**changes))
        return plan.run(study, tmp_path / "results" / "small", tmp_path / "costs.csv", half_width)

    return run


def measured(architecture, device=None, **values):
    spec = Study(tiny_config()).runs_spec("digits", architecture, "one-hot")
    row = Cost("digits", architecture, costs.definition(spec), costs.device(spec), 90.0, 40.0, 500, "2026-01-31")
    return replace(row, **values, device=device or row.device)


def cells(text, first):
    """The columns of the line that starts with some text, split at two or more blanks."""
    line = next(line for line in text.splitlines() if line.strip().startswith(first))
    return re.split(r"\s{2,}", line.strip())


@pytest.mark.parametrize("runs", ORACLE)
def test_standard_errors_are_those_of_the_methods(runs):
    assert [round(error, 3) for error in plan.standard_errors(runs, RATIO)] == pytest.approx(ORACLE[runs], abs=0.00051)


def test_the_half_width_is_about_that_of_the_interval_of_a_score():
    z = 1.959964
    for (acc_in, acc_out), error in zip([(0.5, 0.5), (1, 0.5)], plan.standard_errors(1000, RATIO), strict=True):
        low, high = newcombe(*(np.array(k) for k in (700 * acc_in, 700, 300 * acc_out, 300)), 0.95)
        assert z * error == pytest.approx(float(high - low) / 2, rel=0.02)


@pytest.mark.parametrize("block_size", [1, 10, 50])
@pytest.mark.parametrize("half_width", [0.2, 0.1, 0.03])
def test_the_seeds_needed_are_the_fewest_blocks_that_reach_the_half_width(half_width, block_size):
    for case, seeds in enumerate(plan.seeds_needed(half_width, RATIO, 0.95, block_size)):
        assert seeds % block_size == 0
        assert 1.959964 * plan.standard_errors(seeds, RATIO)[case] <= half_width
        fewer = max(seeds - block_size, 1e-9)
        assert 1.959964 * plan.standard_errors(fewer, RATIO)[case] > half_width


def test_a_higher_confidence_needs_more_seeds():
    assert plan.seeds_needed(0.1, RATIO, 0.99, 10) > plan.seeds_needed(0.1, RATIO, 0.9, 10)


def test_a_plan_counts_runs_and_jobs(planned):
    text = planned()
    assert "Study small: 1 dataset x 3 architectures x 8 seeds, in blocks of 4" in text
    assert cells(text, "digits  ")[:5] == ["digits", "mlp", "8", "2", "0"]
    assert cells(text, "total")[:4] == ["total", "24", "6", "0"]
    assert "Jobs: 1 prepare, 6 train (6 left), 3 count, 3 score" in text


def test_what_was_not_measured_is_said_with_the_remedy(planned):
    text = planned(architectures={name: ARCHITECTURES[name] for name in ("mlp", "neighbour")})
    assert text.count("  not known  ") == 2
    assert "~" not in text
    assert "Not measured: 2 of 2; memflow plan FILE --probe measures them" in text
    assert "Times:" not in text


def test_recorded_costs_give_the_time_of_all_jobs(planned):
    text = planned([measured("mlp"), measured("resnet", seconds_per_model=3600.0)])
    assert cells(text, "digits  ")[5:8] == ["90 s", "13 min", "13 min"]  # 2 jobs of 4 models and a start
    assert cells(text, "core time") == ["core time", "8.2 h", "8.2 h"]
    assert "Not measured: 1 of 3" in text


def test_a_gpus_hours_stand_apart_and_another_device_is_named(planned):
    text = planned([measured("mlp", "cuda: Big"), measured("neighbour")])
    assert cells(text, "GPU time") == ["GPU time", "13 min", "13 min"]
    assert cells(text, "core time") == ["core time", "13 min", "13 min"]
    assert "Times: measured on cuda: Big (" in text
    assert "This machine has another cpu: " in text
    assert "This machine has another" not in planned([measured("mlp")])


def test_finished_blocks_of_this_study_count_as_done_and_others_do_not(planned, tmp_path):
    runs = tmp_path / "results" / "small" / "runs" / "digits"
    prepared.save(noise_images(), tmp_path / "noise.npz")
    study = Study(tiny_config())
    for architecture, block in (("mlp", 0), ("mlp", 1), ("resnet", 1)):
        output = runs / architecture / "one-hot" / f"block-{block}.npz"
        blocks.run(study.block_spec("digits", architecture, "one-hot", block), tmp_path / "noise.npz", output)
    text = planned([measured("mlp"), measured("resnet")])
    assert cells(text, "total")[3] == "3"
    assert cells(text, "core time") == ["core time", "27 min", "6.7 min"]
    assert "6 train (3 left)" in text
    other = planned(recipe={"learning_rate": 0.2})
    assert cells(other, "total")[3] == "0"
    (runs / "mlp" / "one-hot" / "block-0.npz").unlink()
    (runs / "resnet" / "one-hot" / "block-1.npz.prov.json").write_text("{")
    assert cells(planned(), "total")[3] == "1"


def test_what_was_not_measured_is_estimated_apart_and_said_so(planned):
    text = planned([measured("mlp")])
    assert cells(text, "digits   mlp")[5:8] == ["90 s", "13 min", "13 min"]
    assert all(cell.startswith("~ ") for cell in cells(text, "digits   resnet")[5:8])
    assert cells(text, "digits   neighbour")[5] == "not known"
    assert cells(text, "core time") == ["core time", "13 min", "13 min"]
    assert cells(text, "~ GeForce GTX 1080 Ti")[1].startswith("~ ")
    assert "Times with ~ are estimated from documented throughputs (profiles/throughputs.csv), not measured:\n" in text
    assert "\n- GeForce GTX 1080 Ti (precision not stated, images of 32 px)\n" in text
    assert "real runs are slower" in text
    assert "Not measured: 2 of 3" in text
    everything = planned([measured("resnet"), measured("neighbour")])
    assert "~" not in everything


def test_an_estimate_can_be_checked_by_hand(planned):
    text = planned(datasets={"photos": {"source": "cifar10"}}, recipe={"epochs": 30, "batch_size": 100})
    explained = text[text.index("~ one model") :]
    assert cells(explained, "photos")[:4] == ["photos", "resnet", "30 x 250 x 100", "3 x 60,000"]
    gmacs, row, per_second, documented = cells(explained, "photos")[4:]
    assert row == "ResNet-preact-20"
    train, infer = (float(number.replace(",", "")) for number in per_second.split(", "))
    seconds = float(gmacs) / float(documented) * (30 * 25_000 / train + 3 * 60_000 / infer)
    each = cells(text, "photos   resnet")[5]
    assert float(each.removeprefix("~ ").removesuffix(" s")) == pytest.approx(seconds, rel=0.1)


def test_two_kinds_of_devices_are_not_summed(planned, monkeypatch):
    rows = [replace(row, device="Other") if row.variant == "110" else row for row in throughputs.read()]
    other = replace(next(row for row in rows if row.model == "cifar-resnet"), device="Other", variant="14")
    monkeypatch.setattr(throughputs, "read", lambda: [*rows, other])
    resnet = {"model": "cifar-resnet", "width": 2, "recipe": "short"}
    text = planned(architectures={"8": {**resnet, "depth": 20}, "14": {**resnet, "depth": 14}})
    assert cells(text, "~ GeForce GTX 1080 Ti")
    assert cells(text, "~ Other")


def test_published_sizes_stand_in_for_a_dataset_that_is_not_prepared(planned):
    text = planned(datasets={"photos": {"source": "cifar10"}, "digits": {"source": "digits"}})
    assert "Sizes: data/photos is not prepared: published sizes used" in text
    assert "data/digits is not prepared" not in text
    assert "186 MB of data" in text


def test_the_sizes_of_a_prepared_file_count(planned, tmp_path):
    study = Study(tiny_config())
    path = tmp_path / "results" / "small" / "data" / "digits.npz"
    without = planned()
    assert not path.exists()
    prepare.run(study.prepare_spec("digits"), path)
    assert planned() == without
    prepared.save(noise_images(n=100_000, shape=(1, 1, 1)), path)  # under the same sidecar
    assert cells(planned(), "digits  ")[-1] != cells(without, "digits  ")[-1]


def test_the_table_is_aligned_and_fits_a_terminal(planned, tmp_path):
    text = planned([measured("mlp"), measured("resnet", seconds_per_model=36000.0), measured("neighbour")])
    lines = text.splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 100
    table = lines[2 : lines.index("", 2)]
    assert len({len(line) for line in table if line.endswith(("disk", "B"))}) == 1


@pytest.mark.parametrize("half_width", [0, -0.1, 1, float("nan")])
def test_an_impossible_half_width_is_refused(planned, half_width):
    with pytest.raises(InputError, match="half-width is"):
        planned(half_width=half_width)


def test_the_command_prints_the_plan_of_the_file(here, capsys):
    cli.main(["plan", "--half-width", "0.05"])
    said = capsys.readouterr().out
    assert said.startswith("Study small:")
    needed = plan.seeds_needed(0.05, Fraction(1, 2), 0.95, 4)
    assert cells(said, "seeds for a half-width of 0.05")[1:] == [f"{number:,}" for number in needed]


def test_the_file_can_be_given_as_snakemake_has_it(here, capsys):
    (here / "other.yaml").write_text(yaml.safe_dump(tiny_config(study="other")))
    cli.main(["plan", "--configfile", "other.yaml"])
    assert capsys.readouterr().out.startswith("Study other:")
    with pytest.raises(SystemExit):
        cli.main(["plan", "config.yaml", "--configfile", "other.yaml"])


def test_the_command_probes_and_records(here, capsys):
    config = tiny_config(architectures={"mlp": {"model": "mlp", "hidden": [8], "recipe": "short"}})
    (here / "small.yaml").write_text(yaml.safe_dump(config))
    cli.main(["plan", "small.yaml", "--probe"])
    said = capsys.readouterr()
    assert "probing 1 of 1: digits mlp" in said.err
    assert "ot measured" not in said.out
    assert "(profiles/costs.csv)" in said.out
    assert [row.architecture for row in costs.read()] == ["mlp"]
    assert not (here / "results").exists()


def test_the_command_refuses_a_damaged_cost_table(here, capsys):
    (here / "profiles").mkdir()
    (here / "profiles" / "costs.csv").write_text("nonsense\n")
    with pytest.raises(SystemExit) as end:
        cli.main(["plan"])
    assert end.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "memflow: profiles/costs.csv, line 1: the columns are nonsense" in said.err


def test_the_help_explains_times_and_seeds(capsys):
    with pytest.raises(SystemExit):
        cli.main(["plan", "--help"])
    said = capsys.readouterr().out
    for word in ("profiles/costs.csv", "--probe", "--half-width", "How many seeds?"):
        assert word in said


METHODS = {
    "families": {"sizes": {"title": "Sizes", "architectures": ["mlp", "resnet"]}},
    "distillation": {"distilled-from-resnet": {"teacher": "resnet"}},
    "proxies": {"runs": 6, "block_size": 2, "ratios": ["3/4"]},
}


def test_a_plan_of_one_method_does_not_name_it(planned):
    text = planned()
    assert "method" not in text
    assert "one-hot" not in text


def rows(text):
    """Columns of the table's lines from the runs on, by architecture and method."""
    split = [re.split(r"\s{2,}", line.strip()) for line in text.partition("\n\n")[2].partition("\n\n")[0].splitlines()]
    return {tuple(row[1:3]): row[3:] for row in split if row[0] == "digits"}


def test_a_plan_of_several_methods_has_a_line_for_each(planned):
    text, study = planned([measured("mlp")], **METHODS), Study(tiny_config(**METHODS))
    assert "Study small: 8 combinations of 1 dataset, 3 architectures and 4 methods x 8 seeds" in text
    found = rows(text)
    assert list(found) == [run[1:] for run in study.runs]
    assert found["mlp", "full-data"][:5] == ["6", "3", "0", "3.0 min", "20 min"]  # 3 jobs of 2 models and a start
    assert found["mlp", "ratio-3-4"][:4] == ["8", "2", "0", "2.2 min"]
    assert cells(text, "total")[:4] == ["total", "60", "18", "0"]
    assert re.search(r"digits +resnet full-data +2 x 67 x 16", text)  # the work behind an estimate


def test_a_plan_names_the_jobs_of_all_stages_and_the_weights_that_are_kept(planned):
    text = planned(**METHODS)
    assert "Jobs: 1 prepare, 18 train (18 left), 6 count, 6 score, 1 distil, 2 proxies; then traj" in text
    assert re.search(r"Of it .* are weights that others learn from \(resnet\); .*memflow clean FILE --weights", text)
    without = planned(**{**METHODS, "distillation": {}})
    assert "weights" not in without
    assert "distil" not in without
