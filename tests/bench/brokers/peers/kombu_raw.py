"""kombu's pyamqp transport, by hand: Producer, Consumer, ack each."""

from __future__ import annotations

import time
from typing import Any

import kombu

from tests.bench.brokers.event import EXCHANGE, KEY, QUORUM, WINDOW, Tally, decode, encode, first, orders, paced


class Peer:
    def __init__(self, url: str) -> None:
        self.url = url

    def _queue(self, place: str) -> kombu.Queue:
        return kombu.Queue(place, kombu.Exchange(f"{EXCHANGE}.{place}", "topic", durable=True), KEY, durable=True, queue_arguments=QUORUM)

    def declare(self, place: str) -> None:
        with kombu.Connection(self.url) as connection:
            self._queue(place)(connection.default_channel).declare()

    def publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        with kombu.Connection(self.url, transport_options={"confirm_publish": guarantee == "each"}) as connection:
            channel = connection.channel()
            send = self._sender(channel, place)
            if guarantee == "pipelined":
                channel.confirm_select()
            send(first())
            begun = time.monotonic_ns()
            if guarantee == "pipelined":
                self._pipelined(connection, channel, send, count)
            else:
                for event in orders(count):
                    send(event)
                channel.close()  # the answer comes after all that was sent before
            return {"begun": begun, "ended": time.monotonic_ns()}

    def _sender(self, channel: Any, place: str) -> Any:
        producer = kombu.Producer(channel, self._queue(place).exchange, routing_key=KEY, auto_declare=False)
        options = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2, "mandatory": True}
        return lambda event: producer.publish(encode(event), **options)

    def _pipelined(self, connection: Any, channel: Any, send: Any, count: int) -> None:
        """Count confirms on the channel: kombu itself waits for each, or for none."""
        settled = -1  # the first one's confirm is not counted

        def ack(tag: int, multiple: object) -> None:
            nonlocal settled
            settled = tag - 1 if multiple else settled + 1

        channel.events["basic_ack"].add(ack)
        for number, event in enumerate(orders(count)):
            send(event)
            while number - settled >= WINDOW:
                connection.drain_events(timeout=10)
        while settled < count:
            connection.drain_events(timeout=10)

    def paced(self, place: str, count: int, rate: float) -> None:
        with kombu.Connection(self.url, transport_options={"confirm_publish": True}) as connection:
            send = self._sender(connection.channel(), place)
            send(first())
            for event in paced(rate, count):
                send(event)

    def consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        tally = Tally(count)

        def handle(message: Any) -> None:
            tally.note(decode(message.body))
            message.ack()

        with kombu.Connection(self.url) as connection:
            channel = connection.channel()
            with kombu.Consumer(channel, [self._queue(place)], on_message=handle, accept=["json"], prefetch_count=WINDOW):
                ready()
                while not tally.done.is_set():
                    connection.drain_events(timeout=10)
        return tally.answer()
