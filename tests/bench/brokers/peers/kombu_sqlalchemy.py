"""kombu's transport on SQLAlchemy, on the same SQLite."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import kombu

from tests.bench.brokers.event import KEY, Tally, decode, encode, first, orders


class Peer:
    """*place* is a file."""

    def __init__(self, url: str) -> None:
        self.queue = kombu.Queue("bench", kombu.Exchange("bench", "direct"), KEY)

    def _connection(self, place: str) -> kombu.Connection:
        connection = kombu.Connection(f"sqla+sqlite:///{place}")
        # Otherwise it sleeps for a second where it finds nothing; as an option it would reach SQLAlchemy, which refuses it.
        connection.transport.polling_interval = 0.001
        return connection

    def declare(self, place: str) -> None:
        with self._connection(place) as connection:
            self.queue(connection.default_channel).declare()

    def publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        with self._connection(place) as connection:
            producer = kombu.Producer(connection.channel(), self.queue.exchange, routing_key=KEY)
            self.queue(connection.default_channel).declare()  # its routes are kept in each process
            producer.publish(encode(first()), content_type="application/json", content_encoding="utf-8")
            begun = time.monotonic_ns()
            for event in orders(count):
                producer.publish(encode(event), content_type="application/json", content_encoding="utf-8")
            return {"begun": begun, "ended": time.monotonic_ns()}

    def consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        tally = Tally(count)

        def handle(message: Any) -> None:
            tally.note(decode(message.body if isinstance(message.body, bytes) else message.body.encode()))
            message.ack()

        with self._connection(place) as connection, kombu.Consumer(connection, [self.queue], on_message=handle, accept=["json"]):
            ready()
            with suppress(TimeoutError):  # what has not come by then is lost
                while not tally.done.is_set():
                    connection.drain_events(timeout=20)
        return tally.answer()
