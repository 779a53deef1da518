"""Results that no commit can make again: refused, unless the study says that it wants them."""

from pathlib import Path

from memflow import config, provenance
from memflow.config import Study
from memflow.validation import ConfigError

DEFAULT = Path("config.yaml")
STAMP = "made from uncommitted code"
SHOWN = 5


def refuse(study: Study) -> None:
    """Refuse to run a study whose code has uncommitted changes, but for the default one.

    Raises
    ------
    ConfigError
        That names the changed files and both ways out.
    """
    changed = provenance.uncommitted()
    if not changed or study.config["allow_dirty"] or study.name == config.read(DEFAULT)["study"]:
        return
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    raise ConfigError(
        f"the code has uncommitted changes ({', '.join(changed[:SHOWN])}{more}), so that nobody could make these "
        "results again; commit them, or say `allow_dirty: true` in the study's config to have the results marked so"
    )


def marked(text: str, *outputs: Path) -> str:
    """A text about some outputs, which says so first if any of them was made from uncommitted code."""
    return f"warning: {STAMP}\n{text}" if any(map(provenance.was_dirty, outputs)) else text
