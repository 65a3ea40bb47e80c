"""FastStream on RabbitMQ as its own benchmarks have it: msgspec without wrapped errors, no logger; with uvloop, which its command line uses."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fast_depends.msgspec import MsgSpecSerializer
from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue

from tests.bench.brokers.event import EXCHANGE, KEY, WINDOW, OrderPlaced, Tally, first, orders, paced
from tests.bench.brokers.peers.loops import runner, windowed

WORKERS = 1


class Peer:
    def __init__(self, url: str) -> None:
        self.url, self.run = url, runner().run

    def _broker(self, *, confirms: bool = True) -> RabbitBroker:
        channel = Channel(prefetch_count=WINDOW, publisher_confirms=confirms)
        return RabbitBroker(self.url, logger=None, serializer=MsgSpecSerializer(use_fastdepends_errors=False), default_channel=channel)

    def _places(self, place: str) -> tuple[RabbitQueue, RabbitExchange]:
        queue = RabbitQueue(place, queue_type=QueueType.QUORUM, durable=True, routing_key=KEY)
        return queue, RabbitExchange(f"{EXCHANGE}.{place}", type=ExchangeType.TOPIC, durable=True)

    def declare(self, place: str) -> None:
        self.run(self._declare(place))

    async def _declare(self, place: str) -> None:
        queue, exchange = self._places(place)
        async with self._broker() as broker:
            made = await broker.declare_queue(queue)
            await made.bind(await broker.declare_exchange(exchange), KEY)

    def publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        return self.run(self._publish(place, count, guarantee))

    async def _publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        _, exchange = self._places(place)
        broker = self._broker(confirms=guarantee != "none")
        await broker.start()
        await broker.declare_exchange(exchange)
        await broker.publish(first(), routing_key=KEY, exchange=exchange, persist=True)
        begun = time.monotonic_ns()
        if guarantee == "pipelined":
            await windowed(lambda event: broker.publish(event, routing_key=KEY, exchange=exchange, persist=True), orders(count), WINDOW)
        else:
            for event in orders(count):
                await broker.publish(event, routing_key=KEY, exchange=exchange, persist=True, mandatory=guarantee == "each")
        if guarantee == "none":
            await broker.stop()  # after all that was sent before
        ended = time.monotonic_ns()
        await broker.stop()
        return {"begun": begun, "ended": ended}

    def paced(self, place: str, count: int, rate: float) -> None:
        self.run(self._paced(place, count, rate))

    async def _paced(self, place: str, count: int, rate: float) -> None:
        _, exchange = self._places(place)
        async with self._broker() as broker:
            await broker.declare_exchange(exchange)
            await broker.publish(first(), routing_key=KEY, exchange=exchange, persist=True)
            for event in paced(rate, count):  # sleeps in this thread: nothing else is under way, and asyncio's sleep is a millisecond coarse
                await broker.publish(event, routing_key=KEY, exchange=exchange, persist=True)

    def consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        return self.run(self._consume(place, count, ready))

    async def _consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        tally, done = Tally(count), asyncio.Event()
        tally.on_done = done.set
        queue, exchange = self._places(place)
        broker = self._broker()

        @broker.subscriber(queue, exchange, ack_policy=AckPolicy.REJECT_ON_ERROR)
        async def handle(event: OrderPlaced) -> None:
            tally.note(event)

        await broker.start()
        ready()
        await asyncio.wait_for(done.wait(), 60)
        await broker.stop()
        return tally.answer()
