"""Numbers in a sentence: a few digits, and no exponent."""

from __future__ import annotations

import math

__all__ = ["percent", "times"]

_NEARLY_ALL = 0.995
"""From here on three digits of a percentage are 100 [1]."""


def times(value: float, digits: int = 3) -> str:
    """Return *value* for a sentence, three significant digits (or so many *digits*) and no exponent: 0.00412, 36, 1,200."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{float(f'{value:.{digits}g}'):,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float) -> str:
    """Return *share* [1] as a percentage for a sentence: 80, 160, and 99.96 where it is nearly all, but not all."""
    if _NEARLY_ALL <= share < 1:
        return f"{100 - float(f'{100 * (1 - share):.1g}'):.15g}"
    return times(100 * share)
