"""Dramatiq: an actor, called by `send` and run by a worker with one thread."""

from __future__ import annotations

import os
import time
from typing import Any

from tests.bench.brokers.event import QUORUM, WINDOW, OrderPlaced, Tally, first, orders, paced

os.environ["dramatiq_queue_prefetch"] = str(WINDOW)  # noqa: SIM112 (its name; read when it is imported)

import dramatiq
import msgspec
from dramatiq.brokers.rabbitmq import RabbitmqBroker


class Quorum(RabbitmqBroker):
    """It has no option for the kind of its queues."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return super()._build_queue_arguments(queue_name) | QUORUM


class Peer:
    def __init__(self, url: str) -> None:
        self.url = url

    def _broker(self, place: str, *, confirms: bool = True, work: Any = lambda event: None) -> tuple[Any, Any]:
        broker = Quorum(url=self.url, confirm_delivery=confirms, middleware=[])

        def handle(event: dict[str, Any]) -> None:
            work(msgspec.convert(event, OrderPlaced))

        return broker, dramatiq.Actor(handle, broker=broker, actor_name="order.placed", queue_name=place, priority=0, options={})

    def declare(self, place: str) -> None:
        broker, _ = self._broker(place)
        broker.declare_queue(place, ensure=True)
        broker.close()

    def publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        broker, actor = self._broker(place, confirms=guarantee == "each")
        actor.send(msgspec.to_builtins(first()))
        begun = time.monotonic_ns()
        for event in orders(count):
            actor.send(msgspec.to_builtins(event))
        broker.close()  # after all that was sent before
        return {"begun": begun, "ended": time.monotonic_ns()}

    def paced(self, place: str, count: int, rate: float) -> None:
        broker, actor = self._broker(place)
        actor.send(msgspec.to_builtins(first()))
        for event in paced(rate, count):
            actor.send(msgspec.to_builtins(event))
        broker.close()

    def consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        tally = Tally(count)
        broker, _ = self._broker(place, work=tally.note)
        worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=100)
        worker.start()
        ready()
        tally.done.wait(60)
        worker.stop()
        broker.close()
        return tally.answer()
