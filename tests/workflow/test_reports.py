"""The two reports of a finished study: its own page, and Snakemake's."""

import base64
import re

import pandas as pd
import pytest

REPORT = "results/tiny/report/report.html"
FIGURES = ["mean_memorisation", "score_distribution", "most_memorised", "memorised_vs_size", "hazards"]
FIGURES += ["memorised_vs_epoch", "score_distribution_by_epoch", "train_test_gap"]
FIGURES += ["trajectories", "trajectory_examples", "transitions", "transient", "sensitivity", "artificial_vs_natural"]


def test_a_finished_study_has_a_page_with_its_figures_and_findings(finished):
    page = (finished.root / REPORT).read_text(encoding="utf-8")
    shown = [base64.b64decode(text) for text in re.findall(r'src="data:image/png;base64,([^"]*)"', page)]
    folder = finished.root / "results/tiny/figures/digits-noisy"
    assert shown == [(folder / f"{figure}.png").read_bytes() for figure in FIGURES]
    assert "<h3>Two tiny networks</h3>" in page
    for group in ("clean", "flipped"):
        assert f"<li>The mean memorisation of the {group} labels " in page
    assert "6 training jobs on " in page
    assert "<h3>How far to trust these numbers</h3>" in page
    assert "<h3>digits-noisy, Two tiny networks</h3>" in page
    assert len(re.findall(r'<td class="(?:supported|contradicted|undetermined|definitional)">', page)) == len(
        pd.read_csv(finished.root / "results/tiny/claims.csv")
    )


def test_an_edited_template_makes_only_the_page_stale(clone):
    clone.edit("workflow/report/report.html", "How it was made", "How it came to be")
    assert clone.planned() == {"report": 1}


@pytest.fixture
def offline(monkeypatch):
    """Requests go to a proxy that is not there."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")


def test_snakemakes_own_report_is_made_offline_and_has_the_captions(finished, tmp_path, offline):
    done = finished.snakemake("--report", str(tmp_path / "jobs.html"))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "jobs.html").read_text(encoding="utf-8")
    for figure in FIGURES:
        assert (finished.root / f"workflow/report/{figure}.rst").read_text().strip() in text
        assert f'"labels": {{"figure": "{figure}"}}' in text
