import functools
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from figure_helpers import ARCHITECTURES, DATASET, STUDY, N, collisions, drawn_texts, outside, select
from helpers import tiny_config
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch

from memflow import transitions as stage
from memflow.config import Study
from memflow.figures import style, transient, transitions
from memflow.statistics.states import STATES

pytestmark = pytest.mark.usefixtures("figure_style")

SEVEN = [f"a-long-name-of-width-{number}" for number in range(1, 8)]
WIDE = Study(
    tiny_config(
        architectures=dict.fromkeys(SEVEN, ARCHITECTURES["mlp"]),
        families={
            name: {"title": f"{name.capitalize()} of seven widths", "architectures": SEVEN}
            for name in ("one", "two", "three")
        },
    )
)
PLAIN = {"label_noise": np.zeros(N, dtype=bool)}
NOISY = {"label_noise": DATASET.label_noise, "input_noise": np.arange(N) % 7 == 5}


def sizes_of(simulate, names, epochs=2, **marks):
    """Counts in which examples become fitted, memorised or generalised, more of them with size."""
    random, made = np.random.default_rng(0), {}
    levels = random.permutation(np.arange(N) / N)
    for number, name in enumerate(names):
        ability = (number + 1) / len(names)
        acc_in, acc_out = (np.clip(slope * ability - levels, 0, 1) for slope in (1.6, 1.3))
        size = simulate(acc_in, acc_out, groups=4, seed=number)
        steps = [*random.integers(0, len(size.epochs), epochs - 1).tolist(), len(size.epochs) - 1]
        totals = {f"epoch_correct_{part}": getattr(size, f"epoch_correct_{part}")[steps] for part in ("in", "out")}
        identity = {"index": DATASET.train.index, "label": DATASET.train.labels, "subpopulation": DATASET.train.labels}
        made[name] = replace(size, epochs=3 * np.arange(1, epochs + 1, dtype=np.int32), **totals, **identity | marks)
    return made


@pytest.fixture(scope="module")
def tables_of(simulate):
    """Gives the stage's tables of a study's families, as the figures read them."""

    def make(study=STUDY, **changes):
        parts = {"flows": [], "sets": [], "transient": []}
        for family in study.families.values():
            sizes = sizes_of(simulate, family["architectures"], **changes)
            found = {
                "flows": stage.flows(sizes, 0.25, 0.95),
                "sets": stage.transient_table(sizes, 0.25),
                "transient": stage.summarise(sizes, 0.25, 0.95),
            }
            for kind, table in found.items():
                parts[kind].append(table.assign(family=family["title"]))
        return {kind: pd.concat(tables, ignore_index=True) for kind, tables in parts.items()}

    return make


CASES = {
    "noisy": (STUDY, NOISY),
    "no artificial examples": (STUDY, PLAIN),
    "one epoch": (STUDY, PLAIN | {"epochs": 1}),
    "three families of seven sizes, nine epochs": (WIDE, NOISY | {"epochs": 9}),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tables_of):
    study, changes = CASES[request.param]
    return study, tables_of(study, **changes)


@pytest.fixture(scope="module")
def drawn(case):
    """Gives the table and the drawing of a figure of the case, drawn once."""
    return functools.cache(lambda make: make(*case))


def transitions_of(study, tables):
    spec = study.figure_spec("transitions", "digits")
    numbers = transitions.table(spec, {"flows": tables["flows"]})
    return numbers, transitions.draw(spec, numbers)


def transient_of(study, tables, dataset=DATASET):
    spec = study.figure_spec("transient", "digits")
    given = {kind: tables[kind] for kind in ("sets", "transient")}
    numbers = transient.table(spec, given, dataset)
    return numbers, transient.draw(spec, numbers, dataset)


def assert_readable(figure):
    texts = drawn_texts(figure)
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []


# Transitions.


def test_all_flows_are_drawn_between_their_lanes_as_wide_as_they_are_large(case, drawn):
    study, _ = case
    numbers, figure = drawn(transitions_of)
    families = list(study.families.values())
    populations = [name for name in numbers["examples"].unique() if name != "all"] or ["all"]
    rows = [(along, examples) for along in ("size", "epoch") for examples in populations]
    panels = np.array(figure.axes).reshape(len(rows), len(families))
    for column, family in enumerate(families):
        for (along, examples), axes in zip(rows, panels[:, column], strict=True):
            flows = select(numbers, family=family["title"], along=along, examples=examples, quantity="share")
            stops = list(dict.fromkeys([*flows["start"], *flows["stop"]]))
            expected = sorted(
                (stops.index(row.start), STATES.index(row.from_state), STATES.index(row.to_state), 11 * row.value**0.5)
                for row in flows.itertuples()
                if row.value > 0
            )
            drawn = []
            for patch in axes.patches:
                assert isinstance(patch, PathPatch)
                (start, low), (stop, high) = patch.get_path().vertices[[0, -1]]
                assert stop == start + 1
                assert to_hex(patch.get_edgecolor()) == to_hex(transitions.COLOURS[STATES[int(low)]])
                drawn.append((start, low, high, patch.get_linewidth()))
            assert np.allclose(sorted(drawn), expected) if expected else drawn == []


def test_the_table_of_flows_has_neighbours_only_and_the_epochs_of_the_largest(tables_of):
    numbers, _ = transitions_of(STUDY, tables_of(epochs=3, **NOISY))
    shares = select(numbers, family="All networks", quantity="share")
    assert set(numbers["examples"]) == {"clean label", "flipped label", "noise image"}
    of_size = select(shares, along="size")
    assert set(zip(of_size["start"], of_size["stop"], strict=True)) == {("mlp", "wide"), ("wide", "resnet")}
    of_epoch = select(shares, along="epoch")
    assert set(zip(of_epoch["start"], of_epoch["stop"], strict=True)) == {("3", "6"), ("6", "9")}
    assert set(of_epoch["architecture"]) == {"resnet"}
    assert (shares.groupby(["along", "start", "examples"])["value"].sum() - 1).abs().max() < 1e-9


def test_shares_of_the_states_are_written_where_they_are(tables_of):
    tables = tables_of(**PLAIN)
    numbers, figure = transitions_of(STUDY, tables)
    flows = select(numbers, family="All networks", along="size", quantity="share")
    axes = figure.axes[1]
    written = {tuple(text.get_position()): text.get_text() for text in axes.texts if text.get_bbox_patch()}
    for place, name in enumerate(["mlp", "wide", "resnet"]):
        for lane, state in enumerate(STATES):
            if place < 2:
                share = select(flows, start=name, from_state=state)["value"].sum()
            else:
                share = select(flows, stop=name, to_state=state)["value"].sum()
            assert float(written[place, lane]) == pytest.approx(100 * share, abs=0.5)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["mlp", "wide", "resnet"]


def test_what_becomes_of_unfitted_examples_is_written_above(tables_of):
    numbers, figure = transitions_of(STUDY, tables_of(**PLAIN))
    rows = select(numbers, family="MLPs", quantity="later")
    memorised, generalised = (select(rows, to_state=state).iloc[0] for state in ("memorised", "generalised"))
    note = figure.axes[0].get_title(loc="left").split("\n")
    assert note[0] == "all examples"
    assert note[1] == f"{memorised['n_examples']:g} not fitted; in the end"
    for line, row in zip(note[2:], (memorised, generalised), strict=True):
        value, low, high = (float(text.strip("[],")) for text in line.replace("%", "").split()[1:])
        expected = 100 * row[["value", "low", "high"]].to_numpy(dtype=float)
        assert np.allclose([value, low, high], expected, atol=0.5)


def test_one_evaluated_epoch_is_said(tables_of):
    _, figure = transitions_of(STUDY, tables_of(epochs=1, **PLAIN))
    for axes in figure.axes[2:]:
        assert [text.get_text() for text in axes.texts] == ["one evaluated epoch"]


def test_flows_are_readable(drawn):
    assert_readable(drawn(transitions_of)[1])


# Transient.


def test_pictures_are_a_sample_of_the_sets_of_the_even_groups_with_scores_of_the_odd(case, drawn):
    study, tables = case
    numbers, _ = drawn(transient_of)
    even = select(tables["sets"], selected_on="even")
    for family in study.families.values():
        of_family = select(even, family=family["title"]).set_index("index")
        for kind, (inside, first, last) in transient.COLUMNS.items():
            shown = select(numbers, family=family["title"], series="picture", kind=kind)
            chosen = of_family[of_family[inside]]
            count = 2 * max(2, 7 // len(study.families))
            assert len(shown) == min(len(chosen), count)
            assert shown["index"].is_unique
            found = chosen.loc[shown["index"].astype(int)]
            assert np.array_equal(found[[first, last]], shown[["first", "last"]])
            assert np.array_equal(found["label"], shown["label"])


def test_every_picture_is_drawn_with_its_scores(drawn):
    numbers, figure = drawn(transient_of)
    shown = select(numbers, series="picture")
    panels = [axes for axes in figure.axes if not axes.axison]
    images = [np.asarray(image.get_array()) for axes in panels for image in axes.images]
    assert len(images) == len(shown) > 0
    for image, position in zip(images, shown["position"].astype(int), strict=True):
        assert np.array_equal(image, DATASET.train.images[position])
    captions = [text for axes in panels for text in axes.texts if "→" in text.get_text()]
    for text, row in zip(captions, shown.itertuples(), strict=True):
        assert text.get_text().split("\n")[-1] == f"{row.first:.2f} → {row.last:.2f}"
        flipped = "flipped label" if row.label_noise else None
        assert to_hex(text.get_color()) == to_hex(style.COLOURS[flipped] if flipped else "black")


def test_shares_and_scores_stand_at_their_kinds_with_their_intervals(tables_of):
    numbers, figure = transient_of(STUDY, tables_of(**PLAIN))
    shares, scores = figure.axes[0], figure.axes[1]
    rows = select(numbers, family="MLPs", examples="all").set_index(["kind", "quantity"])
    for place, kind in enumerate(transient.COLUMNS):
        bar = shares.patches[place]
        row = rows.loc[(kind, "share")]
        assert bar.get_width() == pytest.approx(100 * row["value"])
        assert bar.get_y() + bar.get_height() / 2 == pytest.approx(-2 * place)
        score, drop, everywhere = (rows.loc[(kind, name), "value"] for name in ("score", "drop", "score_all"))
        points = {
            (line.get_marker(), to_hex(line.get_markerfacecolor())): line.get_xdata()[0]
            for line in scores.lines
            if len(line.get_xdata()) == 1 and line.get_ydata()[0] == -2 * place
        }
        colour = to_hex(style.COLOURS["all"])
        expected = {("o", colour): score, ("<", colour): score - drop, ("o", "#ffffff"): everywhere}
        assert points == pytest.approx(expected, nan_ok=True)
    row = rows.loc[("model-wise", "share")]
    (segment,) = [line for line in shares.lines if len(line.get_xdata()) == 2]
    assert segment.get_xdata().tolist() == [max(100 * row["low"], 0), 100 * row["high"]]
    row = rows.loc[("model-wise", "score")]
    (segment,) = [line for line in scores.lines if len(line.get_xdata()) == 2]
    assert segment.get_xdata().tolist() == [row["low"], row["high"]]


def test_overlap_replication_and_sub_populations_are_written(tables_of):
    part = DATASET.train.labels + 10 * (np.arange(N) % 4 == 0).astype(np.int32)
    numbers, figure = transient_of(STUDY, tables_of(subpopulation=part, **PLAIN))
    rows = select(numbers, family="MLPs").set_index(["kind", "quantity"])
    note = " ".join(figure.texts[0].get_text().split())
    for kind in transient.COLUMNS:
        row = rows.loc[(kind, "replicated")]
        assert (
            row["n_examples"] == 0
            or f"{kind.capitalize()}: {row['n_examples']:g} found, {100 * row['value']:.0f} % by both" in note
        )
    assert f"In both sets: {100 * rows.loc[('both', 'overlap'), 'value']:.0f} %" in note
    row = rows.loc[("model-wise", "log2_size")]
    assert f"sub-population {row['value']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]" in note
    assert_readable(figure)


def test_empty_sets_are_said(tables_of):
    tables = tables_of(**PLAIN)
    sets = tables["sets"].assign(model_wise=False, temporal=False)
    empty = tables["transient"].assign(low=np.nan, high=np.nan, n_examples=0.0)
    empty["value"] = empty["value"].where(empty["quantity"] == "score_all").mask(empty["quantity"] == "share", 0.0)
    numbers, figure = transient_of(STUDY, {"sets": sets, "transient": empty})
    assert select(numbers, series="picture").empty
    panels = [axes for axes in figure.axes if not axes.axison]
    assert [[text.get_text() for text in axes.texts][1::2] for axes in panels] == [["none", "none"]] * 2
    assert_readable(figure)


def test_sets_are_readable(drawn):
    assert_readable(drawn(transient_of)[1])


@pytest.mark.parametrize("draw", [transitions_of, transient_of])
def test_the_same_numbers_give_the_same_bytes(draw, tables_of):
    tables, files = tables_of(**PLAIN), [io.BytesIO(), io.BytesIO()]
    for file in files:
        draw(STUDY, tables)[1].savefig(file, format="pdf", metadata={"CreationDate": None})
    assert files[0].getvalue() == files[1].getvalue()
