"""One queue, looked at twice: what theory says of it, and what one simulated run shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edakit.clock import real
from edakit.distributions import Constant, Distribution, Erlang, Exponential, HyperExponential
from edakit.errors import InvalidValueError
from edakit.measuring.approximation import MGc, mgc
from edakit.measuring.checks import positive
from edakit.measuring.statistics import backlog, mean, percentile
from edakit.measuring.sweep import WARMUP, QueueSample, simulate_queue
from edakit.measuring.words import percent, times
from edakit.measuring.workload import Poisson
from edakit.table import Table

__all__ = ["QueueReading", "read_queue", "service_law"]


def service_law(mean: float, variability: float) -> Distribution:
    """Return a law of service times with this *mean* and this *variability*.

    Args:
        mean: How long one takes on average [s].
        variability: Squared coefficient of variation, variance / mean² [1]: 0 gives `Constant`, 1 / k `Erlang`, 1 `Exponential`, more
            `HyperExponential`.

    Raises:
        InvalidValueError: *mean* is not above 0, or *variability* is negative, or between 0 and 1 and not one of 1/2, 1/3, 1/4 and so on.
    """
    positive("mean", mean, "number of seconds")
    if real(variability) == 0:
        return Constant(mean)
    if not 0 < real(variability) < math.inf or (variability < 1 and not math.isclose(1 / variability, round(1 / variability), rel_tol=1e-9)):
        raise InvalidValueError("variability", variability, "0, a fraction such as 1/2, 1/3 or 1/4, or a number of 1 or more")
    if variability < 1:
        return Erlang(round(1 / variability), mean)
    return Exponential(mean) if variability == 1 else HyperExponential(mean, variability)


@dataclass(frozen=True)
class QueueReading:
    """What theory says of one queue, and what one run shows.

    Attributes:
        rate: How many events come [1/s].
        theory: The model of the queue: its wait, utilisation and capacity at each rate.
        sample: The run, its beginning included.
        duration: How long events came [s].
    """

    rate: float
    theory: MGc
    sample: QueueSample
    duration: float

    @property
    def utilisation(self) -> float:
        """Share of time that a worker is busy [1]; above 1 there is more to do than time."""
        return self.theory.utilisation(self.rate)

    @property
    def overloaded(self) -> bool:
        """Whether as much comes as can be handled, or more: then no mean wait exists."""
        return self.utilisation >= 1

    @property
    def growth(self) -> float:
        """By how many events the backlog grows each second [1/s]; 0 below a utilisation of 1."""
        return self.rate - self.theory.capacity if self.utilisation > 1 else 0.0

    @property
    def expected_wait(self) -> float:
        """What theory says of the mean wait [s]; infinite where it grows without end."""
        return self.theory.wait(self.rate)

    @property
    def wait(self) -> float:
        """The mean wait in the run, after a tenth of it as warm-up [s]."""
        return mean(self._counted.waiting)

    @property
    def p95(self) -> float:
        """The latency that 95 % of the run's events do not exceed, after the warm-up [s]."""
        return percentile(self._counted.latency, 95)

    @property
    def _counted(self) -> QueueSample:
        return self.sample.after(WARMUP * self.duration)

    @property
    def left(self) -> int:
        """How many events are in the system when the last one has come [events]."""
        return int(backlog(self.sample.came_at, self.sample.done_at, [self.duration])[0])

    @property
    def says(self) -> str:
        """What is to be seen, in words."""
        return f"{self._load} {self._growing if self.overloaded else self._steady}"

    @property
    def _load(self) -> str:
        workers = "one worker" if self.theory.workers == 1 else f"{self.theory.workers} workers"
        # Nobody is busy for more than 100 % of the time.
        busy = f"{'there is work for' if self.growth else 'busy for'} {percent(self.utilisation)} % of the time"
        return f"{self.rate:g} events/s come, and {workers} can handle {times(self.theory.capacity, 4)}/s: {busy}."

    @property
    def _steady(self) -> str:
        about = "" if self.theory.exact else "about "
        expected = f"In theory an event waits {_said(self.expected_wait, about)} ms on average"
        return f"{expected}, in this run of {self.duration:g} s {_said(self.wait)} ms; 95 % were done within {_said(self.p95)} ms."

    @property
    def _growing(self) -> str:
        if not self.growth:
            return "That is all there is: the backlog has no level to which it returns, and no mean wait exists."
        newest = float(self.sample.waiting[-1])
        grows = f"The backlog grows by {times(self.growth, 4)} events every second."
        return f"{grows} After {self.duration:g} s there are {self.left:,}, and the newest waits {newest:.3g} s."

    @property
    def table(self) -> Table:
        """The reading in one line: rates, utilisation, wait in theory and in the run, p95 of the latency, backlog at the end."""
        columns = (
            "arrivals [1/s]",
            "capacity [1/s]",
            "utilisation [%]",
            "wait in theory [ms]",
            "wait in the run [ms]",
            "p95 of latency [ms]",
            "backlog at the end",
        )
        expected = None if self.overloaded else _ms(self.expected_wait)
        row = (round(self.rate, 1), round(self.theory.capacity, 1), round(100 * self.utilisation, 1), expected, _ms(self.wait), _ms(self.p95), self.left)
        return Table(columns, [row], says=self.says)


def _ms(seconds: float) -> float:
    """Return *seconds* [s] as a person reads them, to three digits and at most to the microsecond [ms]."""
    return round(float(f"{1e3 * seconds:.3g}"), 3)


def _said(seconds: float, about: str = "") -> str:
    """Return *seconds* [s] for a sentence [ms]: nothing is called zero that is not."""
    return "less than 0.001" if seconds > 0 and not _ms(seconds) else f"{about}{times(1e3 * seconds)}"


def read_queue(rate: float, takes: float, workers: int = 1, variability: float = 1.0, *, duration: float = 60.0, seed: int = 7) -> QueueReading:
    """Return what theory says of one queue, and what one simulated run of it shows.

    Args:
        rate: How many events come, independently of each other [1/s].
        takes: How long a worker is busy with one, on average [s].
        workers: How many workers serve the queue.
        variability: Of the service time: its squared coefficient of variation [1]; see `service_law`.
        duration: How long events come [s].
        seed: Of the run.

    Raises:
        InvalidValueError: an argument is outside of what makes sense.
    """
    theory = mgc(service_rate=1 / service_law(takes, variability).mean, workers=workers, scv=variability)
    sample = simulate_queue(Poisson(rate, duration), service_law(takes, variability), workers=workers, seed=seed)
    return QueueReading(rate, theory, sample, duration)
