"""How far a long measurement has come: a bar in a notebook, a line in a terminal, nothing where it takes less than two seconds."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Any, Self

__all__ = ["Progress"]

DELAY = 2.0
"""What is over sooner shows nothing [s]."""


class Progress:
    """A bar that appears when something takes longer than two seconds. Off under EDAKIT_PROGRESS=0, and in threads: what they show has no place.

    Args:
        total: How much there is to do.
        label: What is being done.
        unit: Unit of *total*.
    """

    def __init__(self, total: float, label: str, unit: str) -> None:
        self.total = total
        self._bar: Any = None
        if os.environ.get("EDAKIT_PROGRESS") != "0" and threading.current_thread() is threading.main_thread():
            layout = "{desc}: {percentage:3.0f} % |{bar}| {n:.4g} of {total:.4g} {unit} [{elapsed}, {remaining} left]"
            self._bar = _bar_class()(total=total, desc=label, unit=unit, delay=DELAY, leave=False, bar_format=layout)

    def to(self, done: float) -> None:
        """Say that *done* of the total is done."""
        if self._bar is not None:
            self._bar.update(max(0.0, min(done, self.total) - self._bar.n))

    def add(self, more: float = 1) -> None:
        """Say that so much *more* of the total is done."""
        if self._bar is not None:
            self._bar.update(more)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._bar is None:
            return
        if kind is None:
            # The last event may come before the last second: in a notebook a bar that was not full stays, in red, as if something had failed.
            self._bar.n = self._bar.total
        self._bar.close()


def _bar_class() -> Any:
    from tqdm.auto import tqdm  # noqa: PLC0415 (whoever wants no progress need not have it)

    class Bar(tqdm):  # type: ignore[misc]  # tqdm is not typed
        """tqdm without its watching thread, and with a lock that no other process needs to know."""

        monitor_interval = 0
        _lock = threading.RLock()

    return Bar
