"""Families as panels: which architectures stand in a panel, and which are drawn in every one for reference."""

from typing import Any

import pandas as pd


def panels(spec: dict[str, Any]) -> dict[str, list[str]]:
    """Titles of the families and their architectures, smallest first; one untitled panel where there is no family."""
    if not spec["families"]:
        return {"": [name for name in spec["architectures"] if name not in spec["references"]]}
    return {family["title"]: family["architectures"] for family in spec["families"]}


def add_families(numbers: pd.DataFrame, spec: dict[str, Any]) -> pd.DataFrame:
    """Rows once per family that their architecture is in, in drawing order, with columns ``dataset`` and ``family``.

    References come last, with the family ``reference``.
    """
    order = [(title, name) for title, members in panels(spec).items() for name in members]
    order += [("reference", name) for name in spec["references"]]
    members = pd.DataFrame(order, columns=["family", "architecture"])
    return members.merge(numbers, on="architecture", how="inner").assign(dataset=spec["dataset"])
