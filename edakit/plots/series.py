"""What plots take and what they say: runs by name, numbers rounded for people, names in a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from edakit.checks import expect
from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.measuring.errors import NothingMeasuredError
from edakit.measuring.run import Deliveries
from edakit.measuring.statistics import Array, floats
from edakit.measuring.words import percent, times

__all__ = [
    "SMALLEST",
    "by_name",
    "checked_guess",
    "counted",
    "handled_runs",
    "listed",
    "lists_by_name",
    "lowest",
    "named_runs",
    "nice",
    "percent",
    "rounded",
    "times",
    "took",
]

_T = TypeVar("_T")

MOST: Final = 1e15
"""The largest guess."""

SMALLEST: Final = 0.001
"""Lower end of a logarithmic axis on which everything is zero [ms]."""


def by_name(given: Mapping[str, _T] | _T, label: str, what: str, kind: Any = object) -> dict[str, _T]:
    """Return what was given by name; a single one goes by *label*.

    Raises:
        InvalidValueError: there is none, or one is not of *kind*; *what* says what is expected.
    """
    named: dict[str, _T] = dict(given) if isinstance(given, Mapping) else {label: given}
    if not named:
        raise InvalidValueError("what is to be drawn", given, what)
    for one in named.values():
        expect("what is to be drawn", one, kind, what)
    return named


def lists_by_name(given: Mapping[str, Iterable[_T]], name: str, what: str, kind: Any) -> dict[str, list[_T]]:
    """Return the lists by name; none of them is empty, and each of what they hold is of *kind*.

    Raises:
        InvalidValueError: it is not so; *what* says what is expected.
    """
    if not isinstance(given, Mapping) or not all(isinstance(each, Iterable) for each in given.values()):
        raise InvalidValueError(name, given, what)
    lists = {label: list(each) for label, each in given.items()}
    if not lists or not all(lists.values()) or not all(isinstance(one, kind) for each in lists.values() for one in each):
        raise InvalidValueError(name, lists, what)
    return lists


def handled_runs(runs: Mapping[str, Deliveries] | Deliveries) -> dict[str, Deliveries]:
    """Return the runs by name; in each of them something was handled after the warm-up.

    Raises:
        InvalidValueError: there is no run, or something else than a run.
        NothingMeasuredError: in one of them nothing was handled.
    """
    named = named_runs(runs)
    for name, run in named.items():
        if not run.latency.size:
            raise NothingMeasuredError(f"a picture of the run {name!r}")
    return named


def named_runs(runs: Mapping[str, Deliveries] | Deliveries) -> dict[str, Deliveries]:
    """Return the runs by name; one that was given alone goes by its label.

    Raises:
        InvalidValueError: there is no run, or something else than a run.
    """
    expected = "a run, or runs by name: {'open load': run}"
    return by_name(runs, runs.label if isinstance(runs, Deliveries) else "run", expected, Deliveries)


def checked_guess(guess: float, what: str = "milliseconds") -> float:
    """Return *guess* [ms].

    Raises:
        InvalidValueError: it is no number of milliseconds (or *what* else), zero or more.
    """
    # Of what is larger by far an axis overflows.
    if not 0 <= real(guess) <= MOST:
        raise InvalidValueError("guess", guess, f"a number of {what}, zero or more, or None for no guess")
    return guess


def lowest(values: Iterable[ArrayLike]) -> tuple[float, str]:
    """Return where zeros among all *values* stand on a logarithmic axis, which has no zero; and what its label has to say of it, or nothing."""
    known: Array = np.concatenate([floats(each) for each in values])
    least = float(known.min(initial=math.inf, where=known > 0))
    return (least / 1.5 if math.isfinite(least) else SMALLEST), ",\n0 at its end" if (known <= 0).any() else ""


def rounded(value: float, digits: int = 3) -> float | None:
    """Return *value* to so many significant digits: what is the same on every machine; None if it is no number or infinite."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def took(seconds: float) -> str:
    """Return a span of time for a sentence, in seconds or, if it is short, in milliseconds: "5 s", "0.391 ms"."""
    return f"{times(1e3 * seconds)} ms" if 0 < abs(seconds) < 0.1 else f"{times(seconds)} s"  # noqa: PLR2004 (a tenth of a second)


def counted(number: int, one: str, many: str = "") -> str:
    """Return *number* with its noun: 1 event, 1,200 events."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(names: Iterable[str], most: int = 3) -> str:
    """Return *names* for a sentence: "mail", "mail and stock", "mail, stock and 3 more"."""
    known = list(names)
    if len(known) > most + 1:
        known = [*known[:most], f"{len(known) - most} more"]
    return f"{', '.join(known[:-1])} and {known[-1]}" if len(known) > 1 else "".join(known)


def nice(width: float) -> float:
    """Return the number of the series 1, 2, 5, 10, … (also 0.5, 0.2, …) that is not less than *width*, to cut an axis into; 1 for zero."""
    if not 0 < width < math.inf:
        return 1.0
    ten = 10.0 ** math.floor(math.log10(width))
    return float(f"{next(step * ten for step in (1, 2, 5, 10, 20) if step * ten >= width):.6g}")
