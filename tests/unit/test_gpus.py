import os
import subprocess
import sys
import textwrap

import pytest

from memflow.training import gpus

HOLD = textwrap.dedent("""
    import os, sys
    from memflow.training import gpus
    with gpus.one():
        print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
        sys.stdin.readline()
""")


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a process that takes a GPU of a list and holds it until it is told to end; says which it took."""
    processes = []

    def process(devices):
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": devices, "TMPDIR": str(tmp_path)}
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(child)
        return child, child.stdout.readline().strip()

    yield process
    for child in processes:
        child.kill()
        child.communicate()


def test_jobs_side_by_side_take_a_gpu_each(start):
    taken = [start("0,1,2,3")[1] for _ in range(4)]
    assert sorted(taken) == ["0", "1", "2", "3"]


def test_a_gpu_is_free_again_when_its_job_ends_or_is_killed(start):
    (first, one), (_, other) = start("GPU-a,GPU-b"), start("GPU-a,GPU-b")
    assert {one, other} == {"GPU-a", "GPU-b"}
    first.kill()
    first.wait()
    assert start("GPU-a,GPU-b")[1] == one


def test_where_all_are_taken_one_is_shared_and_said_so(start, monkeypatch, tmp_path, caplog):
    start("0,1"), start("0,1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with gpus.one():
        assert os.environ["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    assert "all 2 GPUs are taken" in caplog.text
    assert "snakemake --resources gpu=2" in caplog.text


@pytest.mark.parametrize("listed", ["", "3", "GPU-5f"])
def test_none_or_one_gpu_leaves_nothing_to_choose(listed, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with gpus.one():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == listed
    assert not list(tmp_path.iterdir())


def test_without_the_variable_the_machine_s_gpus_count(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    names = ["nvidia10", "nvidia2", "nvidia0"]
    monkeypatch.setattr(gpus.Path, "glob", lambda self, pattern: [gpus.Path("/dev") / name for name in names])
    assert gpus.visible() == ["0", "2", "10"]
