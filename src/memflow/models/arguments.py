"""What the builders of networks share: arguments that name one of a few forms."""

from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def choose(options: Mapping[Key, Value], key: Key, name: str) -> Value:
    """``options[key]``.

    Raises
    ------
    ValueError
        If there is no such key; the message says what argument it was (``name``) and lists the valid ones.
    """
    if key not in options:
        raise ValueError(f"{name} is {key!r}; it must be one of {', '.join(map(repr, options))}")
    return options[key]
