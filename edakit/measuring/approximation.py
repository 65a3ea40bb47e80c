"""A formula for several workers and service times of any law, where no exact one is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.measuring.theory import Queue, mmc

__all__ = ["MGc", "mgc"]


@dataclass(frozen=True)
class MGc(Queue):
    """Poisson arrivals, service times of any law, several workers; exact for one worker and for exponential service, else an approximation.

    Args:
        service_rate: How many events one worker handles while it is busy [1/s].
        workers: How many workers serve the one queue.
        scv: Squared coefficient of variation of the service time, variance / mean² [1]: 0 is constant, 1 exponential.

    Source:
        Lee and Longton (1959), "Queueing processes associated with airline passenger check-in", Operational Research Quarterly 10, 56-71:
        Erlang's wait for exponential service times (1 + scv) / 2.
    """

    workers: int
    scv: float

    def __post_init__(self) -> None:
        mmc(service_rate=self.service_rate, workers=self.workers)
        if not 0 <= real(self.scv) < math.inf:
            raise InvalidValueError("scv", self.scv, "a finite number, zero or more: 0 for constant service, 1 for exponential")

    @property
    def label(self) -> str:
        """Its name in Kendall's notation."""
        kind = {0.0: "D", 1.0: "M"}.get(float(self.scv), "G")
        return f"M/{kind}/{self.workers}"

    @property
    def servers(self) -> int:
        """How many workers serve the queue."""
        return self.workers

    @property
    def exact(self) -> bool:
        """Whether the formula is exact: one worker, or exponential service."""
        return self.workers == 1 or self.scv == 1

    def _wait(self, rate: float) -> float:
        return (1 + self.scv) / 2 * mmc(service_rate=self.service_rate, workers=self.workers).wait(rate)


def mgc(*, service_rate: float, workers: int, scv: float) -> MGc:
    """Return the model of several *workers* on one queue, with Poisson arrivals and service times of any law; see `MGc`.

    Raises:
        InvalidValueError: *service_rate* [1/s] is not above 0, *workers* not a whole number of 1 or more, or *scv* [1] is negative.
    """
    return MGc(service_rate, workers, scv)
