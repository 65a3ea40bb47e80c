"""edakit as its users have it: an App, a typed event, a component in the background. Every publish is confirmed: there is no group without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from edakit import App, Component, Event
from tests.bench.brokers.event import WINDOW, Tally, first, orders, paced


class OrderPlaced(Event):
    """As in `event.py`."""

    order_id: str
    customer_id: str
    quantity: int
    total: int
    number: int
    due_ns: int
    note: str


class Peer:
    """*place* is a namespace, or a file where the broker is sqlite."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _app(self, place: str, *components: Component) -> App:
        # sync=full, so that an event survives a power cut too, as it does with the other's settings.
        return App(*components, broker=f"sqlite:///{place}?sync=full" if self.url == "sqlite" else f"{self.url}?namespace={place}", name="bench")

    def declare(self, place: str) -> None:
        component = Component("orders")
        component.on(OrderPlaced)(lambda event, context: None)
        app = self._app(place, component)
        assert app.bus.backlog("orders") >= 0
        app.close()

    def publish(self, place: str, count: int, guarantee: str) -> dict[str, int]:
        with self._app(place) as app:
            app.publish(first(OrderPlaced))
            begun = time.monotonic_ns()
            if guarantee == "each":
                for event in orders(count, OrderPlaced):
                    app.publish(event)
            else:
                app.publish_many(orders(count, OrderPlaced))
            return {"begun": begun, "ended": time.monotonic_ns()}

    def paced(self, place: str, count: int, rate: float) -> None:
        with self._app(place) as app:
            app.publish(first(OrderPlaced))
            for event in paced(rate, count, OrderPlaced):
                app.publish(event)

    def consume(self, place: str, count: int, ready: Any, *, block: bool = True) -> dict[str, Any]:
        tally, component = Tally(count), Component("orders", prefetch=WINDOW)
        component.on(OrderPlaced)(lambda event, context: tally.note(event))
        with nullcontext() if block else one_by_one(), self._app(place, component) as app:
            if self.url.startswith("kafka"):
                while not app._running.servers["orders"].subscription.caught_up:
                    time.sleep(0.01)
            ready()
            tally.done.wait(60)
        return tally.answer()


@contextmanager
def one_by_one() -> Iterator[None]:
    """Switch off what sends acks in blocks: each ack is a frame of its own, sent as soon as the thread comes to it."""
    from edakit.transports import rabbitmq_messages, rabbitmq_subscription  # noqa: PLC0415

    block, take = rabbitmq_subscription.BLOCK, rabbitmq_messages.Acks.take

    rabbitmq_subscription.BLOCK = 1
    rabbitmq_messages.Acks.take = _alone
    try:
        yield
    finally:
        rabbitmq_subscription.BLOCK, rabbitmq_messages.Acks.take = block, take


def _alone(acks: Any) -> list[tuple[int, bool]]:
    done = sorted(acks._done)
    for tag in done:
        del acks._open[tag]
    acks._done.clear()
    return [(tag, False) for tag in done]
