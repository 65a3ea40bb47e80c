"""Numbers that describe many events: percentiles, shares, throughput, backlog, and how sure a mean is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.measuring.errors import NothingMeasuredError, ShapeError
from edakit.measuring.student import student_t

__all__ = ["Array", "Interval", "after_warmup", "backlog", "ecdf", "floats", "interval", "mean", "percentile", "throughput"]

Array = NDArray[np.float64]


def floats(values: ArrayLike, name: str = "values") -> Array:
    """Return *values* as one row of numbers, shape (n,); what yields them one by one is taken too.

    Raises:
        InvalidValueError: they are no numbers.
    """
    try:
        return np.asarray(list(values) if isinstance(values, Iterator) else values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise InvalidValueError(name, values, "numbers, such as [0.1, 0.2]") from None


def _known(values: ArrayLike, name: str) -> Array:
    """Return *values* as `floats` does; NaN and infinity are refused."""
    array = floats(values, name)
    if not np.isfinite(array).all():
        raise InvalidValueError(name, values, "finite numbers")
    return array


def _measured(values: ArrayLike, asked: str) -> Array:
    array = floats(values)
    if not array.size:
        raise NothingMeasuredError(asked)
    if np.isnan(array).any():
        raise InvalidValueError("values", math.nan, f"numbers: {asked} says nothing where some are not known; leave out what is still in flight")
    return array


def mean(values: ArrayLike) -> float:
    """Return the mean of *values*, summed without rounding, so that every machine gets the same.

    Args:
        values: Shape (n,).

    Raises:
        NothingMeasuredError: there are none.
        InvalidValueError: one is NaN.
    """
    array = _measured(values, "the mean")
    return math.fsum(array.tolist()) / array.size


def percentile(values: ArrayLike, q: float) -> float:
    """Return the smallest of *values* that at least *q* % of them do not exceed (nearest rank: always one that was measured).

    Args:
        values: Shape (n,), in any order.
        q: From 1 to 100 [%]; 99 gives what is called p99.

    Raises:
        InvalidValueError: *q* is out of range (0.99 would be meant as 99), or a value is NaN.
        NothingMeasuredError: there are no values.

    Source:
        Definition 1 in Hyndman and Fan (1996), "Sample Quantiles in Statistical Packages", The American Statistician 50, 361-365.
    """
    if not 1 <= real(q) <= 100:  # noqa: PLR2004 (percent)
        raise InvalidValueError("q", q, "a percentage from 1 to 100, such as 99 for p99")
    array = np.sort(_measured(values, f"p{q:g}"))
    # As a fraction: 99.9 % of 1000 is rank 999, while 99.9 / 100 * 1000 rounds up to 1000.
    rank = math.ceil(Fraction(str(+q)) * array.size / 100)
    return float(array[rank - 1])


def ecdf(values: ArrayLike) -> tuple[Array, Array]:
    """Return *values* in ascending order, and for each the share of them that do not exceed it.

    Args:
        values: Shape (n,).

    Returns:
        Two arrays of shape (n,): the values, and shares from 1/n to 1 [1].

    Raises:
        NothingMeasuredError: there are none.
        InvalidValueError: one is NaN.
    """
    array = np.sort(_measured(values, "the share of events"))
    return array, np.searchsorted(array, array, side="right") / array.size


def after_warmup(times: ArrayLike, warmup: float) -> NDArray[np.bool_]:
    """Tell which events count: those not before the end of the warm-up, when an empty system has filled to its usual level.

    Args:
        times: Shape (n,), when each event was due, from the start of the run [s].
        warmup: How long the warm-up takes [s].

    Returns:
        Shape (n,), True where the event counts.

    Raises:
        InvalidValueError: *warmup* is negative, infinite or no number.
    """
    if not 0 <= real(warmup) < math.inf:
        raise InvalidValueError("warmup", warmup, "a number of seconds, zero or more")
    return floats(times, "times") >= warmup


def throughput(done_at: ArrayLike, edges: ArrayLike) -> Array:
    """Count the events handled in each bin, per second.

    Args:
        done_at: Shape (n,), when handled [s]; NaN while still in flight.
        edges: Shape (m + 1,), where the bins begin and end, ascending [s]; an event on an edge counts to the later bin.

    Returns:
        Shape (m,), throughput [1/s].

    Raises:
        InvalidValueError: *edges* do not ascend, or are not finite.
    """
    bins, done = floats(edges, "edges"), np.sort(floats(done_at, "done_at"))
    widths = np.diff(bins)
    if not (widths.size and np.all(widths > 0) and np.isfinite(bins).all()):
        raise InvalidValueError("edges", np.round(bins, 6).tolist()[:10], "two or more times that ascend")
    return np.diff(np.searchsorted(done[~np.isnan(done)], bins, side="left")) / widths


def backlog(published_at: ArrayLike, done_at: ArrayLike, times: ArrayLike) -> NDArray[np.int64]:
    """Count the events inside the system at each of *times*.

    Args:
        published_at: Shape (n,), publish times [s].
        done_at: Shape (n,), when handled [s]; NaN while still in flight.
        times: Shape (m,), when to look [s].

    Returns:
        Shape (m,), events queued or being handled [events]; what is handled at that very time has left.

    Raises:
        ShapeError: *published_at* and *done_at* differ in length.
        InvalidValueError: more was handled by some time than published, as when the two are swapped; or *times* are not finite.

    Source:
        L in Little (1961), "A Proof for the Queuing Formula: L = λW", Operations Research 9, 383-387.
    """
    came, left, when = np.sort(floats(published_at, "published_at")), np.sort(floats(done_at, "done_at")), _known(times, "times")
    if came.size != left.size:
        raise ShapeError("published_at", came.size, "done_at", left.size)
    if (early := np.flatnonzero(left < came)).size:
        raise InvalidValueError("done_at", float(left[early[0]]), f"times after those of publication ({came[early[0]]:g} s); are the two swapped?")
    left = left[~np.isnan(left)]
    return np.searchsorted(came, when, side="right") - np.searchsorted(left, when, side="right")


class Interval(NamedTuple):
    """A mean over trials, and how far off it may be.

    Attributes:
        mean: Over the trials.
        low, high: Ends of the confidence interval.
        standard_error: Standard deviation of the mean.
        trials: How many values it rests on.
        level: Share of such intervals that hold the true value [1].
    """

    mean: float
    low: float
    high: float
    standard_error: float
    trials: int
    level: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, Real) and bool(self.low <= float(value) <= self.high)


def interval(trials: Sequence[float] | NDArray[Any], level: float = 0.95) -> Interval:
    """Return the confidence interval of the mean of independent *trials*.

    Args:
        trials: Shape (n,), one value a trial (a run with a seed of its own). Events of one run are no trials: neighbours wait together.
        level: Share of such intervals that are to hold the true value [1].

    Raises:
        InvalidValueError: there are fewer than two trials, one is not finite, or *level* is not between 0 and 1.

    Source:
        Student (1908), "The Probable Error of a Mean", Biometrika 6, 1-25.
    """
    values = _known(trials, "trials").tolist()
    if len(values) < 2:  # noqa: PLR2004 (one value has no spread)
        raise InvalidValueError("trials", values, "at least two values, each of a run with its own seed")
    centre = mean(values)
    variance = math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)
    error = math.sqrt(variance / len(values))
    half = student_t(level, len(values) - 1) * error
    return Interval(centre, centre - half, centre + half, error, len(values), level)
