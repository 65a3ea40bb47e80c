"""Student's t: how many standard errors a confidence interval reaches to each side."""

from __future__ import annotations

import math
from statistics import NormalDist

from edakit.checks import whole
from edakit.clock import real
from edakit.errors import InvalidValueError

__all__ = ["student_t", "within"]

MANY = 5_000
"""From more degrees on, the normal law and four terms are as exact as a float, and do not take seconds."""

_STEPS = 200  # halvings and doublings: more than a float has bits


def within(t: float, degrees: int) -> float:
    """Return the probability that Student's t lies between -*t* and *t* [1].

    Args:
        t: Zero or more [standard errors].
        degrees: Degrees of freedom, 1 or more.

    Source:
        Formulas 26.7.3 and 26.7.4 in Abramowitz and Stegun (1964), "Handbook of Mathematical Functions": a finite sum for whole degrees.
    """
    angle = math.atan2(t, math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, terms = (cosine, []) if odd else (1.0, [])
    for k in range(1 + odd, degrees, 2):
        terms.append(term)
        term *= k / (k + 1) * cosine**2
    if not odd:
        return sine * math.fsum(terms)
    return 2 / math.pi * (angle + sine * math.fsum(terms))


def student_t(level: float, degrees: int) -> float:
    """Return the t for which Student's t lies between -t and t with probability *level* [standard errors].

    Args:
        level: Between 0 and 1, such as 0.95 [1].
        degrees: Degrees of freedom: one less than there are trials.

    Raises:
        InvalidValueError: an argument is out of range.
    """
    if not 0 < real(level) < 1:
        raise InvalidValueError("level", level, "a share between 0 and 1, such as 0.95")
    whole("degrees", degrees)
    if degrees > MANY:
        return _expanded(NormalDist().inv_cdf((1 + level) / 2), degrees)
    high = 1.0
    for _ in range(_STEPS):
        if within(high, degrees) >= level:
            break
        high *= 2
    low = 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if not low < middle < high:  # neighbours among floats: with thousands of degrees each further look costs
            break
        low, high = (middle, high) if within(middle, degrees) < level else (low, middle)
    return (low + high) / 2


def _expanded(x: float, degrees: int) -> float:
    """Return Student's t from the *x* of the normal law.

    Source:
        Formula 26.7.5 in Abramowitz and Stegun (1964), "Handbook of Mathematical Functions".
    """
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(term / degrees**power for power, term in enumerate(terms, 1))
