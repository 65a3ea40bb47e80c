"""How long did events take? As shares of all events, and over the time of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from edakit.checks import expect
from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.measuring.run import Deliveries, milliseconds
from edakit.measuring.statistics import ecdf, percentile
from edakit.measuring.theory import Law
from edakit.plots.series import SMALLEST, checked_guess, counted, handled_runs, nice, rounded, times
from edakit.plots.style import FONT, INK, THEORY, dress, legend, line, logarithmic, mark_guess
from edakit.table import Table

__all__ = ["plot_latency_cdf", "plot_latency_over_time"]

MARKED: Final = (50, 99)
"""The percentiles that are marked [%]."""

SHARES: Final = (50, 95, 99)
"""The percentiles in the table [%]."""

MANY: Final = 300
"""From so many deliveries on, percentiles are drawn over the dots [deliveries]."""

DOTS: Final = 5_000
"""Most dots or steps of a run; of more, evenly chosen ones are drawn, and the longest."""

RUNS: Final = 3
"""Most runs whose dots are in the legend beside the lines over them."""


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
    if theory is not None:
        expect("theory", theory, Law, "a law of times, such as mm1(service_rate=250).response_law(200)")
    left, right = _ends(named.values(), theory, guess)
    for number, (name, run) in enumerate(named.items()):
        _draw_steps(ax, run, left, right, number, name)
    if theory is not None:
        grid = np.geomspace(left, right, 300)
        ax.plot(grid, 100 * theory.share(grid / 1e3), label=f"theory: {theory.label}", **THEORY)
    if guess is not None:
        mark_guess(ax, max(guess, left), _percent(guess_at))
    _dress_shares(ax, left, right)
    dress(ax, title=title or _shares_title(named), x="Latency [ms], logarithmic", y="Share handled within it [%]")
    legend(ax, loc="best")
    return Table(("run", "events", *(f"p{q} [ms]" for q in SHARES), "longest [ms]"), _percentiles(named, theory), says=_shares_sentence(named))


def _ends(runs: Iterable[Deliveries], theory: Law | None, guess: float | None) -> tuple[float, float]:
    """Return where the axis begins and ends [ms]: a handful of very short latencies do not take half of it."""
    known = [end for run in runs for end in (max(run.percentile(1), run.percentile(50) / 100), float(run.latency.max()))]
    if theory is not None:
        known += [theory.percentile(5), theory.percentile(99)]
    guessed = 0.0 if guess is None else checked_guess(guess)
    seen = [end for end in (*(1e3 * end for end in known), guessed) if end > 0]
    seen = seen or [SMALLEST, 1.0]
    return min(seen) / 1.5, max(seen) * 1.5


def _draw_steps(ax: Axes, run: Deliveries, left: float, right: float, number: int, name: str) -> None:
    values, shares = ecdf(run.latency * 1e3)
    # One step a value: equal latencies rise at once. The line begins at the left end, with the share of what took no time.
    values, first = np.unique(values, return_index=True)
    shares = shares[first] * 100
    none = float(shares[0]) if values[0] <= 0 else 0.0
    if values.size > DOTS:
        # Of very many steps a picture shows no more than these; the longest, where little is seen of much, are all there.
        chosen = np.union1d(np.linspace(0, values.size - 1, DOTS, dtype=np.int64), np.arange(values.size - DOTS // 5, values.size))
        values, shares = values[chosen], shares[chosen]
    above = values > 0
    ax.step([0, *values[above], right], [none, *shares[above], 100], where="post", label=_named(name, none), **line(number))
    marks = [(run.percentile(q) * 1e3, q) for q in MARKED]
    ax.plot([max(x, left) for x, _ in marks], [q for _, q in marks], **{**line(number, markers=True), "linestyle": "none"}, zorder=4)


def _named(name: str, none: float) -> str:
    return f"{name} ({rounded(none):g} % at 0 ms)" if none else name


def _percent(share: float) -> float:
    if not 0 <= real(share) <= 100:  # noqa: PLR2004 (percent)
        raise InvalidValueError("guess_at", share, "a percentage from 0 to 100, such as 99 for p99")
    return share


def _dress_shares(ax: Axes, left: float, right: float) -> None:
    logarithmic(ax.xaxis)
    ax.set_xlim(left, right)
    ax.set_ylim(-2, 104)
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


def plot_latency_over_time(ax: Axes, runs: Mapping[str, Deliveries] | Deliveries, *, title: str = "") -> Table:
    """Draw how long each delivery took, at the time when it was due; over many of them p50 and p99 of each stretch of time.

    Args:
        ax: Where it is drawn.
        runs: By name, or one.
        title: What is seen; computed unless given.

    Returns:
        A line a run: p50, p99, the longest latency [ms], and when that one was due [s].

    Raises:
        NothingMeasuredError: nothing was handled in one of the runs.
        InvalidValueError: there is no run.
    """
    named = handled_runs(runs)
    for number, (name, run) in enumerate(named.items()):
        _draw_dots(ax, run, number, name, named=run.latency.size < MANY or len(named) <= RUNS)
        if run.latency.size >= MANY:
            _draw_percentiles(ax, run, number, name, runs=len(named))
    rows = [_longest(name, run) for name, run in named.items()]
    ax.set_ylim(bottom=0)
    says = [f"{name}: the longest latency, {times(longest)} ms, is that of a delivery due at {times(at)} s" for name, _, _, _, longest, at in rows]
    worst = max(rows, key=lambda row: row[4])
    of = f" ({worst[0]})" if len(rows) > 1 else ""
    dress(ax, title=title or f"The longest took {times(worst[4])} ms and was due at {times(worst[5])} s{of}", x="When it was due [s]", y="Latency [ms]")
    legend(ax)
    columns = ("run", "events", "p50 [ms]", "p99 [ms]", "longest [ms]", "which was due at [s]")
    return Table(columns, rows, says="; ".join(says) + ".")


def _draw_dots(ax: Axes, run: Deliveries, number: int, name: str, *, named: bool) -> None:
    step = -(-run.latency.size // DOTS)
    chosen = np.union1d(np.arange(0, run.latency.size, step), [int(np.argmax(run.latency))])
    style = {**line(number, markers=True), "linestyle": "none", "markersize": 2.5 if run.latency.size >= MANY else 5}
    label = f"{name}: one delivery" if step == 1 else f"{name}: one delivery of {step}"
    ax.plot(run.due_at[chosen], run.latency[chosen] * 1e3, label=label if named else None, alpha=0.5 if run.latency.size >= MANY else 1.0, **style)


def _draw_percentiles(ax: Axes, run: Deliveries, number: int, name: str, *, runs: int) -> None:
    """Draw p99, and of a single run p50 too, of each stretch of time; stretches are so wide that there are about 40."""
    width = nice(run.duration / 40)
    # Sorted once and cut where stretches begin: a mask a stretch would read all deliveries forty times.
    order = np.argsort(run.due_at, kind="stable")
    stretch = np.floor(run.due_at[order] / width)
    starts = np.flatnonzero(np.diff(stretch, prepend=np.nan))
    parts = np.split(run.latency[order] * 1e3, starts[1:])
    centres = (stretch[starts] + 0.5) * width
    for q in (99, 50) if runs == 1 else (99,):
        dark = {"color": INK} if runs == 1 else {}
        style = {**line(number if q == 99 else number + 1), **dark, "linewidth": 2.0}  # noqa: PLR2004 (the percentile)
        ax.plot(centres, [percentile(part, q) for part in parts], label=f"{name}: p{q} of each {width:g} s" if runs <= RUNS else f"{name}: p{q}", **style)


def _longest(name: str, run: Deliveries) -> tuple[str, int, float, float, float, float]:
    place = int(np.argmax(run.latency))
    return (
        name,
        run.latency.size,
        milliseconds(run.percentile(50)),
        milliseconds(run.percentile(99)),
        milliseconds(float(run.latency[place])),
        round(float(run.due_at[place]), 3),
    )
