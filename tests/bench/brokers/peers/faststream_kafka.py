"""What FastStream's two brokers for Kafka have in common: msgspec without wrapped errors, no logger, uvloop, an idempotent producer with acks=all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from fast_depends.msgspec import MsgSpecSerializer
from faststream import AckPolicy

from tests.bench.brokers.event import WINDOW, OrderPlaced, Tally, first, orders, paced
from tests.bench.brokers.peers.loops import runner, windowed
from tests.bench.brokers.peers.topics import make_topic

JOINING = 2.0
"""Until then it has joined its consumer group, of which it does not tell [s]."""


class FastStreamKafka:
    """*place* is a topic, and the consumer group that reads it."""

    broker_class: Any
    options: Mapping[str, Any] = {}

    def __init__(self, url: str) -> None:
        self.servers, self.run = url.removeprefix("kafka://"), runner().run

    def _broker(self, guarantee: str) -> Any:
        safe = {"acks": "all", "enable_idempotence": True} if guarantee != "none" else {"acks": 0}
        return self.broker_class(self.servers, logger=None, serializer=MsgSpecSerializer(use_fastdepends_errors=False), **safe, **self.options)

    def declare(self, place: str) -> None:
        make_topic(self.servers, place)

    def publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        return self.run(self._publish(place, count, guarantee))

    async def _publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        async with self._broker(guarantee) as broker:
            await broker.publish(first(), place)
            begun = time.monotonic_ns()
            if guarantee == "pipelined":
                await windowed(lambda event: broker.publish(event, place), orders(count), WINDOW)
            elif guarantee == "batches":
                events = orders(count)
                while batch := list(islice(events, WINDOW)):
                    await broker.publish_batch(*batch, topic=place)
            else:
                for event in orders(count):
                    await broker.publish(event, place, no_confirm=guarantee == "none")
            await self.flush(broker)
            return {"begun": begun, "ended": time.monotonic_ns()}

    async def flush(self, broker: Any) -> None:
        """Send what waits."""
        raise NotImplementedError

    def paced(self, place: str, count: int, rate: float) -> None:
        self.run(self._paced(place, count, rate))

    async def _paced(self, place: str, count: int, rate: float) -> None:
        async with self._broker("each") as broker:
            await broker.publish(first(), place)
            for event in paced(rate, count):  # sleeps in this thread: nothing else is under way, and asyncio's sleep is a millisecond coarse
                await broker.publish(event, place)

    def consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        return self.run(self._consume(place, count, ready))

    async def _consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        tally, done = Tally(count), asyncio.Event()
        tally.on_done = done.set
        broker = self._broker("each")

        # In batches, each committed when it is handled: the fastest that is as safe.
        @broker.subscriber(place, group_id=place, auto_offset_reset="earliest", batch=True, max_records=WINDOW, ack_policy=AckPolicy.ACK)
        async def handle(events: list[OrderPlaced]) -> None:
            for event in events:
                tally.note(event)

        await broker.start()
        await asyncio.sleep(JOINING)
        ready()
        await asyncio.wait_for(done.wait(), 60)
        await broker.stop()
        return tally.answer()
