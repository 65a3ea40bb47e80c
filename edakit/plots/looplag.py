"""How late timers fire on a loop: several runs side by side, or one run over time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from edakit.checks import expect
from edakit.measuring.looplag import LoopLag
from edakit.plots.series import by_name
from edakit.plots.style import FONT, dress, lanes, line, logarithmic
from edakit.table import Table

__all__ = ["plot_lag_over_time", "plot_loop_lag"]

LEAST = 0.1  # a logarithmic axis has no zero: what is below stands here [ms]


def plot_loop_lag(ax: Axes, runs: Mapping[str, LoopLag]) -> Table:
    """Draw a row for each run with a mark for each timer, the later the further right; return the table.

    Args:
        ax: Where to draw; its lag axis is logarithmic.
        runs: By name.

    Raises:
        InvalidValueError: there are no runs.
    """
    runs = by_name(runs, "handler", "a run of loop_lag(…), or some by name", LoopLag)
    for number, run in enumerate(runs.values()):
        style = line(number, markers=True) | {"linestyle": "none", "alpha": 0.6, "markersize": 7}
        ax.plot(np.maximum(run.lag, LEAST), np.full(run.lag.size, number), **style)
        ax.annotate(f"{_ms(run.worst):,g} ms", (max(run.worst, LEAST), number), (0, 9), textcoords="offset points", ha="center", fontsize=FONT)
    every = f"{next(iter(runs.values())).every * 1e3:g} ms"
    logarithmic(ax.xaxis)
    ax.set_xlim(LEAST * 0.7, 3 * max(1, *(run.worst for run in runs.values())))
    lanes(ax, runs)
    ax.set_ylim(len(runs) - 0.5, -0.7)
    dress(
        ax,
        title=_title(runs),
        x=f"late by [ms], a mark for each timer of {every}; what is below {LEAST:g} stands there",
        y="handler",
    )
    rows = [(name, run.lag.size, int((run.lag > run.every * 1e3).sum()), _ms(run.worst)) for name, run in runs.items()]
    worst = ", ".join(f"{_ms(run.worst):,g} ms ({name})" for name, run in runs.items())
    return Table(("handler", "timers", f"late by more than {every}", "worst lag [ms]"), rows, says=f"The worst lag of a timer of {every}: {worst}.")


def _title(runs: Mapping[str, LoopLag]) -> str:
    least, most = (choose(runs, key=lambda name: runs[name].worst) for choose in (min, max))
    ends = [f"{_ms(runs[name].worst):,g} ms ({name})" for name in (least, most)]
    return f"Worst lag: {ends[1]}" if least == most else f"Worst lag from {ends[0]} to {ends[1]}"


def plot_lag_over_time(ax: Axes, run: LoopLag) -> Table:
    """Draw a stem for each timer of *run* at the time at which it was due, as high as it was late; return the table."""
    expect("run", run, LoopLag, "what loop_lag(…) returned")
    due, style = run.due_at * 1e3, line(0, markers=True)
    ax.vlines(due, 0, run.lag, color=style["color"], linewidth=1.2)
    ax.plot(due, run.lag, **style | {"linestyle": "none", "markersize": 5})
    ax.set_xlim(left=0)
    ax.set_ylim(0, max(1.15 * run.worst, 1))
    every = f"{run.every * 1e3:g} ms"
    dress(ax, title=f"The latest timer of {every} fires {_ms(run.worst):,g} ms late", x="time at which the timer was due [ms]", y="late by [ms]")
    rows = [(_ms(when), _ms(lag)) for when, lag in zip(due.tolist(), run.lag.tolist(), strict=True)]
    return Table(("due [ms]", "late by [ms]"), rows, says=f"Of {run.lag.size} timers of {every} the latest fires {_ms(run.worst):,g} ms late.")


def _ms(value: float) -> float:
    return round(value, 1)
