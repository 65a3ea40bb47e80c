"""What is in the queues and in the log of one namespace in a `sqlite://` file: publish, count, browse, move, replay."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, TypeVar

import msgspec

from edakit.errors import QueueFullError, UnroutableEventError
from edakit.transports.broker import LONGEST_WAIT, Content
from edakit.transports.sqlite_file import File
from edakit.transports.sqlite_topology import Queue, Topology

__all__ = ["CONTENT", "Store", "dump", "load"]

CONTENT: Final = """SELECT m.id, m.attempt, m.redelivered, coalesce(l.body, m.body), coalesce(l.headers, m.headers), coalesce(l.content_type, m.content_type),
    coalesce(l.content_encoding, m.content_encoding), coalesce(l.properties, m.properties) FROM message m LEFT JOIN log l ON l.offset = m.offset"""
"""What a row of `message` says, in the log or by itself."""

_WAITING: Final = " WHERE m.id BETWEEN ? AND ? AND m.consumer = 0 ORDER BY m.id"
_NEXT: Final = "SELECT coalesce(max(id), ?) + 1 FROM message WHERE id BETWEEN ? AND ?"
_LOGGED: Final = f"INSERT INTO message (id, offset) VALUES (({_NEXT}), ?)"  # noqa: S608 (no value in it)
_PRIVATE: Final = f"INSERT INTO message (id, body, headers, content_type, content_encoding, properties) VALUES (({_NEXT}), ?, ?, ?, ?, ?)"  # noqa: S608
_COUNT: Final = "SELECT count(*) FROM (SELECT 1 FROM message WHERE id BETWEEN ? AND ? AND consumer = 0 LIMIT ?)"
_OLDEST: Final = CONTENT + " WHERE m.id BETWEEN ? AND ? AND m.consumer = 0 AND m.due_ns = 0 ORDER BY m.id LIMIT 1"
_LOG: Final = """INSERT INTO log (exchange, routing_key, body, headers, content_type, content_encoding, properties, published_ns)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""

_BLOCK: Final = 500
"""How many events of the log are read at a time: a longer look would keep SQLite from tidying up behind the writers."""

_T = TypeVar("_T")
_encode, _load = msgspec.json.Encoder(enc_hook=str).encode, msgspec.json.Decoder().decode


class _Full(Exception):  # noqa: N818 (undoes the transaction; never seen outside)
    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        super().__init__(queue)


class _Writing:
    """One transaction that puts messages into queues, and what is to be told when it is committed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.touched: dict[Queue, None] = {}
        self.dropped: list[tuple[Queue, Content]] = []

    def put(self, queue: Queue, content: Content, row: tuple[Any, ...], offset: int | None = None) -> bool:
        """Give a queue its copy of *content*, in the log at *offset* or else as *row*; return whether it took it."""
        if queue.bound is not None and not self._make_room(queue, content):
            return False
        self.touched[queue] = None
        first, last = queue.ids
        if offset is None:
            self.connection.execute(_PRIVATE, (first, first, last, *row))
        else:
            self.connection.execute(_LOGGED, (first, first, last, offset))
        return True

    def _make_room(self, queue: Queue, content: Content) -> bool:
        if self.connection.execute(_COUNT, (*queue.ids, queue.bound)).fetchone()[0] < queue.bound:
            return True
        if queue.when_full == "drop newest":
            self.dropped.append((queue, content))
            return False
        if queue.when_full != "drop oldest":
            raise _Full(queue)
        # Not what waits for another attempt: where order is kept by key, that key would wait for it for ever. As memory://, one more is taken then.
        for oldest in self.connection.execute(_OLDEST, queue.ids).fetchall():
            self.connection.execute("DELETE FROM message WHERE id = ?", oldest[:1])
            self.dropped.append((queue, load(oldest)))
        return True


class Store(Topology):
    """One namespace of a file: what is in its queues and in its log.

    Args:
        file: The file; the store does not close it.
        namespace: What keeps its names apart from those of others.
        now_ns: The clock by which messages become due [ns].

    Attributes:
        threaded: Whether several threads work, so that a publisher may wait for room.
        on_drop: Functions that get what a full queue drops, by the queue's name.
    """

    def __init__(self, file: File, namespace: str = "", now_ns: Callable[[], int] = time.time_ns) -> None:
        super().__init__(file, namespace)
        self.now_ns = now_ns
        self.threaded = False
        self.on_drop: dict[str, Callable[[Content], None]] = {}

    def publish(self, exchange: str, batch: Sequence[tuple[str, Content]], *, must_route: bool = False) -> list[int]:
        """Publish messages, each (routing key, content), in one transaction; return how many queues took each.

        Raises:
            QueueFullError: a bounded queue has no room, and its policy is not to drop. Nothing was published.
            UnroutableEventError: *must_route*, and nobody is bound. Nothing was published.
            ChannelError: there is no such exchange.
        """

        def insert(connection: sqlite3.Connection) -> tuple[list[int], _Writing]:
            self._refresh(connection)
            writing = _Writing(connection)
            return [self._insert(writing, exchange, key, content, must_route=must_route) for key, content in batch], writing

        taken, writing = self._with_room(insert)
        self._tell(writing)
        return taken

    def _insert(self, writing: _Writing, exchange: str, key: str, content: Content, *, must_route: bool) -> int:
        if exchange:
            number, known = self._exchange(exchange)
            names, bound = known.route(key), known.bindings
        else:
            names, bound = ((key,) if key in self._queues else ()), list
        if must_route and not names:
            raise UnroutableEventError(key, bound())
        row, offset = dump(content), None
        if exchange:
            offset = writing.connection.execute(_LOG, (number, key, *row, self.now_ns())).lastrowid
        return sum(writing.put(self._queues[name], content, row, offset) for name in names)

    def _with_room(self, insert: Callable[[sqlite3.Connection], _T]) -> _T:
        """Write with *insert*; where a full queue says "wait", wait until there is room, in whichever process it is made."""
        begun = time.monotonic()
        while True:
            try:
                return self.file.write(insert)
            except _Full as full:
                queue, waited = full.queue, time.monotonic() - begun
                if queue.when_full != "wait" or waited >= LONGEST_WAIT or not self._may_wait(queue):
                    raise QueueFullError(queue.name, queue.bound or 0, round(waited, 1), queue.when_full) from None
            time.sleep(0.001)

    def _may_wait(self, queue: Queue) -> bool:
        # In one thread, with nobody who takes, there would be no room ever.
        return self.threaded or self.consumers(queue.name) > 0

    def consumers(self, name: str) -> int:
        """Return how many take messages from a queue, in all processes."""
        rows = self.file.read("SELECT deadline_ns, lease_ns FROM consumer WHERE queue = ?", (self._found(name).id,))
        return sum(0 <= deadline_ns - time.monotonic_ns() <= 2 * lease_ns for deadline_ns, lease_ns in rows)

    def _tell(self, writing: _Writing) -> None:
        for queue in writing.touched:
            self.file.wake(queue.id)
        for queue, content in writing.dropped:
            if queue.name in self.on_drop:
                self.on_drop[queue.name](content)

    def browse(self, name: str) -> list[Content]:
        """Return what waits in a queue, oldest first; it stays there."""
        return [load(row) for row in self.file.read(CONTENT + _WAITING, self._found(name).ids)]

    def move(self, source: str, target: str, headers: Callable[[Mapping[str, Any]], dict[str, Any]]) -> int:
        """Move what waits in one queue to another, as far as there is room, with changed headers, in one transaction.

        Raises:
            QueueFullError: there is room for none.
        """
        start = self._found(source)

        def insert(connection: sqlite3.Connection) -> tuple[int, _Writing]:
            self._refresh(connection)
            writing, end = _Writing(connection), self._found(target)
            rows = connection.execute(CONTENT + _WAITING, start.ids).fetchall()
            if end.bound is not None:
                room = end.bound - connection.execute(_COUNT, (*end.ids, end.bound)).fetchone()[0]
                if rows and not room:
                    raise _Full(end)
                del rows[room:]
            connection.executemany("DELETE FROM message WHERE id = ?", [row[:1] for row in rows])
            for row in rows:
                body, known, *rest = load(row)
                content = (body, headers(known), *rest)
                writing.put(end, content, dump(content))
            return len(rows), writing

        moved, writing = self._with_room(insert)
        self._tell(writing)
        return moved

    def purge(self, name: str) -> int:
        """Remove what waits in a queue; return how many messages."""
        queue = self._found(name)
        return self.file.write(lambda connection: connection.execute("DELETE FROM message WHERE id BETWEEN ? AND ? AND consumer = 0", queue.ids).rowcount)

    def count(self, name: str) -> int:
        """Return how many messages wait in a queue, those that somebody has taken not counted [messages]."""
        return int(self.file.read("SELECT count(*) FROM message WHERE id BETWEEN ? AND ? AND consumer = 0", self._found(name).ids)[0][0])

    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """Return how many messages of each queue wait or are being handled, all at one moment [messages]."""
        found = {name: self._found(name).ids for name in names}
        if not found:
            return {}
        each = "(SELECT count(*) FROM message WHERE id BETWEEN ? AND ?)"
        (row,) = self.file.read(f"SELECT {', '.join([each] * len(found))}", tuple(chain.from_iterable(found.values())))
        return dict(zip(found, row, strict=True))

    def replay(self, exchange: str, offset: int) -> Iterator[tuple[int, str, Content]]:
        """Yield (offset, routing key, content) of what was published to *exchange*, from *offset* to what is the end now."""
        self._refresh()
        number, _ = self._exchange(exchange)
        end = self.file.read("SELECT max(offset) FROM log")[0][0] or 0
        while True:
            rows = self.file.read(
                """SELECT offset, routing_key, body, headers, content_type, content_encoding, properties FROM log
                WHERE offset BETWEEN ? AND ? AND exchange = ? ORDER BY offset LIMIT ?""",
                (offset, end, number, _BLOCK),
            )
            if not rows:
                return
            for row in rows:
                yield row[0], row[1], load((0, *row))
            offset = rows[-1][0] + 1


def dump(content: Content) -> tuple[Any, ...]:
    """Return *content* as columns."""
    body, headers, content_type, content_encoding, properties = content
    if not isinstance(body, bytes | str):
        body = bytes(body)
    return body, _encode(headers).decode(), content_type, content_encoding, _encode(properties).decode() if properties else None


def load(row: Sequence[Any]) -> Content:
    """Return the content at the end of a *row* of columns."""
    *_, body, headers, content_type, content_encoding, properties = row
    return body, _load(headers), content_type, content_encoding, _load(properties) if properties else {}
