"""How sure is a mean: many confidence intervals, and whether each holds the true value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.measuring.run import milliseconds
from edakit.measuring.statistics import Interval
from edakit.plots.series import lists_by_name
from edakit.plots.style import THEORY, colour, dress, legend
from edakit.table import Table

__all__ = ["plot_intervals"]

HELD: dict[str, Any] = {"marker": "o", "markersize": 5}
# Smaller than the line of a narrow interval, which it would hide.
MISSED: dict[str, Any] = {"marker": "X", "markersize": 5}


def plot_intervals(ax: Axes, groups: Mapping[str, Sequence[Interval]], *, true_value: float) -> Table:
    """Draw each confidence interval as a line with its mean, group beside group; a cross where it misses *true_value*; return how many hold it.

    Args:
        ax: Where to draw.
        groups: Intervals of times [s], by the name of how they were made; as many in each group.
        true_value: What they are to hold [s].

    Raises:
        InvalidValueError: a group is missing or empty, or *true_value* is no number.
    """
    lists = lists_by_name(groups, "groups", "one group or more by name, each with one interval or more: {'runs': [interval(…), …]}", Interval)
    if not math.isfinite(real(true_value)):
        raise InvalidValueError("true_value", true_value, "a number of seconds")
    rows, place, middles = [], 0, []
    for number, (name, intervals) in enumerate(lists.items()):
        held = [true_value in each for each in intervals]
        for each, holds in zip(intervals, held, strict=True):
            _draw(ax, place, each, colour(number), MISSED if not holds else HELD)
            place += 1
        middles.append(place - (len(intervals) + 1) / 2)
        place += 2
        width = math.fsum(each.high - each.low for each in intervals) / len(intervals)
        rows.append((name, len(intervals), sum(held), milliseconds(width)))
        ax.plot([], [], color=colour(number), linewidth=2, label=f"{name}: {sum(held)} of {len(intervals)} hold it", **HELD)
    ax.plot([], [], color="#555555", linestyle="none", label="misses it", **MISSED)
    ax.axhline(true_value * 1e3, label=f"the true value, {milliseconds(true_value):g} ms", **THEORY)
    dress(ax, title="Each line says: the true mean lies in here", x="Repetitions of the experiment, side by side", y="Mean wait [ms]")
    # Which group is which can also be read without its colour.
    ax.set_xticks(middles, list(lists))
    ax.grid(visible=False, axis="x")
    legend(ax, loc="upper right")
    return Table(("the sample is", "intervals", "hold the true value", "mean width [ms]"), rows, says=_says(rows))


def _draw(ax: Axes, place: int, each: Interval, ink: str, marker: dict[str, Any]) -> None:
    ax.plot([place, place], [each.low * 1e3, each.high * 1e3], color=ink, linewidth=2, solid_capstyle="butt")
    ax.plot([place], [each.mean * 1e3], color=ink, linestyle="none", **marker)


def _says(rows: Sequence[tuple[str, int, int, float]]) -> str:
    parts = "; ".join(f"with {name} as the sample, {held} of {count} intervals hold the true value" for name, count, held, _ in rows)
    return f"{parts[0].upper()}{parts[1:]}."
