"""Which worker had which order when, and how often each order was handled in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from edakit.errors import InvalidValueError
from edakit.measuring.attempts import Attempt, CrewRun
from edakit.plots.series import by_name, checked_guess, counted, listed, lists_by_name
from edakit.plots.style import FONT, GUESS, INK, below, colour, dress, lanes, mark_guess
from edakit.table import Table

__all__ = ["plot_times_handled", "plot_work_per_worker"]

HEIGHT: Final = 0.7  # of all bars of a worker, where a lane is 1 high
MS: Final = 1e3  # [1/s]
# What a bar or a mark means, and how it looks.
BARS: Final[dict[str, dict[str, Any]]] = {
    "an order": {"facecolor": colour(0), "edgecolor": "white"},
    "delivered again": {"facecolor": colour(5), "edgecolor": INK, "hatch": "////"},
    "its worker died": {"facecolor": "white", "edgecolor": INK, "hatch": "...."},
}
MARKS: Final[dict[str, dict[str, Any]]] = {
    "killed": {"marker": "X", "color": colour(1), "markersize": 12, "markeredgecolor": "white"},
    "packed a second time": {"marker": "D", "color": INK, "markersize": 7},
    "never packed": {"marker": "v", "color": INK, "markersize": 9},
}
SHARES: Final[dict[str, dict[str, Any]]] = {
    "once": {"facecolor": colour(4), "edgecolor": "white"},
    "more than once": {"facecolor": colour(5), "edgecolor": INK, "hatch": "////"},
    "never": {"facecolor": "white", "edgecolor": INK, "hatch": "xxxx"},
}


def plot_work_per_worker(ax: Axes, runs: Mapping[str, CrewRun] | CrewRun, *, guess: float | None = None) -> Table:
    """Draw a lane for each worker with a bar for each order that it had in its hands.

    Args:
        ax: Where it is drawn.
        runs: One, or several by name, one below the other.
        guess: When the first run was predicted to be done [ms]; None draws nothing.

    Returns:
        A line a worker: parcels packed, orders that were delivered again among those begun, end of the last one [ms].

    Raises:
        InvalidValueError: there is no run, or nothing was begun in one of them.
    """
    named = by_name(runs, "", "a CrewRun, or some by name", CrewRun)
    if idle := [name for name, run in named.items() if not run.attempts]:
        raise InvalidValueError("runs", idle, "runs in which something was begun")
    labels: list[str] = []
    seen: dict[str, None] = {}
    for number, (name, run) in enumerate(named.items()):
        if number:
            ax.axhline(len(labels) - 0.5, color="#999999", linewidth=0.8)
        for worker in range(run.workers):
            seen |= dict.fromkeys(_draw_lane(ax, run, worker, len(labels)))
            labels.append(f"{name}: worker {worker + 1}" if name else f"worker {worker + 1}")
    first = next(iter(named.values()))
    if guess is not None:
        mark_guess(ax, checked_guess(guess), (first.workers - 1) / 2)
    lanes(ax, labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_xlim(left=0)
    dress(ax, title=_title(named), x="Time since the orders were published [ms]", y="")
    ax.grid(visible=False, axis="y")
    _legend(ax, list(seen), guessed=guess is not None)
    rows = [((name,) if name else ()) + _row(run, worker) for name, run in named.items() for worker in range(run.workers)]
    columns = ("worker", "parcels", "delivered again", "last one ended [ms]")
    says = "; ".join(f"{name}: {_about(run)}" if name else _about(run) for name, run in named.items())
    return Table((("run",) if any(named) else ()) + columns, rows, says=f"{says}.")


def _draw_lane(ax: Axes, run: CrewRun, worker: int, lane: int) -> list[str]:
    """Draw what one worker did; return which signs were used."""
    mine = [attempt for attempt in run.attempts if attempt.worker == worker]
    deaths = [death.at for death in run.deaths if death.worker == worker]
    hands = _hands(mine, deaths)
    thick = HEIGHT / (1 + max(hands, default=0))
    used: list[str] = []
    parcels, first = run.parcels, _first_packed(run)
    for attempt, hand in zip(mine, hands, strict=True):
        y = lane - HEIGHT / 2 + hand * thick
        kind = "its worker died" if attempt.ended is None else "delivered again" if attempt.redelivered else "an order"
        end = _end(attempt, deaths)
        ax.broken_barh([(MS * attempt.began, MS * (end - attempt.began))], (y, thick), linewidth=0.6, **BARS[kind])
        used.append(kind)
        if attempt.packed is not None and attempt.packed > first[attempt.order]:
            used += _mark(ax, "packed a second time", attempt.packed, y + thick / 2)
        if not parcels[attempt.order] and attempt.ended is None:
            used += _mark(ax, "never packed", (attempt.began + end) / 2, y + thick / 2)
    for at in deaths:
        # On the upper edge: what became of an order that it had is marked inside.
        used += _mark(ax, "killed", at, lane - HEIGHT / 2)
    return used


def _first_packed(run: CrewRun) -> dict[int, float]:
    """Return for each order that was packed when that happened first [s]."""
    times = sorted((attempt.packed, attempt.order) for attempt in run.attempts if attempt.packed is not None)
    return {order: at for at, order in reversed(times)}


def _mark(ax: Axes, sign: str, at: float, y: float) -> list[str]:
    ax.plot([MS * at], [y], linestyle="none", zorder=4, clip_on=False, gid=sign, **MARKS[sign])
    return [sign]


def _end(attempt: Attempt, deaths: Sequence[float]) -> float:
    return attempt.ended if attempt.ended is not None else min((at for at in deaths if at >= attempt.began), default=attempt.began)


def _hands(mine: Sequence[Attempt], deaths: Sequence[float]) -> list[int]:
    """Return for each attempt the first of the worker's hands that is free when it begins."""
    free_at: list[float] = []
    hands = []
    for attempt in mine:
        hand = next((number for number, time in enumerate(free_at) if time <= attempt.began), len(free_at))
        free_at[hand : hand + 1] = [_end(attempt, deaths)]
        hands.append(hand)
    return hands


def _legend(ax: Axes, seen: Sequence[str], *, guessed: bool) -> None:
    handles: list[Any] = [Patch(label=sign, **look) for sign, look in BARS.items() if sign in seen]
    handles += [Line2D([], [], linestyle="none", label=sign, **look) for sign, look in MARKS.items() if sign in seen]
    handles += [Line2D([], [], label="your guess", **GUESS)] if guessed else []
    _below(ax, handles)


def _below(ax: Axes, handles: Sequence[Any]) -> None:
    """Put the legend under the axis: above and between bars there is no place that is always free."""
    ax.legend(handles=handles, fontsize=FONT, frameon=False, ncols=3, loc="upper right", borderaxespad=0.0, **below(ax))


def _row(run: CrewRun, worker: int) -> tuple[object, ...]:
    mine = [attempt for attempt in run.attempts if attempt.worker == worker]
    last = max((attempt.ended for attempt in mine if attempt.ended is not None), default=None)
    return worker + 1, run.packed_by(worker), len({attempt.order for attempt in mine if attempt.redelivered}), None if last is None else round(MS * last, 1)


def _title(named: Mapping[str, CrewRun]) -> str:
    if any(run.deaths for run in named.values()):
        return "; ".join(f"{name}{': ' if name else ''}{run.lost} lost{run.of_them_not_begun}, {run.twice} packed twice" for name, run in named.items())
    return "All packed after " + listed(f"{MS * run.over_at:,.0f} ms{f' ({name})' if name else ''}" for name, run in named.items())


def _about(run: CrewRun) -> str:
    shares = ", ".join(f"worker {worker + 1} packed {run.packed_by(worker)}" for worker in range(run.workers))
    if not run.deaths:
        return f"{shares}, all done after {MS * run.over_at:,.0f} ms"
    left = f", {run.waiting} still wait" if run.waiting else ""
    fate = f"{run.twice} packed twice, {run.lost} lost{run.of_them_not_begun}{left}"
    return f"{shares}; {counted(run.came_back, 'order was', 'orders were')} delivered again, {fate}"


def plot_times_handled(ax: Axes, runs: Mapping[str, Sequence[int]]) -> Table:
    """Draw for each run how many events were handled once, more than once, never: a bar a run.

    Args:
        ax: Where it is drawn.
        runs: By name; each says how often each event was handled, shape (n,).

    Returns:
        The three numbers of each run [events].

    Raises:
        InvalidValueError: there is no run, or one has no event.
    """
    lists = lists_by_name(runs, "runs", "for each run how often each event was handled: {'late': [1, 1, 2]}", Integral)
    rows = [(name, *_shares(times)) for name, times in lists.items()]
    for place, (_, *counts) in enumerate(rows):
        left = 0
        for count, look in zip(counts, SHARES.values(), strict=True):
            ax.barh([place], [count], left=[left], height=0.6, linewidth=0.8, **look)
            left += count
    lanes(ax, [name for name, *_ in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    dress(ax, title=_worst(rows), x="Events", y="")
    ax.grid(visible=False, axis="y")
    _below(ax, [Patch(label=name, **look) for name, look in SHARES.items()])
    return Table(("run", "once", "more than once", "never"), rows, says=_exceptions(rows))


def _shares(times: Sequence[int]) -> tuple[int, int, int]:
    once, never = list(times).count(1), list(times).count(0)
    return once, len(times) - once - never, never


def _exceptions(rows: Sequence[tuple[Any, ...]]) -> str:
    """Name the runs in which not each event was handled once."""
    odd = [f"{name}: {', '.join(_odd(more, never))} of {once + more + never}" for name, once, more, never in rows if more or never]
    others = f" in {counted(len(rows) - len(odd), 'other run', 'other runs')}" if odd else " in each run"
    return "; ".join([*odd, f"each event once{others}" if len(odd) < len(rows) else ""]).strip("; ") + "."


def _odd(more: int, never: int) -> list[str]:
    return [f"{count} {what}" for count, what in ((more, "more than once"), (never, "never")) if count]


def _worst(rows: Sequence[tuple[Any, ...]]) -> str:
    more = [name for name, _, more, _ in rows if more]
    never = [name for name, _, _, never in rows if never]
    return f"Repeated: {listed(more) or 'nowhere'}. Lost: {listed(never) or 'nowhere'}"
