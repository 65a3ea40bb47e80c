"""Celery: a task, called by `delay` and run by a worker of the solo pool, without results, events, gossip and remote control; acks come after the work."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import celery
import kombu
import msgspec

from tests.bench.brokers.event import EXCHANGE, QUORUM, WINDOW, OrderPlaced, Tally, first, orders, paced


class Peer:
    def __init__(self, url: str) -> None:
        self.url = url

    def _app(self, place: str, *, confirms: bool = True, work: Any = lambda event: None) -> tuple[Any, Any]:
        app = celery.Celery("bench", broker=self.url)
        exchange = kombu.Exchange(f"{EXCHANGE}.{place}", "topic", durable=True)
        app.conf.update(
            task_ignore_result=True,
            task_acks_late=True,
            task_queues=[kombu.Queue(place, exchange, place, durable=True, queue_arguments=QUORUM)],
            task_default_queue=place,
            task_default_exchange=exchange.name,
            task_default_routing_key=place,
            broker_transport_options={"confirm_publish": confirms},
            broker_connection_retry_on_startup=True,
            worker_prefetch_multiplier=WINDOW,
            worker_enable_remote_control=False,
            worker_hijack_root_logger=False,
        )

        @app.task(name="order.placed")
        def handle(event: dict[str, Any]) -> None:
            work(msgspec.convert(event, OrderPlaced))

        return app, handle

    def declare(self, place: str) -> None:
        app, _ = self._app(place)
        with app.connection_for_write() as connection:
            app.amqp.queues[place](connection.default_channel).declare()

    def publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        app, task = self._app(place, confirms=guarantee == "each")
        with app.producer_pool.acquire(block=True) as producer:
            task.apply_async((msgspec.to_builtins(first()),), producer=producer)
            begun = time.monotonic_ns()
            for event in orders(count):
                task.apply_async((msgspec.to_builtins(event),), producer=producer)
            producer.channel.close()  # the answer comes after all that was sent before
            ended = time.monotonic_ns()
        app.close()
        return {"begun": begun, "ended": ended}

    def paced(self, place: str, count: int, rate: float) -> None:
        app, task = self._app(place)
        with app.producer_pool.acquire(block=True) as producer:
            task.apply_async((msgspec.to_builtins(first()),), producer=producer)
            for event in paced(rate, count):
                task.apply_async((msgspec.to_builtins(event),), producer=producer)
        app.close()

    def consume(self, place: str, count: int, ready: Any) -> dict[str, Any]:
        """Work in a child: a worker ends with its process."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                self._work(place, count, ready, writing)
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            found = answer.read()
        os.waitpid(child, 0)
        return msgspec.json.decode(found)

    def _work(self, place: str, count: int, ready: Any, answer: int) -> None:
        tally = Tally(count)
        app, _ = self._app(place, work=tally.note)
        celery.signals.worker_ready.connect(lambda **_: ready(), weak=False)

        def stop() -> None:
            tally.done.wait(60)
            os.kill(os.getpid(), signal.SIGTERM)  # a warm shutdown: what is done is acked

        threading.Thread(target=stop, daemon=True).start()
        try:
            app.worker_main(["worker", "--pool=solo", "--concurrency=1", "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"])
        finally:
            os.write(answer, msgspec.json.encode(tally.answer()))
            os.close(answer)
