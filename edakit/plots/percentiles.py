"""From dots to percentiles: latencies put in order, so that a percentile is a place in the row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import ArrayLike

from edakit.measuring.errors import NothingMeasuredError
from edakit.measuring.run import milliseconds
from edakit.measuring.statistics import mean, percentile
from edakit.plots.series import times
from edakit.plots.style import FONT, INK, THEORY, colour, dress, legend
from edakit.table import Table

__all__ = ["plot_percentiles"]

_Row = tuple[str, int, float, int]  # mark, place, latency [ms], slower answers


def plot_percentiles(ax: Axes, latencies: ArrayLike, *, marks: Sequence[float] = (50, 90, 99)) -> Table:
    """Draw *latencies* in order, a dot each, with the percentiles *marks* and the mean; return what each mark is.

    Args:
        ax: Where to draw.
        latencies: Shape (n,), in any order [s]; a hundred of them read best.
        marks: Percentiles, each from 1 to 100 [%].

    Raises:
        NothingMeasuredError: there are no latencies.
        InvalidValueError: a mark is not from 1 to 100.
    """
    ordered = np.sort(np.asarray(latencies, dtype=np.float64).ravel())
    if not ordered.size:
        raise NothingMeasuredError("a percentile")
    average = mean(ordered)
    ax.plot(np.arange(1, ordered.size + 1), ordered * 1e3, "o", color=colour(0), markersize=4, label="one answer")
    ax.axhline(average * 1e3, label=f"mean, {times(average * 1e3)} ms", **THEORY)
    rows = [_mark(ax, ordered, q) for q in marks]
    below = int(np.sum(ordered < average))
    rows.append(("mean", below, milliseconds(average), int(np.sum(ordered > average))))
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    dress(
        ax, title=f"{ordered.size} answers in order: a percentile is a place in the row", x="Place in the row, from the quickest", y="Latency [ms], logarithmic"
    )
    legend(ax, loc="upper left")
    return Table(("mark", "place", "latency [ms]", "slower answers"), rows, says=_says(rows, ordered.size))


def _mark(ax: Axes, ordered: np.ndarray[tuple[int], np.dtype[np.float64]], q: float) -> _Row:
    value = percentile(ordered, q)
    # The place by nearest rank; where several answers took equally long it is the first of them that reaches the share.
    place = next(rank for rank in range(1, ordered.size + 1) if rank * 100 >= q * ordered.size)
    ax.plot([place], [value * 1e3], "D", color=colour(1), markersize=9, markerfacecolor="none", markeredgewidth=2)
    ax.annotate(f"p{q:g}", (place, value * 1e3), textcoords="offset points", xytext=(-4, 10), ha="right", fontsize=FONT, color=INK)
    return (f"p{q:g}", place, milliseconds(value), int(np.sum(ordered > value)))


def _says(rows: Sequence[_Row], count: int) -> str:
    *marks, (_, below, average, _) = rows
    places = ", ".join(f"{name} is dot {place} with {times(value)} ms" for name, place, value, _ in marks)
    return f"Of {count} dots in order, {places}; the mean, {times(average)} ms, lies above {below} of them."
