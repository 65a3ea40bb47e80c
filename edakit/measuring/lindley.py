"""How long each event waits, computed from arrivals and service times alone: no loop, no broker, exact to the nanosecond."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edakit.checks import whole
from edakit.clock import NS
from edakit.errors import InvalidValueError
from edakit.measuring.errors import ShapeError

__all__ = ["Little", "Nanoseconds", "lindley", "little"]

Nanoseconds = NDArray[np.int64]

LONGEST = 2**63
"""The first time for which an array has no room [ns]."""


def lindley(arrivals: Sequence[int] | NDArray[Any], services: Sequence[int] | NDArray[Any], workers: int = 1) -> Nanoseconds:
    """Return how long each event waits in one queue that is served first come, first served.

    Args:
        arrivals: Shape (n,), when each event arrives, ascending [ns].
        services: Shape (n,), how long a worker is busy with it, zero or more [ns].
        workers: How many workers serve the queue.

    Returns:
        Shape (n,), waits [ns], exact.

    Raises:
        ShapeError: there are not as many services as arrivals.
        InvalidValueError: arrivals descend, a service is negative, times are no whole numbers or reach beyond 292 years, or *workers* is not 1 or more.

    Source:
        Lindley (1952), "The theory of queues with a single server", Mathematical Proceedings of the Cambridge Philosophical Society 48, 277-289;
        for several workers Kiefer and Wolfowitz (1955), "On the theory of queues with many servers", Transactions of the AMS 78, 1-18.
    """
    came, takes = _whole("arrivals", arrivals), _whole("services", services)
    if came.size != takes.size:
        raise ShapeError("arrivals", came.size, "services", takes.size)
    back = np.flatnonzero(np.diff(came) < 0)
    if back.size:
        raise InvalidValueError(f"arrivals[{back[0] + 1}]", int(came[back[0] + 1]), f"times that ascend [ns]: the one before is {came[back[0]]}")
    if np.any(takes < 0):
        raise InvalidValueError("services", int(takes.min()), "times of zero or more [ns]")
    whole("workers", workers)
    # Beyond 64 bits a sum becomes negative, without a word.
    if came.size and max(abs(float(came[0])), abs(float(came[-1]))) + takes.sum(dtype=np.float64) >= LONGEST:
        raise InvalidValueError("services", f"{takes.sum(dtype=np.float64):.3g} ns in all", "less than 292 years of work and time in all (2⁶³ ns)")
    return _one(came, takes) if workers == 1 else _many(came.tolist(), takes.tolist(), workers)


def _whole(name: str, values: Sequence[int] | NDArray[Any]) -> Nanoseconds:
    array = np.asarray(values).ravel()
    if array.size and (array.dtype.kind not in "iu" or array.max() >= LONGEST):
        raise InvalidValueError(name, array[:5].tolist(), "whole nanoseconds")
    return array.astype(np.int64)


def _one(came: Nanoseconds, takes: Nanoseconds) -> Nanoseconds:
    """Unroll wait[n + 1] = max(0, wait[n] + service[n] - gap[n + 1]): a walk, less the lowest point that it has reached so far."""
    if not came.size:
        return came
    walk = np.concatenate(([0], np.cumsum(takes[:-1] - np.diff(came))))
    waits: Nanoseconds = walk - np.minimum.accumulate(walk)
    return waits


def _many(came: list[int], takes: list[int], workers: int) -> Nanoseconds:
    """Give each event to the worker that is free first."""
    free = came[:1] * workers
    waits = []
    for arrival, service in zip(came, takes, strict=True):
        start = max(arrival, free[0])
        heapq.heapreplace(free, start + service)
        waits.append(start - arrival)
    return np.array(waits, dtype=np.int64)


@dataclass(frozen=True)
class Little:
    """Both sides of Little's law, L = λW, over a time that begins and ends with nobody in the system.

    Attributes:
        events: How many came and left [events].
        area_ns: Events in the system, summed over time [events · ns].
        stay_ns: How long the events stayed, summed over events [ns].
        span_ns: From the first arrival to the last departure [ns].
    """

    events: int
    area_ns: int
    stay_ns: int
    span_ns: int

    @property
    def holds(self) -> bool:
        """Whether L = λW to the last nanosecond."""
        return self.area_ns == self.stay_ns

    @property
    def backlog(self) -> float:
        """L, the mean number of events in the system [events]."""
        return self.area_ns / self.span_ns if self.span_ns else 0.0

    @property
    def rate(self) -> float:
        """λ, the rate at which events came [1/s]."""
        return self.events / self.span_ns * NS if self.span_ns else 0.0

    @property
    def stay(self) -> float:
        """W, the mean time from arrival to departure [s]."""
        return self.stay_ns / self.events / NS if self.events else 0.0


def little(came_at: Sequence[int] | NDArray[Any], left_at: Sequence[int] | NDArray[Any]) -> Little:
    """Count both sides of Little's law in whole nanoseconds, each in its own way: over time, and over events.

    Args:
        came_at: Shape (n,), when each event came [ns].
        left_at: Shape (n,), when the same event left [ns].

    Raises:
        ShapeError: there are not as many departures as arrivals.
        InvalidValueError: an event left before it came, or times are no whole numbers.

    Source:
        Little (1961), "A Proof for the Queuing Formula: L = λW", Operations Research 9, 383-387.
    """
    came, left = _whole("came_at", came_at).tolist(), _whole("left_at", left_at).tolist()
    if len(came) != len(left):
        raise ShapeError("came_at", len(came), "left_at", len(left))
    for number, (begin, end) in enumerate(zip(came, left, strict=True)):
        if end < begin:
            raise InvalidValueError(f"left_at[{number}]", end, f"a time from {begin} ns on, when that event came")
    changes = sorted([(time, 1) for time in came] + [(time, -1) for time in left])
    inside = accumulate(change for _, change in changes)
    area = sum(count * (after[0] - now[0]) for count, now, after in zip(inside, changes, changes[1:], strict=False))
    span = changes[-1][0] - changes[0][0] if changes else 0
    return Little(len(came), area, sum(left) - sum(came), span)
