"""Who takes messages from one queue of a `sqlite://` file: under a lease, in blocks, and acked in blocks."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, Final, TypeVar

from kombu.exceptions import MessageStateError

from edakit.clock import to_ns
from edakit.errors import BrokerError, ClosedError
from edakit.transports.sqlite_keeper import Keeper
from edakit.transports.sqlite_message import Message
from edakit.transports.sqlite_store import CONTENT, Store, load

__all__ = ["LEASE", "Consumer"]

_T = TypeVar("_T")

LEASE: Final = 5.0
"""How long the messages of a process that was killed stay hidden, if nothing else is asked for [s]."""

_ACKS: Final = 50
"""How many acks are kept for one transaction; they are written earlier when nothing is left to take, or after a few milliseconds."""

_LARGE: Final = 4_000_000
"""How much to take at once [bytes of bodies]: a hundred giants must not fill the memory."""

# First what was given back and is due, then what is new or back in its old place: the order of memory://.
_DUE: Final = CONTENT + " WHERE m.id BETWEEN ? AND ? AND m.consumer = 0 AND m.due_ns > 0 AND m.due_ns <= ? ORDER BY m.due_ns, m.id LIMIT ?"
_NEW: Final = CONTENT + " WHERE m.id BETWEEN ? AND ? AND m.consumer = 0 AND m.due_ns = 0 ORDER BY m.id LIMIT ?"
_DUES: Final = "SELECT min(due_ns) FROM message WHERE id BETWEEN ? AND ? AND consumer = 0 AND due_ns > 0"
_ANYTHING: Final = "SELECT 1 FROM message WHERE id BETWEEN ? AND ? AND consumer = 0 AND due_ns <= ? LIMIT 1"


class Consumer:
    """Takes messages of one queue under one lease. Any thread may call any method.

    Args:
        store: Where the queue is.
        queue: The queue's name.
        prefetch: Most messages to have at a time, those aside that were asked for one by one; see `get`.
        lease: How long the messages stay hidden when this process dies [s].

    Attributes:
        taken: What was handed out and is neither acked nor given back, by row, oldest first.
    """

    def __init__(self, store: Store, queue: str, prefetch: int = 1, lease: float = LEASE) -> None:
        self.store, self.file, self.prefetch, self.lease_ns = store, store.file, prefetch, to_ns(lease)
        self.queue = store.queue(queue)
        self.lock = threading.RLock()
        self.taken: dict[int, Message] = {}
        self.id = 0
        self.closed = False
        self._buffer: deque[Message] = deque()
        self._acked: list[int] = []
        self._returned: list[tuple[int, int, int]] = []
        self._due_ns: int | None = None
        self.file.write(self._sign_on)
        Keeper.of(self.file).add(self)

    def get(self, most: int | None = None) -> Message | None:
        """Return the next message that is due, or None; *most* is how many to take from the file at once, by default what prefetch leaves."""
        with self.lock:
            if self.closed:
                return None
            if self._buffer and self._due_ns is not None and self._due_ns <= self.store.now_ns():
                self._put_buffer_back()
            more = 0
            if not self._buffer:
                self._refill(self.prefetch - len(self.taken) if most is None else most)
                more = len(self._buffer) - 1
            if not self._buffer:
                return None
            message = self._buffer.popleft()
            self.taken[message.row] = message
        for _ in range(more):
            self.file.wake(self.queue.id)  # others may sleep, and what was new to them is in the buffer now
        return message

    def ack(self, message: Message) -> None:
        """Note that *message* is done; written with others in one transaction, at the latest after a few milliseconds."""
        self._let_go(message)
        message._state = "ACK"
        self._acked.append(message.row)
        if len(self._acked) >= _ACKS:
            self._try_to_flush()

    def give_back(self, message: Message, due_ns: int, attempt: int) -> None:
        """Put *message* back into the queue, to be delivered when it is due [ns]; 0 for its old place."""
        self._let_go(message)
        message._state = "REQUEUED"
        self._returned.append((due_ns, attempt, message.row))
        self._try_to_flush()
        if due_ns and (self._due_ns is None or due_ns < self._due_ns):
            self._due_ns = due_ns
        self.file.wake(self.queue.id)

    def _let_go(self, message: Message) -> None:
        # Not by its row alone: the row of a message that was acked may be another's by now.
        if self.taken.get(message.row) is not message or self.taken.pop(message.row, None) is None:
            raise MessageStateError(f"a message of queue {self.queue.name!r} is not this consumer's any more: it was settled, or its lease ended")

    def flush(self) -> None:
        """Write the acks that wait.

        Raises:
            BrokerError: the file cannot be written now; they are kept.
        """
        if self._acked or self._returned:
            with self.lock:
                self._write(_nothing)

    def _try_to_flush(self) -> None:
        with suppress(BrokerError):  # the keeper tries again; whoever acks has done its work
            self.flush()

    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do *work* in one transaction with what waits to be written. Called with the lock held."""
        done, returned = self._acked[:], self._returned[:]

        def write(connection: sqlite3.Connection) -> _T:
            # With the consumer's number: what went to somebody else meanwhile is not ours to end.
            connection.executemany("DELETE FROM message WHERE id = ? AND consumer = ?", [(row, self.id) for row in done])
            connection.executemany(
                "UPDATE message SET consumer = 0, redelivered = 1, due_ns = ?, attempt = ? WHERE id = ? AND consumer = ?",
                [(*each, self.id) for each in returned],
            )
            return work(connection)

        result = self.file.write(write)
        del self._acked[: len(done)], self._returned[: len(returned)]
        return result

    def next_due_ns(self) -> int | None:
        """When the earliest message that waits for its time is due [ns]; None if none waits."""
        self._due_ns = self.file.read(_DUES, self.queue.ids)[0][0]
        return self._due_ns

    def __len__(self) -> int:
        return len(self._buffer) + self.store.count(self.queue.name)

    def lost(self) -> None:
        """The lease ran out and others have the messages: forget them. An ack of one of them raises from now on."""
        with self.lock:
            for message in (*self.taken.values(), *self._buffer):
                message._state = "REQUEUED"
            self.taken.clear()
            self._buffer.clear()

    def close(self) -> None:
        """Write the acks, give back the rest in its old places, and sign off. In a forked process nothing is touched: it is the parent's."""
        if self.file.process != os.getpid():
            return
        with self._locked() as locked:
            if self.closed:
                return
            self.closed = True
            rows = list(self.taken)
            if locked:
                self.lost()
        Keeper.of(self.file).remove(self)
        with self._locked() as locked, suppress(BrokerError, ClosedError):  # if it cannot be written, they come back when the lease ends
            if locked:
                self._write(lambda connection: self._sign_off(connection, rows))
        self.file.wake(self.queue.id)

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Hold the lock; False if it cannot be had because another thread holds it, which waits for a transaction of this one."""
        locked = self.lock.acquire(blocking=not self.file.in_the_middle)
        try:
            yield locked
        finally:
            if locked:
                self.lock.release()

    def _refill(self, most: int) -> None:
        """Write the acks and take up to *most* messages, in one transaction."""
        now = self.store.now_ns()
        if most > 0 and self._anything(now):
            self._buffer.extend(self._write(lambda connection: self._take(connection, now, most)))
        else:
            self.flush()

    def _anything(self, now: int) -> bool:
        # Asked without the right to write: somebody else may need that.
        return bool(self.file.read(_ANYTHING, (*self.queue.ids, now)))

    def _take(self, connection: sqlite3.Connection, now: int, most: int) -> list[Message]:
        self._renew(connection)
        rows: list[Any] = []
        found = chain(connection.execute(_DUE, (*self.queue.ids, now, most)), connection.execute(_NEW, (*self.queue.ids, most)))
        size = 0
        while len(rows) < most and size < _LARGE and (row := next(found, None)):
            rows.append(row)
            size += len(row[3])
        connection.executemany("UPDATE message SET consumer = ? WHERE id = ?", [(self.id, row[0]) for row in rows])
        self._due_ns = None if self._due_ns is None or self._due_ns <= now else self._due_ns
        return [Message(load(row), row[0], row[1], row[2], self) for row in rows]

    def renew(self) -> None:
        """Make the lease run anew."""
        with self.lock:
            if not self.closed:
                self._write(self._renew)

    def _renew(self, connection: sqlite3.Connection) -> None:
        renewed = connection.execute("UPDATE consumer SET deadline_ns = ? WHERE id = ?", (time.monotonic_ns() + self.lease_ns, self.id)).rowcount
        if not renewed:
            # It ran out, and others ended it: begin another one.
            self.lost()
            self._sign_on(connection)

    def _sign_on(self, connection: sqlite3.Connection) -> None:
        values = (self.queue.id, time.monotonic_ns() + self.lease_ns, self.lease_ns)
        self.id = connection.execute("INSERT INTO consumer (queue, deadline_ns, lease_ns) VALUES (?, ?, ?)", values).lastrowid or 0

    def _sign_off(self, connection: sqlite3.Connection, rows: list[int]) -> None:
        connection.executemany("UPDATE message SET redelivered = 1 WHERE id = ? AND consumer = ?", [(row, self.id) for row in rows])
        connection.execute("UPDATE message SET consumer = 0 WHERE consumer = ? AND consumer > 0", (self.id,))
        connection.execute("DELETE FROM consumer WHERE id = ?", (self.id,))

    def _put_buffer_back(self) -> None:
        rows = [(message.row, self.id) for message in self._buffer]
        self.file.write(lambda connection: connection.executemany("UPDATE message SET consumer = 0 WHERE id = ? AND consumer = ?", rows))
        self._buffer.clear()


def _nothing(connection: sqlite3.Connection) -> None:
    """Write nothing but what waits."""
