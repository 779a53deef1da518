"""memflow: which training examples does an image classifier memorise?"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memflow.study import OpenStudy

__all__ = ["open_study"]


def open_study(folder: str | Path) -> "OpenStudy":
    """Open the results of a study, finished or not: see :class:`memflow.study.OpenStudy`.

    Parameters
    ----------
    folder : str or Path
        ``results/<study>``.

    Raises
    ------
    InputError
        If the folder holds no study.
    """
    from memflow.study import OpenStudy  # pandas and more: nothing that reads a config inside a job should wait for it

    return OpenStudy(Path(folder))
