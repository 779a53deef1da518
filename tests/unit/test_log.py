from pathlib import Path

import pytest

from memflow import log
from memflow.errors import InputError

FULL = Path("/dev/full")  # every write to it fails for want of space


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")
def test_a_log_on_a_full_disk_leaves_the_terminal_to_the_message(capsys, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(SystemExit), log.job(FULL):
        raise InputError("the disk is full")
    assert capsys.readouterr().err == "memflow: the disk is full (log: /dev/full)\n"
