"""Ctrl-C, or Jupyter's *Interrupt*, for a loop that must not be ended in the middle of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self, TypeVar

__all__ = ["Interrupts"]

_T = TypeVar("_T")


class Interrupts:
    """While it is entered, Ctrl-C ends at once what is called with `interruptible`; else it waits for `raise_if_asked`, so that nothing is half done."""

    def __init__(self) -> None:
        self._at_once = self._asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        # Python calls handlers of signals in the main thread only.
        if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
            self._before = signal.signal(signal.SIGINT, self._answer)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if kind is None:
            self.raise_if_asked()

    def _answer(self, number: int, frame: FrameType | None) -> None:
        if self._at_once:
            self._before(number, frame)
        else:
            self._asked = True

    def raise_if_asked(self) -> None:
        """Answer now what came at the wrong moment."""
        if self._asked:
            self._asked = False
            self._before(signal.SIGINT, None)

    def interruptible(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Call what may be ended at once: a handler, or a wait."""
        self._at_once = True
        try:
            return function(*arguments)
        finally:
            self._at_once = False
