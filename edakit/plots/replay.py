"""A state is the sum of its events: how it grows while a log is read again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real

from matplotlib.axes import Axes

from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.plots.series import checked_guess, counted, lists_by_name, times
from edakit.plots.style import INK, dress, legend, line, mark_guess
from edakit.table import Table

__all__ = ["plot_replay"]


def plot_replay(ax: Axes, replays: Mapping[str, Sequence[float]], *, live: float, unit: str, guess: float | None = None) -> Table:
    """Draw a number that is rebuilt event by event, one line of steps a replay, and the number that the live program holds.

    Args:
        ax: Where to draw.
        replays: By name, the number after each event of the log; a replay that begins later is shorter and ends with the others.
        live: What the program holds that was there all the time.
        unit: Of the number, such as "pieces in all carts".
        guess: What a person expected at the end of the last of the replays; a cross.

    Returns:
        A line a replay: its first event, how many events it read, the number at its end, and by how much that is off.

    Raises:
        InvalidValueError: a replay is missing or empty, or something is no finite number.
    """
    expected = "one replay or more by name, each with the finite number after each event: {'from the first': [1, 2, 2]}"
    lists = lists_by_name(replays, "replays", expected, Real)
    for name, numbers in {"live": [live], **lists}.items():
        if not all(map(math.isfinite, map(real, numbers))):
            raise InvalidValueError(name, numbers, "finite numbers")
    longest, rows = max(map(len, lists.values())), []
    for number, (name, values) in enumerate(lists.items()):
        first = longest - len(values) + 1
        # One point more, so that the last event has a step as well.
        ax.step(range(first, longest + 2), [*values, values[-1]], where="post", label=name, **line(number))
        rows.append((name, first, len(values), values[-1], values[-1] - live))
    ax.axhline(live, color=INK, linestyle=":", linewidth=1.2, label=f"live, {times(live)}")
    if guess is not None:
        mark_guess(ax, longest, checked_guess(guess, unit))
    right = [name for name, _, _, _, off in rows if not off]
    title = f"Comes to the live state: {' and '.join(right) or 'none'}"
    dress(ax, title=title, x="Event of the log that was read", y=unit.capitalize())
    legend(ax, loc="upper left")
    says = "; ".join(f"{name}: {counted(count, 'event')} give {value:g} {unit}, {live:g} are right" for name, _, count, value, _ in rows)
    return Table(("replay", "first event", "events", unit, "off by"), rows, says=f"{says}.")
