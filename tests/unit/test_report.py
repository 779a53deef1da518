"""The page of a small study: real tables from simulated runs, and pictures of one colour in place of its figures."""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib import image

from memflow import counts as merged_counts
from memflow import distillation, findings, provenance, proxies, removal, report, scores, sensitivity, trajectories
from memflow.claims import card
from memflow.claims.evidence import Evidence
from memflow.config import Study
from memflow.data import hazards
from memflow.data.prepared import Split
from memflow.figures import mean_memorisation
from memflow.files import write_bytes, write_csv, write_npz
from memflow.provenance import ProvenanceError

PROJECT = Path(__file__).parents[2]
TEMPLATE = PROJECT / "workflow/report/report.html"
TITLE = 'MLPs <b>of</b> 8 & 16 "units"'
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = {
    "study": "small",
    "seeds": 40,
    "block_size": 20,
    "ratio": "7/10",
    "memorised_at": 0.3,
    "fdr": 0.1,
    "confidence": 0.9,
    "datasets": {"clean": {"source": "digits"}, "noisy": {"source": "digits", "label_noise": {"fraction": 0.2}}},
    "recipes": {
        "short": {"epochs": 2, "batch_size": 16, "learning_rate": 0.1, "schedule": {"shape": "cosine"}, "fuse": 2}
    },
    "architectures": {
        "mlp-8": {"model": "mlp", "hidden": [8], "recipe": "short"},
        "mlp-16": {"model": "mlp", "hidden": [16], "recipe": "short"},
        "neighbour": {"model": "nearest-neighbour"},
    },
    "families": {
        "width": {"title": TITLE, "architectures": ["mlp-8", "mlp-16"]},
        "backwards": {"title": "Backwards", "architectures": ["mlp-16", "mlp-8"]},
    },
}
METHODS = CONFIG | {
    "distillation": {
        "distilled-from-mlp-16": {"teacher": "mlp-16"},
        "self-distilled": {"teacher": "self", "students": ["mlp-8"]},
        "leaky": {"teacher": "mlp-16", "teacher_data": "full"},
    },
    "proxies": {"runs": 2, "block_size": 2, "ratios": ["1/2"]},
    "removal": {"runs": 4, "block_size": 2, "architectures": ["mlp-8", "mlp-16"]},
}
FLAGGED = {("noisy", "mlp-8"): 2}  # runs of the simulation that are not converged; none elsewhere
FIGURES = ["mean_memorisation", "score_distribution", "most_memorised"]
ALONG = ["trajectories", "trajectory_examples"]
TRUST, MATTER = "How far to trust these numbers", "Does memorisation matter?"
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What a browser makes of the page: elements with their attributes and text, in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert not self.open, "elements are left open"

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", "above": [*self.open], **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, *tags, within=None):
        """Elements by tag, in their order; within the element of an id."""
        inside = [e for e in self.elements if within is None or any(a.get("id") == within for a in e["above"])]
        return [e for e in inside if e["tag"] in tags]

    def texts(self, *tags, within=None):
        return [" ".join(e["text"].split()) for e in self.all(*tags, within=within)]

    def runs(self, dataset):
        """The table of runs: by architecture, its cells."""
        rows = self.all("tr", within=f"runs-{dataset}")
        cells = [[e for e in self.elements if e["tag"] in ("th", "td") and row in e["above"]] for row in rows]
        return {row[0]["text"]: row[1:] for row in cells[1:]}


def simulated(simulate, dataset, architecture, method="one-hot"):
    """Counts of 60 examples in 40 runs: flipped labels are memorised by the larger network only, and by no student."""
    flipped = np.arange(60) % 5 == 4
    acc_out = {"mlp-8": 0.9 - 0.1 * flipped, "mlp-16": 0.95 - 0.85 * flipped, "neighbour": 1.0 + 0 * flipped}
    student = not method.startswith(("one-hot", "ratio"))
    groups, ratio = (20, (1, 2)) if method == "ratio-1-2" else (4, (7, 10))
    counts = simulate(1.0, np.full(60, 0.95) if student else acc_out[architecture], groups=groups, ratio=ratio)
    converged = np.arange(40) >= FLAGGED.get((dataset, architecture), 0)
    if dataset == "clean":
        return replace(counts, converged=converged, label_noise=np.zeros(60, dtype=bool))
    counts.correct_in[:, 7] = counts.n_in[:, 7] = ratio[1]
    counts.correct_out[:, 7] = counts.n_out[:, 7] = counts.epoch_correct_out[..., 7] = 0  # never held out: no score
    return replace(counts, converged=converged)


def write_block(path, commit=COMMIT, dirty=False, device="cpu", torch="2.14.1", hour=10):
    """A block of nothing with a sidecar like a trained one's, half an hour of work."""
    started = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour)
    times = {"started": started.isoformat(), "finished": (started + timedelta(minutes=30)).isoformat()}
    record = {
        "bit_conditions": {"device": device, "device_name": "a name", "torch": torch},
        "circumstance": {"commit": commit, "dirty": dirty, **times},
        "outputs": {path.name: hashlib.sha256(b"outcomes").hexdigest()},
    }
    write_bytes(path, b"outcomes")
    write_bytes(provenance.sidecar(path), json.dumps(record).encode())


def write_png(path, colour):
    content = BytesIO()
    image.imsave(content, np.full((2, 2), colour, dtype=np.uint8), vmin=0, vmax=255, format="png")
    write_bytes(path, content.getvalue())


def pairs_of(dataset):
    """No copies in one dataset; in the other one in training and one in the test split, both under another label."""
    textures = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    train, test = {"clean": ([0, 1, 2], [3]), "noisy": ([0, 1, 0], [1])}[dataset]
    splits = [Split(textures[images], np.arange(len(images)), np.arange(len(images))) for images in (train, test)]
    return hazards.find(*splits, near=0.995).pairs


def build(root, config, simulate):
    """Everything of a study that its report reads."""
    study, started = Study(config), provenance.now()
    for number, dataset in enumerate(study.datasets):
        write_csv(root / f"data/{dataset}.hazards.csv", pairs_of(dataset))
        provenance.write([root / f"data/{dataset}.hazards.csv"], {}, inputs={}, started=started)
        counts = {}
        for architecture, method in (run[1:] for run in study.scored if run[0] == dataset):
            path = counts[architecture, method] = root / f"counts/{dataset}/{architecture}/{method}.npz"
            fields = asdict(simulated(simulate, dataset, architecture, method))
            write_npz(path, {name: np.asarray(field) for name, field in fields.items()})
            definition = {**study.counts_spec(dataset, architecture, method), "fingerprint": dataset}
            provenance.write([path], definition, inputs={}, started=started)
            table = root / f"scores/{dataset}/{architecture}/{method}.parquet"
            scores.run(study.scores_spec(dataset, architecture, method), path, table)
        for architecture, method in (run[1:] for run in study.runs if run[0] == dataset):
            for block in study.methods[method].blocks:
                write_block(root / f"runs/{dataset}/{architecture}/{method}/block-{block}.npz")
        for family, entry in study.families.items():
            members = [counts[name, "one-hot"] for name in entry["architectures"]]
            trajectories.run(
                study.trajectories_spec(dataset, family),
                members,
                root / f"trajectories/{dataset}/{family}/one-hot.parquet",
            )
            members = [
                counts[name, of] for of in study.methods_along(dataset, family) for name in entry["architectures"]
            ]
            spec = study.sensitivity_spec(dataset, family)
            sensitivity.run(spec, members, root / f"sensitivity/{dataset}/{family}.csv")
        for architecture in study.removal_on(dataset):
            path = root / f"removal/{dataset}/{architecture}.csv"
            write_csv(path, without_some(dataset, architecture))
            provenance.write([path], study.removal_spec(dataset, architecture), inputs={}, started=started)
        for family, method in study.distilled_along(dataset):
            spec = study.distillation_spec(dataset, family, method)
            members = [counts[name, "one-hot"] for name in spec["architectures"]]
            students = [counts[name, method] for name in spec["students"]]
            teacher = counts["mlp-16", "one-hot"] if method == "distilled-from-mlp-16" else None
            output = root / f"distillation/{dataset}/{family}/{method}.parquet"
            distillation.run(spec, members, students, teacher, output)
        for architecture in study.tracked(dataset):
            path = root / f"proxies/{dataset}/{architecture}.agreement.csv"
            write_csv(path, agreement(simulate, dataset, architecture))
            provenance.write([path], study.proxies_spec(dataset, architecture), inputs={}, started=started)
        folder = root / "figures" / dataset
        spec = study.mean_memorisation_spec(dataset)
        summary = [
            pd.read_csv(root / "scores/{0}/{architecture}/{method}.summary.csv".format(dataset, **entry)).assign(
                architecture=entry["architecture"], method=entry["method"]
            )
            for entry in spec["drawn"]
        ]
        write_csv(folder / "mean_memorisation.csv", mean_memorisation.table(spec, {"summary": pd.concat(summary)}))
        provenance.write([folder / "mean_memorisation.csv"], spec, inputs={}, started=started)
        for shade, figure in enumerate(figures_of(config)):
            write_png(folder / f"{figure}.png", 10 * shade + number)
            provenance.write([folder / f"{figure}.png"], spec, inputs={}, started=started)

    if study.families:
        write_csv(root / "claims.csv", judged(root, study))
        provenance.write([root / "claims.csv"], study.claims_spec(), inputs={}, started=started)
    write_bytes(root / "audit.json", json.dumps(audited(study)).encode())
    provenance.write([root / "audit.json"], study.audit_spec(), inputs={}, started=started)


def audited(study):
    """An audit of two files, of figures that were made by one commit from 80 runs."""
    origin = {"runs": 80, "commits": [COMMIT], "dirty": False}
    figures = {
        f"{dataset}/{figure}": {**origin, "command": f"memflow audit trace {dataset}/{figure}.pdf"}
        for dataset in study.datasets
        for figure in figures_of(study.config)
    }
    return {"sentence": "all: 80 runs", "warnings": [], "files": {"a": "0", "b": "1"}, "figures": figures}


def judged(root, study):
    """The card of what can be judged by the counts alone; of the family that is drawn backwards nothing is claimed."""
    evidence = {}
    for dataset in study.datasets:
        paths = {name: root / f"counts/{dataset}/{name}/one-hot.npz" for name in ("mlp-8", "mlp-16")}
        sizes = trajectories.scored_everywhere({name: merged_counts.load(path) for name, path in paths.items()})
        evidence[dataset, TITLE] = Evidence(sizes, tau=0.05, memorised_at=0.3, confidence=0.9)
        evidence[dataset, "Backwards"] = "sizes that grow"
    return card.judge(evidence, 0.9)[0]


def without_some(dataset, architecture):
    """Accuracies of runs without some examples; on one dataset some runs missed their target."""
    random = np.random.default_rng(len(dataset + architecture))
    shares = {"none": 0.9, "memorised": 0.7, "random": 0.8}
    arms = {arm: random.random((4, 50)) < share for arm, share in shares.items()}
    table = removal.compare(arms, np.arange(50) % 10 == 0, 0.9)
    marks = {"n_removed": 9, "n_train": 60, "weight_decay": 5e-4, "pretraining_overlap": "no"}
    return table.assign(runs_not_converged=3 * (dataset == "noisy"), **marks)


def agreement(simulate, dataset, architecture):
    """What proxies of one run say, which know the score but for some noise, and C-scores at two ratios."""
    merged = simulated(simulate, dataset, architecture)
    by_run = merged.scores() + np.random.default_rng(0).normal(0, 0.1, (2, merged.n_examples))
    other = simulated(simulate, dataset, architecture, "ratio-1-2")
    measures = [proxies.from_runs("el2n", by_run.astype(np.float32))]
    measures += proxies.c_scores({"7/10": merged, "1/2": other})
    return proxies.agreement_table(merged, measures, 0.9).assign(parameters=123, pretraining_overlap="no")


def figures_of(config):
    return FIGURES + (ALONG if config["families"] else [])


def make(folder, config, output=None):
    """Run the stage, and return the page's text."""
    output = output or folder / "report/report.html"
    figures = figures_of(config)
    captions = [PROJECT / f"workflow/report/{figure}.rst" for figure in figures]
    study = Study(config)
    report.run(study.report_spec(dict.fromkeys(study.datasets, figures)), folder, TEMPLATE, captions, output)
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, simulate):
    """A finished study, and its report."""
    folder = tmp_path_factory.mktemp("results") / "small"
    build(folder, CONFIG, simulate)
    return folder, make(folder, CONFIG)


@pytest.fixture(scope="module")
def with_methods(tmp_path_factory, simulate):
    """A finished study of students, proxies and a further ratio, and its report."""
    folder = tmp_path_factory.mktemp("results") / "methods"
    build(folder, METHODS, simulate)
    return folder, make(folder, METHODS)


@pytest.fixture(params=["finished", "with_methods"])
def any_study(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def methods_page(with_methods):
    return Page(with_methods[1])


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the study, to change."""
    return shutil.copytree(finished[0], tmp_path / "small")


@pytest.fixture(scope="module")
def page(finished):
    return Page(finished[1])


def test_the_page_refers_to_nothing_outside_itself(any_study):
    page = Page(any_study[1])
    fetching = ("src", "href", "srcset", "data", "action", "poster", "background")
    references = [element[name] for element in page.elements for name in fetching if element.get(name)]
    ids = [element["id"] for element in page.elements if element.get("id")]
    assert len(ids) == len(set(ids))
    for reference in references:
        assert reference.startswith("data:image/png;base64,") or reference.removeprefix("#") in ids
    without_pictures = re.sub(r"data:image/png;base64,[\w+/=]+", "", any_study[1])
    assert not re.search(r"https?:|file:|//\w|@import|url\(|<script|<link|<iframe", without_pictures)


def test_browsers_are_told_to_load_nothing(page):
    policy = next(e["content"] for e in page.all("meta") if e.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_every_figure_is_embedded_once_per_dataset_byte_for_byte(finished, page):
    shown = [base64.b64decode(e["src"].partition(",")[2]) for e in page.all("img")]
    files = [finished[0] / f"figures/{name}/{figure}.png" for name in CONFIG["datasets"] for figure in FIGURES + ALONG]
    assert shown == [path.read_bytes() for path in files]
    assert len(set(shown)) == 10


def test_every_figure_has_its_own_alternative_text_its_caption_and_its_table(page):
    alternatives = [e["alt"] for e in page.all("img")]
    assert len(set(alternatives)) == 10
    for name in CONFIG["datasets"]:
        captions = page.texts("figcaption", within=f"dataset-{name}")
        for figure, caption in zip(FIGURES + ALONG, captions, strict=True):
            assert caption.startswith(" ".join((PROJECT / f"workflow/report/{figure}.rst").read_text().split()))
            origin = f"80 runs, commit {COMMIT[:10]}: memflow audit trace {name}/{figure}.pdf"
            assert caption.endswith(f"figures/{name}/{figure}.csv {origin}")


def test_headings_descend_one_level_at_a_time_from_the_only_title(any_study):
    page = Page(any_study[1])
    levels = [int(e["tag"][1]) for e in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    claims, made = (
        "What the literature says, and what this study says to it",
        "How it was made, and how to make it again",
    )
    assert page.texts("h2") == ["clean", "noisy", claims, made]


def test_the_navigation_leads_to_every_section(any_study):
    page = Page(any_study[1])
    assert [e["href"] for e in page.all("nav", "a") if "href" in e] == [f"#{e['id']}" for e in page.all("section")]


def test_texts_of_the_config_are_shown_and_not_interpreted(page):
    assert page.texts("h3", within="dataset-clean") == [TITLE, "Backwards", TRUST, "The data", "Runs", "Figures"]
    assert page.texts("h4", within="dataset-clean") == [TITLE, "Backwards"]
    assert page.texts("h3", within="claims")[0] == f"clean, {TITLE}"
    assert not page.all("b")


def test_the_introduction_has_the_settings_of_the_study(page):
    text = page.texts("header")[0]
    for words in ("2 datasets", "3 architectures", "40 runs", "random 7/10", "confidence of 90 %", "a score of 0.3 on"):
        assert words in text


def test_the_table_of_runs_shows_the_numbers_of_the_tables(finished, page):
    for name in CONFIG["datasets"]:
        rows = page.runs(name)
        assert list(rows) == list(CONFIG["architectures"])
        for architecture, cells in rows.items():
            summary = pd.read_csv(finished[0] / f"scores/{name}/{architecture}/one-hot.summary.csv")
            of_all = summary[summary["examples"] == "all"].set_index("quantity")["value"]
            shown = [float(cell["text"]) for cell in cells[1:5]]
            assert shown == pytest.approx(of_all[["acc_in", "acc_out", "acc_test", "memorisation"]].tolist(), abs=5e-4)
            assert cells[0]["text"] == "123"


def test_reliability_is_that_of_the_scores_and_a_dash_where_there_is_none(finished, page):
    for name in CONFIG["datasets"]:
        for architecture, cells in page.runs(name).items():
            record = provenance.read(finished[0] / f"scores/{name}/{architecture}/one-hot.parquet")
            expected = record["summary"]["reliability"]
            assert cells[5]["text"] == ("–" if expected is None else f"{expected:.2f}")
    assert page.runs("clean")["neighbour"][5]["text"] == "–"
    assert page.runs("noisy")["mlp-16"][5]["text"] > "0.9"


def test_flags_stand_exactly_where_runs_missed_their_target_or_examples_have_no_score(page):
    for name in CONFIG["datasets"]:
        for architecture, cells in page.runs(name).items():
            missed, unscored = FLAGGED.get((name, architecture), 0), int(name == "noisy")
            assert [cell["text"] for cell in cells[6:]] == [f"{missed} of 40", str(unscored)]
            assert [cell.get("class") == "flag" for cell in cells] == [False] * 6 + [missed > 0, unscored > 0]
    assert sum(e.get("class") == "flag" for e in page.elements) == 1 + 3


def test_the_copies_in_each_dataset_are_said(page):
    clean, noisy = (page.texts("li", within=f"dataset-{name}")[-4:] for name in ("clean", "noisy"))
    assert [sentence.split()[2] for sentence in clean] == ["no"] * 4
    assert [sentence.split()[2] for sentence in noisy] == ["1", "no", "1", "2"]
    assert "correlate at 0.995 or above" in clean[1]
    assert noisy[3] == "There are 2 pairs of copies with two labels."


def test_findings_are_of_their_own_dataset_with_clean_and_flipped_labels_apart(page):
    clean, noisy = (
        [text for title in (TITLE, "Backwards") for _, text in items(page, name, title)] for name in ("clean", "noisy")
    )
    assert len(clean) == 2 * (2 + 1 + 1)
    assert len(noisy) == 2 * (4 + 2 + 1)
    assert clean[0].startswith("The mean memorisation of the examples rises from 0.")
    assert [re.match(r"The mean memorisation of the (\w+) labels (\w+)", noisy[i])[1] for i in (0, 2)] == [
        "clean",
        "flipped",
    ]
    assert "flipped labels rises from" in noisy[2]
    assert "flipped labels falls from" in noisy[7 + 2]  # the second family is the first backwards
    assert all("score 0.3 or more" in sentence for sentence in (clean[1], noisy[1], noisy[3]))
    assert "false discovery rate of 0.1:" in clean[2]


def test_the_printed_config_is_the_study(page):
    printed = page.all("pre", within="made")[-1]["text"]
    assert yaml.safe_load(printed) | {"allow_dirty": False} == Study(CONFIG).config  # but for what changes no result
    assert Study(yaml.safe_load(printed)).config == Study(CONFIG).config


def commands(page):
    return page.all("pre", within="made")[0]["text"].strip().splitlines()


def warnings(page):
    return [" ".join(e["text"].split()) for e in page.all("p", within="made") if e.get("class") == "flag"]


def test_the_commands_check_out_the_commit_of_the_runs(page):
    assert commands(page)[0] == f"git checkout {COMMIT}"
    assert commands(page)[1:2] == ["make env"]
    assert warnings(page) == []


def test_uncommitted_changes_are_said_where_the_shell_takes_them_for_a_comment(folder):
    for path in folder.glob("runs/*/*/*/*.npz"):
        write_block(path, dirty=True)
    (checkout, *_) = commands(Page(make(folder, CONFIG)))
    assert re.fullmatch(rf"git checkout {COMMIT} +# it had uncommitted changes", checkout)


def test_runs_from_outside_a_repository_name_no_commit(folder):
    for path in folder.glob("runs/*/*/*/*.npz"):
        write_block(path, commit=None, dirty=None)
    page = Page(make(folder, CONFIG))
    assert commands(page)[0].startswith("# ")
    assert "None" not in page.texts("section", within=None)[-1]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"device": "cuda"}, "different devices are mixed: cpu (a name) (11 jobs); cuda (a name) (1 job)."),
        ({"torch": "3.0"}, "different versions of PyTorch are mixed: 2.14.1 (11 jobs); 3.0 (1 job)."),
        ({"commit": "f00d"}, f"different commits are mixed: {COMMIT} (11 jobs); f00d (1 job)."),
        ({"dirty": True}, f"mixed: {COMMIT} (11 jobs); {COMMIT} with uncommitted changes (1 job)."),
    ],
)
def test_mixed_circumstances_are_warned_of_with_what_is_mixed(folder, change, warning):
    write_block(folder / "runs/noisy/neighbour/one-hot/block-1.npz", **change, hour=11)
    (found,) = warnings(Page(make(folder, CONFIG)))
    assert found.endswith(warning)


def test_of_several_commits_the_last_is_checked_out(folder):
    write_block(folder / "runs/clean/mlp-8/one-hot/block-0.npz", commit="00aa", hour=30)
    write_block(folder / "runs/clean/mlp-8/one-hot/block-1.npz", commit="ffff", hour=9)
    page = Page(make(folder, CONFIG))
    assert commands(page)[0] == "git checkout 00aa"
    made = page.texts("p", within="made")[0]
    assert made.startswith("12 training jobs on cpu (a name) with PyTorch 2.14.1, 2026-03-01 to 2026-03-02;")
    assert made.endswith("together they took 6:00:00 hours.")


def test_what_the_audit_says_of_everything_is_on_the_page(folder, finished):
    assert "Of all but this page: all: 80 runs; 2 files, each with its SHA-256," in " ".join(finished[1].split())
    content = json.loads((folder / "audit.json").read_text()) | {"warnings": ["2 of 12 jobs ran uncommitted code"]}
    write_bytes(folder / "audit.json", json.dumps(content).encode())
    provenance.write([folder / "audit.json"], {}, inputs={}, started=provenance.now())
    assert warnings(Page(make(folder, CONFIG))) == ["2 of 12 jobs ran uncommitted code."]


def test_blocks_that_are_not_of_the_study_are_left_out(folder, finished):
    write_block(folder / "runs/clean/mlp-8/one-hot/block-2.npz", commit="older", device="cuda")
    write_block(folder / "runs/clean/mlp-9/one-hot/block-0.npz", commit="older", device="cuda")
    assert make(folder, CONFIG).replace(str(folder), "") == finished[1].replace(str(finished[0]), "")


def test_a_study_without_families_has_no_findings_along_them(tmp_path, simulate):
    config = CONFIG | {"families": {}, "datasets": {"clean": {"source": "digits"}}}
    config["architectures"] = {name: CONFIG["architectures"][name] for name in ("mlp-8", "neighbour")}
    build(tmp_path / "small", config, simulate)
    page = Page(make(tmp_path / "small", config))
    assert page.texts("h3") == ["The data", "Runs", "Figures"]
    assert page.texts("h2") == ["clean", "How it was made, and how to make it again"]
    assert page.texts("table") == page.texts("table", within="runs-clean")
    assert [sentence for sentence in page.texts("li") if "cop" not in sentence] == []
    assert [e["id"] for e in page.all("figure")] == [f"figure-clean-{figure}" for figure in FIGURES]
    assert "1 dataset," in page.texts("header")[0]


@pytest.mark.parametrize(
    "name",
    [
        "data/noisy.hazards.csv",
        "figures/noisy/mean_memorisation.csv",
        "figures/clean/most_memorised.png",
        "trajectories/clean/width/one-hot.power.csv",
        "trajectories/noisy/width/one-hot.summary.csv",
        "sensitivity/noisy/backwards.csv",
        "claims.csv",
        "scores/clean/mlp-16/one-hot.summary.csv",
        "scores/noisy/neighbour/one-hot.parquet",
        "runs/clean/mlp-8/one-hot/block-1.npz",
    ],
)
def test_a_file_that_changed_since_it_was_made_is_refused_by_name(folder, name):
    old = (folder / "report/report.html").read_bytes()
    with open(folder / name, "ab") as file:
        file.write(b"\n")
    with pytest.raises(ProvenanceError, match=re.escape(name)):
        make(folder, CONFIG)
    assert (folder / "report/report.html").read_bytes() == old
    assert len(list((folder / "report").iterdir())) == 2  # the page and its sidecar: nothing half-written


def test_the_same_inputs_give_the_same_bytes(finished, tmp_path):
    assert make(finished[0], CONFIG, tmp_path / "again.html") == finished[1]


def test_the_sidecar_names_every_file_that_the_page_shows(finished):
    record = provenance.read(finished[0] / "report/report.html")
    # copies, pictures, their table, scores, trajectories, sensitivity, blocks
    per_dataset = 1 + 5 + 1 + 3 * 2 + 2 * 2 + 2 + 3 * 2
    assert len(record["inputs"]) == 2 * per_dataset + 1 + 1 + 1 + 5  # the card, the audit, the template, its captions
    for path, digest in record["inputs"].items():
        assert digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize(("scheme", "background"), [(0, "#ffffff"), (1, "#1e1e1e")])  # browsers' pages, light and dark
def test_coloured_text_has_enough_contrast(page, scheme, background):
    style = page.all("style")[0]["text"]
    for name in ("soft", "flag"):
        colour = re.findall(rf"--{name}: (#\w+);", style)[scheme]
        pair = sorted([luminance(colour), luminance(background)])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5  # WCAG 2, level AA


def luminance(colour):
    """Relative luminance as in WCAG 2."""
    digits = colour.removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    levels = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


# --- methods ---------------------------------------------------------------------------------------------------------


def items(page, dataset, heading):
    """Items of the lists below a heading, up to the next of the same rank."""
    found, inside = [], False
    for element in page.all("h3", "h4", "li", within=f"dataset-{dataset}"):
        if element["tag"] == "h3":
            inside = element["text"] == heading
        elif inside:
            found.append((element["tag"], " ".join(element["text"].split())))
    return found


def test_a_study_without_further_methods_has_no_sections_of_them(page):
    assert not {"Distillation", "Proxies", MATTER} & set(page.texts("h3"))
    assert page.texts("caption") == []
    assert all(page.texts("p"))
    for name in CONFIG["datasets"]:
        (words,) = [e["text"] for e in page.all("section") if e["id"] == f"dataset-{name}"]
        words = " ".join(words.split()).replace(" ".join(page.texts("figcaption", within=f"dataset-{name}")), "")
        for absent in ("istil", "roxies", "teacher", "ablation", "whole training set saw", "paired by seed"):
            assert absent not in words + page.texts("header")[0]


def test_sections_of_distillation_and_proxies_follow_the_families(methods_page):
    for name in METHODS["datasets"]:
        headings = methods_page.texts("h3", within=f"dataset-{name}")
        of_methods = ["Distillation", "Proxies", MATTER]
        assert headings == [TITLE, "Backwards", *of_methods, TRUST, "The data", "Runs", "Figures"]
        assert methods_page.texts("h4", within=f"dataset-{name}") == 2 * [TITLE, "Backwards"]


def test_the_section_of_distillation_has_the_sentences_of_its_tables_by_family(with_methods, methods_page):
    for name in METHODS["datasets"]:
        expected = []
        for family, entry in METHODS["families"].items():
            expected.append(("h4", entry["title"]))
            folder = with_methods[0] / f"distillation/{name}/{family}"
            tables = {
                method: findings.read_numbers(folder / f"{method}.summary.csv") for method in METHODS["distillation"]
            }
            entries = Study(METHODS).config["distillation"]
            sentences = [text for of in tables for text in findings.of_distillation(tables[of], of, entries[of], {})]
            sentences += findings.side_by_side(tables, entries)
            expected += [("li", " ".join(text.split())) for text in sentences]
        assert items(methods_page, name, "Distillation") == expected


def test_students_that_forget_flipped_labels_are_said_to(methods_page):
    said = [text for _, text in items(methods_page, "noisy", "Distillation")]
    assert sum(text.startswith("Side by side, mean change of the flipped labels by ") for text in said) == 2
    assert [text for text in said if "leaky" in text and "ablation" not in text] == []
    assert any(text.startswith("leaky is an ablation: its teachers saw the labels") for text in said)
    explained = " ".join(methods_page.texts("p", within="dataset-noisy"))
    for words in ("p < 0.05 by sign flips", "Holm's correction", "selected on one half", "measured on the other"):
        assert words in explained


def test_the_section_of_proxies_has_a_table_for_each_group_of_examples(with_methods, methods_page):
    for name, groups in (("clean", ["all"]), ("noisy", ["clean label", "flipped label"])):
        paths = {of: with_methods[0] / f"proxies/{name}/{of}.agreement.csv" for of in ("mlp-8", "mlp-16")}
        tables = {of: findings.read_numbers(path) for of, path in paths.items()}
        assert [text for _, text in items(methods_page, name, "Proxies")] == findings.of_proxies(tables)
        regions = [e for e in methods_page.all("div", within=f"dataset-{name}") if "proxies" in e.get("aria-label", "")]
        assert len(regions) == len(groups)
        for region, group in zip(regions, groups, strict=True):
            inside = [e for e in methods_page.elements if region in e["above"]]
            assert [e["text"] for e in inside if e.get("scope") == "col"] == ["Proxy", "mlp-8", "mlp-16"]
            rows = findings.proxy_rows(tables, group)
            assert [e["text"] for e in inside if e.get("scope") == "row"] == list(rows)
            assert [e["text"] for e in inside if e["tag"] == "td"] == [
                cell for cells in rows.values() for cell in cells
            ]


def test_every_method_with_scores_has_a_row_in_the_table_of_runs_and_full_data_has_none(with_methods, methods_page):
    small = ["distilled-from-mlp-16", "self-distilled", "leaky", "ratio-1-2"]
    expected = ["mlp-8", *(f"mlp-8, {name}" for name in small), "mlp-16", "mlp-16, ratio-1-2", "neighbour"]
    for name in METHODS["datasets"]:
        rows = methods_page.runs(name)
        assert [text.partition(" (")[0] for text in rows] == expected
        for text, cells in rows.items():
            architecture, _, method = text.partition(" (")[0].partition(", ")
            path = with_methods[0] / f"scores/{name}/{architecture}/{method or 'one-hot'}.summary.csv"
            summary = pd.read_csv(path).set_index(["examples", "quantity"])["value"]
            assert float(cells[4]["text"]) == pytest.approx(summary["all", "memorisation"], abs=5e-4)


def test_an_ablation_is_flagged_in_the_table_of_runs(methods_page):
    for name in METHODS["datasets"]:
        flagged = [text for text in methods_page.runs(name) if "ablation" in text]
        assert flagged == ["mlp-8, leaky (ablation: teachers saw all labels)"]
        spans = [e for e in methods_page.all("span", within=f"runs-{name}") if e.get("class") == "flag"]
        assert [e["text"] for e in spans] == ["(ablation: teachers saw all labels)"]


def test_the_introduction_names_the_methods(methods_page):
    text = " ".join(methods_page.texts("header")[0].split())
    assert "learn from a teacher's outputs by distilled-from-mlp-16, self-distilled, leaky, on the same subsets" in text
    assert "2 further runs of each tracked architecture saw the whole training set" in text
    assert "One-hot runs at the ratios 1/2 give further C-scores." in text


def test_jobs_of_all_methods_are_counted(methods_page):
    # one-hot, students, the further ratio, the whole training set, that without some
    per_dataset = 2 * 3 + 2 * 3 + 2 * 2 + 2 * 1 + 2 * 2 * 3
    assert methods_page.texts("p", within="made")[0].startswith(f"{2 * per_dataset} training jobs on ")


def test_the_sidecar_names_the_tables_of_methods_too(with_methods):
    record = provenance.read(with_methods[0] / "report/report.html")
    read = {path.removeprefix(f"{with_methods[0]}/") for path in record["inputs"]}
    for name in METHODS["datasets"]:
        for family, method in Study(METHODS).distilled_along(name):
            assert f"distillation/{name}/{family}/{method}.summary.csv" in read
        assert {f"proxies/{name}/{of}.agreement.csv" for of in ("mlp-8", "mlp-16")} <= read
        assert {f"removal/{name}/{of}.csv" for of in ("mlp-8", "mlp-16")} <= read


def test_initial_weights_that_have_seen_held_out_images_are_flagged_for_students(with_methods, tmp_path):
    folder = shutil.copytree(with_methods[0], tmp_path / "methods")
    path = folder / "distillation/clean/width/leaky.summary.csv"
    spec = Study(METHODS).distillation_spec("clean", "width", "leaky") | {"pretraining_overlap": {"mlp-16": "unknown"}}
    provenance.write([path], spec, inputs={}, started=provenance.now())
    said = [text for _, text in items(Page(make(folder, METHODS)), "clean", "Distillation")]
    assert sum(text.startswith("leaky (ablation): initial weights of mlp-16 may have seen") for text in said) == 1


# --- claims, removal, sensitivity ------------------------------------------------------------------------------------


def test_the_card_shows_every_claim_of_every_family_with_its_verdict_finding_and_source(any_study):
    folder, text = any_study
    page, table = Page(text), findings.read_numbers(folder / "claims.csv")
    parts = list(table.groupby(["dataset", "family"], sort=False))
    assert page.texts("h3", within="claims") == [f"{dataset}, {family}" for (dataset, family), _ in parts]
    bodies = page.all("tbody", within="claims")
    for body, ((dataset, _), expected) in zip(bodies, parts, strict=True):
        cells = [e for e in page.elements if e["tag"] in ("th", "td") and body in e["above"]]
        rows = [cells[start : start + 4] for start in range(0, len(cells), 4)]
        assert [row[0]["text"] for row in rows] == expected["statement"].tolist()
        assert [row[1]["text"] for row in rows] == expected["verdict"].tolist()
        assert [row[1]["class"] for row in rows] == expected["verdict"].tolist()
        assert [row[2]["text"] for row in rows] == [card.finding(row) for row in expected.to_dict("records")]
        assert [row[3]["text"] for row in rows] == expected["source"].tolist()
        assert dataset in CONFIG["datasets"]
    assert len(bodies) == 4


def test_the_card_of_the_simulated_study_says_what_was_put_into_it(page):
    verdicts = {row["text"]: cell["text"] for row, cell in zip(*columns(page, "clean"), strict=True)}
    assert verdicts["The mean score falls with size once models fit their training set"] == "contradicted"
    assert verdicts["Some examples' scores rise with size"] == "supported"
    assert verdicts["Proxies correlate with the score"] == "undetermined"
    texts = page.texts("td", within="claims")
    assert "needs students of a larger network of the study (distillation), in the family" in texts
    assert "needs sizes that grow" in texts
    assert any(
        re.match(r".+: −?[0-9.]+ \[−?[0-9.]+, −?[0-9.]+\], claimed (above|below|between) ", text) for text in texts
    )


def columns(page, dataset):
    """Statements and verdicts of a dataset's first family."""
    (region,) = [e for e in page.all("div") if e.get("aria-label") == f"Claims, {dataset}, {TITLE}"]
    inside = [e for e in page.elements if region in e["above"]]
    verdicts = [e for e in inside if e.get("class") in ("supported", "contradicted", "undetermined", "definitional")]
    return [e for e in inside if e.get("scope") == "row"], verdicts


def test_how_far_to_trust_the_numbers_is_said_of_every_family(any_study):
    folder, text = any_study
    for name in CONFIG["datasets"]:
        expected = []
        for family, entry in CONFIG["families"].items():
            table = findings.read_numbers(folder / f"sensitivity/{name}/{family}.csv")
            expected.append(("h4", entry["title"]))
            expected += [("li", " ".join(said.split())) for said in sensitivity.sentences(table)]
        assert items(Page(text), name, TRUST) == expected
        assert len(expected) > 2 * 4


def test_runs_that_missed_their_target_are_said_where_it_is_about_trust(page):
    flagged = [text for _, text in items(page, "noisy", TRUST) if "missed the in-sample target" in text]
    assert [text.partition(":")[0] for text in flagged] == ["mlp-8", "mlp-8"]  # in both families
    assert not any("missed the in-sample target" in text for _, text in items(page, "clean", TRUST))


def test_what_memorised_examples_are_worth_is_said_of_every_network(with_methods, methods_page):
    for name in METHODS["datasets"]:
        paths = {of: with_methods[0] / f"removal/{name}/{of}.csv" for of in ("mlp-8", "mlp-16")}
        sentences = findings.of_removal({of: findings.read_numbers(path) for of, path in paths.items()}, 0.3)
        said = [text for _, text in items(methods_page, name, MATTER)]
        assert said == [" ".join(text.split()) for text in sentences]
        assert [text.partition(":")[0] for text in said] == sorted(text.partition(":")[0] for text in said)[::-1]
        flags = [text for text in said if "3 of 12 runs are below the in-sample target" in text]
        assert len(flags) == (2 if name == "noisy" else 0)


def test_removal_without_weight_decay_is_flagged(with_methods, tmp_path):
    folder = shutil.copytree(with_methods[0], tmp_path / "methods")
    path = folder / "removal/clean/mlp-16.csv"
    write_csv(path, without_some("clean", "mlp-16").assign(weight_decay=0.0))
    provenance.write([path], {}, inputs={}, started=provenance.now())
    said = [text for _, text in items(Page(make(folder, METHODS)), "clean", MATTER)]
    assert [text for text in said if "with care" in text] == [
        "mlp-16: read this with care: the recipe has no weight decay."
    ]


@pytest.mark.parametrize("name", ["removal/noisy/mlp-8.csv", "proxies/clean/mlp-8.agreement.csv"])
def test_a_changed_table_of_a_method_is_refused_by_name(with_methods, tmp_path, name):
    folder = shutil.copytree(with_methods[0], tmp_path / "methods")
    with open(folder / name, "ab") as file:
        file.write(b"\n")
    with pytest.raises(ProvenanceError, match=re.escape(name)):
        make(folder, METHODS)
