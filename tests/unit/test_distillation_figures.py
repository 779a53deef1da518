import functools
import io
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_helpers import FAMILIES as MLPS
from figure_helpers import collisions, drawn_texts, legend_texts, outside
from figure_helpers import select as rows_with
from helpers import ARCHITECTURES, tiny_config
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import to_hex

from memflow import distillation, provenance, trajectories
from memflow.config import Study
from memflow.figures import distillation_by_trajectory, distillation_joint, style, teacher_transfer
from memflow.figures.distillation_by_trajectory import MARKERS, ROWS
from memflow.figures.distillation_joint import CENTRES, EDGES, FEWEST
from memflow.figures.distillations import LEAK
from memflow.files import sha256, write_csv, write_parquet
from memflow.statistics.trajectory_types import TESTED

pytestmark = pytest.mark.usefixtures("figure_style")

PROJECT = Path(__file__).parents[2]
MODULES = {
    "distillation_joint": distillation_joint,
    "distillation_by_trajectory": distillation_by_trajectory,
    "teacher_transfer": teacher_transfer,
}
KINDS = {"distillation_joint": "pairs", "distillation_by_trajectory": "summary", "teacher_transfer": "transfer"}
SIZES = {f"{kind}-{width}": 100 * width**2 for kind in ("resnet", "mlp") for width in (2, 4, 8, 16)}
SIZES |= {f"resnet{number}-width-{2 ** (number + 1)}": 1000 * (number + 1) for number in range(3)}
METHODS = {
    "distilled": {"teacher": "resnet-16", "teacher_data": "subset", "targets": "teacher"},
    "self": {"teacher": "self", "teacher_data": "subset", "targets": "teacher"},
    "smoothed": {"teacher": "resnet-16", "teacher_data": "subset", "targets": "smoothed"},
    "leaky": {"teacher": "resnet-16", "teacher_data": "full", "targets": "teacher"},
}
FAMILIES = {"ResNet-8, width 2 to 16": "resnet", "MLP, 2 to 16 units": "mlp"}
CELLS = [(True, True), (True, False), (False, True), (False, False)]


def make_spec(n_students=3, n_families=1, methods=("distilled",), overlap=None):
    titles = list(FAMILIES)[:n_families]
    entries = []
    for title in titles:
        kind = FAMILIES[title]
        for method in methods:
            entry = METHODS[method] | {"family": title, "method": method}
            entries.append(entry | {"students": [f"{kind}-{width}" for width in (2, 4, 8)[:n_students]]})
    return {
        "dataset": "digits",
        "distillations": entries,
        "families": [{"title": t, "architectures": [f"{FAMILIES[t]}-{w}" for w in (2, 4, 8, 16)]} for t in titles],
        "pretraining_overlap": dict.fromkeys(SIZES, "no") | (overlap or {}),
        "memorised_at": 0.25,
    }


def pairs_of(spec, n=600, runs=15):
    """Scores of saturated networks from finite runs, with a distilled score that is lower the more memorised."""
    parts = []
    for number, entry in enumerate(spec["distillations"]):
        for rank, student in enumerate(entry["students"]):
            random = np.random.default_rng(10 * rank)
            out = random.beta(0.25 + 0.1 * rank, 0.15, n) if n else np.zeros(0)
            kept = 1 - out if entry["teacher"] == "self" else (1 - out) * (0.8 + 0.05 * rank)
            for half in ("even", "odd"):
                score = [1 - random.binomial(runs, out) / runs for _ in range(2)]
                distilled = np.random.default_rng(number).binomial(runs, np.clip(kept, 0, 1)) / runs
                columns = {"family": entry["family"], "method": entry["method"], "student": student}
                columns |= {"parameters": SIZES[student], "selected_on": half, "index": np.arange(n)}
                columns |= {"label": np.arange(n) % 10, "label_noise": False, "input_noise": False}
                columns |= {"type": random.choice(TESTED, n), "descriptive": "constant"}
                columns |= {"one_hot_selecting": score[0], "teacher_selecting": np.nan}
                columns |= {"one_hot": score[1], "distilled": distilled, "teacher": np.nan}
                parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def summary_of(spec, populations=("all",), empty=("cap-shaped",)):
    changes = {"all": -0.01, "memorised": -0.2, "not memorised": 0.02, "constant": -0.01, "increasing": -0.25}
    changes |= {"decreasing": -0.08, "cap-shaped": -0.1, "undetermined": -0.05}
    rows = []
    for entry in spec["distillations"]:
        for rank, student in enumerate(entry["students"]):
            leading = {"family": entry["family"], "method": entry["method"], "student": student}
            leading |= {"parameters": SIZES[student]}
            for examples in populations:
                for kind, change in changes.items():
                    value = change * (0.2 if entry["teacher"] == "self" else 1) * (1.2 - 0.2 * rank)
                    value = (value + 0.0007 * len(rows)) * (3 if examples == "flipped label" else 1)
                    quantity = "mean_change" if kind == "all" else "change"
                    row = leading | {"examples": examples, "quantity": quantity, "type": kind if kind != "all" else ""}
                    row |= {"value": value, "low": value - 0.03, "high": value + 0.025, "n_examples": 100}
                    row |= {"p_value": 0.004 * (len(rows) % 9), "p_holm": 0.02 * (len(rows) % 7)}
                    if kind in empty:
                        row |= dict.fromkeys(["value", "low", "high", "p_value", "p_holm"], np.nan) | {"n_examples": 0}
                    rows.append(row)
                rows.append(leading | {"examples": examples, "quantity": "acc_test_change", "type": "", "value": 9.0})
    return pd.DataFrame(rows)


def transfer_of(spec, empty=()):
    quantities = ["share_of_examples", "teacher", "one_hot", "distilled", "change"]
    rows = []
    for entry in spec["distillations"]:
        if entry["teacher"] == "self" or entry["teacher_data"] == "full":
            continue
        for student in entry["students"]:
            for cell, share, score in zip(CELLS, (0.08, 0.03, 0.011, 0.879), (0.8, 0.15, 0.4, 0.02), strict=True):
                for quantity in quantities:
                    value = {"share_of_examples": share, "one_hot": score, "distilled": 0.8 * score}.get(quantity, 0.5)
                    value += 0.0003 * len(rows)
                    row = {"family": entry["family"], "method": entry["method"], "student": student}
                    row |= {"parameters": SIZES[student], "quantity": quantity, "n_examples": 50}
                    row |= dict(zip(("teacher_memorises", "one_hot_memorises"), cell, strict=True))
                    row |= {"value": value, "low": 0.9 * value, "high": 1.1 * value}
                    if cell in empty:
                        nothing = 0.0 if quantity == "share_of_examples" else np.nan
                        row |= {"value": nothing, "low": nothing, "high": nothing, "n_examples": 0}
                    rows.append(row)
    columns = ["family", "method", "student", "parameters", "teacher_memorises", "one_hot_memorises", "quantity"]
    return pd.DataFrame(rows, columns=[*columns, "value", "low", "high", "n_examples"])


MAKE = {"pairs": pairs_of, "summary": summary_of, "transfer": transfer_of}


def make(name, spec=None, **options):
    """Table and drawing of a figure."""
    spec = spec or make_spec()
    numbers = MODULES[name].table(spec, {KINDS[name]: MAKE[KINDS[name]](spec, **options)})
    return numbers, MODULES[name].draw(spec, numbers)


@functools.cache
def drawing(name, *methods):
    """A figure with two families."""
    return make(name, make_spec(n_families=2, methods=methods or ("distilled", "self", "leaky")))


def texts_of(figure):
    return [text for text, _ in drawn_texts(figure)]


# --- all three -------------------------------------------------------------------------------------------------------


LAYOUTS = [(1, 1, ["distilled"]), (3, 1, ["distilled", "self"]), (1, 2, ["distilled", "leaky"])]
LAYOUTS += [(3, 2, list(METHODS))]


@pytest.mark.parametrize(("n_students", "n_families", "methods"), LAYOUTS)
@pytest.mark.parametrize("name", MODULES)
def test_no_text_covers_another_or_leaves_the_figure(name, n_students, n_families, methods):
    spec = make_spec(n_students, n_families, methods, overlap={"resnet-4": "unknown", "mlp-2": "yes"})
    options = {"populations": ("all", "clean label", "flipped label")} if name == "distillation_by_trajectory" else {}
    _, figure = make(name, spec, **options)
    texts = drawn_texts(figure)
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []
    assert figure.get_figwidth() == style.ONE_COLUMN
    words = " ".join(" ".join(text for text, _ in texts).split()).replace("held- out", "held-out")
    for title in list(FAMILIES)[:n_families]:
        assert title in words
    assert "held-out images seen: unknown" in words
    assert ("held-out images seen: yes" in words) == (n_families == 2)


@pytest.mark.parametrize("name", MODULES)
def test_three_families_with_long_names_fit(name):
    entries, families = [], []
    for number, width in enumerate((2, 4, 8)):
        title, student = f"Residual networks of depth 8 to 110, number {number}", f"resnet{number}-width-{width}"
        method = {"method": "distilled-from-resnet2-width-110-at-the-tenth-epoch", "teacher": "resnet2-width-110"}
        entries.append(METHODS["distilled"] | method | {"family": title, "students": [student]})
        families.append({"title": title, "architectures": [student]})
    overlap = {entry["students"][0]: "unknown" for entry in entries}
    spec = make_spec() | {"distillations": entries, "families": families, "pretraining_overlap": overlap}
    _, figure = make(name, spec)
    texts = drawn_texts(figure)
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []


@pytest.mark.parametrize("name", MODULES)
def test_a_figure_drawn_again_from_its_written_table_is_the_same_bytes_so_that_every_number_is_in_it(name, tmp_path):
    spec = make_spec(2, 1, ("distilled", "leaky"))
    numbers, figure = make(name, spec)
    read = pd.read_csv(io.StringIO(numbers.to_csv(index=False)))
    for folder, drawn in (("first", figure), ("again", MODULES[name].draw(spec, read))):
        style.save(drawn, tmp_path / folder / "figure.pdf", tmp_path / folder / "figure.png")
    for kind in ("pdf", "png"):
        first, again = ((tmp_path / folder / f"figure.{kind}").read_bytes() for folder in ("first", "again"))
        assert first == again
        assert [stamp for stamp in (b"CreationDate", b"Producer", b"Software", b"Matplotlib") if stamp in first] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_table_starts_with_the_method_and_what_its_teacher_has_seen(name):
    numbers, _ = drawing(name)
    leading = ["dataset", "family", "method", "teacher", "teacher_data", "student", "parameters"]
    assert [column for column in numbers if column in leading] == leading
    assert set(numbers["dataset"]) == {"digits"}
    taught = {"distilled": "subset", "self": "subset", "leaky": "full", "one-hot": "no teacher"}
    assert (numbers["teacher_data"] == numbers["method"].map(taught)).all()
    assert (numbers["parameters"] == numbers["student"].map(SIZES)).all()


@pytest.mark.parametrize("name", ["distillation_joint", "distillation_by_trajectory"])
def test_a_teacher_that_has_seen_the_held_out_labels_is_stamped(name):
    assert LEAK == "teacher trained on all data: leaks the held-out labels"
    for methods in (("leaky",), ("distilled", "leaky"), ("distilled",)):
        _, figure = make(name, make_spec(methods=methods))
        stamped = [text.splitlines()[0] for text in texts_of(figure) if LEAK in text]
        assert stamped == (["leaky (teacher: resnet-16)"] if "leaky" in methods else [])


def test_a_leaking_teacher_is_stamped_where_its_transfer_is_shown_too():
    spec = make_spec()
    given = transfer_of(spec)
    spec["distillations"][0]["teacher_data"] = "full"
    numbers = teacher_transfer.table(spec, {"transfer": given})
    assert set(numbers["teacher_data"]) == {"full"}
    assert any(LEAK in text for text in texts_of(teacher_transfer.draw(spec, numbers)))


@pytest.mark.parametrize("name", MODULES)
def test_a_pretrained_teacher_is_named_with_what_it_may_have_seen(name):
    spec = make_spec()
    spec["distillations"][0]["teacher"] = "vit"
    spec["pretraining_overlap"]["vit"] = "yes"
    _, figure = make(name, spec)
    assert any("teacher pretrained; held-out images seen: yes" in text for text in texts_of(figure))


@pytest.mark.parametrize("name", MODULES)
def test_titles_say_who_the_teacher_is_and_which_targets_are_smoothed(name):
    _, figure = make(name, make_spec(methods=("distilled", "self", "smoothed")))
    texts = texts_of(figure)
    assert "distilled (teacher: resnet-16)" in texts
    assert "smoothed (teacher: resnet-16, smoothed targets)" in texts
    assert ("self (teacher: same size)" in texts) == (name != "teacher_transfer")


@pytest.mark.parametrize("name", MODULES)
def test_the_figures_take_the_tables_of_the_stage(name, simulate_family):
    spec = make_spec(n_students=1)
    hard = np.linspace(0, 1, 60) ** 2
    one_hot = simulate_family(np.stack([hard, hard, hard, hard]))
    (distilled,) = simulate_family(0.7 * hard[None], seed=1)
    family = dict(zip(spec["families"][0]["architectures"], one_hot, strict=True))
    halves = trajectories.halves_table(family, tau=0.15, fdr=0.1, confidence=0.95)
    pairs = distillation.pair_table(halves, "resnet-2", one_hot[0], distilled, one_hot[-1])
    rule = {"confidence": 0.95, "memorised_at": 0.25}
    given = {
        "pairs": pairs,
        "summary": distillation.summarise(one_hot[0], distilled, pairs, **rule),
        "transfer": distillation.transfer(one_hot[0], distilled, one_hot[-1], pairs, **rule),
    }[KINDS[name]]
    identity = {"family": "ResNet-8, width 2 to 16", "method": "distilled", "student": "resnet-2", "parameters": 400}
    numbers = MODULES[name].table(spec, {KINDS[name]: given.assign(**identity)})
    figure = MODULES[name].draw(spec, numbers)
    assert list(collisions(drawn_texts(figure))) == []
    assert len(numbers) > 0


STUDY = Study(
    tiny_config(
        architectures=ARCHITECTURES | {"wide": {"model": "mlp", "hidden": [32], "recipe": "short"}},
        families=MLPS,
        distillation={
            "from-wide": {"teacher": "wide", "students": ["mlp"]},
            "self": {"teacher": "self", "students": ["mlp", "resnet"]},
        },
    )
)


@pytest.mark.parametrize("name", MODULES)
def test_the_script_makes_the_figure_of_a_study_from_the_files_of_its_methods(name, tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, "mlp", 100)
    monkeypatch.setitem(SIZES, "resnet", 250)
    spec = STUDY.distillation_figure_spec(name, "digits")
    assert len(spec["distillations"]) == 4
    given, files = MAKE[KINDS[name]](spec), []
    for number, entry in enumerate(spec["distillations"]):
        files.append(tmp_path / f"{number}.{'parquet' if KINDS[name] == 'pairs' else 'csv'}")
        rows = rows_with(given, family=entry["family"], method=entry["method"]).drop(columns=["family", "method"])
        (write_parquet if KINDS[name] == "pairs" else write_csv)(files[-1], rows)
        provenance.write([files[-1]], {}, inputs={}, started=provenance.now())
    outputs = [f"--{kind}={tmp_path}/figure.{kind}" for kind in ("pdf", "png", "csv", "log")]
    arguments = ["figure", "--spec", json.dumps(spec), f"--{KINDS[name]}", *map(str, files), *outputs]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(PROJECT / "workflow" / "scripts" / f"{name}.py"), run_name="__main__")
    expected = MODULES[name].table(spec, {KINDS[name]: given})
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "figure.csv"), expected, check_dtype=False)
    assert provenance.read(tmp_path / "figure.png")["inputs"] == {str(path): sha256(path) for path in files}


# --- distillation_joint ----------------------------------------------------------------------------------------------


def densities(figure):
    """Axes with a density, with shares as they are drawn (rows upwards), by column from the left and row from above."""
    found = {}
    for axes in figure.axes:
        meshes = [mesh for mesh in axes.collections if isinstance(mesh, QuadMesh)]
        if meshes and axes.get_xlim() == (EDGES[0], EDGES[-1]):  # and not the scale of colours
            found[axes] = meshes[0].get_array().filled(0).reshape(len(CENTRES), len(CENTRES))
    return found


def panel(name_of_row, column, n_students=3, methods=("distilled", "self")):
    """Numbers, axes and drawn shares of one density of one family."""
    numbers, figure = make("distillation_joint", make_spec(n_students, methods=methods))
    by_place = sorted(densities(figure), key=lambda axes: (round(axes.get_position().x0, 3), -axes.get_position().y0))
    rows = ["one-hot", *methods]
    axes = by_place[column * len(rows) + rows.index(name_of_row)]
    return numbers, axes, densities(figure)[axes]


def test_bins_have_the_scores_0_and_1_in_their_middle():
    assert {0.0, 1.0} <= set(CENTRES.round(9))
    assert np.allclose(np.diff(EDGES), 0.1)
    assert EDGES[0] < -0.2


@pytest.mark.parametrize("column", [0, 2])
@pytest.mark.parametrize("method", ["one-hot", "distilled", "self"])
def test_every_bin_is_the_share_of_the_pairs_with_these_two_scores(method, column):
    numbers, _, drawn = panel(method, column)
    spec = make_spec(methods=("distilled", "self"))
    student = ["resnet-2", "resnet-4", "resnet-8"][column]
    pairs = rows_with(pairs_of(spec), student=student, method="distilled" if method == "one-hot" else method)
    measured = "one_hot" if method == "one-hot" else "distilled"
    expected = np.zeros((len(CENTRES), len(CENTRES)))
    for x, y in pairs[["one_hot_selecting", measured]].to_numpy():
        place = [max(0, int(np.floor(round((score - EDGES[0]) / 0.1, 6)))) for score in (x, y)]
        expected[place[1], place[0]] += 1 / len(pairs)
    assert len(pairs) == 1200
    assert np.allclose(drawn, expected)
    counts = rows_with(numbers, student=student, method=method, quantity="pairs")
    assert counts["value"].sum() == 1200 == counts["n_pairs"].iloc[0]


@pytest.mark.parametrize("method", ["distilled", "self"])
def test_over_the_density_of_a_method_lie_its_mean_and_that_of_the_placebo(method):
    _, axes, _ = panel(method, 0)
    pairs = rows_with(pairs_of(make_spec(methods=("distilled", "self"))), student="resnet-2", method=method)
    lines = {to_hex(line.get_color()): line.get_xydata() for line in axes.lines if line.get_marker() == "o"}
    assert len(lines) == 2
    for name, column in (("one-hot", "one_hot"), ("distilled", "distilled")):
        bins = np.floor(((pairs["one_hot_selecting"] - EDGES[0]) / 0.1).round(6)).astype(int)
        means = pairs.groupby(bins)[column].mean()[pairs.groupby(bins).size() >= FEWEST]
        expected = np.column_stack([CENTRES[means.index], means])
        assert np.allclose(lines[to_hex(style.COLOURS[name])], expected)


def test_the_placebo_has_only_its_own_mean_and_comes_first():
    _, axes, _ = panel("one-hot", 1)
    assert [to_hex(line.get_color()) for line in axes.lines if line.get_marker() == "o"] == [
        to_hex(style.COLOURS["one-hot"])
    ]
    numbers, figure = drawing("distillation_joint")
    assert texts_of(figure).count("Placebo: one-hot, no distillation") == 2
    placebo = rows_with(numbers, method="one-hot")
    assert set(placebo["measured"]) == {"one-hot"}
    assert placebo.groupby("family")["student"].nunique().tolist() == [3, 3]
    assert not placebo.duplicated(["family", "student", "quantity", "selecting_low", "measured_low"]).any()


def test_a_mean_of_few_pairs_is_in_the_table_but_not_drawn():
    spec = make_spec(n_students=1)
    given = pairs_of(spec, n=30)
    given["one_hot_selecting"] = [0.5] * (FEWEST - 1) + [0.9] * FEWEST + [0.0] * (len(given) - 2 * FEWEST + 1)
    numbers = distillation_joint.table(spec, {"pairs": given})
    means = rows_with(numbers, method="distilled", quantity="mean").dropna(subset=["value"])
    assert means["n_pairs"].tolist() == [len(given) - 2 * FEWEST + 1, FEWEST - 1, FEWEST]
    for axes in densities(distillation_joint.draw(spec, numbers)):
        for line in axes.lines:
            if line.get_marker() == "o":
                assert np.allclose(line.get_xdata(), [0, 0.9])


def test_scores_beyond_the_bins_count_in_the_outermost_and_those_missing_not_at_all():
    spec = make_spec(n_students=1)
    given = pairs_of(spec, n=4)
    given["one_hot_selecting"] = [-1, -0.3, 1, 1, np.nan, 0, 0.05, 0.0499]
    given["distilled"] = [0, 0, 1, 1, 0, np.nan, 0, 0]
    numbers = distillation_joint.table(spec, {"pairs": given})
    alone = rows_with(numbers, method="distilled", quantity="pairs_selecting")
    counts = dict(zip(((alone["selecting_low"] + alone["selecting_high"]) / 2).round(9), alone["value"], strict=True))
    assert {centre: n for centre, n in counts.items() if n} == {-0.2: 2, 0.0: 1, 0.1: 1, 1.0: 2}
    assert set(alone["n_pairs"]) == {6}


def test_the_bars_are_the_shares_of_each_score_alone():
    numbers, figure = make("distillation_joint", make_spec(n_students=1))
    shares = {name: [] for name in ("pairs_selecting", "pairs_measured")}
    for axes in figure.axes:
        for patch in axes.patches:
            along = "pairs_selecting" if axes.get_yscale() == "log" else "pairs_measured"
            start, length = patch.get_xy(), (patch.get_width(), patch.get_height())
            shares[along].append(start[along == "pairs_selecting"] + length[along == "pairs_selecting"])
    for along, drawn in shares.items():
        wanted = rows_with(numbers, quantity=along, method=["one-hot", "distilled"])
        if along == "pairs_selecting":  # once for all methods
            wanted = rows_with(wanted, method="one-hot")
        values = wanted.loc[wanted["value"] > 0, "value"] / 1200
        assert np.allclose(sorted(drawn), sorted(values))


def test_a_student_that_a_method_does_not_teach_has_none():
    spec = make_spec(methods=("distilled", "self"))
    spec["distillations"][1]["students"] = ["resnet-8"]
    numbers, figure = make("distillation_joint", spec)
    assert set(rows_with(numbers, method="self")["student"]) == {"resnet-8"}
    assert texts_of(figure).count("none") == 2
    assert list(collisions(drawn_texts(figure))) == []


def test_more_than_three_students_continue_below():
    spec = make_spec()
    spec["distillations"][0]["students"] = ["resnet-2", "resnet-4", "resnet-8", "resnet-16"]
    numbers, figure = make("distillation_joint", spec)
    assert len(densities(figure)) == 8
    assert texts_of(figure).count("ResNet-8, width 2 to 16") == 2
    texts = drawn_texts(figure)
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []
    assert numbers["student"].nunique() == 4


def test_the_legend_of_the_densities_explains_every_line():
    _, figure = drawing("distillation_joint")
    assert legend_texts(figure) == ["mean, one-hot", "mean, distilled", "equal scores"]
    handles = figure.legends[0].legend_handles
    colours = [to_hex(handle.get_color()) for handle in handles]
    assert colours[:2] == [to_hex(style.COLOURS[name]) for name in ("one-hot", "distilled")]


# --- distillation_by_trajectory --------------------------------------------------------------------------------------


def drawn_points(figure):
    """Value, interval, colour, marker and whether filled of every point in a panel, as the axes place them."""
    for axes in figure.axes:
        segments = [line for line in axes.lines if line.get_marker() == "None" and len(set(line.get_ydata())) == 1]
        intervals = [line for line in segments if line.get_ydata()[0] != 1.5]
        points = [line for line in axes.lines if line.get_marker() in MARKERS]
        for segment, point in zip(intervals, points, strict=True):
            (x,), (y,) = point.get_data()
            filled = to_hex(point.get_markerfacecolor()) == to_hex(point.get_color())
            kind = ROWS[round(y)]
            assert to_hex(point.get_color()) == to_hex(segment.get_color()) == to_hex(style.COLOURS[kind])
            assert set(segment.get_ydata()) == {y}
            yield kind, MARKERS.index(point.get_marker()), x, *segment.get_xdata(), filled


@pytest.mark.parametrize("populations", [("all",), ("all", "clean label", "flipped label")])
def test_every_change_is_drawn_at_its_type_with_interval_and_significance(populations):
    spec = make_spec(n_families=2, methods=("distilled", "self"))
    numbers, figure = make("distillation_by_trajectory", spec, populations=populations)
    shown = rows_with(summary_of(spec, populations), examples=populations[1:] or populations)
    expected = []
    for row in shown[shown["value"].notna()].itertuples():
        if row.quantity == "acc_test_change" or row.type == "not memorised":
            continue
        significant = row.p_holm < 0.05 if row.type else row.low > 0 or row.high < 0
        rank = ["2", "4", "8"].index(row.student.split("-")[1])
        expected.append((row.type or "all", rank, row.value, row.low, row.high, significant))
    assert len(expected) == 6 * 3 * 2 * 2 * max(1, len(populations) - 1)
    assert sorted(drawn_points(figure)) == sorted(expected)
    assert len({point[-1] for point in expected}) == 2
    assert len(numbers) == len(expected) * 7 / 6


def test_a_type_without_examples_says_none():
    _, figure = make("distillation_by_trajectory", make_spec(n_students=2), empty=("cap-shaped", "increasing"))
    assert texts_of(figure).count("none") == 2
    _, figure = make("distillation_by_trajectory", make_spec(n_students=2), empty=())
    assert "none" not in texts_of(figure)


def test_all_methods_of_a_population_share_a_scale_that_shows_zero():
    spec = make_spec(methods=("distilled", "self"))
    _, figure = make("distillation_by_trajectory", spec, populations=("all", "clean label", "flipped label"))
    limits = [axes.get_xlim() for axes in figure.axes]
    assert limits[0] == limits[1] != limits[2] == limits[3]
    assert all(low < 0 < high for low, high in limits)
    for point in drawn_points(figure):
        assert limits[2][0] < point[3] < point[4] < limits[2][1]
    headings = [text for text in texts_of(figure) if text in ("Clean labels", "Flipped labels", "Alls")]
    assert headings == ["Clean labels", "Flipped labels"]


def test_a_method_that_no_student_of_a_family_learns_with_leaves_its_panel_empty():
    spec = make_spec(n_families=2, methods=("distilled", "self"))
    del spec["distillations"][3]
    numbers, figure = make("distillation_by_trajectory", spec)
    assert numbers.groupby("family", sort=False)["method"].unique().map(list).tolist() == [
        ["distilled", "self"],
        ["distilled"],
    ]
    assert texts_of(figure).count("none") == len(ROWS) + 3


# --- teacher_transfer ------------------------------------------------------------------------------------------------


def cells(figure):
    """Panels of each cell, shares above scores, in rows of blocks from above."""
    axes = sorted(figure.axes, key=lambda axes: (-round(axes.get_position().y0, 3), axes.get_position().x0))
    rows = [axes[start : start + len(CELLS)] for start in range(0, len(axes), len(CELLS))]
    return [list(zip(*rows[block : block + 2], strict=True)) for block in range(0, len(rows), 2)]


def series(axes):
    """Points and intervals by colour."""
    found = {}
    segments = [part for part in axes.collections if isinstance(part, LineCollection)]
    for line, part in zip(axes.lines, segments, strict=True):
        ends = [(end[0][0], end[0][1], end[1][1]) for end in part.get_segments()]
        assert to_hex(line.get_color()) == to_hex(part.get_color()[0] if len(ends) else line.get_color())
        found[to_hex(line.get_color())] = list(zip(line.get_xydata().tolist(), ends, strict=True))
    return found


def test_every_cell_has_its_share_and_its_two_scores_with_intervals():
    numbers, figure = make("teacher_transfer", make_spec(n_families=2, methods=("distilled", "smoothed", "self")))
    blocks = cells(figure)
    keys = [(family, method) for family in FAMILIES for method in ("distilled", "smoothed")]
    assert len(blocks) == len(keys)
    for panels, (family, method) in zip(blocks, keys, strict=True):
        for (upper, lower), cell in zip(panels, CELLS, strict=True):
            where = {"family": family, "method": method, "teacher_memorises": cell[0], "one_hot_memorises": cell[1]}
            drawn = series(upper) | series(lower)
            quantities = {"share_of_examples": "0.3", "one_hot": style.COLOURS["one-hot"]}
            quantities["distilled"] = style.COLOURS["distilled"]
            for quantity, colour in quantities.items():
                rows = rows_with(numbers, quantity=quantity, **where)
                assert len(rows) == 3
                points = drawn[to_hex(colour)]
                assert [(y, low, high) for (_, y), (_, low, high) in points] == list(
                    rows[["value", "low", "high"]].itertuples(index=False, name=None)
                )
                assert [round(x) for (x, _), _ in points] == [0, 1, 2]
                assert upper.get_ylim()[0] < rows["value"].max() or quantity != "share_of_examples"
            assert [text.get_text() for text in lower.get_xticklabels()] == ["400", "1.6k", "6.4k"]


def test_cells_are_named_in_order():
    _, figure = make("teacher_transfer")
    names = [" ".join(text.split()) for text in texts_of(figure)]
    assert [name for name in names if name in ("both", "teacher only", "student only", "neither")] == [
        "both",
        "teacher only",
        "student only",
        "neither",
    ]
    assert legend_texts(figure) == ["one-hot student", "distilled student"]


def test_a_cell_without_examples_says_none_and_an_interval_to_zero_ends_at_the_axis():
    spec = make_spec()
    given = transfer_of(spec, empty=[(False, True)])
    shares = given["quantity"] == "share_of_examples"
    given.loc[shares & (given["value"] > 0), "low"] = -0.1
    numbers = teacher_transfer.table(spec, {"transfer": given})
    figure = teacher_transfer.draw(spec, numbers)
    assert texts_of(figure).count("none") == 2
    ((*panels,),) = cells(figure)
    for upper, _ in panels:
        for points in series(upper).values():
            assert all(low == upper.get_ylim()[0] for _, (_, low, _) in points)
    assert list(collisions(drawn_texts(figure))) == []


def test_without_scores_of_any_teacher_the_figure_says_so_and_the_table_is_empty():
    numbers, figure = make("teacher_transfer", make_spec(methods=("self", "leaky")))
    assert len(numbers) == 0
    assert list(numbers.columns) == list(make("teacher_transfer")[0].columns)
    assert texts_of(figure) == [teacher_transfer.NOTHING]
    assert outside(figure, drawn_texts(figure)) == []


def test_methods_without_scores_of_a_teacher_are_left_out():
    numbers, figure = drawing("teacher_transfer")
    assert set(numbers["method"]) == {"distilled"}
    assert not any("self" in text or "leaky" in text for text in texts_of(figure))


def test_with_many_students_only_some_are_named():
    spec = make_spec()
    spec["distillations"][0]["students"] = ["resnet-2", "resnet-4", "resnet-8", "resnet-16"]
    _, figure = make("teacher_transfer", spec)
    assert [text.get_text() for text in figure.axes[-1].get_xticklabels()] == ["400", "1.6k", "26k"]
    assert list(collisions(drawn_texts(figure))) == []
