"""Further looks at an argument, of what only experiments take; see `edakit.checks`."""

from __future__ import annotations

import inspect
import math

from edakit.clock import real
from edakit.errors import InvalidValueError

__all__ = ["function", "positive"]


def function(name: str, value: object, expected: str, *, takes: int) -> None:
    """Let *value* pass if it can be called with as many arguments as it *takes*.

    Raises:
        InvalidValueError: it cannot; *expected* says what can.
    """
    try:
        inspect.signature(value).bind(*range(takes))  # type: ignore[arg-type]  # what is no function is a TypeError
    except TypeError:
        raise InvalidValueError(name, value, expected) from None
    except ValueError:  # written in C, and tells nothing of its arguments
        return


def positive(name: str, value: float, what: str = "finite number") -> None:
    """Let a finite number above 0 pass.

    Raises:
        InvalidValueError: it is none; *what* says of what it is a number.
    """
    if not 0 < real(value) < math.inf:
        raise InvalidValueError(name, value, f"a {what} above 0")
