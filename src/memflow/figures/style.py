"""One look for all figures, and files whose bytes depend on their content only."""

import textwrap
from functools import partial
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

from memflow.files import write_atomically

ONE_COLUMN = 3.4  # inches
DPI = 300
WIDTH = 48  # letters across a figure
PALETTE = sns.color_palette("colorblind").as_hex()
COLOURS = {
    "raw": "0.75",
    "corrected": PALETTE[0],
    "all": PALETTE[3],
    "clean label": PALETTE[0],
    "flipped label": PALETTE[3],
    "noise image": PALETTE[2],
    "memorised": PALETTE[5],
    "one-hot": PALETTE[0],
    "distilled": PALETTE[3],
    "constant": PALETTE[7],
    "increasing": PALETTE[1],
    "decreasing": PALETTE[9],
    "cap-shaped": PALETTE[2],
    "undetermined": PALETTE[4],
}


def apply() -> None:
    """Set the style; call before making a figure."""
    plt.switch_backend("Agg")
    sns.set_theme(style="ticks", context="paper")
    mpl.rcParams.update(
        {
            "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs everywhere
            "font.size": 7,
            "axes.labelsize": 7,
            "axes.titlesize": 7,
            "xtick.labelsize": 6,
            "ytick.labelsize": 6,
            "legend.fontsize": 6,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.6,
            "xtick.major.size": 2.5,
            "ytick.major.size": 2.5,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "xtick.minor.size": 1.5,
            "ytick.minor.size": 1.5,
            "xtick.minor.width": 0.4,
            "ytick.minor.width": 0.4,
            "lines.linewidth": 1.2,
            "lines.markersize": 3.5,
            "legend.frameon": False,
            "pdf.fonttype": 42,
            "svg.hashsalt": "memflow",
            "figure.constrained_layout.use": True,
        }
    )


def count(number: float) -> str:
    """A large number for a tick label: 850, 1.2k, 3.4M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{number / size:.{0 if number >= 9.95 * size else 1}f}{unit}"
    return f"{number:.0f}"


def wrapped(text: str, n_panels: int) -> str:
    """A text above or in one of some panels side by side, in lines that fit."""
    return "\n".join(textwrap.fill(line, WIDTH // n_panels) for line in text.splitlines())


def save(figure: Figure, pdf: Path, png: Path, stamp: str = "") -> None:
    """Write a figure without dates or versions, atomically; a stamp stands small in its lower right corner."""
    if stamp:
        figure.text(1, 0, stamp, ha="right", va="bottom", fontsize=4, color="0.4", in_layout=False)
    stamps = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, the same for both files
    for path in (pdf, png):
        kind = path.suffix[1:]
        write_atomically(path, partial(figure.savefig, format=kind, dpi=DPI, metadata=stamps[kind]))
    plt.close(figure)
