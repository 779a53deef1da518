import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import RECIPE, tiny_config

from memflow import costs
from memflow.config import Study, read
from memflow.costs import Cost, CostsError

ROW = Cost("digits", "mlp", "0123456789ab", "cpu: Quick, 2 GHz", 0.0125, 3.5, 540, "2026-01-31")
HEADER = ",".join(costs.COLUMNS)
LINE = "digits,mlp,0123456789ab,cpu: Slow,1.5,3.5,540,2026-01-31"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "profiles" / "costs.csv"


def definition(architecture="mlp", dataset="digits", **changes):
    return costs.definition(Study(tiny_config(**changes)).runs_spec(dataset, architecture, "one-hot"))


def test_what_was_recorded_is_read(path):
    costs.record(path, ROW)
    assert costs.read(path) == [ROW]


def test_a_missing_table_is_empty(path):
    assert costs.read(path) == []


def test_recording_replaces_the_row_of_its_definition_and_device_and_keeps_all_others(path):
    others = [replace(ROW, device="cuda: Big"), replace(ROW, definition="ba9876543210")]
    for row in (*others, ROW):
        costs.record(path, row)
    newer = replace(ROW, seconds_per_model=0.5, measured="2026-02-01")
    costs.record(path, newer)
    assert set(costs.read(path)) == {*others, newer}
    assert len(costs.read(path)) == 3


def test_the_bytes_of_a_table_do_not_depend_on_the_order_of_recording(tmp_path):
    rows = [replace(ROW, architecture=name, definition=f"{name:0>12}") for name in ("a", "b", "c")]
    written = []
    for name, order in (("first", rows), ("second", rows[::-1])):
        for row in order:
            costs.record(tmp_path / name, row)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert written[0].splitlines()[0].decode() == HEADER


def test_a_job_takes_its_start_and_its_models():
    assert ROW.seconds(100) == pytest.approx(3.5 + 1.25)


def test_the_row_of_the_preferred_device_is_found():
    slower = replace(ROW, device="cpu: Slow", seconds_per_model=2.0)
    assert costs.find([slower, ROW], ROW.definition, ROW.device) == ROW
    assert costs.find([ROW, slower], ROW.definition, slower.device) == slower


def test_without_a_row_of_the_preferred_device_the_slowest_is_found():
    slower = replace(ROW, device="cpu: Slow", seconds_per_model=2.0)
    assert costs.find([ROW, slower], ROW.definition, "cuda: Other") == slower
    assert costs.find([slower, ROW], ROW.definition) == slower


def test_a_definition_without_a_row_is_not_found():
    assert costs.find([ROW], "f" * 12, ROW.device) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {"epochs": 3}},
        {"recipe": {"fuse": 4}},
        {"ratio": "3/4"},
        {"architectures": {"mlp": {"model": "mlp", "hidden": [9], "recipe": "short"}}},
        {"datasets": {"digits": {"source": "digits", "label_noise": {"fraction": 0.1}}}},
    ],
)
def test_the_definition_changes_with_what_costs(changes):
    assert definition(**changes) != definition()


@pytest.mark.parametrize("changes", [{"seeds": 16}, {"design": "iid"}, {"subset_unit": "group"}, {"confidence": 0.9}])
def test_the_definition_does_not_change_with_what_costs_nothing(changes):
    assert definition(**changes) == definition()


def test_the_definition_depends_on_neither_code_nor_method_nor_the_names_in_the_study():
    spec = Study(tiny_config()).runs_spec("digits", "mlp", "one-hot")
    assert costs.definition(spec | {"code": "0" * 16, "method": "distilled"}) == costs.definition(spec)
    renamed = {
        "architectures": {"other": {"model": "mlp", "hidden": [8], "recipe": "long"}},
        "recipes": {"long": RECIPE},
    }
    assert definition("other", "images", **renamed, datasets={"images": {"source": "digits"}}) == definition()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "line 1: the columns are missing"),
        ("name,value\n", "line 1: the columns are name, value; they must be dataset, architecture"),
        (f"{HEADER}\n{LINE}\n{LINE},more\n", "line 3: 9 columns instead of 8"),
        (f"{HEADER}\n<<<<<<< HEAD\n", "line 2: 1 columns instead of 8"),
        (f"{HEADER}\n{LINE}\n{LINE.replace('1.5', 'fast')}\n", "line 3, column seconds_per_model is 'fast'"),
        (f"{HEADER}\n{LINE.replace('1.5', '-1')}\n", "line 2, column seconds_per_model is '-1'"),
        (f"{HEADER}\n{LINE.replace('3.5', 'nan')}\n", "line 2, column seconds_fixed is 'nan'"),
        (f"{HEADER}\n{LINE.replace('540', '0.5')}\n", "line 2, column memory_mb is '0.5'"),
        (f"{HEADER}\n{LINE.replace('2026-01-31', 'today')}\n", "line 2, column measured is 'today'"),
        (f"{HEADER}\n{LINE.replace('cpu: Slow', '')}\n", "line 2, column device is ''"),
    ],
)
def test_a_damaged_table_is_refused_by_line_and_column(path, content, said):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(CostsError) as refused:
        costs.read(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00PNG", b'"open quote\n'])
def test_a_file_that_is_no_table_is_refused(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(CostsError, match=r"costs\.csv"):
        costs.read(path)


def test_a_damaged_table_is_not_overwritten(path):
    path.parent.mkdir()
    path.write_text("precious\n")
    with pytest.raises(CostsError):
        costs.record(path, ROW)
    assert path.read_text() == "precious\n"


def test_the_device_names_its_kind():
    spec = Study(tiny_config()).runs_spec("digits", "neighbour", "one-hot")
    kind, _, name = costs.device(spec).partition(": ")
    assert kind == "cpu"
    assert name.strip() == name != ""


def test_reading_costs_imports_nothing_heavy():
    heavy = "{'numpy', 'pandas', 'torch', 'matplotlib', 'scipy'}"
    code = f"import sys; from memflow import costs; costs.read(); print(*({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_shipped_table_knows_the_default_study():
    """If not: ``memflow plan --probe`` measures what is new."""
    root = Path(costs.__file__).parents[2]
    study, table = Study(read(root / "config.yaml")), costs.read(root / costs.TABLE)
    parts = [(dataset, architecture) for dataset in study.datasets for architecture in study.architectures]
    assert [part for part in parts if not costs.find(table, costs.definition(study.runs_spec(*part, "one-hot")))] == []


FAMILY = {"sizes": {"title": "Sizes", "architectures": ["mlp", "resnet"]}}


def with_methods(**recipe):
    """A study of all kinds of methods, on a dataset that is augmented and on one that is not."""
    return Study(
        tiny_config(
            recipe={"augment": {"flip": True}, **recipe},
            datasets={"digits": {"source": "digits"}, "plain": {"source": "digits", "augment": False}},
            families=FAMILY,
            distillation={
                "distilled-from-resnet": {"teacher": "resnet"},
                "own": {"teacher": "self"},
                "told": {"teacher": "resnet", "teacher_data": "full"},
            },
            proxies={"runs": 4, "block_size": 2, "ratios": ["3/4", "1/4"]},
        )
    )


def measured(study, **seconds):
    """A table in which one-hot runs of some architectures were measured on both datasets."""
    keys = [(dataset, name) for dataset in study.datasets for name in seconds]
    return [
        replace(ROW, definition=costs.definition(study.runs_spec(*key, "one-hot")), seconds_per_model=seconds[key[1]])
        for key in keys
    ]


@pytest.mark.parametrize(
    ("dataset", "method", "seconds"),
    [
        ("digits", "one-hot", 6),
        ("digits", "full-data", 12),
        ("digits", "ratio-3-4", 9),
        ("digits", "ratio-1-4", 3),
        ("digits", "distilled-from-resnet", 6 + 30 / 3),
        ("digits", "told", 6 + 30 / 3),
        ("digits", "own", 6 + 6 / 3),
        ("plain", "distilled-from-resnet", 6),
        ("plain", "own", 6),
        ("plain", "full-data", 12),
    ],
)
def test_a_run_of_any_method_is_expected_to_cost_its_images_and_its_teachers_passes(dataset, method, seconds):
    study = with_methods()
    found = costs.expected(measured(study, mlp=6.0, resnet=30.0), study, dataset, "mlp", method)
    assert found.seconds_per_model == pytest.approx(seconds)
    assert (found.seconds_fixed, found.memory_mb) == (ROW.seconds_fixed, ROW.memory_mb)


def test_one_hot_runs_cost_what_was_measured():
    study = with_methods()
    table = measured(study, mlp=6.0)
    assert costs.expected(table, study, "digits", "mlp", "one-hot") == table[0]


@pytest.mark.parametrize("method", with_methods().methods)
def test_the_cost_of_no_method_is_known_before_one_hot_runs_are_measured(method):
    study = with_methods()
    assert costs.expected(measured(study, resnet=30.0), study, "digits", "mlp", method) is None


def test_a_student_of_a_teacher_that_was_not_measured_costs_at_least_its_own_steps():
    study = with_methods()
    found = costs.expected(measured(study, mlp=6.0), study, "digits", "mlp", "distilled-from-resnet")
    assert found.seconds_per_model == 6


def test_the_preferred_device_counts_for_student_and_teacher():
    study = with_methods()
    table = measured(study, mlp=6.0, resnet=30.0)
    fast = [replace(row, device="cuda: Big", seconds_per_model=row.seconds_per_model / 3) for row in table]
    found = costs.expected(table + fast, study, "digits", "mlp", "distilled-from-resnet", preferred="cuda: Big")
    assert found.seconds_per_model == pytest.approx(2 + 10 / 3)
