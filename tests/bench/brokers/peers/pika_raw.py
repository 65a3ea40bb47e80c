"""pika: its BlockingConnection, and for pipelined confirms its SelectConnection, as in its example of an asynchronous publisher."""

from __future__ import annotations

import time
from typing import Any

import pika

from tests.bench.brokers.event import EXCHANGE, KEY, QUORUM, WINDOW, Tally, decode, encode, first, orders, paced

PROPERTIES = pika.BasicProperties(content_type="application/json", delivery_mode=2)


class Peer:
    def __init__(self, url: str) -> None:
        self.parameters = pika.URLParameters(url)

    def declare(self, place: str) -> None:
        with pika.BlockingConnection(self.parameters) as connection:
            channel = connection.channel()
            channel.exchange_declare(f"{EXCHANGE}.{place}", "topic", durable=True)
            channel.queue_declare(place, durable=True, arguments=QUORUM)
            channel.queue_bind(place, f"{EXCHANGE}.{place}", KEY)

    def publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        if guarantee == "pipelined":
            return _Pipelined(self.parameters, place, count).run()
        with pika.BlockingConnection(self.parameters) as connection:
            channel = connection.channel()
            if guarantee == "each":
                channel.confirm_delivery()
            channel.basic_publish(f"{EXCHANGE}.{place}", KEY, encode(first()), PROPERTIES)
            begun = time.monotonic_ns()
            for event in orders(count):
                channel.basic_publish(f"{EXCHANGE}.{place}", KEY, encode(event), PROPERTIES, mandatory=guarantee == "each")
            channel.close()
            return {"begun": begun, "ended": time.monotonic_ns()}

    def paced(self, place: str, count: int, rate: float) -> None:
        with pika.BlockingConnection(self.parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(f"{EXCHANGE}.{place}", KEY, encode(first()), PROPERTIES)
            for event in paced(rate, count):
                channel.basic_publish(f"{EXCHANGE}.{place}", KEY, encode(event), PROPERTIES, mandatory=True)

    def consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        tally = Tally(count)

        def handle(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            all_here = tally.note(decode(body))
            channel.basic_ack(method.delivery_tag)
            if all_here:
                channel.stop_consuming()

        with pika.BlockingConnection(self.parameters) as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=WINDOW)
            channel.basic_consume(place, handle)
            ready()
            channel.start_consuming()
        return tally.answer()


class _Pipelined:
    def __init__(self, parameters: Any, place: str, count: int) -> None:
        self.events, self.place, self.count = orders(count), place, count
        self.sent = self.begun = self.ended = 0
        self.settled = -1
        self.connection = pika.SelectConnection(parameters, on_open_callback=self._opened, on_close_callback=self._closed)

    def _opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._channel)

    def _channel(self, channel: Any) -> None:
        self.channel = channel
        channel.confirm_delivery(self._settled, callback=self._begin)

    def _begin(self, frame: Any) -> None:
        self._send(first())

    def _send(self, event: Any) -> None:
        self.channel.basic_publish(f"{EXCHANGE}.{self.place}", KEY, encode(event), PROPERTIES, mandatory=True)

    def _fill(self) -> None:
        while self.sent < self.count and self.sent - self.settled < WINDOW:
            self._send(next(self.events))
            self.sent += 1

    def _settled(self, frame: Any) -> None:
        method = frame.method
        self.begun = self.begun or time.monotonic_ns()  # with the first one's confirm
        self.settled = method.delivery_tag - 1 if method.multiple else self.settled + 1
        if self.settled >= self.count:
            self.ended = time.monotonic_ns()
            self.connection.close()
        else:
            self._fill()

    def _closed(self, connection: Any, reason: object) -> None:
        connection.ioloop.stop()

    def run(self) -> dict[str, int]:
        self.connection.ioloop.start()
        return {"begun": self.begun, "ended": self.ended}
