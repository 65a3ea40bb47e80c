"""What is in the queues and in the log of one namespace in a `sqlite://` file: publish, count, browse, move, replay."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

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

_BLOCK: Final = 500
"""How many events of the log are read at a time: a longer look would keep SQLite from tidying up behind the writers."""

_encode, _load = msgspec.json.Encoder(enc_hook=str).encode, msgspec.json.Decoder().decode


class _Full(Exception):  # noqa: N818 (undoes the transaction; never seen outside)
    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        super().__init__(queue)


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
            connection.execute(_PRIVATE, (queue.ids[0], *queue.ids, *row))
        else:
            connection.execute(_LOGGED, (queue.ids[0], *queue.ids, offset))
        return True

    def _make_room(self, connection: sqlite3.Connection, queue: Queue, content: Content, dropped: list[Any]) -> bool:
        waiting = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM message WHERE id BETWEEN ? AND ? AND consumer = 0 LIMIT ?)", (*queue.ids, queue.bound)
        ).fetchone()[0]
        if waiting < (queue.bound or 0):
            return True
        if queue.when_full == "drop newest":
            dropped.append((queue, content))
            return False
        if queue.when_full != "drop oldest":
            raise _Full(queue)
        oldest = connection.execute(CONTENT + " WHERE m.id BETWEEN ? AND ? AND m.consumer = 0 ORDER BY m.due_ns, m.id LIMIT 1", queue.ids).fetchone()
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
        return sum(0 <= deadline_ns - time.monotonic_ns() <= 2 * lease_ns for deadline_ns, lease_ns in rows)

    def _tell(self, touched: Iterable[Queue], dropped: list[tuple[Queue, Content]]) -> None:
        for queue in touched:
            self.file.wake(queue.id)
        for queue, content in dropped:
            if queue.name in self.on_drop:
                self.on_drop[queue.name](content)

    def browse(self, name: str) -> list[Content]:
        """Return what waits in a queue, oldest first; it stays there."""
        return [load(row) for row in self.file.read(CONTENT + _WAITING, self._found(name).ids)]

    def move(self, source: str, target: str, headers: Callable[[Mapping[str, Any]], dict[str, Any]]) -> int:
        """Move what waits in one queue to another, with changed headers, in one transaction: all of it or nothing."""
        start = self._found(source)
        dropped: list[tuple[Queue, Content]] = []
        touched: dict[Queue, None] = {}

        def insert(connection: sqlite3.Connection) -> int:
            dropped.clear()
            self._refresh(connection)
            rows = connection.execute(CONTENT + _WAITING, start.ids).fetchall()
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
