"""Where on the curve does a queue stand, and what does it look like there?"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from edakit.checks import expect
from edakit.measuring.reading import QueueReading
from edakit.measuring.statistics import backlog
from edakit.measuring.words import percent, times
from edakit.plots.style import THEORY, colour, dress, legend, line
from edakit.table import Table

__all__ = ["plot_queue_dial"]

HIGHEST = 0.98
"""Where the curve ends: beyond, it leaves every page [1]."""

CROWDED = 180
"""From which utilisation on the curve fills less than half of the picture [%]."""

POINTS = 600
"""How often the backlog is looked at."""


def plot_queue_dial(curve: Axes, run: Axes, reading: QueueReading) -> Table:
    """Draw where *reading* stands on the curve of wait against utilisation, and the backlog during its run.

    Args:
        curve: For the wait [ms] against the utilisation [%].
        run: For the backlog [events] over the time of the run [s].
        reading: What `read_queue` returned.

    Returns:
        The reading's table, one line.
    """
    expect("reading", reading, QueueReading, "what read_queue(…) returned")
    _draw_curve(curve, reading)
    _draw_run(run, reading)
    return reading.table


def _draw_curve(ax: Axes, reading: QueueReading) -> None:
    levels = np.linspace(0, HIGHEST, 200)
    theory = reading.theory
    ax.plot(100 * levels, [1e3 * theory.wait(level * theory.capacity) for level in levels], label=f"theory, {theory.label}", **THEORY)
    busy, wait = 100 * reading.utilisation, 1e3 * reading.wait
    # Ten service times above the axis, so that the curve keeps its shape; more where the point would lie outside.
    top = 10e3 / theory.service_rate
    if reading.overloaded:
        ax.axvspan(100, max(125, busy + 5), color=colour(1), alpha=0.25, hatch="//", label="the backlog grows")
        ax.axvline(busy, label="here: no mean wait", **line(1))
    else:
        ax.plot([busy], [wait], "o", color=colour(0), markersize=10, label="this run")
        top = max(top, 1.3 * wait)
    ax.set_xlim(0, max(105, busy + 5))
    ax.set_ylim(-0.03 * top, top)
    dress(ax, title=f"{'Work for' if reading.growth else 'Busy for'} {percent(reading.utilisation)} % of the time", x="Utilisation [%]", y="Mean wait [ms]")
    # Far above 100 % the curve is a line at the left, and would be hidden there.
    legend(ax, loc="center right" if busy > CROWDED else "upper left")


def _draw_run(ax: Axes, reading: QueueReading) -> None:
    grid = np.linspace(0, reading.duration, POINTS)
    ax.plot(grid, backlog(reading.sample.came_at, reading.sample.done_at, grid), label="this run", **{**line(0), "linewidth": 1.2})
    if reading.growth:
        ax.plot(grid, reading.growth * grid, label=f"{times(reading.growth, 4)} more each second", **THEORY)
    elif not reading.overloaded:
        level = reading.theory.backlog(reading.rate)
        ax.plot(grid[[0, -1]], [level, level], label=f"mean in theory, {times(level)}", **THEORY)
    ax.set_xlim(0, reading.duration)
    # The legend has its place above the highest backlog.
    ax.set_ylim(0, 1.3 * ax.dataLim.y1)
    dress(ax, title=_what_the_backlog_does(reading), x="Time [s]", y="Backlog [events]")
    legend(ax, loc="upper left")


def _what_the_backlog_does(reading: QueueReading) -> str:
    if reading.growth:
        return f"The backlog grows by {times(reading.growth, 4)} a second"
    return "The backlog has no level of its own" if reading.overloaded else "The backlog comes and goes"
