"""What comes, and when: open workloads, whose arrivals wait for nobody, and a closed one, whose testers wait for each answer.

All times are whole nanoseconds from the start of the run, drawn from a `random.Random`: the same seed, the same arrivals, everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, runtime_checkable

from edakit.checks import expect, whole
from edakit.clock import NS, real, to_ns
from edakit.distributions import Exponential
from edakit.errors import InvalidValueError
from edakit.events import Command, Event
from edakit.measuring.checks import function, positive

__all__ = ["Arrivals", "Burst", "ClosedLoop", "DayProfile", "Each", "Poisson", "Steady", "Workload"]

DAY = 86_400.0
"""Seconds in a day [s]."""


@runtime_checkable
class Arrivals(Protocol):
    """When something comes, whatever it is."""

    @property
    def duration(self) -> float:
        """How long things come [s]."""
        ...

    def due(self, random: Random) -> Iterator[int]:
        """Yield when each of them comes, ascending [ns]."""
        ...


@runtime_checkable
class Workload(Protocol):
    """Messages with the times at which they are meant to be published. `edakit.shop.Shoppers` is one, `Each(arrivals, make)` another."""

    @property
    def duration(self) -> float:
        """How long it goes on; its last messages may be due later [s]."""
        ...

    def messages(self, random: Random) -> Iterator[tuple[int, Event | Command]]:
        """Yield each message with its due time, ascending [ns]."""
        ...


@dataclass(frozen=True)
class Steady:
    """Arrivals at equal distances, the first at once.

    Args:
        rate: How many come [1/s].
        duration: How long [s].

    Raises:
        InvalidValueError: one of them is not above 0.
    """

    rate: float
    duration: float

    def __post_init__(self) -> None:
        positive("rate", self.rate, "number of events per second")
        positive("duration", self.duration, "number of seconds")

    def due(self, random: Random) -> Iterator[int]:  # noqa: ARG002 (one signature for all arrivals)
        """Yield when each of them comes, ascending [ns]."""
        end, number = to_ns(self.duration), 0
        # Multiplied, not added up: rounding errors do not pile up over a million events.
        while (time := round(min(number * NS / self.rate, end))) < end:
            yield time
            number += 1


@dataclass(frozen=True)
class Poisson:
    """Arrivals that know nothing of each other: exponential gaps, the first one included.

    Args:
        rate: How many come on average [1/s].
        duration: How long [s].

    Raises:
        InvalidValueError: one of them is not above 0.
    """

    rate: float
    duration: float

    def __post_init__(self) -> None:
        positive("rate", self.rate, "number of events per second")
        positive("duration", self.duration, "number of seconds")

    def due(self, random: Random) -> Iterator[int]:
        """Yield when each of them comes, ascending [ns]."""
        end, draw = to_ns(self.duration), Exponential(1 / self.rate).draw
        time = draw(random)
        while time < end:
            yield time
            time += draw(random)


@dataclass(frozen=True)
class Burst:
    """Poisson arrivals at a *rate*, and for a while at a *peak*.

    Args:
        rate: How many come on average outside of the burst [1/s]; may be 0.
        peak: How many come on average during the burst [1/s].
        start: When the burst begins [s].
        length: How long it lasts [s].
        duration: How long it all lasts [s].

    Raises:
        InvalidValueError: a number is negative, or the burst does not lie within the duration.
    """

    rate: float
    peak: float
    start: float
    length: float
    duration: float

    def __post_init__(self) -> None:
        if not 0 <= real(self.rate) < math.inf:
            raise InvalidValueError("rate", self.rate, "a number of events per second, 0 or more")
        positive("peak", self.peak, "number of events per second")
        positive("length", self.length, "number of seconds")
        positive("duration", self.duration, "number of seconds")
        # In nanoseconds, because 0.1 + 0.2 is more than 0.3.
        if not 0 <= real(self.start) < self.duration or to_ns(self.start) + to_ns(self.length) > to_ns(self.duration):
            raise InvalidValueError("start and length", (self.start, self.length), f"a burst that begins at 0 s or later and ends by {self.duration:g} s")

    def due(self, random: Random) -> Iterator[int]:
        """Yield when each of them comes, ascending [ns]."""
        after = max(0.0, self.duration - self.start - self.length)
        yield from _pieces(random, [(self.start, self.rate), (self.length, self.peak), (after, self.rate)], to_ns(self.duration))


@dataclass(frozen=True)
class DayProfile:
    """Poisson arrivals whose rate follows the hours of a day.

    Args:
        per_hour: Shape (n,), how many come on average in each hour [events]; n is 24 for a day, and may be any number for a part of one.
        day_length: How long those n hours take when they are played [s]; by default as long as they are. Shorter is denser, with as many events.

    Raises:
        InvalidValueError: there is no hour, one is negative, all are 0, or *day_length* is not above 0.
    """

    per_hour: Sequence[float]
    day_length: float | None = None

    def __post_init__(self) -> None:
        hours = tuple(self.per_hour) if isinstance(self.per_hour, Iterable) else ()
        if any(not 0 <= real(events) < math.inf for events in hours) or not any(hours):
            raise InvalidValueError(
                "per_hour", self.per_hour if hours == () else list(hours), "for each hour how many events come, 0 or more, and not 0 for all"
            )
        object.__setattr__(self, "per_hour", hours)
        positive("day_length", self.duration, "number of seconds")

    @property
    def duration(self) -> float:
        """How long things come [s]."""
        return len(self.per_hour) * DAY / 24 if self.day_length is None else self.day_length

    def due(self, random: Random) -> Iterator[int]:
        """Yield when each of them comes, ascending [ns]."""
        hour = self.duration / len(self.per_hour)
        yield from _pieces(random, [(hour, events / hour) for events in self.per_hour], to_ns(self.duration))


def _pieces(random: Random, pieces: Sequence[tuple[float, float]], end_ns: int) -> Iterator[int]:
    """Yield Poisson arrivals before *end_ns* [ns] whose rate is constant on each of the (length [s], rate [1/s]) *pieces*.

    Source:
        Time is stretched until the rate is 1: Çinlar (1975), "Introduction to Stochastic Processes", on non-stationary Poisson processes.
    """
    left, begin = -math.log(1.0 - random.random()), 0.0
    for length, rate in pieces:
        end, time = begin + length, begin
        while left <= (end - time) * rate and rate:
            time += left / rate
            if (due := to_ns(time)) >= end_ns:  # in the last half nanosecond, or where the lengths add up to a hair too much
                return
            yield due
            left = -math.log(1.0 - random.random())
        left -= (end - time) * rate
        begin = end


@dataclass(frozen=True)
class ClosedLoop:
    """Testers, each of whom sends the next message only after the answer to the last one. Use it as `Each(ClosedLoop(…), make)`.

    This is how most load tests are written, and why they see no queue: while the system stands still, nobody sends.

    Args:
        testers: How many.
        every: Time from one message of a tester to the next, if the answer comes in between [s]; later ones are sent when the answer comes.
        duration: For how long new messages are sent [s].

    Raises:
        InvalidValueError: an argument is outside of what makes sense.
    """

    testers: int = 1
    every: float = 0.010
    duration: float = 10.0

    def __post_init__(self) -> None:
        whole("testers", self.testers)
        positive("every", self.every, "number of seconds")
        positive("duration", self.duration, "number of seconds")

    def due(self, random: Random) -> Iterator[int]:  # noqa: ARG002 (as Steady.due)
        """Refuse: the answers decide when the next message is due.

        Raises:
            InvalidValueError: always.
        """
        raise InvalidValueError(
            "arrivals", self, "arrivals that do not wait for answers, such as Poisson(…); a closed loop is measured as Each(ClosedLoop(…), make)"
        )


@dataclass(frozen=True)
class Each:
    """One message for each arrival.

    Args:
        arrivals: When they come: Steady, Poisson, Burst, DayProfile or a ClosedLoop.
        make: Called with the number of the arrival, from 0, and a `random.Random` of its own; returns the message.

    Raises:
        InvalidValueError: *arrivals* are none, or *make* cannot be called.
    """

    arrivals: Arrivals
    make: Callable[[int, Random], Event | Command]

    def __post_init__(self) -> None:
        expect("arrivals", self.arrivals, Arrivals, "arrivals, such as Poisson(rate=200, duration=60); make= comes after them")
        function("make", self.make, "a function of the arrival's number and a random.Random that returns the message", takes=2)

    @property
    def duration(self) -> float:
        """How long messages come [s]."""
        return self.arrivals.duration

    def messages(self, random: Random) -> Iterator[tuple[int, Event | Command]]:
        """Yield each message with its due time, ascending [ns]."""
        own = self.own_random(random)
        for number, due in enumerate(self.arrivals.due(random)):
            yield due, self.make(number, own)

    def own_random(self, random: Random) -> Random:
        """Return a source of randomness for `make` that follows from *random* and leaves it as it is: the arrivals do not depend on what comes."""
        return Random(f"make/{random.getstate()}")
