"""How long did events take? As shares of all events, and over the time of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from edakit.errors import InvalidValueError
from edakit.measuring.run import Deliveries, milliseconds
from edakit.measuring.statistics import ecdf
from edakit.measuring.theory import Law
from edakit.plots.series import checked_guess, counted, handled_runs, rounded, times
from edakit.plots.style import FONT, INK, THEORY, dress, legend, line, mark_guess
from edakit.table import Table

__all__ = ["plot_latency_cdf"]

MARKED: Final = (50, 99)
"""The percentiles that are marked [%]."""

SHARES: Final = (50, 95, 99)
"""The percentiles in the table [%]."""

SMALLEST: Final = 0.001
"""Left end of a logarithmic axis on which all latencies are zero [ms]."""


def plot_latency_cdf(
    ax: Axes, runs: Mapping[str, Deliveries] | Deliveries, *, theory: Law | None = None, guess: float | None = None, guess_at: float = 99, title: str = ""
) -> Table:
    """Draw the share of events that were handled within each time, one line of steps a run; return the percentiles that it shows.

    The axis of latencies is logarithmic and has no zero: events that took no time at all are at its left end, and are counted in words.

    Args:
        ax: Where it is drawn.
        runs: By name, or one; of a run all handled deliveries, of `run.component("stock")` those of one component.
        theory: What theory says, such as `mm1(service_rate=250).response_law(200)`; a dotted line.
        guess: What a person expected of the percentile *guess_at* [ms]; a cross.
        guess_at: Of which percentile the guess speaks [%].
        title: What is seen; computed unless given.

    Returns:
        A line a run, and one for the theory: p50, p95, p99 and the longest latency [ms].

    Raises:
        NothingMeasuredError: nothing was handled in one of the runs.
        InvalidValueError: there is no run, or *guess* or *guess_at* is out of range.
    """
    named = handled_runs(runs)
    left, right = _ends(named.values(), theory, guess)
    for number, (name, run) in enumerate(named.items()):
        _draw_steps(ax, run, left, right, number, name)
    if theory is not None:
        grid = np.geomspace(left, right, 300)
        ax.plot(grid, 100 * theory.share(grid / 1e3), label=f"theory: {theory.label}", **THEORY)
    if guess is not None:
        mark_guess(ax, guess, _percent(guess_at))
    _dress_shares(ax, left, right)
    dress(ax, title=title or _shares_title(named), x="Latency [ms], logarithmic", y="Share handled within it [%]")
    legend(ax, loc="upper left")
    return Table(("run", "events", *(f"p{q} [ms]" for q in SHARES), "longest [ms]"), _percentiles(named, theory), says=_shares_sentence(named))


def _ends(runs: Iterable[Deliveries], theory: Law | None, guess: float | None) -> tuple[float, float]:
    """Return where the axis begins and ends [ms]: a handful of very short latencies do not take half of it."""
    known = [end for run in runs for end in (run.percentile(1), run.percentile(50) / 100, float(run.latency.max()))]
    if theory is not None:
        known += [theory.percentile(5), theory.percentile(99)]
    seen = [1e3 * end for end in known if end > 0] + ([] if guess is None else [checked_guess(guess)])
    seen = seen or [SMALLEST, 1.0]
    return min(seen) / 1.5, max(seen) * 1.5


def _draw_steps(ax: Axes, run: Deliveries, left: float, right: float, number: int, name: str) -> None:
    values, shares = ecdf(run.latency * 1e3)
    # One step a value: equal latencies rise at once. The line begins at the left end, with the share of what took no time.
    values, first = np.unique(values, return_index=True)
    shares = shares[first] * 100
    none = float(shares[0]) if values[0] <= 0 else 0.0
    above = values > 0
    ax.step([0, *values[above], right], [none, *shares[above], 100], where="post", label=_named(name, none), **line(number))
    marks = [(run.percentile(q) * 1e3, q) for q in MARKED]
    ax.plot([max(x, left) for x, _ in marks], [q for _, q in marks], **{**line(number, markers=True), "linestyle": "none"}, zorder=4)


def _named(name: str, none: float) -> str:
    return f"{name} ({rounded(none):g} % at 0 ms)" if none else name


def _percent(share: float) -> float:
    if not 0 <= share <= 100:  # noqa: PLR2004 (percent)
        raise InvalidValueError("guess_at", share, "a percentage from 0 to 100, such as 99 for p99")
    return share


def _dress_shares(ax: Axes, left: float, right: float) -> None:
    ax.set_xscale("log")
    ax.set_xlim(left, right)
    ax.set_ylim(-2, 104)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for q in MARKED:
        ax.axhline(q, color=INK, linewidth=0.8, alpha=0.6, zorder=1)
        ax.annotate(f"p{q}", (1, q), xycoords=("axes fraction", "data"), xytext=(-2, -2), textcoords="offset points", ha="right", va="top", fontsize=FONT)


def _percentiles(named: Mapping[str, Deliveries], theory: Law | None) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        (name, run.latency.size, *(milliseconds(run.percentile(q)) for q in SHARES), milliseconds(float(run.latency.max()))) for name, run in named.items()
    ]
    if theory is not None:
        rows.append((f"theory: {theory.label}", None, *(rounded(1e3 * theory.percentile(q)) for q in SHARES), None))
    return rows


def _shares_title(named: Mapping[str, Deliveries]) -> str:
    if len(named) == 1:
        (run,) = named.values()
        return f"Half were handled within {times(1e3 * run.percentile(50))} ms, 99 % within {times(1e3 * run.percentile(99))} ms"
    slow = sorted(named, key=lambda name: named[name].percentile(99))
    fast, slowest = (f"{times(1e3 * named[name].percentile(99))} ms ({name})" for name in (slow[0], slow[-1]))
    return f"99 % were handled within {fast} to {slowest}"


def _shares_sentence(named: Mapping[str, Deliveries]) -> str:
    parts = [
        f"{name}: of {counted(run.latency.size, 'delivery', 'deliveries')} half took at most {times(1e3 * run.percentile(50))} ms"
        f" and 99 % at most {times(1e3 * run.percentile(99))} ms"
        for name, run in named.items()
    ]
    return "; ".join(parts) + "."
