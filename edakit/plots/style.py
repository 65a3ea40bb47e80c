"""How every plot looks: readable in grey and for the colour-blind, 11 points or more, quantity and unit on both axes, its origin in the footer."""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Iterable
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from matplotlib.transforms import ScaledTranslation

import edakit

__all__ = [
    "FONT",
    "GUESS",
    "INK",
    "POINTS",
    "THEORY",
    "below",
    "colour",
    "dress",
    "footer",
    "headline",
    "lanes",
    "legend",
    "line",
    "logarithmic",
    "mark_guess",
    "room",
]

FONT: Final = 11
"""Smallest type in a picture [pt]."""

SERIES: Final = 6
"""Most names in a legend that lies inside of the axes."""

POINTS: Final = 72
"""Points in an inch [pt]."""

AXIS: Final = 3.5 * FONT / POINTS
"""Height of an axis' numbers and of its label: three and a half lines [inches]."""

INK: Final = "#222222"
"""Text and axes."""

THEORY: Final[dict[str, Any]] = {"color": INK, "linestyle": (0, (1, 1)), "linewidth": 1.6, "zorder": 1.5}
"""What a formula says: a dotted line under the points."""

GUESS: Final[dict[str, Any]] = {"color": INK, "marker": "X", "markersize": 11, "linestyle": "none", "markeredgecolor": "white", "zorder": 5}
"""What a person predicted: a cross."""

# Okabe and Ito (2008), "Color Universal Design": told apart by all kinds of colour vision; ordered so that neighbours differ in grey too.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_LINES: Final = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)))
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "*")
# Mean width of a letter of DejaVu Sans, matplotlib's own font, as a share of its size.
_LETTER: Final = 0.52


def colour(number: int) -> str:
    """Return the colour of the series *number*, from 0."""
    return _COLOURS[number % len(_COLOURS)]


def line(number: int, *, markers: bool = False) -> dict[str, Any]:
    """Return the arguments of `Axes.plot` for the series *number*, from 0: colour and line style, and with *markers* a marker too."""
    marked = {"marker": _MARKERS[number % len(_MARKERS)], "markersize": 6} if markers else {}
    return {"color": colour(number), "linestyle": _LINES[number % len(_LINES)], "linewidth": 1.8, **marked}


def dress(ax: Axes, *, title: str, x: str, y: str) -> None:
    """Give *ax* its title, which says what is seen, its labels with their units, readable type and the footer."""
    headline(ax, title)
    ax.set_xlabel(x, fontsize=FONT)
    ax.set_ylabel(y, fontsize=FONT)
    ax.tick_params(labelsize=FONT)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set_fontsize(FONT)
    ax.grid(visible=True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_facecolor("white")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    footer(ax)


def headline(ax: Axes, title: str) -> None:
    """Give *ax* its title, in as many lines as its width asks for."""
    # The axis on the left takes an inch.
    ax.set_title(_wrapped(title, _share(ax)[0] - 1, FONT + 1), fontsize=FONT + 1, color=INK, loc="left")


def room(ax: Axes) -> tuple[float, float]:
    """Return about how wide and high *ax* will be when everything around it has its place: a title of one line, the footer, no axis [inches]."""
    width, height = _share(ax)
    return width - 0.15, height - (3.2 * FONT + 12) / POINTS


def _share(ax: Axes) -> tuple[float, float]:
    """Return the part of its figure that belongs to *ax*: axes side by side have less each [inches]."""
    place = ax.get_subplotspec()
    rows, columns = (1, 1) if place is None else (place.get_gridspec().nrows, place.get_gridspec().ncols)
    figure = _figure(ax)
    return figure.get_figwidth() / columns, figure.get_figheight() / rows


def legend(ax: Axes, **options: Any) -> None:
    """Name the series of *ax*, if there is anything to name: inside of the axes, to the right of them if there are many, below if a name is long."""
    handles, labels = ax.get_legend_handles_labels()
    if not labels:
        return
    share, place, outside = _share(ax)[0], {}, {"loc": "upper left", "frameon": False}
    if len(labels) > SERIES:
        labels = [_wrapped(label, 0.3 * share, FONT) for label in labels]
        place = {**outside, "bbox_to_anchor": (1.0, 1.0)}
    elif any(label != _wrapped(label, 0.6 * share, FONT) for label in labels):
        labels = [_wrapped(label, 0.7 * share, FONT) for label in labels]
        place = {**outside, **below(ax), "ncols": 1}
    style = {"fontsize": FONT, "frameon": True, "framealpha": 0.9, "edgecolor": "none"}
    ax.legend(handles, labels, **{**style, **options, **place})


def below(ax: Axes) -> dict[str, Any]:
    """Return the options of a legend that stands under the numbers and the label of *ax*, however high it becomes."""
    down = ScaledTranslation(0, -AXIS, _figure(ax).dpi_scale_trans)
    return {"bbox_to_anchor": (0.0, 0.0, 1.0, 0.0), "bbox_transform": ax.transAxes + down}


def lanes(ax: Axes, names: Iterable[str]) -> None:
    """Write the *names* of lanes or bars beside the vertical axis, from 0; a long one in several lines."""
    texts = [_wrapped(name, _share(ax)[0] * 0.35, FONT) for name in names]
    ax.set_yticks(range(len(texts)), texts, fontsize=FONT)


class _Plain(LogFormatter):
    """Numbers as people write them: 0.01, 5, 300; also between the powers of ten, where the axis has no two of these."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def logarithmic(axis: Axis) -> None:
    """Make *axis* logarithmic, with plain numbers: 100 and not 10²."""
    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
    axis.set_major_formatter(_Plain())
    axis.set_minor_formatter(_Plain(minor_thresholds=(1, 0.4)))


def footer(ax: Axes) -> None:
    """Write versions and machine under the figure, once."""
    figure = _figure(ax)
    if any(text.get_gid() == "footer" for text in figure.texts):
        return
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, matplotlib {mpl.__version__}"
    text = _wrapped(f"edakit {edakit.__version__}, {machine}", figure.get_figwidth(), FONT)
    # Its lines, with the space between them and a little above.
    share = min(0.5, (1.25 * FONT * (text.count("\n") + 1) + 3) / POINTS / figure.get_figheight())
    figure.set_facecolor("white")
    figure.set_layout_engine("constrained", rect=(0, share, 1, 1 - share))
    figure.text(0.995, 0.008, text, fontsize=FONT, color="#595959", ha="right", va="bottom", gid="footer")


def mark_guess(ax: Axes, x: float, y: float, label: str = "your guess") -> None:
    """Put what a person predicted beside what was measured."""
    ax.plot([x], [y], label=label, **GUESS)


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    if figure is None:
        message = "the axes belong to no figure; make them with figure.subplots()"
        raise ValueError(message)
    return figure


def _wrapped(text: str, inches: float, points: int) -> str:
    return textwrap.fill(text, max(20, int(inches * POINTS / (points * _LETTER))))
