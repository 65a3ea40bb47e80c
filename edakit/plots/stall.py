"""A second in which nothing was answered, and who has written it down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.measuring.run import Deliveries, milliseconds
from edakit.measuring.statistics import percentile
from edakit.plots.series import counted, handled_runs, lowest, times
from edakit.plots.style import FONT, INK, colour, dress, legend, logarithmic
from edakit.table import Table

__all__ = ["plot_stall"]

MARKERS = ("o", "s", "^", "D", "v")
SLOW = 0.1
"""What counts as slow [s]."""

WORDS = 0.14
"""How much of the axis the words in the stall take, at least [1]."""

_Row = tuple[str, int, int, float, float, float]  # test, answers, slow ones, p50, p99, slowest [ms]


def plot_stall(ax: Axes, tests: Mapping[str, Deliveries], *, start: float, end: float, margin: float = 1.0) -> Table:
    """Draw each latency that the *tests* wrote down around a stall, at the time from which it counts; return counts and percentiles of the whole runs.

    Args:
        ax: Where to draw.
        tests: What each test has seen, by name.
        start: When the stall began, from the start of the run [s].
        end: When it ended [s].
        margin: How much before and after it is drawn [s].

    Raises:
        InvalidValueError: there is no test, or the stall does not end after it began.
        NothingMeasuredError: nothing was handled in one of the tests.
    """
    tests = handled_runs(tests)
    if not 0 <= real(start) <= real(end) < math.inf or not 0 <= real(margin) < math.inf or not end - start + margin:
        raise InvalidValueError("start, end and margin", (start, end, margin), "a stall that begins at 0 s or later, with something of it to be seen")
    low, zero = lowest(1e3 * test.latency for test in tests.values())
    wide = end - start > WORDS * (end - start + 2 * margin)
    # Where the words are wider than the stall, the legend has them: dots lie beside it.
    ax.axvspan(start, end, color="#eeeeee", zorder=0, label="stands still" if end > start and not wide else None)
    if wide:
        ax.annotate("stands still", ((start + end) / 2, 0.33), xycoords=("data", "axes fraction"), ha="center", va="center", fontsize=FONT, color=INK)
    rows = [_draw(ax, number, name, test, (start - margin, end + margin), low) for number, (name, test) in enumerate(tests.items())]
    logarithmic(ax.yaxis)
    ax.set_xlim(start - margin, end + margin)
    # Also without a slow answer the axis shows where slow begins, and the legend has its place.
    ax.set_ylim(top=max(ax.get_ylim()[1], 2e3 * SLOW))
    dress(ax, title=_title(rows), x="When its count began [s]", y=f"Latency [ms], logarithmic{zero}")
    legend(ax, loc="center left")
    columns = ("test", "answers", f"slower than {SLOW * 1e3:.0f} ms", "p50 [ms]", "p99 [ms]", "slowest [ms]")
    return Table(columns, rows, says=_says(rows))


def _draw(ax: Axes, number: int, name: str, test: Deliveries, window: tuple[float, float], low: float) -> _Row:
    latency = test.latency
    shown = (test.due_at >= window[0]) & (test.due_at <= window[1])
    # Open markers, the first series on top: many dots in one place stay countable.
    style: dict[str, Any] = {"marker": MARKERS[number % len(MARKERS)], "linestyle": "none", "markersize": 9 - 2.5 * min(number, 2), "markerfacecolor": "none"}
    ax.plot(
        test.due_at[shown],
        np.maximum(latency[shown] * 1e3, low),
        color=colour(number),
        label=f"{name}: {int(np.sum(latency[shown] > SLOW))} slow",
        zorder=4 - number,
        **style,
    )
    p50, p99, slowest = (milliseconds(percentile(latency, q)) for q in (50, 99, 100))
    return (name, latency.size, int(np.sum(latency > SLOW)), p50, p99, slowest)


def _title(rows: list[_Row]) -> str:
    return "One stall, and what is written down of it" if len(rows) > 1 else f"What this test writes down: of the whole run p99 is {times(rows[0][4])} ms"


def _says(rows: list[_Row]) -> str:
    parts = [
        f"{name}: {slow} of {counted(count, 'answer')} took more than {SLOW * 1e3:.0f} ms, p99 is {times(p99)} ms" for name, count, slow, _, p99, _ in rows
    ]
    return f"{'; '.join(parts)}."
