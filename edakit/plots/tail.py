"""The slowest few: how many answers were slower than each time, so that one in a thousand can still be seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from edakit.measuring.run import Deliveries, milliseconds
from edakit.measuring.statistics import percentile
from edakit.plots.series import handled_runs, lowest, times
from edakit.plots.style import dress, legend, line, logarithmic
from edakit.table import Table

__all__ = ["plot_tail"]

ONE_IN: Final = (100, 1000)
"""Which of the slowest the table has: the slowest one of so many is slower than p99, p99.9."""


def plot_tail(ax: Axes, runs: Mapping[str, Deliveries] | Deliveries) -> Table:
    """Draw the share of answers that were slower than each latency, both axes logarithmic; return p50, p99, p99.9 and the slowest.

    It is the curve of `plot_latency_cdf` seen from above: what is left to 100 %.

    Args:
        ax: Where it is drawn.
        runs: By name, or one.

    Raises:
        NothingMeasuredError: nothing was handled in one of the runs.
        InvalidValueError: there is no run.
    """
    named = handled_runs(runs)
    low, zero = lowest(1e3 * run.latency for run in named.values())
    for number, (name, run) in enumerate(named.items()):
        _draw(ax, run, number, name, low)
    logarithmic(ax.xaxis)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"1 in {round(1 / share):,}" if share < 1 else "all"))
    for share in ONE_IN:
        ax.axhline(1 / share, color="#888888", linewidth=0.8, zorder=1)
    dress(ax, title="How many were slower: p99 is where one in 100 is left", x=f"Latency [ms], logarithmic{zero}", y="Answers slower than that")
    legend(ax, loc="upper right")
    rows = [(name, run.latency.size, *(milliseconds(percentile(run.latency, q)) for q in (50, 99, 99.9, 100))) for name, run in named.items()]
    says = "; ".join(f"{name}: {_slow(run)} took more than {times(1e3 * run.percentile(99))} ms" for name, run in named.items())
    return Table(("run", "answers", "p50 [ms]", "p99 [ms]", "p99.9 [ms]", "slowest [ms]"), rows, says=f"{says[0].upper()}{says[1:]}.")


def _slow(run: Deliveries) -> str:
    """Return how many took longer than p99: one in 100, or none, as where all took equally long."""
    return "one in 100" if (run.latency > run.percentile(99)).any() else "nobody"


def _draw(ax: Axes, run: Deliveries, number: int, name: str, low: float) -> None:
    """Draw the steps of one run; what took no time stands at *low* [ms]."""
    ordered = np.maximum(np.sort(run.latency) * 1e3, low)
    left = np.arange(ordered.size - 1, -1, -1) / ordered.size
    # The slowest has nobody slower: its step goes down to the edge.
    left[-1] = 0.5 / ordered.size
    ax.step([ordered[0], *ordered], [1, *left], where="post", label=name, **line(number))
    # Of fewer than 100 answers p99 is the slowest.
    ax.plot([percentile(ordered, 99)], [max(1 / ONE_IN[0], left[-1])], **{**line(number, markers=True), "linestyle": "none", "markersize": 8})
