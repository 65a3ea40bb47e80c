"""aio-pika on uvloop: `publish` awaited each, or WINDOW of them at a time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aio_pika

from tests.bench.brokers.event import EXCHANGE, KEY, QUORUM, WINDOW, Tally, decode, encode, first, orders, paced
from tests.bench.brokers.peers.loops import runner, windowed


def message(event: Any) -> aio_pika.Message:
    return aio_pika.Message(encode(event), content_type="application/json", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)


class Peer:
    def __init__(self, url: str) -> None:
        self.url, self.run = url, runner().run

    def declare(self, place: str) -> None:
        self.run(self._declare(place))

    async def _declare(self, place: str) -> None:
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange(f"{EXCHANGE}.{place}", "topic", durable=True)
            queue = await channel.declare_queue(place, durable=True, arguments=QUORUM)
            await queue.bind(exchange, KEY)

    def publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        return self.run(self._publish(place, count, guarantee))

    async def _publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel(publisher_confirms=guarantee != "none")
            exchange = await channel.get_exchange(f"{EXCHANGE}.{place}")
            await exchange.publish(message(first()), KEY)
            begun = time.monotonic_ns()
            if guarantee == "pipelined":
                await windowed(lambda event: exchange.publish(message(event), KEY), orders(count), WINDOW)
            else:
                for event in orders(count):
                    await exchange.publish(message(event), KEY, mandatory=guarantee == "each")
            await channel.close()
            return {"begun": begun, "ended": time.monotonic_ns()}

    def paced(self, place: str, count: int, rate: float) -> None:
        self.run(self._paced(place, count, rate))

    async def _paced(self, place: str, count: int, rate: float) -> None:
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(f"{EXCHANGE}.{place}")
            await exchange.publish(message(first()), KEY)
            for event in paced(rate, count):  # sleeps in this thread: nothing else is under way, and asyncio's sleep is a millisecond coarse
                await exchange.publish(message(event), KEY)

    def consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        return self.run(self._consume(place, count, ready))

    async def _consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        tally, done = Tally(count), asyncio.Event()
        tally.on_done = done.set

        async def handle(incoming: Any) -> None:
            tally.note(decode(incoming.body))
            await incoming.ack()

        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=WINDOW)
            queue = await channel.get_queue(place)
            tag = await queue.consume(handle)
            ready()
            await asyncio.wait_for(done.wait(), 60)
            await queue.cancel(tag)
        return tally.answer()
