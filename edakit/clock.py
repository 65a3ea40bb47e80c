"""Time as an argument: the machine's clock, or one that only moves when told to."""

from __future__ import annotations

import time
from numbers import Real
from typing import Protocol

from edakit.errors import InvalidValueError, VirtualTimeError

__all__ = ["NS", "Clock", "SystemClock", "VirtualClock", "real", "to_ns"]

NS = 1_000_000_000
"""Nanoseconds in a second [ns/s]."""


def real(value: object) -> float:
    """Return *value* if it is a real number, else NaN, which lies in no range: so whoever checks a range refuses None and texts too."""
    return value if isinstance(value, Real) else float("nan")  # type: ignore[return-value]  # a float, a whole number, or one of numpy's


def to_ns(seconds: float) -> int:
    """Round *seconds* [s] to whole nanoseconds, the unit in which edakit counts time.

    Raises:
        InvalidValueError: *seconds* is negative, not a number, or 2⁶³ ns or more (292 years), for which arrays of times have no room.
    """
    if not 0 <= real(seconds) < 2**63 / NS:
        raise InvalidValueError("a time", seconds, "a number of seconds, zero or more and less than 292 years")
    return round(seconds * NS)


class Clock(Protocol):
    """What tells the time."""

    virtual: bool

    def now_ns(self) -> int:
        """Return the time since 1970-01-01 UTC [ns]."""
        ...


class SystemClock:
    """The machine's monotonic clock, set to the time of day once, when it is made.

    A clock that was corrected in the middle of a run would measure negative latencies.
    """

    virtual = False

    def __init__(self) -> None:
        offset = time.time_ns() - time.perf_counter_ns()
        counter = time.perf_counter_ns
        self.now_ns = lambda: counter() + offset


class VirtualClock:
    """A clock that stands still until it is moved. It starts at *start_ns* [ns], by default at 1970-01-01 UTC."""

    virtual = True

    def __init__(self, start_ns: int = 0) -> None:
        self.time_ns = start_ns

    def now_ns(self) -> int:
        """Return the time [ns]."""
        return self.time_ns

    def advance_to(self, time_ns: int) -> None:
        """Move the clock forward to *time_ns* [ns].

        Raises:
            VirtualTimeError: the clock is later than that already.
        """
        if time_ns < self.time_ns:
            raise VirtualTimeError(f"the virtual clock shows {self.time_ns} ns and cannot go back to {time_ns} ns; advance it forward only")
        self.time_ns = time_ns
