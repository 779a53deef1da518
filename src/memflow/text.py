"""Numbers and tables as text for a terminal."""


def aligned(rows: list[list[str]], text_columns: int) -> list[str]:
    """Lines of a table: text to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def duration(seconds: float) -> str:
    """Such as ``0.24 s``, ``38 min``, ``1.2 h``."""
    if seconds < 99.5:
        return f"{_two_digits(seconds)} s"
    return f"{_two_digits(seconds / 60)} min" if seconds < 99.5 * 60 else f"{_two_digits(seconds / 3600)} h"


def size(number: float) -> str:
    """Bytes, such as ``4.1 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{_two_digits(number)} {unit}"
        number /= 1000
    return f"{_two_digits(number)} TB"


def _two_digits(number: float) -> str:
    if number < 0.995:
        return f"{number:.2g}"
    return f"{number:.1f}" if number < 9.95 else f"{number:,.0f}"
