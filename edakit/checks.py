"""What an argument has to be: told where it is given, before it fails somewhere deep inside."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from edakit.errors import InvalidValueError

__all__ = ["choice", "expect", "whole"]


def expect(name: str, value: object, kind: Any, expected: str) -> None:
    """Let *value* pass if it is of a *kind*: a class, several as in `isinstance`, or a protocol.

    Raises:
        InvalidValueError: it is not; *expected* says what is.
    """
    # A class has the methods of its objects, and is none of them: Poisson is no Poisson(rate=200, duration=60).
    if isinstance(value, type) or not isinstance(value, kind):
        raise InvalidValueError(name, value, expected)


def choice(name: str, value: object, *choices: str) -> None:
    """Let *value* pass if it is one of the *choices*.

    Raises:
        InvalidValueError: it is not.
    """
    if not isinstance(value, str) or value not in choices:
        raise InvalidValueError(name, value, f"one of {', '.join(map(repr, choices))}")


def whole(name: str, value: object, least: int = 1) -> None:
    """Let a whole number of *least* or more pass, also one that numpy has counted.

    Raises:
        InvalidValueError: it is none.
    """
    if not isinstance(value, Integral) or value < least:
        raise InvalidValueError(name, value, f"a whole number of {least} or more")
