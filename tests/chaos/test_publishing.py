"""CHECKS R5 and R16 on every broker: who publishes is told of each failure by that very call, also among many threads, and after a fork."""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextlib import contextmanager

import pytest

from edakit import App, Bus
from edakit.errors import ForkedError, MessageTooLargeError, UnroutableEventError
from edakit.transports import rabbitmq_publisher
from tests.chaos.record import record, tell
from tests.conformance.helpers import added, queue
from tests.shop_language import CartItemAdded, OrderPlaced, recorder


@contextmanager
def threads(function, count):
    """Run *function* with each number below *count* in a thread of its own, beside the block; yield what they raise."""
    errors = []

    def run(number):
        try:
            function(number)
        except Exception as error:  # noqa: BLE001 (whatever it is, none is expected)
            errors.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in running:
        thread.start()
    yield errors
    for thread in running:
        thread.join()


def publish_with_failures(app, can):
    """Publish a thousand events, every tenth too large, or in turn unroutable where the broker can tell; return which failed and how, and the expected."""
    failed, expected = {}, {}
    for number in range(1000):
        event = CartItemAdded(cart_id=str(number))
        if number % 20 == 0 and can.must_route:
            event, expected[number] = OrderPlaced(order_id=str(number)), UnroutableEventError
        elif number % 10 == 0:
            event, expected[number] = CartItemAdded(cart_id=str(number) * 300_000), MessageTooLargeError
        try:
            app.publish(event, must_route=can.must_route)
        except (UnroutableEventError, MessageTooLargeError) as error:
            failed[number] = type(error)
    return failed, expected


def test_r5_every_failed_publish_is_raised_by_that_very_call(broker, make_app, can):
    mail, seen = recorder("mail")
    app = make_app(mail)
    failed, expected = publish_with_failures(app, can)
    app.run_until_idle()

    found = record(f"R5 {broker}", app, Counter(event.cart_id for event in seen), failed=len(failed), silent=len(expected.keys() - failed.keys()))
    assert failed == expected
    assert len(failed) == 100
    assert sorted(int(event.cart_id) for event in seen) == [number for number in range(1000) if number % 10]
    assert found["lost"] == found["double_applied"] == 0


@pytest.mark.needs("must_route")
def test_r5_holds_for_eight_threads_on_one_connection(broker, url):
    app, wrong, right = App(recorder("mail")[0], broker=url), [], Counter()

    def publish(thread):
        for number in range(100):
            event = OrderPlaced(order_id=f"{thread}-{number}") if number % 3 == 0 else CartItemAdded(cart_id=f"{thread}-{number}")
            try:
                app.publish(event, must_route=True)
                failed = False
            except UnroutableEventError:
                failed = True
            right[failed] += 1
            if failed != (number % 3 == 0):
                wrong.append((thread, number))

    app.bus.link  # noqa: B018 (opened before the threads)
    with threads(publish, 8) as errors:
        pass
    backlog = app.backlog("mail")
    app.close()

    tell(f"R5 {broker}, eight threads", attempt=800, confirmed=right[False], failed=right[True], silent=len(wrong))
    assert errors == wrong == []
    assert (right[True], right[False], backlog) == (8 * 34, 8 * 66, 8 * 66)


@pytest.mark.on("amqp")
def test_r5_finds_it_when_a_return_is_given_to_the_next_confirm(broker, make_app, monkeypatch):
    """What is switched off is the match of a return with its message: the newest in flight takes it, as where one waits for the next confirm."""

    def newest(self, error, exchange, key, message):
        list(self.sent.values())[-1].returned = True

    def outcomes():
        link = make_app(recorder("mail")[0]).bus.link
        return list(link.publish_many(("order.placed" if number % 10 == 0 else "cart.item.added", str(number).encode(), {}) for number in range(200)))

    with monkeypatch.context() as off:
        off.setattr(rabbitmq_publisher._Confirms, "_returned", newest)
        shifted = outcomes()
    exact = outcomes()

    right = [0 if number % 10 == 0 else None for number in range(200)]
    tell(f"R5 {broker}, a return is given to the next confirm", attempt=200, shifted=sum(one != other for one, other in zip(shifted, right, strict=True)))
    assert shifted != right
    assert exact == right


def test_r16_eight_threads_publish_and_four_consume_through_one_bus(broker, url):
    component, seen = recorder("mail", concurrency=4)

    def publish(thread):
        for number in range(250):
            app.publish(CartItemAdded(cart_id=f"{thread}-{number}"))

    with App(component, broker=url) as app:
        app.bus.link  # noqa: B018 (opened before the threads)
        with threads(publish, 8) as errors:
            pass
        app.wait_until_idle(60)

        applied = Counter(event.cart_id for event in seen)
        found = record(f"R16 {broker}", app, applied, errors=len(errors))
        assert errors == app._running.servers["mail"].errors == []
    assert applied == Counter(f"{thread}-{number}" for thread in range(8) for number in range(250))
    assert found["lost"] == found["double_applied"] == found["duplicated_delivery"] == 0


def told_after_a_fork(url):
    """Return what a child process is told that uses its parent's bus; the parent goes on with it."""
    bus = Bus(url)
    queue(bus)
    bus.publish(added(0))
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            bus.link.publish("cart.item.added", b"{}", {})
        except ForkedError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    bus.publish(added(1))
    bus.close()
    with os.fdopen(reading) as told:
        return told.read()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.needs("processes")
def test_r16_who_uses_a_bus_after_a_fork_is_told(broker, url):
    assert "was opened by process" in told_after_a_fork(url)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.on("sqlite")
def test_r16_finds_it_when_a_bus_does_not_know_its_process(broker, url, monkeypatch):
    ours = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: ours)

    assert told_after_a_fork(url) == ""
