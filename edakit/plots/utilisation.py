"""How long do events wait when a component is busy for so much of its time?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.measuring.statistics import Array
from edakit.measuring.sweep import Sweep
from edakit.measuring.theory import Queue
from edakit.plots.series import by_name, checked_guess, percent, rounded, times
from edakit.plots.style import THEORY, colour, dress, legend, line, mark_guess
from edakit.table import Table

__all__ = ["plot_wait_by_utilisation"]

ROWS: Final = 14
"""Most lines of the table; of more levels some are chosen."""

SWEEPS: Final = 4
"""Most sweeps that a title speaks of one by one."""

HIGHEST: Final = 0.995
"""Where the line of a theory ends if levels go on: at 1 the wait is infinite [1]."""


def plot_wait_by_utilisation(
    ax: Axes,
    sweep: Sweep | Mapping[str, Sweep],
    *,
    theory: Queue | Mapping[str, Queue] | None = None,
    guess: float | None = None,
    guess_at: float = 0.9,
    title: str = "",
) -> Table:
    """Draw the mean wait at each utilisation, with the band from the shortest to the longest mean of a trial, over what theory says.

    Args:
        ax: Where it is drawn.
        sweep: What was measured: one sweep, or several by name.
        theory: A model, or models by name, such as `mm1(service_rate=250)`; dotted lines. One with a sweep's name is compared with that sweep.
        guess: What a person expected at *guess_at* [ms]; a cross.
        guess_at: Of which utilisation the guess speaks [1].
        title: What is seen; computed unless given.

    Returns:
        A line a level: the mean wait, its standard error over the trials (None for one trial), and what theory says [ms]; at most 14 lines.

    Raises:
        InvalidValueError: there is no sweep, a sweep has no level, or *guess* or *guess_at* is out of range.
    """
    named = _checked(sweep)
    models = {} if theory is None else by_name(theory, _one(theory), "a model such as mm1(service_rate=250), or None", Queue)
    for number, (name, one) in enumerate(named.items()):
        _draw(ax, one, number, name, _model(models, name, named))
    top = ax.get_ylim()[1]
    for name, model in models.items():
        _draw_theory(ax, model, named, name, alone=not isinstance(theory, Mapping))
    if guess is not None:
        mark_guess(ax, _share(guess_at), checked_guess(guess))
    # A theory that runs off to infinity does not decide how much is seen of what was measured.
    ax.set_ylim(0, max(top, 1.15 * guess if guess is not None else 0))
    rows = [(name, *row) for name, one in named.items() for row in _some(list(_rows(one, _model(models, name, named))), ROWS // len(named))]
    dress(ax, title=title or _title(named), x="Utilisation: share of time that a worker is busy [1]", y="Mean wait in the queue [ms]")
    legend(ax, loc="upper left")
    columns = ("sweep", "utilisation", "wait [ms]", "standard error [ms]", "theory [ms]")
    cut = 0 if len(named) > 1 else 1
    return Table(columns[cut:], [row[cut:] for row in rows], says=_sentence(named))


def _checked(sweep: Sweep | Mapping[str, Sweep]) -> dict[str, Sweep]:
    expected = "a sweep, or sweeps by name: {'one worker': sweep}"
    named = by_name(sweep, sweep.label if isinstance(sweep, Sweep) else "", expected)
    if wrong := [one for one in named.values() if not isinstance(one, Sweep)]:
        raise InvalidValueError("what is to be drawn", wrong[0], f'{expected}; of a RateSweep take .component("stock")')
    if empty := [name for name, one in named.items() if not (one.levels and one.waits.size)]:
        raise InvalidValueError(f"the sweep {empty[0]!r}", "without a level or a trial", "at least one of each")
    return named


def _one(theory: Queue | Mapping[str, Queue]) -> str:
    return theory.label if isinstance(theory, Queue) else ""


def _share(level: float) -> float:
    if not 0 < real(level) < math.inf:
        raise InvalidValueError("guess_at", level, "a utilisation above 0, such as 0.9")
    return level


def _model(models: Mapping[str, Queue], name: str, named: Mapping[str, Sweep]) -> Queue | None:
    """Return the model of the sweep *name*: the one of its name; a single model of another name goes for all."""
    alone = next(iter(models.values())) if len(models) == 1 and not set(models) & set(named) else None
    return models.get(name, alone)


def _draw(ax: Axes, sweep: Sweep, number: int, name: str, model: Queue | None) -> None:
    order = np.argsort(sweep.levels)
    levels, waits = np.array(sweep.levels)[order], 1e3 * sweep.waits[order]
    means = [1e3 * sweep.wait(level) for level in levels]
    trials = waits.shape[1]
    label = f"{name}: mean of {trials} trials" if trials > 1 else name
    # Waits bend upwards between two levels; where a theory shows how, no straight line contradicts it.
    ax.plot(levels, means, label=label, **{**line(number, markers=True), **({} if model is None else {"linestyle": "none"})})
    if trials > 1:
        band: dict[str, Any] = {"color": colour(number), "alpha": 0.18, "linewidth": 0, "zorder": 1}
        ax.fill_between(*_band(levels, waits, model), label=f"{name}: shortest to longest" if number == 0 else None, **band)


def _band(levels: Array, waits: Array, model: Queue | None) -> tuple[Array, Array, Array]:
    """Return utilisations, and the shortest and the longest mean there [ms]: measured at *levels*, in between as far from the theory as beside it."""
    edges = waits.min(axis=1), waits.max(axis=1)
    if model is None or levels[0] <= 0 or levels[-1] >= 1:
        return levels, *edges
    grid = np.union1d(levels, np.linspace(levels[0], levels[-1], 200))
    expected, there = (np.array([1e3 * model.wait(level * model.capacity) for level in some]) for some in (grid, levels))
    low, high = (np.interp(grid, levels, edge / there) * expected for edge in edges)
    return grid, low, high


def _draw_theory(ax: Axes, model: Queue, named: Mapping[str, Sweep], name: str, *, alone: bool) -> None:
    levels = [level for one in ([named[name]] if name in named else named.values()) for level in one.levels]
    grid = np.linspace(min(levels), max(min(max(levels), HIGHEST), min(levels)), 200)
    grid = grid[grid < 1]
    # Several theories are told apart by the colour of their sweep.
    tint = {"color": colour(list(named).index(name))} if not alone and name in named else {}
    label = f"theory: {model.label}" if alone else f"theory: {name}"
    ax.plot(grid, [1e3 * model.wait(level * model.capacity) for level in grid], label=label, **{**THEORY, **tint})


def _rows(sweep: Sweep, model: Queue | None) -> Iterable[tuple[object, ...]]:
    for level in sorted(sweep.levels):
        error = rounded(1e3 * sweep.standard_error(level), 2) if sweep.waits.shape[1] > 1 else None
        expected = None if model is None else rounded(1e3 * model.wait(level * model.capacity))
        yield rounded(level), rounded(1e3 * sweep.wait(level)), error, expected


def _some(rows: list[tuple[object, ...]], most: int) -> list[tuple[object, ...]]:
    """Return about *most* of *rows*, evenly chosen, the first and the last among them."""
    if len(rows) <= most:
        return rows
    last = max(most, 2) - 1
    return [rows[round(place * (len(rows) - 1) / last)] for place in range(last + 1)]


def _ends(sweep: Sweep) -> tuple[float, float, float, float]:
    """Return the lowest and the highest level [1], and the waits there [ms]."""
    low, high = min(sweep.levels), max(sweep.levels)
    return low, high, 1e3 * sweep.wait(low), 1e3 * sweep.wait(high)


def _title(named: Mapping[str, Sweep]) -> str:
    if len(named) == 1:
        low, high, short, long = _ends(next(iter(named.values())))
        more = f"; {percent(high)} %: {times(long)} ms" if high > low else ""
        return f"Busy {percent(low)} % of the time: {times(short)} ms of waiting{more}"
    ends = {name: _ends(sweep) for name, sweep in named.items()}
    highs = {high for _, high, _, _ in ends.values()}
    if len(ends) > SWEEPS:  # the first and the last are enough
        order = sorted(ends, key=lambda name: ends[name][3])
        ends = {name: ends[name] for name in (order[0], order[-1])}
    if len(highs) == 1:
        return f"At {percent(highs.pop())} % busy: " + ", ".join(f"{times(long)} ms of waiting ({name})" for name, (*_, long) in ends.items())
    return "Waiting: " + ", ".join(f"{times(long)} ms at {percent(high)} % ({name})" for name, (_, high, _, long) in ends.items())


def _sentence(named: Mapping[str, Sweep]) -> str:
    parts = []
    for name, sweep in named.items():
        low, high, short, long = _ends(sweep)
        growth = f", {times(float(f'{long / short:.2g}'))} times as long" if short > 0 else ""
        parts.append(
            f"{name}: from {percent(low)} % to {percent(high)} % utilisation the mean wait goes from {times(short)} to {times(long)} ms{growth}"
            if high > low
            else f"{name}: at {percent(low)} % utilisation the mean wait is {times(short)} ms"
        )
    return "; ".join(parts) + "."
