"""Student's t: how many standard errors a confidence interval reaches to each side."""

from __future__ import annotations

import math

from edakit.clock import real
from edakit.errors import InvalidValueError
from edakit.measuring.checks import whole

__all__ = ["student_t", "within"]

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
