"""What an argument has to be: told where it is given, before it fails somewhere deep inside."""

from __future__ import annotations

import inspect
import math
from numbers import Integral
from typing import Any

from edakit.clock import real
from edakit.errors import InvalidValueError

__all__ = ["expect", "function", "positive", "whole"]


def expect(name: str, value: object, kind: Any, expected: str) -> None:
    """Let *value* pass if it is of a *kind*: a class, several as in `isinstance`, or a protocol.

    Raises:
        InvalidValueError: it is not; *expected* says what is.
    """
    # A class has the methods of its objects, and is none of them: Poisson is no Poisson(rate=200, duration=60).
    if isinstance(value, type) or not isinstance(value, kind):
        raise InvalidValueError(name, value, expected)


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


def whole(name: str, value: object, least: int = 1) -> None:
    """Let a whole number of *least* or more pass, also one that numpy has counted.

    Raises:
        InvalidValueError: it is none.
    """
    if not isinstance(value, Integral) or value < least:
        raise InvalidValueError(name, value, f"a whole number of {least} or more")
