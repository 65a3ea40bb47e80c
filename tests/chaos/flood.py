"""CHECK R10: a producer that is ten times as fast as its consumer, in a process of its own, whose memory is measured."""

from __future__ import annotations

import gc
import time
import tracemalloc
from contextlib import contextmanager

from edakit import App, Bus, Component
from tests.shop_language import CartItemAdded

PREFETCH = 2
RATE = 1000
"""How fast the producer is where only the broker's disk is the limit [1/s]."""
BOUND = 50
"""How many events wait at most on memory://, which has no disk."""


def slow_component(takes, **options):
    """Return a component whose four workers take *takes* [s] an event, and may have PREFETCH of them at a time; and what it handled."""
    slow, handled = Component("mail", prefetch=PREFETCH, concurrency=4, **options), []

    @slow.on(CartItemAdded)
    def handle(event, context):
        time.sleep(takes)
        handled.append(event.cart_id)

    return slow, handled


@contextmanager
def measured(app):
    """Serve in the background; yield where to find the memory that the block takes [bytes]."""
    taken = []
    with app:
        app.publish(CartItemAdded(cart_id="warm"))
        app.wait_until_idle(60)
        gc.collect()
        tracemalloc.start()
        yield taken
        taken.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()


def in_flight(app):
    """Return what counts the events that the consumer has and has not acked, as the broker sees it where it can be asked."""
    subscription = app._running.servers["mail"].subscription
    if app.bus.address.scheme == "sqlite":
        return lambda: app.bus.link.file.read("SELECT count(*) FROM message WHERE consumer > 0")[0][0]
    if app.bus.address.scheme == "amqp":
        return lambda: len(subscription.stock.acks)
    return lambda: subscription.in_flight


def fill_the_broker(telling, url, seconds):
    """Publish RATE events a second for *seconds* [s], fifty at a time, and until one was handled and on Kafka partitions are paused; tell what was seen."""
    slow, handled = slow_component(0.1)
    app, samples, number = App(slow, broker=url), [], 0
    with measured(app) as allocated:
        telling.send("ready")
        subscription, count, begin = app._running.servers["mail"].subscription, in_flight(app), time.monotonic()

        def to_come():
            return len(handled) == 1 or not getattr(subscription, "paused", True)

        while (now := time.monotonic()) < begin + seconds or (to_come() and now < begin + seconds + 30):
            app.publish_many(CartItemAdded(cart_id=str(number + each)) for each in range(50))
            number += 50
            samples.append((count(), len(subscription)))
            while time.monotonic() < begin + number / RATE:
                time.sleep(0.005)
                samples.append((count(), len(subscription)))
        done, paused = len(handled), bool(getattr(subscription, "paused", False))
    most, ahead = (max(each) for each in zip(*samples, strict=True))
    told = {"attempt": number, "applied": done, "in_flight": most, "ahead": ahead, "paused": paused, "allocated_mb": allocated[0] / 1e6}
    telling.send(told)


def wait_for_room(telling, url, seconds):
    """Publish as fast as a bounded queue lets for *seconds* [s]; tell what was seen."""
    slow, handled = slow_component(0.001, bound=BOUND, when_full="wait")
    app, samples, number = App(slow, broker=url), set(), 0

    def sample():
        with app.bus.link.broker.lock:
            backlog = app.backlog("mail")
            return app.bus.outstanding("mail") - backlog, backlog

    with measured(app) as allocated:
        telling.send("ready")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            app.publish(CartItemAdded(cart_id=str(number)))
            samples.add(sample())
            number += 1
        app.wait_until_idle(60)
    most, backlog = (max(each) for each in zip(*samples, strict=True))
    lost = number - len(set(handled) - {"warm"})
    told = {"attempt": number, "applied": len(handled) - 1, "lost": lost, "in_flight": most, "backlog": backlog, "allocated_mb": allocated[0] / 1e6}
    telling.send(told)


def take_all() -> None:
    """Switch off the limit of what a consumer takes, where the broker keeps it and where we do."""
    subscribe = Bus.subscribe
    Bus.subscribe = lambda self, component, prefetch: subscribe(self, component, 50 * prefetch)
