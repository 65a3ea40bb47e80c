"""Which exchanges, queues and bindings one namespace of a `sqlite://` file has, as all its processes have declared them."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, NamedTuple

from amqp.exceptions import ChannelError

from edakit.transports.routing import Exchange
from edakit.transports.sqlite_file import File

__all__ = ["Queue", "Topology"]

_BITS: Final = 40
"""Of a message's id: a queue may take a million a second for twelve days without being empty once."""


class Queue(NamedTuple):
    """One queue: its number in the file, its name, its bound and what happens when it is full."""

    id: int
    name: str
    bound: int | None
    when_full: str

    @property
    def ids(self) -> tuple[int, int]:
        """The first and the last id that its messages may have."""
        return self.id << _BITS, (self.id + 1 << _BITS) - 1


class Topology:
    """Exchanges, queues and bindings of one namespace.

    Args:
        file: The file.
        namespace: What keeps its names apart from those of others.
    """

    def __init__(self, file: File, namespace: str) -> None:
        self.file, self.namespace = file, namespace
        self._version = 0
        self._queues: dict[str, Queue] = {}
        self._exchanges: dict[str, tuple[int, Exchange[str]]] = {}

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
            places = ("binding WHERE queue", "consumer WHERE queue", "queue WHERE id")
            messages = ("DELETE FROM message WHERE id BETWEEN ? AND ?", queue.ids)
            self._change(messages, *((f"DELETE FROM {place} = ?", (queue.id,)) for place in places))  # noqa: S608 (no value in it)

    def bind(self, queue: str, exchange: str, pattern: str) -> None:
        """Let *queue* take what is published to *exchange* and fits *pattern*."""
        self._refresh()
        number, _ = self._exchange(exchange)
        self._change(("INSERT OR IGNORE INTO binding VALUES (?, ?, ?)", (number, self._found(queue).id, pattern)))

    def unbind(self, queue: str, exchange: str, pattern: str) -> None:
        """Undo a `bind`."""
        self._refresh()
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

    def exchange(self, name: str) -> Exchange[str]:
        """Return an exchange and its bindings.

        Raises:
            ChannelError: there is none of this name.
        """
        self._refresh()
        return self._exchange(name)[1]

    def _found(self, name: str) -> Queue:
        if name not in self._queues:
            self._refresh()
        if name not in self._queues:
            raise ChannelError(f"NOT_FOUND - no queue {name!r}", (50, 10), "Channel.queue_declare", "404")
        return self._queues[name]

    def _exchange(self, name: str) -> tuple[int, Exchange[str]]:
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
            exchanges = {row[0]: Exchange[str](*row[1:]) for row in rows("SELECT id, name, kind FROM exchange WHERE namespace = ?", self.namespace)}
            for exchange, queue, pattern in rows("SELECT exchange, queue, pattern FROM binding ORDER BY rowid"):
                if exchange in exchanges and queue in queues:
                    exchanges[exchange].bind(queues[queue].name, pattern)
            self._queues = {queue.name: queue for queue in queues.values()}
            self._exchanges = {exchange.name: (number, exchange) for number, exchange in exchanges.items()}
            self._version = version
