"""How long things take: service times and think times, drawn from a seeded `random.Random` in whole nanoseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Protocol, runtime_checkable

from edakit.checks import whole
from edakit.clock import NS, real
from edakit.errors import InvalidValueError

__all__ = ["Constant", "Distribution", "Erlang", "Exponential", "HyperExponential", "LogNormal", "Uniform"]


@runtime_checkable
class Distribution(Protocol):
    """A law of durations."""

    @property
    def mean(self) -> float:
        """The expected duration [s]."""
        ...

    @property
    def scv(self) -> float:
        """The squared coefficient of variation, variance / mean² [1]: 0 is constant, 1 exponential."""
        ...

    def draw(self, random: Random) -> int:
        """Draw one duration [ns] from *random*."""
        ...


def _check(name: str, value: float, *, least: float = 0.0, strict: bool = True) -> None:
    if not (least < real(value) < math.inf or (real(value) == least and not strict)):
        raise InvalidValueError(name, value, f"a finite number {'above' if strict else 'of at least'} {least:g}")


@dataclass(frozen=True)
class Constant:
    """Always the same *seconds* [s]."""

    seconds: float
    scv: ClassVar[float] = 0.0
    """Nothing varies [1]."""

    def __post_init__(self) -> None:
        _check("seconds", self.seconds, strict=False)

    @property
    def mean(self) -> float:
        """The expected duration [s]."""
        return self.seconds

    def draw(self, random: Random) -> int:  # noqa: ARG002 (one signature for all laws)
        """Return the duration [ns]."""
        return round(self.seconds * NS)


@dataclass(frozen=True)
class Exponential:
    """Memoryless durations of a *mean* [s]: the law behind the M of M/M/1."""

    mean: float
    scv: ClassVar[float] = 1.0
    """Memoryless: as variable as long [1]."""

    def __post_init__(self) -> None:
        _check("mean", self.mean)

    def draw(self, random: Random) -> int:
        """Draw one duration [ns]."""
        # 1 - random() lies in (0, 1], so the logarithm is finite; expovariate has changed between Python versions.
        return round(-math.log(1.0 - random.random()) * self.mean * NS)


@dataclass(frozen=True)
class Uniform:
    """Equally likely anywhere from *low* to *high* [s]."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check("low", self.low, strict=False)
        _check("high", self.high, least=self.low, strict=False)

    @property
    def mean(self) -> float:
        """The expected duration [s]."""
        return (self.low + self.high) / 2

    @property
    def scv(self) -> float:
        """Variance / mean² [1]."""
        return (self.high - self.low) ** 2 / 12 / self.mean**2 if self.mean else 0.0

    def draw(self, random: Random) -> int:
        """Draw one duration [ns]."""
        return round((self.low + (self.high - self.low) * random.random()) * NS)


@dataclass(frozen=True)
class Erlang:
    """The sum of *k* exponential phases with a *mean* [s] in all: less variable than one exponential."""

    k: int
    mean: float

    def __post_init__(self) -> None:
        whole("k", self.k)
        _check("mean", self.mean)

    @property
    def scv(self) -> float:
        """1 / k [1]."""
        return 1.0 / self.k

    def draw(self, random: Random) -> int:
        """Draw one duration [ns]."""
        phases = (-math.log(1.0 - random.random()) for _ in range(self.k))
        return round(math.fsum(phases) * self.mean / self.k * NS)


@dataclass(frozen=True)
class HyperExponential:
    """Two exponential laws mixed with balanced means: a *mean* [s] and an *scv* of 1 or more, many short and few long.

    Source:
        Balanced means in Tijms (2003), "A First Course in Stochastic Models", appendix B.
    """

    mean: float
    scv: float

    def __post_init__(self) -> None:
        _check("mean", self.mean)
        _check("scv", self.scv, least=1.0, strict=False)

    def draw(self, random: Random) -> int:
        """Draw one duration [ns]."""
        p = (1 + math.sqrt((self.scv - 1) / (self.scv + 1))) / 2
        share = p if random.random() < p else 1 - p
        return round(-math.log(1.0 - random.random()) * self.mean / (2 * share) * NS)


@dataclass(frozen=True)
class LogNormal:
    """Durations whose logarithm is normal, with a *mean* [s] and an *scv* [1]: a long tail to the right."""

    mean: float
    scv: float

    def __post_init__(self) -> None:
        _check("mean", self.mean)
        _check("scv", self.scv)

    def draw(self, random: Random) -> int:
        """Draw one duration [ns] (Box and Muller, so that every Python version draws the same)."""
        variance = math.log(1 + self.scv)
        normal = math.sqrt(-2 * math.log(1.0 - random.random())) * math.cos(2 * math.pi * random.random())
        return round(math.exp(math.log(self.mean) - variance / 2 + math.sqrt(variance) * normal) * NS)
