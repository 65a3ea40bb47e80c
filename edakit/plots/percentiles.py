"""From dots to percentiles: latencies put in order, so that a percentile is a place in the row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from edakit.errors import InvalidValueError
from edakit.measuring.errors import NothingMeasuredError
from edakit.measuring.run import milliseconds
from edakit.measuring.statistics import Array, floats, mean, percentile
from edakit.plots.series import counted, lowest, times
from edakit.plots.style import FONT, INK, THEORY, colour, dress, legend, logarithmic
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
        InvalidValueError: a mark is not from 1 to 100, or a latency is negative or no finite number.
    """
    ordered = np.sort(floats(latencies, "latencies"))
    if ordered.size and not (ordered[0] >= 0 and ordered[-1] < np.inf):  # also where one is NaN
        raise InvalidValueError("latencies", ordered, "times of zero or more [s]")
    if not ordered.size:
        raise NothingMeasuredError("a percentile")
    average, (low, zero) = mean(ordered), lowest([ordered * 1e3])
    ax.plot(np.arange(1, ordered.size + 1), np.maximum(ordered * 1e3, low), "o", color=colour(0), markersize=4, label="one answer")
    ax.axhline(max(average * 1e3, low), label=f"mean, {times(average * 1e3)} ms", **THEORY)
    rows = [_mark(ordered, q) for q in dict.fromkeys(marks)]
    _draw_marks(ax, rows, ordered * 1e3, low)
    below = int(np.sum(ordered < average))
    rows.append(("mean", below, milliseconds(average), int(np.sum(ordered > average))))
    logarithmic(ax.yaxis)
    title = f"{counted(ordered.size, 'answer')} in order: a percentile is a place in the row"
    dress(ax, title=title, x="Place in the row, from the quickest", y=f"Latency [ms], logarithmic{zero}")
    legend(ax, loc="upper left")
    return Table(("mark", "place", "latency [ms]", "slower answers"), rows, says=_says(rows, ordered.size))


def _mark(ordered: Array, q: float) -> _Row:
    value = percentile(ordered, q)
    # The place by nearest rank; where several answers took equally long it is the first of them that reaches the share.
    place = int(percentile(np.arange(1, ordered.size + 1), q))
    return (f"p{q:g}", place, milliseconds(value), int(np.sum(ordered > value)))


def _draw_marks(ax: Axes, rows: Sequence[_Row], ordered: Array, low: float) -> None:
    """Draw a diamond at each place, with all percentiles that are there."""
    for place in dict.fromkeys(row[1] for row in rows):
        names = ", ".join(row[0] for row in rows if row[1] == place)
        height = max(float(ordered[place - 1]), low)
        ax.plot([place], [height], "D", color=colour(1), markersize=9, markerfacecolor="none", markeredgewidth=2)
        ax.annotate(names, (place, height), textcoords="offset points", xytext=(-4, 10), ha="right", fontsize=FONT, color=INK)


def _says(rows: Sequence[_Row], count: int) -> str:
    *marks, (_, below, average, _) = rows
    places = ", ".join(f"{name} is dot {place} with {times(value)} ms" for name, place, value, _ in marks)
    return f"Of {counted(count, 'dot')} in order, {f'{places}; ' if places else ''}the mean, {times(average)} ms, lies above {below} of them."
