"""Exchanges, queues and the log of one namespace in a `sqlite://` file: declare, bind, publish, count, browse, move, replay."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from amqp.exceptions import ChannelError

from edakit.errors import QueueFullError, UnroutableEventError
from edakit.transports.broker import LONGEST_WAIT, Content
from edakit.transports.routing import Exchange
from edakit.transports.sqlite_file import File

__all__ = ["CONTENT", "Queue", "Store", "dump", "load"]

CONTENT: Final = """SELECT m.id, m.attempt, m.redelivered, coalesce(l.body, m.body), coalesce(l.headers, m.headers), coalesce(l.content_type, m.content_type),
    coalesce(l.content_encoding, m.content_encoding), coalesce(l.properties, m.properties) FROM message m LEFT JOIN log l ON l.offset = m.offset"""
"""What a row of `message` says, in the log or by itself."""

_WAITING: Final = " WHERE m.queue = ? AND m.consumer = 0 ORDER BY m.id"

_BLOCK: Final = 500
"""How many events of the log are read at a time: a longer look would keep SQLite from tidying up behind the writers."""

_encode, _load = msgspec.json.Encoder(enc_hook=str).encode, msgspec.json.Decoder().decode


class Queue(NamedTuple):
    """One queue: its number in the file, its name, its bound and what happens when it is full."""

    id: int
    name: str
    bound: int | None
    when_full: str


class _Full(Exception):  # noqa: N818 (undoes the transaction; never seen outside)
    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        super().__init__(queue)


class Store:
    """One namespace of a file.

    Args:
        file: The file; the store does not close it.
        namespace: What keeps its names apart from those of others.
        now_ns: The clock by which messages become due [ns].

    Attributes:
        threaded: Whether several threads work, so that a publisher may wait for room.
        on_drop: Functions that get what a full queue drops, by the queue's name.
    """

    def __init__(self, file: File, namespace: str = "", now_ns: Callable[[], int] = time.time_ns) -> None:
        self.file, self.namespace, self.now_ns = file, namespace, now_ns
        self.threaded = False
        self.on_drop: dict[str, Callable[[Content], None]] = {}
        self._version = 0
        self._queues: dict[str, Queue] = {}
        self._exchanges: dict[str, tuple[int, Exchange]] = {}

    def declare_exchange(self, name: str, kind: str) -> None:
        """Make an exchange; doing so twice is doing it once."""
        self._change(("INSERT OR IGNORE INTO exchange (namespace, name, kind) VALUES (?, ?, ?)", (self.namespace, name, kind)))
        known = self._exchange(name)[1].kind
        if known != kind:
            raise ChannelError(f"PRECONDITION_FAILED - exchange {name!r} is of kind {known}, not {kind}", (40, 10), "Channel.exchange_declare", "406")

    def delete_exchange(self, name: str) -> None:
        """Remove an exchange."""
        self._refresh()
        if name in self._exchanges:
            number = (self._exchange(name)[0],)
            self._change(("DELETE FROM binding WHERE exchange = ?", number), ("DELETE FROM exchange WHERE id = ?", number))

    def declare_queue(self, name: str, bound: int | None = None, when_full: str = "raise") -> Queue:
        """Make a queue; doing so twice is doing it once, with the newer bound."""
        statement = """INSERT INTO queue (namespace, name, bound, when_full) VALUES (?, ?, ?, ?)
            ON CONFLICT (namespace, name) DO UPDATE SET bound = excluded.bound, when_full = excluded.when_full
            WHERE bound IS NOT excluded.bound OR when_full IS NOT excluded.when_full"""
        self._change((statement, (self.namespace, name, bound, when_full)))
        return self._found(name)

    def delete_queue(self, name: str) -> None:
        """Remove a queue with all that is in it."""
        self._refresh()
        if queue := self._queues.get(name):
            places = ("binding WHERE queue", "message WHERE queue", "consumer WHERE queue", "queue WHERE id")
            self._change(*((f"DELETE FROM {place} = ?", (queue.id,)) for place in places))  # noqa: S608 (no value in it)

    def bind(self, queue: str, exchange: str, pattern: str) -> None:
        """Let *queue* take what is published to *exchange* and fits *pattern*."""
        self._found(queue)
        number, _ = self._exchange(exchange)
        self._change(("INSERT OR IGNORE INTO binding VALUES (?, ?, ?)", (number, self._found(queue).id, pattern)))

    def unbind(self, queue: str, exchange: str, pattern: str) -> None:
        """Undo a `bind`."""
        number, _ = self._exchange(exchange)
        self._change(("DELETE FROM binding WHERE exchange = ? AND queue = ? AND pattern = ?", (number, self._found(queue).id, pattern)))

    def queue(self, name: str) -> Queue:
        """Return a queue.

        Raises:
            ChannelError: there is none of this name.
        """
        self._refresh()
        return self._found(name)

    def has_queue(self, name: str) -> bool:
        """Tell whether there is a queue of this name."""
        self._refresh()
        return name in self._queues

    def exchange(self, name: str) -> Exchange:
        """Return an exchange and its bindings.

        Raises:
            ChannelError: there is none of this name.
        """
        self._refresh()
        return self._exchange(name)[1]

    def publish(self, exchange: str, batch: Sequence[tuple[str, Content]], *, must_route: bool = False) -> list[int]:
        """Publish messages, each (routing key, content), in one transaction; return how many queues took each.

        Raises:
            QueueFullError: a bounded queue has no room, and its policy is not to drop. Nothing was published.
            UnroutableEventError: *must_route*, and nobody is bound. Nothing was published.
            ChannelError: there is no such exchange.
        """
        dropped: list[tuple[Queue, Content]] = []
        touched: dict[Queue, None] = {}

        def insert(connection: sqlite3.Connection) -> list[int]:
            dropped.clear()
            touched.clear()
            self._refresh(connection)
            return [self._insert(connection, exchange, key, content, must_route, touched, dropped) for key, content in batch]

        taken: list[int] = self._with_room(insert)
        self._tell(touched, dropped)
        return taken

    def _insert(
        self, connection: sqlite3.Connection, exchange: str, key: str, content: Content, must_route: bool, touched: dict[Queue, None], dropped: list[Any]
    ) -> int:
        if not exchange:
            names: tuple[str, ...] = (key,) if key in self._queues else ()
        else:
            number, known = self._exchange(exchange)
            names = known.route(key)
        if must_route and not names:
            raise UnroutableEventError(key, known.bindings() if exchange else ())
        row, offset = dump(content), None
        if exchange:
            offset = connection.execute(
                "INSERT INTO log (exchange, routing_key, body, headers, content_type, content_encoding, properties, published_ns) VALUES (?,?,?,?,?,?,?,?)",
                (number, key, *row, self.now_ns()),
            ).lastrowid
        return sum(self._put(connection, self._queues[name], offset, row, content, touched, dropped) for name in names)

    def _put(
        self, connection: sqlite3.Connection, queue: Queue, offset: int | None, row: Any, content: Content, touched: dict[Queue, None], dropped: list[Any]
    ) -> bool:
        """Give one queue its copy; return whether it took it."""
        if queue.bound is not None and not self._make_room(connection, queue, content, dropped):
            return False
        touched[queue] = None
        if offset is None:
            connection.execute("INSERT INTO message (queue, body, headers, content_type, content_encoding, properties) VALUES (?,?,?,?,?,?)", (queue.id, *row))
        else:
            connection.execute("INSERT INTO message (queue, offset) VALUES (?,?)", (queue.id, offset))
        return True

    def _make_room(self, connection: sqlite3.Connection, queue: Queue, content: Content, dropped: list[Any]) -> bool:
        waiting = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM message WHERE queue = ? AND consumer = 0 LIMIT ?)", (queue.id, queue.bound)
        ).fetchone()[0]
        if waiting < (queue.bound or 0):
            return True
        if queue.when_full == "drop newest":
            dropped.append((queue, content))
            return False
        if queue.when_full != "drop oldest":
            raise _Full(queue)
        oldest = connection.execute(CONTENT + " WHERE m.queue = ? AND m.consumer = 0 ORDER BY m.due_ns, m.id LIMIT 1", (queue.id,)).fetchone()
        connection.execute("DELETE FROM message WHERE id = ?", oldest[:1])
        dropped.append((queue, load(oldest)))
        return True

    def _with_room(self, insert: Callable[[sqlite3.Connection], Any]) -> Any:
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
        return sum(0 <= deadline_ns - time.monotonic_ns() <= lease_ns for deadline_ns, lease_ns in rows)

    def _tell(self, touched: Iterable[Queue], dropped: list[tuple[Queue, Content]]) -> None:
        for queue in touched:
            self.file.wake(queue.id)
        for queue, content in dropped:
            if queue.name in self.on_drop:
                self.on_drop[queue.name](content)

    def browse(self, name: str) -> list[Content]:
        """Return what waits in a queue, oldest first; it stays there."""
        return [load(row) for row in self.file.read(CONTENT + _WAITING, (self._found(name).id,))]

    def move(self, source: str, target: str, headers: Callable[[Mapping[str, Any]], dict[str, Any]]) -> int:
        """Move what waits in one queue to another, with changed headers, in one transaction: all of it or nothing."""
        start = self._found(source)
        dropped: list[tuple[Queue, Content]] = []
        touched: dict[Queue, None] = {}

        def insert(connection: sqlite3.Connection) -> int:
            dropped.clear()
            self._refresh(connection)
            rows = connection.execute(CONTENT + _WAITING, (start.id,)).fetchall()
            connection.executemany("DELETE FROM message WHERE id = ?", [row[:1] for row in rows])
            for row in rows:
                body, known, *rest = load(row)
                content = (body, headers(known), *rest)
                self._put(connection, self._found(target), None, dump(content), content, touched, dropped)
            return len(rows)

        moved: int = self._with_room(insert)
        self._tell(touched, dropped)
        return moved

    def purge(self, name: str) -> int:
        """Remove what waits in a queue; return how many messages."""
        queue = self._found(name)
        return self.file.write(lambda connection: connection.execute("DELETE FROM message WHERE queue = ? AND consumer = 0", (queue.id,)).rowcount)

    def count(self, name: str) -> int:
        """Return how many messages wait in a queue, those that somebody has taken not counted [messages]."""
        return int(self.file.read("SELECT count(*) FROM message WHERE queue = ? AND consumer = 0", (self._found(name).id,))[0][0])

    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """Return how many messages of each queue wait or are being handled, all at one moment [messages]."""
        found = {name: self._found(name).id for name in names}
        marks = ",".join("?" * len(found))
        rows = dict(self.file.read(f"SELECT queue, count(*) FROM message WHERE queue IN ({marks}) GROUP BY queue", tuple(found.values())))  # noqa: S608 (marks only)
        return {name: rows.get(number, 0) for name, number in found.items()}

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

    def _found(self, name: str) -> Queue:
        if name not in self._queues:
            self._refresh()
        if name not in self._queues:
            raise ChannelError(f"NOT_FOUND - no queue {name!r}", (50, 10), "Channel.queue_declare", "404")
        return self._queues[name]

    def _exchange(self, name: str) -> tuple[int, Exchange]:
        if name not in self._exchanges:
            raise ChannelError(f"NOT_FOUND - no exchange {name!r}", (40, 10), "Channel.exchange_declare", "404")
        return self._exchanges[name]

    def _change(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            if sum(connection.execute(statement, values).rowcount for statement, values in statements):
                connection.execute("UPDATE topology SET version = version + 1")

        self.file.write(change)
        self._refresh()

    def _refresh(self, connection: sqlite3.Connection | None = None) -> None:
        """Read exchanges, queues and bindings again, if anybody has changed them."""

        def rows(statement: str, *values: Any) -> list[Any]:
            return self.file.read(statement, values) if connection is None else connection.execute(statement, values).fetchall()

        version = rows("SELECT version FROM topology")[0][0]
        if version == self._version:
            return
        with self.file.lock:
            queues = {row[0]: Queue(*row) for row in rows("SELECT id, name, bound, when_full FROM queue WHERE namespace = ?", self.namespace)}
            exchanges = {row[0]: Exchange(*row[1:]) for row in rows("SELECT id, name, kind FROM exchange WHERE namespace = ?", self.namespace)}
            for exchange, queue, pattern in rows("SELECT exchange, queue, pattern FROM binding ORDER BY rowid"):
                if exchange in exchanges and queue in queues:
                    exchanges[exchange].bind(queues[queue].name, pattern)
            self._queues = {queue.name: queue for queue in queues.values()}
            self._exchanges = {exchange.name: (number, exchange) for number, exchange in exchanges.items()}
            self._version = version


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
