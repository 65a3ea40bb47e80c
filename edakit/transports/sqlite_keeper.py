"""The one thread that works for a `sqlite://` file in the background: wakes, renews leases, ends those of the dead. None runs when nobody takes messages."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress
from typing import Any, Final

from edakit.errors import BrokerError, ClosedError
from edakit.transports.sqlite_file import File

__all__ = ["Keeper"]

_FASTEST: Final = 0.001
"""Between two looks whether another process has written, just after one has [s]."""
_SLOWEST: Final = 0.005
"""The same, when nothing happens [s]: what a wake between processes takes at most, for one to two percent of a processor."""
_RENEWALS: Final = 4
"""How often a lease is renewed within its time: three in a row may fail."""
_LONGEST_ROUND: Final = 1.0
"""Between two looks for leases that ran out, at the longest [s]."""
_TROUBLE: Final = 0.2
"""Before a consumer tries again that found the file locked or the disk full [s]."""


class Keeper:
    """The background of one file.

    Args:
        file: The file.
    """

    def __init__(self, file: File) -> None:
        self.file = file
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._round_ns = 0

    @classmethod
    def of(cls, file: File) -> Keeper:
        """Return the file's keeper."""
        with file.lock:
            if file.keeper is None:
                file.keeper = cls(file)
            keeper: Keeper = file.keeper
            return keeper

    def add(self, consumer: Any) -> None:
        """Work for one more consumer."""
        with self.file.lock:
            self.file.consumers[consumer] = None
            self._round_ns = min(int(_LONGEST_ROUND * 1e9), *(each.lease_ns // _RENEWALS for each in self.file.consumers))
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(target=self._run, name=f"edakit-keeper-{self.file.path.name}", daemon=True)
                self._thread.start()

    def remove(self, consumer: Any) -> None:
        """Work no longer for *consumer*; with the last one the thread ends."""
        with self.file.lock:
            self.file.consumers.pop(consumer, None)
            if self.file.consumers or self._thread is None:
                return
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not threading.current_thread():
            thread.join(1)

    def _run(self) -> None:
        stop, pause, next_round = self._stop, _FASTEST, time.monotonic_ns()
        while not stop.wait(pause):
            with suppress(BrokerError, ClosedError):  # locked or full: whoever publishes or takes is told; the next round tries again
                changed = self.file.changed_elsewhere()
                pause = _FASTEST if changed else min(pause * 1.2, _SLOWEST)
                if changed or self._recovers():
                    self._wake_all()
                for consumer in tuple(self.file.consumers):
                    consumer.flush()
                if time.monotonic_ns() >= next_round:
                    next_round = time.monotonic_ns() + self._round_ns
                    self.go_round()

    def _recovers(self) -> bool:
        """Whether somebody was told a moment ago that the file cannot be used, and may try again."""
        if self.file.troubled_at is None or time.monotonic() < self.file.troubled_at + _TROUBLE:
            return False
        self.file.troubled_at = None
        return True

    def go_round(self) -> None:
        """Renew our leases, and give back what those had whose lease ran out."""
        for consumer in tuple(self.file.consumers):
            consumer.renew()
        now = time.monotonic_ns()
        # Neither over, nor further away than any promise: the machine's clock begins anew when it starts. Twice as far, because a lease
        # that was renewed after this thread looked at the clock ends later than one lease from then.
        over = "NOT (deadline_ns BETWEEN ? AND ? + 2 * lease_ns)"
        if self.file.read(f"SELECT 1 FROM consumer WHERE {over} LIMIT 1", (now, now)):  # noqa: S608 (no value in it)
            self.file.write(lambda connection: self._bury(connection, over, (now, now)))
            self._wake_all()

    @staticmethod
    def _bury(connection: sqlite3.Connection, over: str, values: tuple[int, int]) -> None:
        for consumer in connection.execute(f"SELECT id FROM consumer WHERE {over}", values).fetchall():  # noqa: S608 (as above)
            connection.execute("UPDATE message SET consumer = 0, redelivered = 1 WHERE consumer = ? AND consumer > 0", consumer)
            connection.execute("DELETE FROM consumer WHERE id = ?", consumer)

    def _wake_all(self) -> None:
        for queue in tuple(self.file.listeners):
            self.file.wake(queue)
