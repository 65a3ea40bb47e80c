"""When was each event published, how long did it wait, and when was it handled? A lane a component."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from edakit.app import App
from edakit.clock import NS, real
from edakit.errors import InvalidValueError, UnknownComponentError
from edakit.measuring.errors import NothingMeasuredError
from edakit.measuring.rows import ENDS
from edakit.measuring.run import Run
from edakit.plots.series import counted, listed, times, took
from edakit.plots.style import FONT, GUESS, INK, colour, dress, mark_guess
from edakit.table import Table
from edakit.trace import Trace

__all__ = ["plot_timeline"]

ROWS: Final = 12
"""Most deliveries that the table has one by one; of more it has a line a component."""

MARKED: Final = 400
"""Most deliveries that get their markers; more would hide the lines."""


ONE_BY_ONE: Final = 3
"""Most components that the sentence speaks of one by one."""


@dataclass(slots=True)
class _Stay:
    """One event at one component, from its publication to the end of its handling; times from the first publication of all [s].

    Attributes:
        component, event: Who got what.
        published: When it was published.
        served: When a worker began with it and was done, once an attempt.
        end: When the last attempt was over.
        outcome: How the last attempt ended.
        row: Its place in the lane, 0 for the highest.
    """

    component: str
    event: str
    published: float
    served: list[tuple[float, float]] = field(default_factory=list)
    end: float = 0.0
    outcome: str = ""
    row: int = 0

    @property
    def took(self) -> float:
        """From publication to the end [s]."""
        return self.end - self.published

    @property
    def handled(self) -> bool:
        """Whether the component is done with it; not if it gave it up, had no room for it, or has to try again."""
        return self.outcome in {"handled", "duplicate", "ignored"}


def plot_timeline(
    ax: Axes,
    source: App | Run | Trace,
    *,
    components: Iterable[str] | None = None,
    start: float = 0.0,
    end: float = math.inf,
    title: str = "",
    guess: tuple[str, int, float | None] | None = None,
) -> Table:
    """Draw each delivery as a line in its component's lane: thin while the event waits, thick while a worker is busy with it.

    Its marks are a ring where it was published and a dot where its handling ended, a cross if it was not handled. Lines that
    overlap lie one below the other. Zero seconds is when the first event of all was published.

    Args:
        ax: Where it is drawn.
        source: An app, a run, or a trace.
        components: Whose lanes, from top to bottom; by default all that got something, in the order of their first delivery.
        start, end: Which publications are drawn: from *start* on, and before *end* [s].
        title: What is seen; computed unless given.
        guess: A component, which of its deliveries that are drawn, from 0, and how long after its publication it was predicted to be handled [s];
            None for how long draws nothing.

    Returns:
        A line a delivery if there are at most 12 of them: published, done, the time between [s]. Otherwise a line a component.

    Raises:
        NothingMeasuredError: no delivery came to an end, or none of those asked for.
        UnknownComponentError: one of *components* got no event.
        InvalidValueError: *source* is none of these, *components* is empty, *end* is not after *start*, or *guess* is about
                a delivery that is not drawn, or is no number of zero or more.
    """
    if not real(start) < real(end):
        raise InvalidValueError("start and end", (start, end), "a time, and one after it [s]")
    trace = _trace(source)
    wanted = [components] if isinstance(components, str) else components
    lanes = _lanes(_stays(trace), None if wanted is None else list(wanted), source)
    lanes = {name: [stay for stay in stays if start <= stay.published < end] for name, stays in lanes.items()}
    everything = [stay for stays in lanes.values() for stay in stays]
    if not everything:
        raise NothingMeasuredError(f"a timeline from {start:g} s to {end:g} s")
    for number, stays in enumerate(lanes.values()):
        _draw_lane(ax, stays, number, marked=len(everything) <= MARKED)
    if guess is not None and not (isinstance(guess, tuple) and len(guess) == 3):  # noqa: PLR2004 (its parts)
        raise InvalidValueError("guess", guess, "a component, which of its deliveries, and after how long: ('stock', 0, 0.5)")
    guessed = guess is not None and _mark(ax, lanes, *guess)
    _dress(ax, lanes, marked=len(everything) <= MARKED, guessed=guessed)
    dress(ax, title=title or _title(lanes), x="Time since the first publication [s]", y="Component")
    ax.grid(visible=False, axis="y")
    if len(everything) <= ROWS:
        rows = sorted(everything, key=lambda stay: (stay.published, list(lanes).index(stay.component), stay.end))
        single = [(stay.component, stay.event, _seconds(stay.published), _seconds(stay.end), _seconds(stay.end - stay.published)) for stay in rows]
        return Table(("component", "event", "published [s]", "done [s]", "took [s]"), single, says=_sentence(lanes))
    lines = [_summary(name, stays) for name, stays in lanes.items() if stays]
    return Table(("component", "deliveries", "first published [s]", "last done [s]", "longest [s]"), lines, says=_sentence(lanes))


def _trace(source: object) -> Trace:
    if isinstance(source, Trace):
        return source
    if isinstance(source, App | Run):
        return source.trace
    raise InvalidValueError("source", source, "an App, a Run or a Trace")


def _stays(trace: Trace) -> list[_Stay]:
    """Return what each component did with each event, attempts put together, in the order in which they were first tried."""
    publications = {row.event: row for row in trace.publications}
    deliveries = trace.deliveries
    zero = min((row.published_at for row in publications.values()), default=min((row.received_at for row in deliveries), default=0))
    stays: dict[tuple[str, str], _Stay] = {}
    for row in deliveries:
        stay = stays.get((row.event, row.component))
        if stay is None:
            known = publications.get(row.event)
            # What another process published is seen from its receipt on.
            published, name = (row.received_at, "unknown") if known is None else (known.published_at, known.name)
            stay = stays[row.event, row.component] = _Stay(row.component, name, (published - zero) / NS)
        if stay.outcome not in ENDS:
            stay.end, stay.outcome = (row.done_at - zero) / NS, row.outcome
            stay.served.append(((row.started_at - zero) / NS, stay.end))
    return list(stays.values())


def _lanes(stays: list[_Stay], wanted: list[str] | None, source: object) -> dict[str, list[_Stay]]:
    lanes: dict[str, list[_Stay]] = {}
    for stay in stays:
        lanes.setdefault(stay.component, []).append(stay)
    if not lanes:
        raise NothingMeasuredError("a timeline")
    if wanted is None:
        return lanes
    if not wanted:
        raise InvalidValueError("components", wanted, f"one or more of {', '.join(lanes)}, or None for all")
    # A component of the app that has got nothing yet has an empty lane.
    known = [*lanes, *(name for name in (source.components if isinstance(source, App) else ()) if name not in lanes)]
    if unknown := [name for name in wanted if name not in known]:
        raise UnknownComponentError(unknown[0], known)
    return {name: lanes.get(name, []) for name in wanted}


def _stack(stays: list[_Stay]) -> int:
    """Give each a row in which nobody lies at that time, the highest free one; return how many rows there are."""
    free: list[int] = []
    taken: list[tuple[float, int]] = []
    rows = 0
    for stay in sorted(stays, key=lambda stay: (stay.published, stay.end)):
        while taken and taken[0][0] < stay.published:
            heapq.heappush(free, heapq.heappop(taken)[1])
        stay.row = heapq.heappop(free) if free else rows
        rows = max(rows, stay.row + 1)
        heapq.heappush(taken, (stay.end, stay.row))
    return rows


def _heights(stays: list[_Stay], number: int) -> list[float]:
    rows = _stack(stays)
    # Lanes of few rows keep them close together: no wider than a third of the lane.
    gap = min(0.8 / max(rows, 1), 0.3)
    return [number + (stay.row - (rows - 1) / 2) * gap for stay in stays]


def _mark(ax: Axes, lanes: dict[str, list[_Stay]], component: str, which: int, seconds: float | None) -> bool:
    """Put what a person predicted on the line that it is about; tell whether anything was predicted."""
    stays = lanes.get(component, [])
    if not 0 <= real(which) < len(stays):
        raise InvalidValueError("guess", (component, which, seconds), "a delivery that is drawn: its component, and which of them, from 0")
    if seconds is None:
        return False
    if not 0 <= real(seconds) < math.inf:
        raise InvalidValueError("guess", seconds, "a number of seconds, zero or more")
    mark_guess(ax, stays[which].published + seconds, _heights(stays, list(lanes).index(component))[which])
    return True


def _draw_lane(ax: Axes, stays: list[_Stay], number: int, *, marked: bool) -> None:
    """Draw one lane, a unit high and centred at *number*."""
    heights = _heights(stays, number)
    waits = [(stay.published, stay.end, y) for stay, y in zip(stays, heights, strict=True)]
    work = [(begin, end, y) for stay, y in zip(stays, heights, strict=True) for begin, end in stay.served]
    for gid, lines, look in (("waiting", waits, _waiting()), ("service", work, _service())):
        # One line with gaps (NaN) for all: a hundred thousand lines of their own would take seconds.
        xs = [x for begin, end, _ in lines for x in (begin, end, math.nan)]
        ax.plot(xs, [y for _, _, height in lines for y in (height, height, math.nan)], gid=gid, **look)
    if not marked:
        # In a long run a handling is shorter than a pixel: a tick at its end keeps it visible.
        ax.plot([stay.end for stay in stays], heights, linestyle="none", marker="|", markersize=5, color=colour(1), zorder=3, gid="handled")
    elif stays:
        ax.plot([stay.published for stay in stays], heights, gid="published", **_marks()["published"])
        for name, good in (("handled", True), ("not handled", False)):
            chosen = [(stay.end, y) for stay, y in zip(stays, heights, strict=True) if stay.handled is good]
            ax.plot([x for x, _ in chosen], [y for _, y in chosen], gid=name, **_marks()[name])


def _waiting() -> dict[str, Any]:
    return {"color": colour(0), "linewidth": 1.4, "zorder": 2}


def _service() -> dict[str, Any]:
    return {"color": colour(1), "linewidth": 5.0, "solid_capstyle": "butt", "zorder": 3}


def _marks() -> dict[str, dict[str, Any]]:
    plain: dict[str, Any] = {"linestyle": "none", "zorder": 4, "markersize": 9, "color": INK}
    return {
        "published": {**plain, "marker": "o", "markerfacecolor": "white"},
        "handled": {**plain, "marker": "o", "markersize": 4},
        "not handled": {**plain, "marker": "x", "markersize": 9, "markeredgewidth": 2.5},
    }


def _dress(ax: Axes, lanes: dict[str, list[_Stay]], *, marked: bool, guessed: bool) -> None:
    ax.set_yticks(range(len(lanes)), list(lanes))
    # Above the first lane there is room for the legend, where no line is.
    ax.set_ylim(len(lanes) - 0.5, -0.5 - 0.15 * len(lanes))
    ax.autoscale(axis="x")
    for number in range(1, len(lanes)):
        ax.axhline(number - 0.5, color="#bbbbbb", linewidth=0.8, zorder=1)
    ax.axhline(-0.5, color="#bbbbbb", linewidth=0.8, zorder=1)
    failed = any(not stay.handled for stays in lanes.values() for stay in stays)
    signs: list[tuple[str, dict[str, Any]]] = [
        ("waiting", {"color": colour(0), "linewidth": 1.4}),
        ("a worker is busy", {"color": colour(1), "linewidth": 5.0}),
    ]
    signs += [(name, look) for name, look in _marks().items() if marked and (failed or name != "not handled")]
    signs += [("your guess", GUESS)] if guessed else []
    handles = [Line2D([], [], label=name, **look) for name, look in signs]
    ax.legend(handles=handles, fontsize=FONT, frameon=False, ncols=len(handles), loc="upper right", borderaxespad=0.0, columnspacing=1.2, handlelength=1.6)


def _seconds(value: float) -> float:
    return round(value, 6)


def _summary(name: str, stays: list[_Stay]) -> tuple[object, ...]:
    first, last = min(stay.published for stay in stays), max(stay.end for stay in stays)
    return name, len(stays), _seconds(first), _seconds(last), _seconds(max(stay.took for stay in stays))


def _caught_up(stays: list[_Stay]) -> bool:
    """Whether events that were published one after the other were all done at one instant."""
    first = stays[0]
    return any(stay.published != first.published for stay in stays) and all(stay.end == first.end for stay in stays)


def _longest(lanes: dict[str, list[_Stay]]) -> _Stay:
    return max((stay for stays in lanes.values() for stay in stays), key=lambda stay: stay.took)


def _title(lanes: dict[str, list[_Stay]]) -> str:
    longest = _longest(lanes)
    stays = lanes[longest.component]
    if _caught_up(stays):
        short = min(stay.took for stay in stays)
        return (
            f"{longest.component} was done with {len(stays)} events at {times(longest.end)} s, {times(short)} to {took(longest.took)} after each was published"
        )
    return f"The longest took {took(longest.took)}, from publication to the end of its handling by {longest.component}"


def _sentence(lanes: dict[str, list[_Stay]]) -> str:
    if len(lanes) <= ONE_BY_ONE:
        return "; ".join(_about(name, stays) for name, stays in lanes.items()) + "."
    everything, longest = [stay for stays in lanes.values() for stay in stays], _longest(lanes)
    total = f"{counted(len(everything), 'delivery', 'deliveries')} to {counted(sum(map(bool, lanes.values())), 'component')}{_not_handled(everything)}"
    return f"{total}; the longest took {took(longest.took)}: {longest.event}, handled by {longest.component}."


def _about(name: str, stays: list[_Stay]) -> str:
    if not stays:
        return f"{name} got no event"
    together = f" and was done with all at {times(stays[0].end)} s" if _caught_up(stays) else ""
    return f"{name} got {counted(len(stays), 'event')}{together}, the longest took {took(max(stay.took for stay in stays))}{_not_handled(stays)}"


def _not_handled(stays: list[_Stay]) -> str:
    failed = Counter(stay.outcome for stay in stays if not stay.handled)
    return f", not handled: {listed(f'{count} {outcome}' for outcome, count in failed.items())}" if failed else ""
