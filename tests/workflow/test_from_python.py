"""The script of docs/ that opens a study from Python, run on one."""

from clones import PROJECT


def test_the_script_draws_the_figures_own_numbers(finished, tmp_path):
    done = finished.run("python", str(PROJECT / "docs/from_python.py"), "results/tiny")
    assert done.returncode == 0, done.stderr
    assert "2 numbers agree with figures/digits-noisy/memorised_vs_size.csv" in done.stdout
    assert (finished.root / "memorised_vs_size.png").stat().st_size > 5000
    (finished.root / "memorised_vs_size.png").unlink()
