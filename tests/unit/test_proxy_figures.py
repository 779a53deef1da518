import functools
import json
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figure_helpers import ARCHITECTURES, DATASET, NO_FAMILIES, STUDY, TEXT, collisions, drawn_texts, outside, select
from helpers import tiny_config
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from proxy_helpers import INPUTS, MODULES, NO_DEPTH, PICTURES, PROXIES, TAU, make, spec, tables
from test_picture_figures import label_of, named, read_panel

from memflow import provenance, proxy_names
from memflow.config import Study
from memflow.data import prepared
from memflow.figures import pictures, proxy_disagreement, proxy_rows, style
from memflow.files import sha256, write_csv, write_parquet
from memflow.proxies import DIRECTIONS
from memflow.proxy_names import NAMES, SCORE
from memflow.statistics import isotonic_map
from memflow.statistics.trajectory_types import DESCRIPTIVE, describe

pytestmark = [
    pytest.mark.usefixtures("figure_style"),
    pytest.mark.filterwarnings("ignore:An input array is constant"),
]

PROJECT = Path(__file__).resolve().parents[2]
FAMILIES = {"MLPs": ["mlp", "wide"], "All networks": ["mlp", "resnet", "wide"]}  # in order of size
ONE = Study(tiny_config(architectures={"mlp": ARCHITECTURES["mlp"]}))
ROWS = [name for name in MODULES if name not in PICTURES]


@functools.cache
def drawing(name):
    return make(name)


def dots(axes):
    """Place and value of every dot, by colour."""
    lines = [line for line in axes.lines if line.get_marker() == "o"]
    return {to_hex(line.get_color()): line.get_xydata() for line in lines}


def levels(axes):
    """Horizontal and vertical segments, by colour: both ends of each."""
    found = {}
    for lines in (part for part in axes.collections if isinstance(part, LineCollection)):
        segments = np.array([path.vertices for path in lines.get_paths()])  # also of what is not drawn
        kind = "ceiling" if np.array_equal(segments[:, 0, 0], segments[:, 1, 0], equal_nan=True) else "interval"
        found[kind, to_hex(lines.get_color()[0])] = segments
    return found


def axes_of(figure, label):
    """Axes with a label, in the order of the families."""
    return [axes for axes in figure.axes if axes.get_xlabel() == label]


def row_names(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


# --- rows ------------------------------------------------------------------------------------------------------------


def test_proxies_stand_in_a_fixed_order_with_further_ratios_after_the_study_s_own():
    assert proxy_rows.ordered([*reversed(PROXIES), "aum", SCORE]) == [SCORE, *PROXIES]
    assert [proxy_rows.name(proxy) for proxy in PROXIES[-3:]] == [
        "C-score",
        "C-score at ratio 3/10",
        "C-score of all ratios",
    ]


def test_every_proxy_from_runs_is_called_by_a_name_that_a_sentence_uses_too():
    assert set(DIRECTIONS) <= set(NAMES)
    for proxy in PROXIES:
        called, in_sentence = proxy_rows.name(proxy), proxy_names.name(proxy)
        assert called[0].isupper()
        assert called[1:] == in_sentence[1:]
        assert "_" not in called


def test_names_in_sentences_need_no_matplotlib():
    code = "import sys, memflow.findings; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_sizes_are_light_to_dark():
    luminance = np.array([to_rgb(shade) for shade in proxy_rows.shades(7)]) @ (0.3, 0.6, 0.1)
    assert (np.diff(luminance) < 0).all()
    assert proxy_rows.shades(1) == proxy_rows.shades(7)[-1:]


def test_sizes_stay_within_their_row():
    for count in range(1, 9):
        places = proxy_rows.offsets(count)
        assert len(places) == count
        assert np.isclose(places.mean(), 0)
        assert abs(places).max() < 0.45


# --- agreement and bimodality ----------------------------------------------------------------------------------------


DRAWN = [
    ("proxy_agreement", "Spearman", {"statistic": "spearman", "examples": "clean label"}, 1),
    ("proxy_agreement", "Pearson", {"statistic": "pearson", "examples": "clean label"}, 1),
    ("proxy_bimodality", "Sarle", {"quantity": "sarle"}, 1),
    ("proxy_bimodality", "Dip", {"quantity": "dip"}, 1),
    ("proxy_bimodality", "≤ 0.1 (%)", {"quantity": "share_low"}, 100),
    ("proxy_bimodality", "≥ 0.9 (%)", {"quantity": "share_high"}, 100),
]


@pytest.mark.parametrize(("name", "label", "where", "percent"), DRAWN)
def test_every_value_of_the_table_is_a_dot_with_its_interval(name, label, where, percent):
    numbers, figure = drawing(name)
    proxies = PROXIES if name == "proxy_agreement" else [SCORE, *PROXIES]
    for axes, (family, members) in zip(axes_of(figure, label), FAMILIES.items(), strict=True):
        assert row_names(axes) in ([proxy_rows.name(proxy) for proxy in proxies], [], [""] * len(proxies))
        colours = proxy_rows.shades(len(members))
        for member, colour, offset in zip(members, colours, proxy_rows.offsets(len(members)), strict=True):
            rows = select(numbers, family=family, architecture=member, **where).set_index("proxy").reindex(proxies)
            assert rows["value"].notna().sum() == len(proxies) - (member in NO_DEPTH)
            found, places = dots(axes)[colour], np.arange(len(proxies)) + offset
            assert np.allclose(found, np.column_stack([rows["value"], places]), equal_nan=True)
            segments = levels(axes)["interval", colour]
            assert np.allclose(segments[:, :, 0], rows[["low", "high"]], equal_nan=True)
            known = rows["value"].notna()
            assert np.allclose(segments[known, :, 1], places[known, None])
        figure.draw_without_rendering()
        shown = [text.get_text() for text in axes.get_xticklabels() if text.get_text()]
        assert "0" in shown
        assert name != "proxy_bimodality" or label == "Dip" or str(percent) in shown


@pytest.mark.parametrize("statistic", ["Spearman", "Pearson"])
def test_every_dot_of_agreement_has_its_ceiling(statistic):
    numbers, figure = make("proxy_agreement")
    for axes, (family, members) in zip(axes_of(figure, statistic), FAMILIES.items(), strict=True):
        for member, colour in zip(members, proxy_rows.shades(len(members)), strict=True):
            where = {"family": family, "architecture": member, "statistic": statistic.lower()}
            rows = select(numbers, examples="clean label", **where).set_index("proxy").reindex(PROXIES)
            assert np.allclose(levels(axes)["ceiling", colour][:, 0, 0], rows["ceiling"], equal_nan=True)


def test_agreement_is_drawn_of_clean_labels_and_says_so_where_there_are_others():
    numbers, figure = make("proxy_agreement")
    assert set(numbers["examples"]) == {"all", "clean label", "flipped label"}
    assert set(numbers.loc[numbers["drawn"], "examples"]) == {"clean label"}
    assert "Examples with clean labels" in [text for text, _ in drawn_texts(figure)]
    natural = {"agreement": select(tables("proxy_agreement")["agreement"], examples="all")}
    numbers, figure = make("proxy_agreement", natural)
    assert numbers["drawn"].all()
    assert "Examples with clean labels" not in [text for text, _ in drawn_texts(figure)]


def test_a_negative_agreement_widens_the_axis():
    given = tables("proxy_agreement")
    given["agreement"][["value", "low", "high"]] -= 1.2
    numbers, figure = make("proxy_agreement", given)
    for axes in (axes for label in ("Spearman", "Pearson") for axes in axes_of(figure, label)):
        assert axes.get_xlim()[0] < numbers.loc[numbers["drawn"], "low"].min() < -0.5


def test_sarle_s_coefficient_of_the_uniform_distribution_is_marked():
    _, figure = drawing("proxy_bimodality")
    for axes in axes_of(figure, "Sarle"):
        assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"] == [5 / 9]


# --- trajectories ----------------------------------------------------------------------------------------------------


def scores_by_size(given, members, halves):
    scores = select(given["halves"], half=halves)
    return np.array([select(scores, architecture=name).groupby("index")["memorisation"].mean() for name in members])


@pytest.mark.parametrize("family", FAMILIES)
def test_types_of_the_score_are_the_descriptive_ones_of_both_halves_with_the_study_s_tau_and_that_of_its_noise(family):
    given, (numbers, _) = tables("proxy_trajectories"), drawing("proxy_trajectories")
    scores = scores_by_size(given, FAMILIES[family], ["even", "odd"])
    even, odd = (scores_by_size(given, FAMILIES[family], half) for half in ("even", "odd"))
    noise = np.quantile(np.ptp((even - odd) / 2, axis=0), 0.95)
    assert not np.array_equal(describe(scores, noise), describe(scores, TAU))
    for series, tau in (("share", TAU), ("share_at_own_noise", noise)):
        rows = select(numbers, family=family, proxy=SCORE, series=series)
        expected = [(describe(scores, tau) == kind).mean() for kind in DESCRIPTIVE]
        assert rows["type"].tolist() == list(DESCRIPTIVE)
        assert np.allclose(rows["value"].astype(float), expected)
        assert np.allclose(rows["tau"].astype(float), tau)
    assert set(select(numbers, proxy=SCORE)["series"]) == {"share", "share_at_own_noise", "mean"}
    assert set(numbers.loc[numbers["proxy"] != SCORE, "series"]) == {"share", "share_at_study_tau", "mean"}
    means = select(numbers, family=family, proxy=SCORE, series="mean")
    assert means["architecture"].tolist() == FAMILIES[family]
    assert np.allclose(means["value"].astype(float), scores.mean(axis=1))


@pytest.mark.parametrize(("family", "reference"), [("MLPs", "mlp"), ("All networks", "resnet")])
@pytest.mark.parametrize("proxy", ["aum", "forgetting", "c_score_mean"])
def test_a_proxy_is_mapped_once_at_the_middle_size_its_even_half_to_the_odd_scores(family, reference, proxy):
    given, (numbers, _) = tables("proxy_trajectories"), drawing("proxy_trajectories")
    members = FAMILIES[family]
    rows = select(given["proxies"], proxy=proxy)
    values = {
        name: np.array([select(rows, architecture=member)[name] for member in members])
        for name in ("value", "value_even", "value_odd")
    }
    place = members.index(reference)
    fitted = isotonic_map.fit(values["value_even"][place], scores_by_size(given, members, "odd")[place])
    full, even, odd = (isotonic_map.apply(fitted, value) for value in values.values())
    tau = np.quantile(np.ptp((even - odd) / 2, axis=0), 0.95)
    for series, limit in (("share", tau), ("share_at_study_tau", TAU)):
        drawn = select(numbers, family=family, proxy=proxy, series=series)
        assert np.allclose(drawn["tau"].astype(float), limit)
        expected = [(describe(full, limit) == kind).mean() for kind in DESCRIPTIVE]
        assert np.allclose(drawn["value"].astype(float), expected)
    means = select(numbers, family=family, proxy=proxy, series="mean")
    assert np.allclose(means["value"].astype(float), full.mean(axis=1))
    assert set(select(numbers, family=family, proxy=proxy)["reference"]) == {reference}


def test_noise_that_a_c_score_shares_with_the_score_of_its_half_does_not_shape_its_map():
    """Examples are all alike: score and C-score differ between them by the noise of their common runs only."""
    given, random = tables("proxy_trajectories"), np.random.default_rng(0)
    index, rows = DATASET.train.index, []
    for architecture in ("mlp", "wide"):
        noise = random.normal(0, 0.2, (2, len(index)))
        given["halves"].loc[given["halves"]["architecture"] == architecture, "memorisation"] = 0.5 + noise.ravel()
        even, odd = 0.5 + noise
        values = {"value": (even + odd) / 2, "value_even": even, "value_odd": odd}
        rows.append(pd.DataFrame({"proxy": "c_score", "architecture": architecture, "index": index} | values))
    given["proxies"] = pd.concat(rows, ignore_index=True)
    numbers, _ = make("proxy_trajectories", given)
    tau = select(numbers, family="MLPs", series="share", type="constant").set_index("proxy")["tau"]
    noise = select(numbers, family="MLPs", series="share_at_own_noise", type="constant")["tau"].item()
    print(f"tau of the C-score {tau['c_score']:.3f}, of the score {noise:.3f}")
    assert tau["c_score"] < noise / 2  # fitted with the same half, the map would be the identity, and these be alike


def test_an_example_without_a_score_at_some_size_counts_for_nothing():
    given = tables("proxy_trajectories")
    scores = given["halves"]
    first = DATASET.train.index[0]
    scores.loc[(scores["index"] == first) & (scores["architecture"] == "mlp"), "memorisation"] = np.nan
    numbers, _ = make("proxy_trajectories", given)
    assert set(numbers["n_examples"]) == {len(DATASET.train) - 1}
    assert numbers["value"].notna().all()


def test_a_proxy_that_a_member_lacks_is_left_out_of_its_family_only():
    numbers, figure = drawing("proxy_trajectories")
    depth = select(numbers, proxy="prediction_depth")
    assert set(depth["family"]) == {"MLPs"}
    said = [[text.get_text() for text in axes.texts] for axes in axes_of(figure, "Share")]
    assert ["not at every size" in texts for texts in said] == [False, True]


def test_bars_and_dots_of_trajectories_are_those_of_the_table():
    numbers, figure = drawing("proxy_trajectories")
    proxies = [SCORE, *PROXIES]
    for axes, (family, _) in zip(axes_of(figure, "Share"), FAMILIES.items(), strict=True):
        assert row_names(axes) in ([proxy_rows.name(proxy) for proxy in proxies], [], [""] * len(proxies))
        bars = {}
        for bar in (patch for patch in axes.patches if patch.get_height() < 0.9):
            row = round(bar.get_y() + bar.get_height() / 2 - 0.1)
            lower = "share_at_own_noise" if proxies[row] == SCORE else "share_at_study_tau"
            series = "share" if bar.get_height() > 0.3 else lower
            bars.setdefault((proxies[row], series), []).append((bar.get_width(), to_hex(bar.get_facecolor())))
        shares = numbers[(numbers["family"] == family) & (numbers["series"] != "mean")]
        assert set(bars) == set(zip(shares["proxy"], shares["series"], strict=True))
        for (proxy, series), found in bars.items():
            rows = select(numbers, family=family, proxy=proxy, series=series)
            colours = [style.COLOURS["undetermined" if kind == "other" else kind] for kind in DESCRIPTIVE]
            assert np.allclose([width for width, _ in found], rows["value"].tolist())
            assert [colour for _, colour in found] == [to_hex(colour) for colour in colours]
        notes = [text for text in axes.texts if text.get_text()[0] == "0"]
        written = [text.get_text() for text in sorted(notes, key=lambda text: text.get_position()[1])]
        taus = select(numbers, family=family, type="constant").set_index(["proxy", "series"])["tau"]
        shown = [(SCORE, "share"), (SCORE, "share_at_own_noise"), *((proxy, "share") for proxy in PROXIES)]
        assert written == [f"{tau:.2f}" for tau in taus.reindex(shown).dropna()]
    for axes, (family, members) in zip(axes_of(figure, "Mean"), FAMILIES.items(), strict=True):
        for member, colour in zip(members, proxy_rows.shades(len(members)), strict=True):
            rows = select(numbers, family=family, series="mean", architecture=member).set_index("proxy")["value"]
            assert np.allclose(dots(axes)[colour][:, 0], rows.reindex(proxies).astype(float), equal_nan=True)


def test_a_single_size_has_no_trajectory():
    numbers, figure = make("proxy_trajectories", study=ONE, sizes={"mlp": 100})
    assert numbers.empty
    assert {text for text, _ in drawn_texts(figure)} >= {"a single size"}


# --- disagreement ----------------------------------------------------------------------------------------------------


LARGEST = {"MLPs": "wide", "All networks": "resnet"}  # the last of the config


def ranks_of(given, architecture, proxy, half):
    scores = select(given["halves"], architecture=architecture, half=half).set_index("index")["memorisation"]
    values = select(given["proxies"], architecture=architecture, proxy=proxy).set_index("index")[f"value_{half}"]
    return scores, values


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("proxy", proxy_disagreement.HEADINGS)
def test_disagreement_is_chosen_by_ranks_of_the_even_half_and_measured_on_the_odd(family, proxy):
    given, (numbers, _) = tables("proxy_disagreement"), drawing("proxy_disagreement")
    if LARGEST[family] in NO_DEPTH and proxy == "prediction_depth":
        assert select(numbers, family=family, proxy=proxy).empty
        return
    scores, values = ranks_of(given, LARGEST[family], proxy, "even")
    difference = values.rank() - scores.rank()
    odd_scores, odd_values = ranks_of(given, LARGEST[family], proxy, "odd")
    for direction, sign in (("higher", 1), ("lower", -1)):
        rows = select(numbers, family=family, proxy=proxy, direction=direction)
        chosen = rows["index"].tolist()
        assert len(chosen) == 3
        assert np.allclose(sign * difference[chosen], sorted(sign * difference, reverse=True)[:3])
        assert rows["score"].tolist() == odd_scores[chosen].tolist()
        assert rows["value"].tolist() == odd_values[chosen].tolist()
        assert np.allclose(rows["score_percentile"], 100 * odd_scores.rank(pct=True)[chosen])
        assert np.allclose(rows["proxy_percentile"], 100 * odd_values.rank(pct=True)[chosen])


def test_ties_are_broken_by_the_fixed_random_order():
    given = tables("proxy_disagreement")
    index = DATASET.train.index
    shared = dict(zip(index, np.arange(len(index)) % 2, strict=True))
    given["halves"]["memorisation"] = given["halves"]["index"].map(shared).astype(float)
    given["proxies"]["value_even"] = 1 - given["proxies"]["index"].map(shared).astype(float)
    numbers, _ = make("proxy_disagreement", given)
    low = [index[place] for place in np.argsort(pictures.random_order(len(index))) if place % 2 == 0]
    assert select(numbers, family="MLPs", proxy="forgetting", direction="higher")["index"].tolist() == low[:3]


def test_an_example_without_a_score_in_one_half_is_not_shown():
    given = tables("proxy_disagreement")
    lost = make("proxy_disagreement", given)[0]["index"].iloc[0]
    scores = given["halves"]
    scores.loc[(scores["index"] == lost) & (scores["half"] == "odd"), "memorisation"] = np.nan
    numbers, _ = make("proxy_disagreement", given)
    assert lost not in set(numbers["index"])
    assert numbers.notna().all().all()


def test_every_image_of_disagreement_is_that_of_the_table_above_its_caption():
    numbers, figure = drawing("proxy_disagreement")
    for axes, family in zip(figure.axes, FAMILIES, strict=True):
        assert axes.get_title() == f"{family}\n{LARGEST[family]}"
        shown = read_panel(axes)
        for proxy, headings in proxy_disagreement.HEADINGS.items():
            for direction, heading in headings.items():
                rows = named(select(numbers, family=family, proxy=proxy, direction=direction))
                assert len(shown[heading]) == len(rows)
                for (image, caption, _), row in zip(shown[heading], rows.itertuples(), strict=True):
                    assert np.array_equal(image, DATASET.train.images[row.position])
                    assert DATASET.train.index[row.position] == row.index_of_example
                    ranks = f"{row.score_percentile:.0f} → {row.proxy_percentile:.0f} %"
                    assert caption == f"{label_of(row)}\nscore {row.score:.2f}\n{ranks}"


# --- all figures -----------------------------------------------------------------------------------------------------


def assert_readable(figure):
    texts = drawn_texts(figure)
    assert list(collisions(texts)) == []
    assert outside(figure, texts) == []
    assert figure.get_figwidth() == style.ONE_COLUMN


def long_study(n_families, n_sizes):
    titles = ["CIFAR ResNets, depth 8 to 110", "MobileNet-v3, width 0.35 to 1.25", "Residual networks of width 2 to 64"]
    entries, sizes = {}, {}
    for number, title in enumerate(titles[:n_families]):
        members = {f"network{number}-width-{size}": 1000 * 3 ** (size + number) for size in range(n_sizes + number)}
        entries[f"family-{number}"] = {"title": title, "architectures": list(members)}
        sizes |= members
    made = {name: {"model": "mlp", "hidden": [8], "recipe": "short"} for name in sizes}
    return Study(tiny_config(architectures=made, families=entries)), sizes


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(("n_families", "n_sizes"), [(1, 7), (2, 4), (3, 3)])
def test_no_text_covers_another_or_leaves_the_figure(name, n_families, n_sizes):
    study, sizes = long_study(n_families, n_sizes)
    numbers, figure = make(name, study=study, sizes=sizes)
    assert numbers["family"].nunique() == n_families
    assert_readable(figure)


@pytest.mark.parametrize("name", MODULES)
def test_without_families_there_is_one_untitled_panel(name):
    numbers, figure = make(name, study=NO_FAMILIES)
    assert set(numbers["family"]) == {""}
    assert_readable(figure)


@pytest.mark.parametrize("name", MODULES)
def test_a_single_size_is_drawn(name):
    _, figure = make(name, study=ONE, sizes={"mlp": 100})
    assert_readable(figure)


@pytest.mark.parametrize("name", ROWS)
def test_proxies_that_tell_no_examples_apart_are_drawn(name):
    numbers, figure = make(name, tables(name, constant=True))
    assert_readable(figure)
    texts = [text for text, _ in drawn_texts(figure)]
    if name == "proxy_trajectories":
        constant = numbers[
            (numbers["proxy"] != SCORE) & (numbers["series"] == "share") & (numbers["type"] == "constant")
        ]
        assert set(constant["value"]) == {1.0}
        assert set(constant["tau"]) == {0.0}
    else:
        assert texts.count("undefined") == 2 * len(PROXIES) * (2 if name == "proxy_agreement" else 1)


@pytest.mark.parametrize("name", MODULES)
def test_a_panel_says_if_weights_may_have_seen_held_out_images(name):
    overlap = spec(name)["pretraining_overlap"] | {"resnet": "unknown"}  # a member of one of the two families
    _, figure = make(name, pretraining_overlap=overlap)
    said = [" ".join(words.split()) for words, _ in drawn_texts(figure) if "pretrained" in words]
    assert [text.partition(": unknown")[0] for text in said] == ["All networks pretrained; held-out images seen"]
    assert_readable(figure)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=MODULES)
def made(request, tmp_path_factory):
    """Runs the script of a figure; gives its name and its folder."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    with plt.rc_context(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["figure", *arguments(name, folder)])
        runpy.run_path(str(PROJECT / "workflow" / "scripts" / f"{name}.py"), run_name="__main__")
    return name, folder


def coded(name):
    """The spec with the code that the script runs."""
    return spec(name) | {"code": STUDY.proxy_figure_spec(name, "digits")["code"]}


def arguments(name, folder):
    """Command line of a figure, whose inputs it writes."""
    parts = ["--spec", json.dumps(coded(name)), "--log", folder / "log"]
    for kind in ("pdf", "png", "csv"):
        parts += [f"--{kind}", folder / f"{name}.{kind}"]
    for kind, table in tables(name).items():
        parts.append(f"--{kind}")
        suffix, write = ("parquet", write_parquet) if kind in ("proxies", "halves") else ("csv", write_csv)
        for architecture in spec(name)["proxied"]:
            path = folder / "in" / f"{architecture}.{kind}.{suffix}"
            write(path, select(table, architecture=architecture).drop(columns="architecture"))
            parts.append(path)
    if name in PICTURES:
        prepared.save(DATASET, folder / "in" / "data.npz")
        parts += ["--dataset", folder / "in" / "data.npz"]
    for path in (folder / "in").iterdir():
        provenance.write([path], {}, inputs={}, started=provenance.now())
    return list(map(str, parts))


def read_csv(path):
    return pd.read_csv(path, dtype=TEXT)


def test_files_have_sidecars_with_spec_and_inputs(made):
    name, folder = made
    read = [path for path in (folder / "in").iterdir() if path.suffix != ".json"]
    assert len(read) == 3 * len(INPUTS[name]) + (name in PICTURES)
    for kind in ("pdf", "png", "csv"):
        record = provenance.read(folder / f"{name}.{kind}")
        assert record["definition"] == coded(name)
        assert record["inputs"] == {str(path): sha256(path) for path in read}


def test_the_written_table_is_the_table(made):
    name, folder = made
    expected, _ = make(name)
    found = read_csv(folder / f"{name}.csv")
    for column in found.columns[found.isna().any()]:  # nothing and the empty text are the same in a file
        expected[column] = expected[column].replace("", np.nan)
    numeric = {column: found[column].dtype for column in found if pd.api.types.is_float_dtype(found[column])}
    pd.testing.assert_frame_equal(found, expected.astype(numeric), check_dtype=False)


def test_a_figure_drawn_again_from_its_table_is_the_same_bytes_so_that_every_number_is_in_the_table(made, tmp_path):
    name, folder = made
    pictured = [DATASET] if name in PICTURES else []
    figure = MODULES[name].draw(spec(name), read_csv(folder / f"{name}.csv"), *pictured)
    style.save(figure, tmp_path / "figure.pdf", tmp_path / "figure.png")
    for kind in ("pdf", "png"):
        assert (tmp_path / f"figure.{kind}").read_bytes() == (folder / f"{name}.{kind}").read_bytes()


@pytest.mark.parametrize("name", MODULES)
def test_every_figure_has_a_caption(name):
    assert (PROJECT / "workflow" / "report" / f"{name}.rst").read_text().strip()
