"""How much gets through, and how much waits? Over the time of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from edakit.clock import NS, real
from edakit.errors import InvalidValueError
from edakit.measuring.errors import NothingMeasuredError
from edakit.measuring.run import Deliveries
from edakit.measuring.statistics import Array, floats
from edakit.plots.series import checked_guess, counted, handled_runs, named_runs, nice, rounded, times
from edakit.plots.style import dress, legend, line, mark_guess
from edakit.table import Table

__all__ = ["plot_backlog_over_time", "plot_throughput_over_time"]

STRETCHES: Final = 1_000
"""Into how many stretches of time a long run is cut where every change of its backlog would be more than a picture can show."""

ROWS: Final = 10
"""About how many times are in the table of a backlog."""

RUNS: Final = 4
"""Most runs that a title speaks of one by one."""

BINS: Final = 100_000
"""Most bins of a throughput; more would be narrower than a pixel by far."""


def plot_throughput_over_time(ax: Axes, runs: Mapping[str, Deliveries] | Deliveries, *, width: float = 1.0, title: str = "") -> Table:
    """Draw how many events were handled in each stretch of time, per second: steps, one line a run.

    What was due in the warm-up is left out. An event that several components handle counts once, where the last of them is done.

    Args:
        ax: Where it is drawn.
        runs: By name, or one.
        width: How long a stretch is [s].
        title: What is seen; computed unless given.

    Returns:
        A line a run: mean while its workload lasted, least and most in one stretch [1/s].

    Raises:
        NothingMeasuredError: nothing was handled in one of the runs.
        InvalidValueError: there is no run, or *width* is not above 0 or cuts a run into more than 100,000 stretches.
    """
    named, rows = handled_runs(runs), []
    for number, (name, run) in enumerate(named.items()):
        edges = _edges(run, width)
        found = run.throughput_in(edges)
        # A line from corner to corner: the value of a stretch holds from its begin to its end.
        ax.plot(np.repeat(edges, 2)[1:-1], np.repeat(found, 2), label=name, **line(number))
        rows.append((name, rounded(run.throughput), rounded(float(found.min())), rounded(float(found.max()))))
    ax.set_ylim(bottom=0)
    says = "; ".join(
        f"{row[0]}: {times(row[1] or 0)} events a second on average, {times(row[2] or 0)} to {times(row[3] or 0)} in one stretch of {width:g} s" for row in rows
    )
    # Of many runs the ends are enough.
    told = rows if len(rows) <= RUNS else sorted(rows, key=lambda row: row[1] or 0)[:: len(rows) - 1]
    means = (", " if len(rows) <= RUNS else " to ").join(f"{times(row[1] or 0)}/s" + (f" ({row[0]})" if len(rows) > 1 else "") for row in told)
    dress(ax, title=title or f"On average {means} were handled", x="Time of the run [s]", y=f"Throughput, each {width:g} s [1/s]")
    if len(named) > 1:
        legend(ax)
    return Table(("run", "mean [1/s]", "least [1/s]", "most [1/s]"), rows, says=says + ".")


def _edges(run: Deliveries, width: float) -> Array:
    """Return where stretches begin and end [s]; the last one takes what is left, from half a stretch to one and a half."""
    length = run.duration - run.warmup
    if not 0 < real(width) < math.inf or length / width > BINS:
        raise InvalidValueError("width", width, f"a number of seconds above 0, and at least {length / BINS:.2g} for a run of {length:.3g} s")
    whole = max(1, math.floor(length / width + 0.5))
    edges = run.warmup + width * np.arange(whole + 1.0)
    # A hair beyond the end: what ends with the run belongs to it. A run of no length gets one whole stretch.
    edges[-1] = run.duration + 1e-9 if length > 0 else run.warmup + width
    return edges


def plot_backlog_over_time(
    ax: Axes,
    runs: Mapping[str, Deliveries] | Deliveries,
    *,
    points: int | Sequence[float] | None = None,
    guess: float | None = None,
    guess_at: float = 0.0,
    title: str = "",
) -> Table:
    """Draw how many deliveries were due and not yet over, one line a run: waiting, being handled, or not even published yet.

    It is counted, delivery by delivery. The warm-up is included: a backlog has a past.

    Args:
        ax: Where it is drawn.
        runs: By name, or one; of a run all queues together, of `run.component("stock")` one.
        points: Every change unless given (of a long run the largest of each thousandth); how often to look, evenly over the run; or when [s].
        guess: How large a person expected it to be at *guess_at* [deliveries]; a cross.
        guess_at: Of which time the guess speaks [s].
        title: What is seen; computed unless given.

    Returns:
        A line for each of a few times, with the backlog of each run then [deliveries].

    Raises:
        NothingMeasuredError: nothing was due in one of the runs.
        InvalidValueError: there is no run, *points* are fewer than 2, or *guess* or *guess_at* is no number, zero or more.
    """
    named = named_runs(runs)
    end = max(run.duration for run in named.values())
    looked = None if points is None else _looked(points, end)
    peaks = {}
    for number, (name, run) in enumerate(named.items()):
        changes, found = _changes(name, run)
        peaks[name] = (round(float(changes[np.argmax(found)]), 3), int(found.max()))
        shown = _envelope(changes, found) if looked is None else (looked, run.backlog_at(looked))
        # Thin where the line goes up and down all the time, so that the next one is still seen through it.
        thin = {"linewidth": 1.0} if len(shown[0]) > STRETCHES + 100 else {}
        ax.plot(*shown, label=name, drawstyle="steps-post", **{**line(number), **thin})
    if guess is not None:
        mark_guess(ax, _time(guess_at), checked_guess(guess, "deliveries"))
    _dress_backlog(ax, peaks, title, keyed=len(named) > 1 or guess is not None)
    says = "; ".join(f"{name}: the backlog is largest at {times(at)} s, {_most(most)}" for name, (at, most) in peaks.items())
    return Table(("time [s]", *named), _at_some_times(named, looked, end), says=says + ".")


def _time(guess_at: float) -> float:
    if not 0 <= real(guess_at) < math.inf:
        raise InvalidValueError("guess_at", guess_at, "a time of the run, zero or more [s]")
    return guess_at


def _looked(points: int | Sequence[float], end: float) -> Array:
    looked = np.linspace(0, end, int(points)) if isinstance(points, Integral) and int(points) > 1 else np.sort(floats(points, "points"))
    if looked.size < 2 or not np.isfinite(looked).all():  # noqa: PLR2004 (a line has two ends)
        raise InvalidValueError("points", points, "how many times to look, 2 or more, or the times themselves in seconds")
    return looked


def _changes(name: str, run: Deliveries) -> tuple[Array, NDArray[np.int64]]:
    """Return when the backlog may have changed, begin and end of the run included [s], and what it was from then on [deliveries]."""
    rows = run.rows
    times_ns = np.concatenate([rows.due_at, rows.done_at])
    # What came first, before the run, is no part of it.
    times_ns = times_ns[times_ns >= run.start_ns]
    # What waits to the end is in no row: a grid sees it come.
    when = np.unique(np.append((times_ns - run.start_ns) / NS, np.linspace(0, run.duration, STRETCHES + 1)))
    found = run.backlog_at(when)
    if not times_ns.size and not found.any():
        raise NothingMeasuredError(f"the backlog of the run {name!r}")
    return when, found


def _envelope(when: Array, found: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """Return all changes of a short run, and of a long one the largest backlog of each thousandth of its time."""
    if when.size <= 4 * STRETCHES:
        return when, found
    begins = np.linspace(when[0], when[-1], STRETCHES, endpoint=False)
    return begins, np.maximum.reduceat(found, np.searchsorted(when, begins))


def _dress_backlog(ax: Axes, peaks: Mapping[str, tuple[float, int]], title: str, *, keyed: bool) -> None:
    longest = max(peaks, key=lambda name: peaks[name][1])
    at, most = peaks[longest]
    of = f" ({longest})" if len(peaks) > 1 else ""
    ax.set_ylim(bottom=0, top=max(1.0, ax.get_ylim()[1]))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    dress(ax, title=title or f"At {times(at)} s the backlog is largest: {_most(most)}{of}", x="Time of the run [s]", y="Backlog [deliveries]")
    if keyed:
        legend(ax)


def _most(number: int) -> str:
    return counted(number, "delivery", "deliveries")


def _at_some_times(named: Mapping[str, Deliveries], looked: Array | None, end: float) -> list[tuple[object, ...]]:
    """Return the backlogs at round times, or at the times that were asked for if they are few; None after the end of a run."""
    step = nice(end / ROWS)
    some = np.arange(0, end + step / 1_000, step) if looked is None or looked.size > ROWS + 2 else looked
    columns = [[int(count) if at <= run.duration else None for at, count in zip(some, run.backlog_at(some), strict=True)] for run in named.values()]
    return [(round(float(at), 6), *row) for at, *row in zip(some, *columns, strict=True)]
