"""Who has the thread when: a Gantt chart with a lane for each event, from its coming to the end of its handling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from edakit.app import App
from edakit.errors import InvalidValueError
from edakit.measuring.handlings import MS, Handling, handlings
from edakit.plots.series import by_name, checked_guess, lists_by_name
from edakit.plots.style import INK, colour, dress, lanes, legend, mark_guess
from edakit.table import Table

__all__ = ["plot_gantt"]

EXPECTED = "an app, the handlings of one, or some of them by name; a Run is drawn by plot_timeline"
HEIGHT = 0.56  # of a bar, where a lane is 1 high
LEAST = 1.5  # width of what computes, however short [pt]
COLUMNS = ("event", "came [ms]", "waited [ms]", "began [ms]", "ended [ms]", "computed [ms]")
Runs = App | Sequence[Handling] | Mapping[str, App | Sequence[Handling]]


def plot_gantt(ax: Axes, runs: Runs, *, guess: float | None = None) -> Table:
    """Draw a lane for each event: dotted while it waits, filled while its handler computes, hatched while its handler awaits; return the table.

    Args:
        ax: Where to draw.
        runs: An app, the handlings of a run, or several of them by name, which are drawn one below the other.
        guess: How long the event that waits longest was predicted to wait, in the first run [ms].

    Raises:
        InvalidValueError: nothing was handled.
    """
    given: dict[str, App | Sequence[Handling]] = by_name(runs, "", EXPECTED)
    named = {name: _handlings(run) for name, run in given.items()}
    if not all(named.values()):
        raise InvalidValueError("runs", [name for name, found in named.items() if not found] if any(named) else "a run", "runs in which something was handled")
    labels = _draw_lanes(ax, named)
    longest = {name: max(found, key=lambda each: each.waited) for name, found in named.items()}
    if guess is not None:
        first = next(iter(named))
        mark_guess(ax, longest[first].due_at / MS + checked_guess(guess), named[first].index(longest[first]))
    lanes(ax, labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.set_xlim(left=0)
    waits = ", ".join(f"{_ms(each.waited):,g} ms" + (f" ({name})" if name else "") for name, each in longest.items())
    dress(ax, title=f"Longest wait: {waits}", x="time [ms]", y="event")
    # Above the bars there is no place that is always free.
    legend(ax, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4)
    rows = [((name,) if name else ()) + _row(each) for name, found in named.items() for each in found]
    return Table((("run",) if any(named) else ()) + COLUMNS, rows, says=_says(longest) + _awaits(named))


def _handlings(run: App | Sequence[Handling]) -> list[Handling]:
    return handlings(run) if isinstance(run, App) else lists_by_name({"": run}, "runs", EXPECTED, Handling)[""] if run != [] else []


def _draw_lanes(ax: Axes, named: Mapping[str, Sequence[Handling]]) -> list[str]:
    labels: list[str] = []
    for number, (name, found) in enumerate(named.items()):
        if number:
            ax.axhline(len(labels) - 0.5, color="#999999", linewidth=0.8)
        for each in found:
            _draw(ax, len(labels), each)
            labels.append(f"{name}: {each.name}" if name else each.name)
    # One entry a kind of line or bar, empty ones: which lane has all of them differs from run to run.
    ax.plot([], [], color=INK, linestyle=":", marker="o", markersize=5, label="waits")
    ax.bar([0], [0], color=colour(0), label="computes, holds the thread")
    ax.bar([0], [0], color="white", edgecolor=colour(1), hatch="////", label="awaits")
    return labels


def _draw(ax: Axes, lane: int, each: Handling) -> None:
    due, began, ended = each.due_at / MS, each.began_at / MS, each.ended_at / MS
    ax.plot([due, began], [lane, lane], color=INK, linestyle=":", linewidth=1.8, zorder=2)
    ax.plot([due], [lane], color=INK, marker="o", markersize=5, linestyle="none", clip_on=False, zorder=4)
    box = (lane - HEIGHT / 2, HEIGHT)
    ax.broken_barh([(began, ended - began)], box, facecolor="white", edgecolor=colour(1), hatch="////", linewidth=0.8, zorder=2.5)
    spans = [(begin / MS, (end - begin) / MS) for begin, end in each.busy]
    ax.broken_barh(spans, box, facecolor=colour(0), edgecolor="white", linewidth=0.6, zorder=3)
    # On a long axis the white edge would cover a short bar: a line through its middle is seen on each.
    middles, half = [begin + length / 2 for begin, length in spans], 0.44 * HEIGHT
    ax.plot([middles, middles], [[lane - half] * len(spans), [lane + half] * len(spans)], color=colour(0), linewidth=LEAST, solid_capstyle="butt", zorder=3.1)


def _row(each: Handling) -> tuple[str | float, ...]:
    times = (each.due_at / MS, each.waited, each.began_at / MS, each.ended_at / MS, each.computed)
    return (each.name, *map(_ms, times))


def _ms(value: float) -> float:
    return round(value, 3)


def _says(longest: Mapping[str, Handling]) -> str:
    waits = (f"{each.name} ({_ms(each.waited):,g} ms)" if each.waited else "nobody waits" for each in longest.values())
    return f"Who waits longest, and how long: {'; '.join(f'{name}: {wait}' if name else wait for name, wait in zip(longest, waits, strict=True))}."


def _awaits(named: Mapping[str, Sequence[Handling]]) -> str:
    """Return what the hatched bars show, for whoever does not see them; nothing where there are none."""
    longest = {name: max(found, key=_paused) for name, found in named.items()}
    each = (f"{name and f'{name}: '}{each.name} ({_ms(_paused(each)):,g} ms)" for name, each in longest.items() if _paused(each))
    said = "; ".join(each)
    return f" Whose handler awaits longest: {said}." if said else ""


def _paused(each: Handling) -> float:
    """Return how long the handler was under way and did not compute [ms]."""
    return (each.ended_at - each.began_at - sum(end - begin for begin, end in each.busy)) / MS
