import functools
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_helpers import NO_FAMILIES, SIZES, STUDY, collisions, drawn_texts, grid, legend_texts, outside, select
from helpers import tiny_config
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch

from memflow import provenance
from memflow.config import Study
from memflow.figures import memorised_vs_epoch, score_distribution_by_epoch, style
from memflow.files import sha256, write_csv
from memflow.summary import BINS
from memflow.training.schedules import factor

pytestmark = pytest.mark.usefixtures("figure_style")

PROJECT = Path(__file__).resolve().parents[2]
MODULES = {"memorised_vs_epoch": memorised_vs_epoch, "score_distribution_by_epoch": score_distribution_by_epoch}
POPULATIONS = ("all", "clean label", "flipped label", "noise image")
EPOCHS = [1, 5, 10, 20]
SCHEDULE = {"shape": "triangular", "peak": 0.2, "epochs": 20, "learning_rate": 0.4}
FAMILY_TITLES = ["MLPs", "All networks"]
CONSTANTS = {"runs": 100, "runs_not_converged": 3, "examples_without_score": 0, "pretraining_overlap": "no"}


def spec_of(name, study=STUDY, schedules=None):
    spec = study.figure_spec(name, "digits")
    if name == "memorised_vs_epoch":
        networks = [architecture for architecture in spec["architectures"] if architecture not in spec["references"]]
        spec["schedules"] = dict.fromkeys(networks, SCHEDULE) | (schedules or {})
    return json.loads(json.dumps(spec))


def epoch_table(architectures, sizes=SIZES, populations=POPULATIONS, epochs=EPOCHS):
    """A table of the stage epochs, in which all numbers differ: rise to the middle, and then a fall."""
    rows = []
    for number, architecture in enumerate(architectures):
        evaluated = epochs if sizes[architecture] else [1]
        for group, name in enumerate(populations):
            for place, epoch in enumerate(evaluated):
                progress = (place + 1) / len(evaluated)
                value = (0.05 + 0.07 * group) * (1 + np.sin(2.4 * progress)) * (1 + 0.05 * number) + 1e-4 * len(rows)
                row = {"architecture": architecture, "examples": name, "quantity": "memorised", "epoch": epoch}
                row |= {"value": value, "low": 0.9 * value, "high": 1.1 * value, "se": 0.05 * value, "df": 9}
                rows.append(row | {"n_examples": 100 * (group + 1), "parameters": sizes[architecture]})
                rows.append(rows[-1] | {"quantity": "memorisation", "value": 0.5 * value})
        rows.append(rows[-1] | {"examples": "all", "quantity": "acc_test", "epoch": 20, "value": 0.8})
    return pd.DataFrame(rows).assign(**CONSTANTS)


def histograms(architectures, sizes=SIZES, series=("all", "clean label"), epochs=EPOCHS):
    parts = []
    for number, architecture in enumerate(architectures):
        for place, (name, epoch) in enumerate((name, epoch) for name in series for epoch in epochs):
            weights = 1.0 + np.arange(len(BINS) - 1) + number + 0.3 * place
            columns = {"architecture": architecture, "examples": name, "epoch": epoch, "bin_low": BINS[:-1]}
            columns |= {"bin_high": BINS[1:], "share": weights[::-1] / weights.sum(), "n_examples": 200 - len(name)}
            parts.append(pd.DataFrame(columns).assign(parameters=sizes[architecture]))
    return pd.concat(parts, ignore_index=True).assign(**CONSTANTS)


def tables(name, spec, **options):
    if name == "memorised_vs_epoch":
        return {"epochs": epoch_table(spec["architectures"], **options)}
    made = histograms(list(dict.fromkeys(spec["largest"])), **options)
    return {"histogram": pd.concat([select(made, architecture=name) for name in spec["largest"]], ignore_index=True)}


def make(name, study=STUDY, schedules=None, **options):
    spec = spec_of(name, study, schedules)
    numbers = MODULES[name].table(spec, tables(name, spec, **options))
    return numbers, MODULES[name].draw(spec, numbers)


@functools.cache
def drawing(name, populations=POPULATIONS):
    return make(name, populations=populations) if name == "memorised_vs_epoch" else make(name)


def lines(axes):
    """Curves, without handles of legends and level lines."""
    return [line for line in axes.lines if len(line.get_xdata()) and line.get_linestyle() == "-"]


# --- memorised_vs_epoch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("populations", [POPULATIONS, ("all",), ("all", "clean label", "flipped label")])
def test_populations_are_rows_and_families_are_columns_above_the_schedule(populations):
    _, figure = drawing("memorised_vs_epoch", populations)
    panels = grid(figure)
    assert [axes.get_title() for axes in panels[0]] == FAMILY_TITLES
    said = {"all": "", "clean label": "\nclean labels", "flipped label": "\nflipped labels"}
    said["noise image"] = "\nnoise images"
    rows = [f"Memorised (%){said[name]}" for name in populations[1:] or ("all",)]
    assert [row[0].get_ylabel() for row in panels] == [*rows, "Learning\nrate"]
    assert [axes.get_xlabel() for axes in panels[-1]] == ["Epoch", "Epoch"]


@pytest.mark.parametrize("populations", [POPULATIONS, ("all",)])
def test_every_curve_has_the_shares_of_the_table_and_their_intervals(populations):
    numbers, figure = drawing("memorised_vs_epoch", populations)
    for row, group in zip(grid(figure)[:-1], populations[1:] or ("all",), strict=True):
        for axes, family in zip(row, FAMILY_TITLES, strict=True):
            members = ["mlp", "wide"] if family == "MLPs" else ["mlp", "wide", "resnet"]
            bands = [band for band in axes.collections if isinstance(band, FillBetweenPolyCollection)]
            assert len(lines(axes)) == len(bands) == len(members)
            for line, band, architecture in zip(lines(axes), bands, members, strict=True):
                rows = select(numbers, family=family, architecture=architecture, examples=group, quantity="memorised")
                assert line.get_xdata().tolist() == EPOCHS
                assert np.allclose(line.get_ydata(), 100 * rows["value"])
                corners = band.get_paths()[0].vertices
                for epoch, low, high in rows[["epoch", "low", "high"]].to_numpy():
                    limits = corners[corners[:, 0] == epoch, 1]
                    assert np.allclose([limits.min(), limits.max()], [100 * low, 100 * high])
                assert to_hex(band.get_facecolor()[0]) == to_hex(line.get_color())
            low, high = axes.get_ylim()
            assert low == 0
            assert high > 100 * select(numbers, examples=group)["high"].max()


def test_each_column_names_its_sizes_in_their_shades():
    _, figure = drawing("memorised_vs_epoch")
    for column, sizes in enumerate((["100", "400"], ["100", "400", "250"])):
        legend = grid(figure)[-1][column].get_legend()
        assert [text.get_text() for text in legend.get_texts()] == sizes
        shades = [to_hex(handle.get_color()) for handle in legend.legend_handles]
        assert shades == [to_hex(line.get_color()) for line in lines(grid(figure)[0][column])]
        assert len(set(shades)) == len(sizes)


def test_a_schedule_that_all_share_is_drawn_once_and_others_in_the_shade_of_their_size():
    step = {"shape": "step", "warmup_epochs": 2, "milestones": [5], "factor": 0.1, "epochs": 10, "learning_rate": 1.0}
    numbers, figure = make("memorised_vs_epoch", schedules={"resnet": step})
    shared, differing = grid(figure)[-1]
    (curve,) = lines(shared)
    rates = select(numbers, family="MLPs", architecture="wide", quantity="learning_rate")
    assert np.array_equal(curve.get_xydata(), rates[["epoch", "value"]])
    assert [0.4 * factor(SCHEDULE, epoch, 20) for epoch in rates["epoch"]] == rates["value"].tolist()
    assert curve.get_ydata().max() == 0.4
    drawn = {to_hex(line.get_color()): line for line in lines(differing)}
    shades = [to_hex(line.get_color()) for line in lines(grid(figure)[0][1])]
    assert list(drawn) == shades[1:]  # the second and the first size share theirs
    assert np.isclose(np.interp(6, *drawn[shades[2]].get_data()), 0.1)


def test_a_reference_is_a_level_line_at_its_share():
    numbers, figure = drawing("memorised_vs_epoch")
    for row, group in zip(grid(figure)[:-1], POPULATIONS[1:], strict=True):
        (expected,) = select(numbers, family="reference", examples=group)["value"]
        for axes in row:
            (level,) = (line for line in axes.lines if line.get_linestyle() == "--" and len(line.get_xdata()))
            assert np.allclose(level.get_ydata(), 100 * expected)
    assert legend_texts(figure) == ["neighbour"]


def test_a_single_epoch_is_a_point_with_its_interval():
    numbers, figure = make("memorised_vs_epoch", epochs=[20])
    axes = grid(figure)[0][0]
    assert [line.get_marker() for line in lines(axes)] == ["o", "o"]
    bars = [bar for part in axes.collections if isinstance(part, LineCollection) for bar in part.get_segments()]
    rows = select(numbers, family="MLPs", examples="clean label", quantity="memorised")
    assert np.allclose([bar[:, 1] for bar in bars], 100 * rows[["low", "high"]])


def test_shares_without_intervals_are_drawn():
    spec = spec_of("memorised_vs_epoch")
    given = tables("memorised_vs_epoch", spec)
    given["epochs"][["low", "high", "se"]] = np.nan
    figure = memorised_vs_epoch.draw(spec, memorised_vs_epoch.table(spec, given))
    assert len(lines(grid(figure)[0][0])) == 2
    assert drawn_texts(figure)


# --- score_distribution_by_epoch -----------------------------------------------------------------------------------


@pytest.mark.parametrize("series", [["all"], ["all", "clean label"]])
def test_every_panel_has_the_distributions_of_its_epoch(series):
    numbers, figure = make("score_distribution_by_epoch", series=series)
    panels = grid(figure)
    assert [len(row) for row in panels] == [2] * len(EPOCHS)
    titles = [axes.get_title() for axes in panels[0]]
    assert titles == ["MLPs\n400 parameters", "All networks\n250 parameters"]
    for row, epoch in zip(panels, EPOCHS, strict=True):
        for axes, family in zip(row, FAMILY_TITLES, strict=True):
            shown = select(numbers, family=family, epoch=epoch)
            steps = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
            for step, name in zip(steps, series, strict=True):
                expected = select(shown, examples=name, quantity="share_of_bin")
                assert np.array_equal(step.get_data().values, expected["value"])
                assert np.allclose(step.get_data().edges, BINS)
            said = select(shown, examples=series[-1]).groupby("quantity")["value"].first()
            tails = [f"< 0.1: {said['share_low']:.1%}", f"≥ 0.9: {said['share_high']:.1%}"]
            assert axes.texts[0].get_text().splitlines() == [f"Epoch {epoch}", *tails]
    assert legend_texts(figure) == (["all examples", "clean labels"] if len(series) > 1 else [])


def test_the_tails_are_sums_of_their_bins():
    numbers, _ = drawing("score_distribution_by_epoch")
    one = select(numbers, family="MLPs", examples="all", epoch=5)
    bins = select(one, quantity="share_of_bin")
    for quantity, inside in (("share_low", bins["bin_low"] < 0.099), ("share_high", bins["bin_low"] > 0.899)):
        (value,) = select(one, quantity=quantity)["value"]
        assert np.isclose(value, bins.loc[inside, "value"].sum())
        assert inside.sum() == (4 if quantity == "share_low" else 2)


def test_of_many_epochs_eight_are_shown_with_the_first_and_the_last():
    numbers, figure = make("score_distribution_by_epoch", epochs=list(range(5, 105, 5)))
    shown = numbers["epoch"].unique().tolist()
    assert len(shown) == len(grid(figure)) == 8
    assert (shown[0], shown[-1]) == (5, 100)
    assert set(np.diff(shown)) <= {10, 15}


def test_families_with_one_largest_architecture_have_the_same_column_twice():
    families = {name: {"title": name, "architectures": ["mlp", "wide"]} for name in ("one", "two")}
    study = Study(tiny_config(architectures=STUDY.config["architectures"], families=families))
    numbers, _ = make("score_distribution_by_epoch", study=study)
    one, two = (select(numbers, family=name).drop(columns="family").reset_index(drop=True) for name in families)
    pd.testing.assert_frame_equal(one, two)
    assert len(select(one, quantity="share_of_bin")) == 2 * len(EPOCHS) * (len(BINS) - 1)


# --- both ----------------------------------------------------------------------------------------------------------

LONG = {
    "Residual networks of depth 8 to 110": [75_290, 172_000, 269_722, 464_000, 659_000, 853_000, 1_727_962],
    "Residual networks of width 2 to 64": [1320, 2839, 4934, 19_074],
    "MLPs": [1210, 4810, 19_210],
}


def long_study():
    """A study of families with long titles, and the sizes of their architectures."""
    sizes, entries = {"nearest-neighbour": 0}, {}
    for number, (title, parameters) in enumerate(LONG.items()):
        of_family = {f"resnet{number}-width-{size}": value for size, value in enumerate(parameters)}
        entries[f"family-{number}"] = {"title": title, "architectures": list(of_family)}
        sizes |= of_family
    made = {name: {"model": "mlp", "hidden": [8], "recipe": "short"} for name in sizes}
    made["nearest-neighbour"] = {"model": "nearest-neighbour"}
    return Study(tiny_config(architectures=made, families=entries)), sizes


@pytest.mark.parametrize("name", MODULES)
def test_no_text_covers_another_or_leaves_the_figure(name):
    study, sizes = long_study()
    _, figure = make(name, study=study, sizes=sizes, epochs=[5, 50, 100])
    texts = drawn_texts(figure)
    shown = " ".join(" ".join(text for text, _ in texts).split())
    assert [title for title in LONG if title not in shown] == []
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []
    assert figure.get_figwidth() == style.ONE_COLUMN


@pytest.mark.parametrize("name", MODULES)
def test_a_study_without_families_has_one_untitled_column(name):
    numbers, figure = make(name, study=NO_FAMILIES)
    assert set(numbers["family"]) <= {"", "reference"}
    titles = [axes.get_title() for axes in grid(figure)[0]]
    assert titles == ["" if name == "memorised_vs_epoch" else "400 parameters"]
    texts = drawn_texts(figure)
    assert [*collisions(texts), *outside(figure, texts)] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_study_of_a_learner_without_parameters_is_drawn(name):
    study = Study(tiny_config(architectures={"neighbour": {"model": "nearest-neighbour"}}))
    _, figure = make(name, study=study, populations=["all"]) if name == "memorised_vs_epoch" else make(name, study)
    texts = drawn_texts(figure)
    assert [*collisions(texts), *outside(figure, texts)] == []
    assert any("neighbour" in text for text, _ in texts)


@pytest.fixture(scope="module", params=MODULES)
def made(request, tmp_path_factory):
    """Runs the script of a figure; gives its name and its folder."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    spec = spec_of(name)
    parts = ["figure", "--spec", json.dumps(spec), "--log", folder / "log"]
    for kind in ("pdf", "png", "csv"):
        parts += [f"--{kind}", folder / f"{name}.{kind}"]
    names = spec["largest" if name == "score_distribution_by_epoch" else "architectures"]
    ((kind, table),) = tables(name, spec).items()
    parts.append(f"--{kind}")
    for architecture in names:
        path = folder / "in" / f"{architecture}.csv"
        write_csv(path, select(table, architecture=architecture).drop(columns="architecture"))
        provenance.write([path], {}, inputs={}, started=provenance.now())
        parts.append(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", list(map(str, parts)))
        runpy.run_path(str(PROJECT / "workflow" / "scripts" / f"{name}.py"), run_name="__main__")
    return name, folder


def test_drawing_and_table_have_sidecars_with_spec_and_inputs(made):
    name, folder = made
    read = {str(path): sha256(path) for path in (folder / "in").glob("*.csv")}
    for kind in ("pdf", "png", "csv"):
        record = provenance.read(folder / f"{name}.{kind}")
        assert record["definition"] == spec_of(name)
        assert record["inputs"] == read


def test_a_figure_drawn_again_from_its_table_is_the_same_bytes_so_that_every_number_is_in_the_table(made, tmp_path):
    name, folder = made
    numbers = pd.read_csv(folder / f"{name}.csv", dtype={"family": str})
    style.save(MODULES[name].draw(spec_of(name), numbers), tmp_path / "figure.pdf", tmp_path / "figure.png")
    for kind in ("pdf", "png"):
        assert (tmp_path / f"figure.{kind}").read_bytes() == (folder / f"{name}.{kind}").read_bytes()
