"""What queueing theory says of one component: how long events wait, from how fast they come and how fast they are handled.

Each model holds for one queue with its workers, not for a whole shop. Times are in seconds, rates in events per second.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edakit.checks import whole
from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.measuring.checks import positive
from edakit.measuring.errors import NoClosedFormError, OverloadError
from edakit.measuring.statistics import Array

__all__ = ["MG1", "MM1", "Law", "MMc", "Queue", "mg1", "mm1", "mmc"]


@dataclass(frozen=True)
class Law:
    """How a time is distributed: with some probability it is zero, otherwise a mixture of two exponential times.

    Share of times longer than t: `(1 - weight) * exp(-first * t) + weight * exp(-second * t)`, times `above`.

    Attributes:
        label: Of which model at which rate.
        above: Probability that it is not zero [1].
        first, second: Rates of the two exponentials [1/s].
        weight: Share of the second [1]; may be negative or above 1, as long as the whole is a distribution.
    """

    label: str
    above: float
    first: float
    second: float = 1.0
    weight: float = 0.0

    @property
    def mean(self) -> float:
        """The expected time [s]."""
        return self.above * ((1 - self.weight) / self.first + self.weight / self.second)

    def share(self, seconds: ArrayLike) -> Array:
        """Return the share of times that do not exceed each of *seconds*, shape as given [1]."""
        t = np.maximum(np.asarray(seconds, dtype=np.float64), 0.0)
        return 1 - self.above * ((1 - self.weight) * np.exp(-self.first * t) + self.weight * np.exp(-self.second * t))

    def percentile(self, q: float) -> float:
        """Return the time that *q* % of all times do not exceed [s].

        Raises:
            InvalidValueError: *q* is not from 1 to below 100.
        """
        if not 1 <= real(q) < 100:  # noqa: PLR2004 (percent)
            raise InvalidValueError("q", q, "a percentage from 1 to below 100, such as 99 for p99")
        low, high = 0.0, 1.0 / min(self.first, self.second)
        if float(self.share(0.0)) >= q / 100:
            return 0.0
        while float(self.share(high)) < q / 100:
            high *= 2
        for _ in range(200):  # halvings: more than a float has bits
            middle = (low + high) / 2
            low, high = (middle, high) if float(self.share(middle)) < q / 100 else (low, middle)
        return (low + high) / 2


@dataclass(frozen=True)
class Queue(ABC):
    """A model of one component: events wait in one queue, first come, first served.

    Args:
        service_rate: How many events one worker handles while it is busy [1/s].
    """

    service_rate: float

    def __post_init__(self) -> None:
        positive("service_rate", self.service_rate)

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name in Kendall's notation."""

    @property
    def servers(self) -> int:
        """How many workers serve the queue."""
        return 1

    @property
    def capacity(self) -> float:
        """The most that all workers can handle [1/s]."""
        return self.servers * self.service_rate

    def utilisation(self, rate: float) -> float:
        """Return the share of time that a worker is busy when *rate* events arrive [1]; above 1 there is more to do than time.

        Raises:
            InvalidValueError: *rate* [1/s] is negative, infinite or no number.
        """
        if not 0 <= real(rate) < math.inf:
            raise InvalidValueError("rate", rate, "events per second, zero or more")
        busy = rate / self.capacity
        # 250 a second and 1/0.004 may differ in the last digit, and a wait of 10^16 s would be told for it.
        return 1.0 if math.isclose(busy, 1, rel_tol=1e-12) else busy

    def wait(self, rate: float) -> float:
        """Return the mean wait in the queue at *rate* [1/s]; infinite from a utilisation of 1 on [s].

        Raises:
            InvalidValueError: *rate* is negative, infinite or no number.
        """
        return self._wait(rate) if self.utilisation(rate) < 1 else math.inf

    def response(self, rate: float) -> float:
        """Return the mean time from publication to handled: the wait and the service [s]; raises as `wait`."""
        return self.wait(rate) + 1 / self.service_rate

    def backlog(self, rate: float) -> float:
        """Return how many events are in the system on average, by Little's law [events]; raises as `wait`."""
        return rate * self.response(rate)

    def wait_law(self, rate: float) -> Law:
        """Return how the wait is distributed at *rate* [1/s].

        Raises:
            OverloadError: the utilisation is 1 or more.
            NoClosedFormError: nobody has a formula for this model.
            InvalidValueError: *rate* is negative, infinite or no number.
        """
        self._stable(rate)
        return self._wait_law(rate)

    def response_law(self, rate: float) -> Law:
        """Return how the time from publication to handled is distributed at *rate* [1/s]; raises as `wait_law`."""
        self._stable(rate)
        return self._response_law(rate)

    def _stable(self, rate: float) -> None:
        if self.utilisation(rate) >= 1:
            raise OverloadError(rate, self.capacity)

    @abstractmethod
    def _wait(self, rate: float) -> float:
        """Return the mean wait below a utilisation of 1 [s]."""

    def _wait_law(self, rate: float) -> Law:  # noqa: ARG002 (a model that has a law uses it)
        raise NoClosedFormError(self.label, "the distribution of the wait")

    def _response_law(self, rate: float) -> Law:  # noqa: ARG002 (as above)
        raise NoClosedFormError(self.label, "the distribution of the latency")


@dataclass(frozen=True)
class MMc(Queue):
    """Poisson arrivals, exponential service, several workers.

    Args:
        service_rate: How many events one worker handles while it is busy [1/s].
        workers: How many workers serve the one queue.

    Source:
        Erlang (1917), "Solution of some problems in the theory of probabilities of significance in automatic telephone exchanges";
        the laws of wait and latency in Gross, Shortle, Thompson and Harris (2008), "Fundamentals of Queueing Theory", section 2.3.
    """

    workers: int

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("workers", self.workers)

    @property
    def label(self) -> str:
        """Its name in Kendall's notation."""
        return f"M/M/{self.workers}"

    @property
    def servers(self) -> int:
        """How many workers serve the queue."""
        return self.workers

    def waits(self, rate: float) -> float:
        """Return the probability that an event has to wait at all, Erlang's C [1]; 1 from a utilisation of 1 on. Raises as `wait`."""
        busy = self.utilisation(rate)
        if busy >= 1:
            return 1.0
        load, blocked = rate / self.service_rate, 1.0
        # Erlang's B, worker by worker: no factorial, so that hundreds of workers do not overflow.
        for worker in range(1, self.workers + 1):
            blocked = load * blocked / (worker + load * blocked)
        return blocked / (1 - busy * (1 - blocked))

    def _wait(self, rate: float) -> float:
        return self.waits(rate) / (self.capacity - rate)

    def _wait_law(self, rate: float) -> Law:
        return Law(f"{self.label} wait at {rate:g}/s", self.waits(rate), self.capacity - rate)

    def _response_law(self, rate: float) -> Law:
        label, drain, service = f"{self.label} at {rate:g}/s", self.capacity - rate, self.service_rate
        if math.isclose(drain, service, rel_tol=1e-9):
            # The two exponentials coincide, and their sum has a law of another shape; a hair beside it, nobody sees the difference.
            drain *= 1 + 1e-6
        return Law(label, 1.0, service, drain, self.waits(rate) * service / (service - drain))


@dataclass(frozen=True)
class MM1(Queue):
    """Poisson arrivals, exponential service, one worker.

    Args:
        service_rate: How many events the worker handles while it is busy [1/s].

    Source:
        Kleinrock (1975), "Queueing Systems", volume 1, section 3.2; the laws of wait and latency in section 5.7.
    """

    @property
    def label(self) -> str:
        """Its name in Kendall's notation."""
        return "M/M/1"

    def _wait(self, rate: float) -> float:
        return rate / self.service_rate / (self.service_rate - rate)

    def _wait_law(self, rate: float) -> Law:
        return Law(f"{self.label} wait at {rate:g}/s", rate / self.service_rate, self.service_rate - rate)

    def _response_law(self, rate: float) -> Law:
        return Law(f"{self.label} at {rate:g}/s", 1.0, self.service_rate - rate)


@dataclass(frozen=True)
class MG1(Queue):
    """Poisson arrivals, service times of any law, one worker.

    Args:
        service_rate: How many events the worker handles while it is busy [1/s].
        scv: Squared coefficient of variation of the service time, variance / mean² [1]: 0 is constant, 1 exponential.

    Source:
        Pollaczek (1930), "Über eine Aufgabe der Wahrscheinlichkeitstheorie", Mathematische Zeitschrift 32, 64-100; Khinchine (1932).
    """

    scv: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= real(self.scv) < math.inf:
            raise InvalidValueError("scv", self.scv, "a finite number, zero or more: 0 for constant service, 1 for exponential")

    @property
    def label(self) -> str:
        """Its name in Kendall's notation: M/D/1 for constant service."""
        return "M/G/1" if self.scv else "M/D/1"

    def _wait(self, rate: float) -> float:
        return (1 + self.scv) / 2 * rate / self.service_rate / (self.service_rate - rate)


def mm1(*, service_rate: float) -> MM1:
    """Return the model of one worker with Poisson arrivals and exponential service; see `MM1`.

    Raises:
        InvalidValueError: *service_rate* [1/s] is not above 0.
    """
    return MM1(service_rate)


def mmc(*, service_rate: float, workers: int) -> MMc:
    """Return the model of several *workers* on one queue, with Poisson arrivals and exponential service; see `MMc`.

    Raises:
        InvalidValueError: *service_rate* [1/s] is not above 0, or *workers* not a whole number of 1 or more.
    """
    return MMc(service_rate, workers)


def mg1(*, service_rate: float, scv: float) -> MG1:
    """Return the model of one worker with Poisson arrivals and service times of any law; see `MG1`.

    Raises:
        InvalidValueError: *service_rate* [1/s] is not above 0, or *scv* [1] is negative.
    """
    return MG1(service_rate, scv)
