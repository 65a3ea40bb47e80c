"""One question at many loads: how long do events wait when a component is busy for so much of its time?

`simulate_queue` and `sweep_utilisation` take the fast path, Lindley's recursion on drawn arrivals and service times; `sweep_rate` takes the
full one, through handlers, codec and bus. Both draw the same numbers, and give the same waits to the nanosecond.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from random import Random

import numpy as np

from edakit.app import App
from edakit.checks import expect, whole
from edakit.clock import NS, real
from edakit.distributions import Distribution, Exponential
from edakit.errors import InvalidValueError
from edakit.measuring.checks import function
from edakit.measuring.experiment import measure_trials
from edakit.measuring.lindley import Nanoseconds, lindley
from edakit.measuring.progress import Progress
from edakit.measuring.run import Run
from edakit.measuring.statistics import Array, Interval, after_warmup, floats, interval, mean
from edakit.measuring.workload import Arrivals, Poisson, Workload

__all__ = ["QueueSample", "RateSweep", "Sweep", "simulate_queue", "sweep_rate", "sweep_utilisation"]

LAW = "a law of service times, such as Exponential(0.004)"
WARMUP = 0.1
"""Share of a sweep's run that does not count: an empty queue has to fill to its usual length first [1]."""


@dataclass(frozen=True)
class QueueSample:
    """Events that went through one queue, all times in whole nanoseconds.

    Attributes:
        arrivals: Shape (n,), when each came [ns].
        services: Shape (n,), how long a worker was busy with it [ns].
        waits: Shape (n,), how long it waited before [ns].
        workers: How many workers served the queue.
    """

    arrivals: Nanoseconds
    services: Nanoseconds
    waits: Nanoseconds
    workers: int = 1

    @property
    def waiting(self) -> Array:
        """Shape (n,), from arrival to the beginning of the service [s]."""
        return self.waits / NS

    @property
    def latency(self) -> Array:
        """Shape (n,), from arrival to the end of the service [s]."""
        return (self.waits + self.services) / NS

    @property
    def came_at(self) -> Array:
        """Shape (n,), when each came [s]."""
        return self.arrivals / NS

    @property
    def done_at(self) -> Array:
        """Shape (n,), when each was done [s]."""
        return (self.arrivals + self.waits + self.services) / NS

    def after(self, seconds: float) -> QueueSample:
        """Return those that came at *seconds* [s] or later. Raises as `after_warmup`."""
        counts = after_warmup(self.came_at, seconds)
        return QueueSample(self.arrivals[counts], self.services[counts], self.waits[counts], self.workers)


def simulate_queue(arrivals: Arrivals, takes: Distribution, *, workers: int = 1, seed: object = 0, component: str = "stock") -> QueueSample:
    """Draw arrivals and service times, and compute each wait by Lindley's recursion: what the full path gives, without the path.

    Args:
        arrivals: When events come, such as `Poisson(rate=200, duration=60)`.
        takes: How long a worker is busy with one.
        workers: How many workers serve the queue.
        seed: As for `measure`: the same seed draws the same times.
        component: Whose service times are drawn; each component of a run has its own.

    Raises:
        InvalidValueError: *workers* is not a whole number of 1 or more, *arrivals* or *takes* is something else, or the times reach beyond 292 years.
    """
    expect("arrivals", arrivals, Arrivals, "arrivals, such as Poisson(rate=200, duration=60)")
    expect("takes", takes, Distribution, LAW)
    came = np.fromiter(arrivals.due(Random(f"{seed}/workload")), dtype=np.int64)
    random = Random(f"{seed}/{component}")
    try:
        services = np.fromiter((takes.draw(random) for _ in range(came.size)), dtype=np.int64, count=came.size)
    except OverflowError:
        raise InvalidValueError("takes", takes, "a law whose times stay below 292 years (2⁶³ ns)") from None
    return QueueSample(came, services, lindley(came, services, workers), workers)


@dataclass(frozen=True)
class Sweep:
    """Mean waits of one component at several loads, several trials each.

    Attributes:
        label: What was swept.
        levels: Shape (m,), utilisation: the share of time that a worker is busy [1].
        rates: Shape (m,), how many events came [1/s].
        waits: Shape (m, trials), mean wait of each trial [s].
    """

    label: str
    levels: tuple[float, ...]
    rates: tuple[float, ...]
    waits: Array

    def wait(self, level: float) -> float:
        """Return the mean wait over all trials at utilisation *level* [s].

        Raises:
            InvalidValueError: *level* is none of those that were swept.
        """
        return mean(self._trials(level))

    def standard_error(self, level: float) -> float:
        """Return how far `wait` may be off: the standard deviation of the mean over trials [s]. Raises as `wait`."""
        return self.interval(level).standard_error

    def interval(self, level: float, confidence: float = 0.95) -> Interval:
        """Return the confidence interval of the mean wait [s]. Raises as `wait`."""
        return interval(self._trials(level), confidence)

    def _trials(self, level: float) -> Array:
        for index, known in enumerate(self.levels):
            if math.isclose(known, real(level), rel_tol=1e-9):
                row: Array = self.waits[index]
                return row
        raise InvalidValueError("level", level, f"one of those that were swept: {', '.join(f'{known:g}' for known in self.levels)}")


def sweep_utilisation(
    levels: Sequence[float],
    *,
    takes: Distribution | None = None,
    workers: int = 1,
    arrivals: Callable[[float, float], Arrivals] = Poisson,
    duration: float = 120.0,
    trials: int = 10,
    seed: int = 0,
) -> Sweep:
    """Measure the mean wait of one component at each utilisation of *levels*, by Lindley's recursion.

    Args:
        levels: Shape (m,), utilisation [1], each above 0.
        takes: How long a worker is busy with one event; exponential with a mean of 4 ms unless given.
        workers: How many workers serve the queue.
        arrivals: Called with rate [1/s] and duration [s]: Poisson, or Steady for even arrivals.
        duration: How long each run lasts; a tenth of it is warm-up [s].
        trials: How many runs a level, each with a seed of its own. Stop keeps those that were finished.
        seed: Of the first trial.

    Raises:
        InvalidValueError: a level is not above 0, its service takes no time, there are no trials, or an argument is of another kind.
    """
    service, levels = Exponential(0.004) if takes is None else takes, floats(levels, "levels").tolist()
    expect("takes", service, Distribution, LAW)
    function("arrivals", arrivals, "what makes arrivals of a rate and a duration: Poisson or Steady, without numbers", takes=2)
    whole("workers", workers)
    expect("seed", seed, Integral, "a whole number: the next trial has the next one")
    if not levels or min(levels) <= 0 or not service.mean:
        raise InvalidValueError("levels", levels, "one or more numbers above 0, with a service that takes time")
    whole("trials", trials)
    rates = tuple(level * workers / service.mean for level in levels)
    waits: list[list[float]] = []
    try:
        with Progress(trials * len(rates), "sweeping", "runs") as progress:
            for trial in range(trials):
                samples = (simulate_queue(arrivals(rate, duration), service, workers=workers, seed=seed + trial) for rate in rates)
                waits.append([_mean_wait(sample.after(WARMUP * duration), progress) for sample in samples])
    except KeyboardInterrupt:
        # The trials that were finished are whole: a shorter answer, not a wrong one.
        if not waits:
            raise
    return Sweep(f"{workers} worker{'s' if workers > 1 else ''}", tuple(levels), rates, np.array(waits).T)


def _mean_wait(sample: QueueSample, progress: Progress) -> float:
    progress.add()
    return mean(sample.waiting)


@dataclass(frozen=True)
class RateSweep:
    """Whole runs at several rates, several trials each.

    Attributes:
        rates: Shape (m,), the rates that were asked for [1/s].
        runs: Shape (m, trials).
        workers: How many workers each component has.
    """

    rates: tuple[float, ...]
    runs: tuple[tuple[Run, ...], ...]
    workers: dict[str, int]

    def component(self, name: str) -> Sweep:
        """Return the mean waits of component *name*, against the share of time that its workers were busy.

        Raises:
            UnknownComponentError: it got no event.
        """
        parts = [[run.component(name) for run in row] for row in self.runs]
        levels = [mean([part.service.sum() / (part.duration - part.warmup) / self.workers[name] for part in row]) for row in parts]
        rates = [mean([part.throughput for part in row]) for row in parts]
        return Sweep(name, tuple(levels), tuple(rates), np.array([[mean(part.waiting) for part in row] for row in parts]))


def sweep_rate(
    make_app: Callable[[], App], workload: Callable[[float], Workload], rates: Sequence[float], *, trials: int = 3, seed: int = 0, warmup: float = 0.0
) -> RateSweep:
    """Measure whole runs at each of *rates*, in virtual time and through the full path.

    Args:
        make_app: Makes a new app.
        workload: Called with a rate [1/s], returns what is published.
        rates: Shape (m,) [1/s].
        trials: How many runs a rate, each with a seed of its own. Stop keeps the rates that were finished.
        seed: Of the first trial.
        warmup: As for `measure` [s].

    Raises:
        InvalidValueError: there is no rate, or as for `measure`.
    """
    rates = floats(rates, "rates").tolist()
    if not rates:
        raise InvalidValueError("rates", rates, "one rate or more [1/s]")
    function("workload", workload, "a function that makes the workload of a rate, such as lambda rate: Each(Poisson(rate, 60), make)", takes=1)
    runs: list[tuple[Run, ...]] = []
    with suppress(KeyboardInterrupt), Progress(len(rates) * trials, "sweeping", "runs") as progress:
        for rate in rates:
            found = measure_trials(make_app, workload(rate), trials=trials, seed=seed, warmup=warmup)
            if found[-1].interrupted or len(found) < trials:
                break
            runs.append(tuple(found))
            progress.add(trials)
    if not runs:
        raise KeyboardInterrupt
    workers = {name: component.concurrency for name, component in make_app().components.items()}
    return RateSweep(tuple(rates[: len(runs)]), tuple(runs), workers)
