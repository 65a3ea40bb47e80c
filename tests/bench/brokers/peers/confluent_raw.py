"""confluent-kafka by hand: an idempotent producer with acks=all, a consumer that commits what it has handled."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, Producer

from tests.bench.brokers.event import KEY, WINDOW, Tally, decode, encode, first, orders, paced
from tests.bench.brokers.peers.topics import make_topic


class Peer:
    """*place* is a topic, and the consumer group that reads it."""

    def __init__(self, url: str) -> None:
        self.servers = url.removeprefix("kafka://")

    def declare(self, place: str) -> None:
        make_topic(self.servers, place)

    def _producer(self, guarantee: str) -> Producer:
        safe = {"acks": "all", "enable.idempotence": True} if guarantee != "none" else {"acks": 0}
        return Producer({"bootstrap.servers": self.servers, "linger.ms": 0, **safe})

    def publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        producer, reports = self._producer(guarantee), []

        def report(error: Any, record: Any) -> None:
            assert error is None
            reports.append(1)

        window = {"each": 1, "pipelined": WINDOW, "none": count}[guarantee]
        producer.produce(place, encode(first()))
        producer.flush()
        begun = time.monotonic_ns()
        for number, event in enumerate(orders(count), 1):
            producer.produce(place, encode(event), on_delivery=report, headers=[("ce_type", KEY)])
            while number - len(reports) >= window and producer.poll(1) >= 0:
                pass
            producer.poll(0)
        producer.flush()
        ended = time.monotonic_ns()
        assert len(reports) == count
        return {"begun": begun, "ended": ended}

    def paced(self, place: str, count: int, rate: float) -> None:
        producer = self._producer("each")
        producer.produce(place, encode(first()))
        producer.flush()
        for event in paced(rate, count):
            done: list[int] = []
            producer.produce(place, encode(event), on_delivery=lambda error, record, done=done: done.append(1), headers=[("ce_type", KEY)])
            while not done:
                producer.poll(1)

    def consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        tally, assigned = Tally(count), []
        settings = {"bootstrap.servers": self.servers, "group.id": place, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        consumer = Consumer(settings)
        consumer.subscribe([place], on_assign=lambda *_: assigned.append(1))
        while not assigned:
            for record in consumer.consume(0 if assigned else 1, 0.1):
                self._handle(record, tally)
        ready()
        begun = time.monotonic()
        while not tally.done.is_set() and time.monotonic() - begun < 60:
            records = consumer.consume(WINDOW, 0.01)
            for record in records:
                self._handle(record, tally)
            if records:
                consumer.commit(asynchronous=False)
        consumer.close()
        return tally.answer()

    def _handle(self, record: Any, tally: Tally) -> None:
        if record.error() is None:
            tally.note(decode(record.value()))
