"""Which GPU a training job takes, so that jobs side by side on one machine do not all land on the first.

On a cluster the scheduler shows a job its own GPUs only, and there is nothing to choose.
"""

import fcntl
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


def visible() -> list[str]:
    """GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, or without it every one of the machine."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name.strip() for name in listed.split(",") if name.strip()]
    return sorted((re.sub(r"\D", "", path.name) for path in Path("/dev").glob("nvidia[0-9]*")), key=int)


@contextmanager
def one() -> Iterator[None]:
    """Inside, this process sees one GPU that no other training job of this user on this machine holds.

    Enter before CUDA starts. The hold is a lock on a file, which the system gives up with the process, however it ends.
    Where every GPU is held, one is shared, and said so.
    """
    devices = visible()
    if len(devices) < 2:
        yield
        return
    folder = Path(tempfile.gettempdir()) / f"memflow-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    with ExitStack() as held:
        device = next((name for name in devices if _lock(folder / name.replace("/", "-"), held)), None)
        if device is None:
            device = devices[os.getpid() % len(devices)]
            log.warning(
                "all %d GPUs are taken; sharing %s. `snakemake --resources gpu=%d` keeps jobs from sharing",
                len(devices), device, len(devices),
            )  # fmt: skip
        os.environ["CUDA_VISIBLE_DEVICES"] = device
        yield


def _lock(path: Path, held: ExitStack) -> bool:
    """Whether this process now holds the lock; if so, until ``held`` closes."""
    file = open(path, "w")  # noqa: SIM115  # outlives this function
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    held.callback(file.close)
    return True
