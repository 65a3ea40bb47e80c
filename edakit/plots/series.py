"""What plots take and what they say: runs by name, numbers rounded for people, names in a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeVar

from edakit.errors import InvalidValueError
from edakit.measuring.errors import NothingMeasuredError
from edakit.measuring.run import Deliveries

__all__ = ["by_name", "checked_guess", "counted", "handled_runs", "listed", "named_runs", "nice", "rounded", "times", "took"]

_T = TypeVar("_T")


def by_name(given: Mapping[str, _T] | _T, label: str, what: str) -> dict[str, _T]:
    """Return what was given by name; a single one goes by *label*.

    Raises:
        InvalidValueError: there is none; *what* says what is expected.
    """
    named: dict[str, _T] = dict(given) if isinstance(given, Mapping) else {label: given}
    if not named:
        raise InvalidValueError("what is to be drawn", given, what)
    return named


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
    named = by_name(runs, runs.label if isinstance(runs, Deliveries) else "run", expected)
    if wrong := [run for run in named.values() if not isinstance(run, Deliveries)]:
        raise InvalidValueError("what is to be drawn", wrong[0], expected)
    return named


def checked_guess(guess: float) -> float:
    """Return *guess* [ms].

    Raises:
        InvalidValueError: it is no number of milliseconds, zero or more.
    """
    if not 0 <= guess < math.inf:
        raise InvalidValueError("guess", guess, "a number of milliseconds, zero or more, or None for no guess")
    return guess


def rounded(value: float, digits: int = 3) -> float | None:
    """Return *value* to so many significant digits: what is the same on every machine; None if it is no number or infinite."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def times(value: float) -> str:
    """Return *value* for a sentence, three significant digits and no exponent: 0.00412, 36, 1,200."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{float(f'{value:.3g}'):,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


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
