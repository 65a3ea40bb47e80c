"""CHECKS R1, R3 to R10, R16, S1, S2 and S4 on amqp://, with a real RabbitMQ that is really killed."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import time
import tracemalloc
import uuid
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edakit import App, Backoff, Bus, Component
from edakit.brokers import start
from edakit.errors import BrokerError, ForkedError, MessageTooLargeError, PermissionDeniedError, UncertainError, UnroutableEventError
from edakit.faults_proxy import Proxy
from edakit.transports import rabbitmq_publisher
from edakit.transports.link import EXCHANGE
from edakit.transports.rabbitmq_messages import Acks
from edakit.transports.rabbitmq_publisher import Publisher
from tests.chaos import test_memory as memory
from tests.chaos.cart_process import Effects, consumer
from tests.chaos.record import FULL, record
from tests.chaos.test_sqlite import BOTH, printed, process
from tests.conformance.helpers import added, queue, until
from tests.real_brokers import require_installed
from tests.shop_language import CartItemAdded, OrderPlaced, recorder


def fresh(url):
    return f"{url}?namespace=t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def url(rabbitmq):
    return fresh(rabbitmq)


@pytest.fixture(autouse=True)
def on_rabbitmq(request, monkeypatch):
    if "node" not in request.fixturenames:
        monkeypatch.setenv("EDAKIT_BROKER", request.getfixturevalue("url"))


@pytest.fixture(scope="module")
def node():
    """A RabbitMQ of this module's own, to be ill-treated."""
    require_installed("rabbitmq")
    with start("rabbitmq") as running:
        yield running


@contextmanager
def through_a_proxy(url):
    """Yield a proxy and the address that leads through it."""
    parts = urlsplit(url)
    with Proxy(parts.hostname, parts.port) as proxy:
        yield proxy, url.replace(f":{parts.port}", f":{proxy.port}")


# As on memory://, to the letter.
test_s1_nothing_that_arrives_is_executed = memory.test_s1_nothing_that_arrives_is_executed


def test_s1_kombus_own_producer_cannot_smuggle_a_pickle_in():
    memory.test_s1_kombus_own_producer_cannot_smuggle_a_pickle_in()


def test_s2_bombs_and_giants_are_refused_before_they_are_decoded():
    memory.test_s2_bombs_and_giants_are_refused_before_they_are_decoded()


def test_r6_three_subscribers_are_isolated():
    memory.test_r6_three_subscribers_are_isolated("wall")


def on_one_connection():
    """Return a `publish_raw` that keeps its connection: each has a buffer of 128 KiB, and a thousand of them are not what R7 measures."""
    channels = {}

    def publish_raw(app, body, properties, key="cart.item.added"):
        channel = channels.get(app) or channels.setdefault(app, app.bus.connect().channel())
        message = channel.prepare_message(body, None, properties["content_type"], properties["content_encoding"], properties["headers"], None)
        channel.basic_publish(message, EXCHANGE, key)

    return publish_raw


@pytest.mark.parametrize("order", [None, "per key"])
def test_r7_malformed_messages_are_dead_lettered_among_good_ones(order, monkeypatch):
    monkeypatch.setattr(memory, "publish_raw", on_one_connection())
    memory.test_r7_malformed_messages_are_dead_lettered_among_good_ones("wall", order)


def flow(bus, confirmed, *, size, seconds):
    """Publish *size* events in about *seconds* [s]; note the id of each that was confirmed."""
    begin = time.monotonic()
    for number in range(size):
        confirmed.add(bus.publish(CartItemAdded(cart_id=str(number % 100), product_id=str(number))).id)
        time.sleep(max(0.0, begin + seconds * number / size - time.monotonic()))


def kill_consumers(url, tmp_path, *, size, kills, seconds):
    """Let *size* events flow to a consumer that is killed *kills* times; return bus, ids and effects."""
    effects, confirmed, bus = Effects(str(tmp_path / "effects.db")), set(), Bus(url)
    bus.declare(consumer(effects))
    flowing = threading.Thread(target=flow, args=(bus, confirmed), kwargs={"size": size, "seconds": seconds})
    flowing.start()
    for kill in range(kills):
        with process("consume", url, tmp_path / "effects.db") as running:
            until(lambda kill=kill: effects.one("SELECT count(*) FROM applied") >= (kill + 1) * size // (kills + 2), 60)
            running.kill()
    flowing.join()
    return bus, confirmed, effects


def test_r1_a_consumer_that_is_killed_again_and_again_loses_nothing_and_applies_nothing_twice(url, tmp_path):
    size, kills = (100_000, 50) if FULL else (10_000, 10)
    bus, confirmed, effects = kill_consumers(url, tmp_path, size=size, kills=kills, seconds=size / 2000)
    with process("consume", url, tmp_path / "effects.db"):
        until(lambda: len(effects.ids()) >= len(confirmed), 60)
    bus.close()

    found = printed("R1 amqp", confirmed, effects, crashed=kills)
    assert (found["confirmed"], found["lost"], found["double_applied"]) == (size, 0, 0)
    assert found["duplicated_delivery"] > 0, "the check met what it is about: events that were handled, killed before their ack, and came again"


class AcksOnArrival(Acks):
    """What the guarantee rests on, switched off: an event is acked when it comes."""

    def came(self, tag):
        super().came(tag)
        self._done.add(tag)

    def finished(self, tag):
        pass


def test_r1_finds_it_when_events_are_acked_before_the_work(url, tmp_path, monkeypatch):
    effects = Effects(str(tmp_path / "effects.db"))
    monkeypatch.setattr("edakit.transports.rabbitmq_messages.Acks", AcksOnArrival)
    app = App(consumer(effects, pause=0.001), broker=url).start()
    confirmed = {receipt.id for receipt in app.bus.publish_many(added(number) for number in range(1000))}
    until(lambda: len(effects.ids()) >= 200)
    app.close()
    monkeypatch.undo()
    with App(consumer(effects), broker=url) as app:
        app.wait_until_idle()

    assert printed("R1 amqp, acked on arrival", confirmed, effects)["lost"] > 0


def under_load(url, tmp_path, harm, *, rate=500):
    """Publish *rate* events a second [1/s] and consume them in this process, while *harm* does its worst; return what `printed` tells."""
    effects, confirmed, uncertain, over = Effects(str(tmp_path / "effects.db")), set(), [], threading.Event()
    app = App(consumer(effects), broker=url).start()
    app.bus.link  # noqa: B018 (opened before the harm)

    def produce():
        number, begin = 0, time.monotonic()
        while not over.is_set():
            try:
                confirmed.add(app.publish(CartItemAdded(cart_id=str(number % 100), product_id=str(number))).id)
            except BrokerError as error:
                uncertain.append(error)
            number += 1
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))

    producing = threading.Thread(target=produce)
    producing.start()
    until(lambda: len(effects.ids()) > 100)
    recovery = harm(effects, confirmed, app)
    over.set()
    producing.join()
    app.wait_until_idle(60)
    app.close()
    return effects, confirmed, uncertain, recovery


def recovered(effects, confirmed):
    """Return how long it takes from now until an event that is published from now on is confirmed and applied [s]."""
    begin, known = time.monotonic(), set(confirmed)
    until(lambda: (set(confirmed) - known) & effects.ids(), 30)
    return time.monotonic() - begin


def test_r3_a_broker_that_is_restarted_loses_nothing_and_both_sides_work_again(node, tmp_path):
    def harm(effects, confirmed, app):
        took = []
        # A queue that is a second old when RabbitMQ 3.10 is killed may never find its leader again (rabbitmq-server#10070).
        time.sleep(3)
        for restart in range(5 if FULL else 2):
            node.restart(kill=restart % 2 == 0)
            took.append(recovered(effects, confirmed))
            time.sleep(1)
        return max(took)

    effects, confirmed, uncertain, recovery = under_load(fresh(node.url), tmp_path, harm)

    found = printed("R3 amqp", confirmed, effects, uncertain=len(uncertain), recovery_s=round(recovery, 2))
    assert (found["lost"], found["double_applied"]) == (0, 0)
    assert recovery < 10


@pytest.mark.parametrize("harm", ["cut", "delay", "slice"])
def test_r4_a_bad_line_loses_nothing(url, tmp_path, harm):
    with through_a_proxy(url) as (proxy, address):

        def worst(effects, confirmed, app):
            if harm == "cut":
                for _ in range(10):
                    proxy.cut()
                    time.sleep(0.3)
            elif harm == "delay":
                proxy.delay = 2.0
                time.sleep(6)
            else:
                proxy.slice = 1
                time.sleep(2)
            proxy.heal()
            return recovered(effects, confirmed)

        effects, confirmed, uncertain, recovery = under_load(address, tmp_path, worst, rate=100 if harm == "slice" else 500)
        connections = proxy.accepted

    found = printed(f"R4 amqp, {harm}", confirmed, effects, uncertain=len(uncertain), recovery_s=round(recovery, 2), connections=connections)
    assert (found["lost"], found["double_applied"]) == (0, 0)
    assert (connections > 10) == (harm == "cut")


def test_r4_a_half_open_line_is_noticed_and_loses_nothing(url, tmp_path):
    noticed = []
    with through_a_proxy(url) as (proxy, address):

        def fall_silent(effects, confirmed, app):
            stock, begin, before = app._running.servers["carts"].subscription.stock, time.monotonic(), proxy.accepted
            proxy.fall_silent()
            until(lambda: proxy.accepted > before, 15)
            noticed.append(time.monotonic() - begin)
            until(lambda: stock.epoch > 1, 35)
            noticed.append(time.monotonic() - begin)
            proxy.heal()
            return recovered(effects, confirmed)

        effects, confirmed, uncertain, recovery = under_load(address, tmp_path, fall_silent)

    found = printed(
        "R4 amqp, half-open", confirmed, effects, uncertain=len(uncertain), recovery_s=round(recovery, 2), noticed_s=[round(each, 1) for each in noticed]
    )
    assert (found["lost"], found["double_applied"]) == (0, 0)
    assert noticed[0] < 15, "the publisher waits no longer for a confirm"
    assert noticed[1] < 30, "the subscription misses two heartbeats"


def test_r4_finds_it_when_what_was_in_flight_is_not_sent_again(url, tmp_path, monkeypatch):
    def forget(self, parcel, deadline):
        parcel.outcome = rabbitmq_publisher.TAKEN

    monkeypatch.setattr(Publisher, "_again", forget)
    with through_a_proxy(url) as (proxy, address):

        def cut(effects, confirmed, app):
            for _ in range(20):
                proxy.cut()
                time.sleep(0.1)
            return recovered(effects, confirmed)

        effects, confirmed, uncertain, _ = under_load(address, tmp_path, cut, rate=2000)

    assert printed("R4 amqp, nothing sent again", confirmed, effects, uncertain=len(uncertain))["lost"] > 0


def publish_with_failures(app):
    """Publish a thousand events, every tenth unroutable or too large; return which failed, and how."""
    failed = {}
    for number in range(1000):
        larger = 300_000 if number % 20 == 10 else 1
        event = CartItemAdded(cart_id=str(number) * larger) if number % 20 else OrderPlaced(order_id=str(number))
        try:
            app.publish(event, must_route=True)
        except (UnroutableEventError, MessageTooLargeError) as error:
            failed[number] = type(error)
    return failed


EXPECTED = {number: MessageTooLargeError if number % 20 else UnroutableEventError for number in range(0, 1000, 10)}


def test_r5_every_failed_publish_is_raised_by_that_very_call():
    mail, seen = recorder("mail")
    app = App(mail)
    failed = publish_with_failures(app)
    app.run_until_idle()

    found = record("R5 amqp", app, Counter(event.cart_id for event in seen), failed=len(failed), lost=None)
    app.close()
    assert failed == EXPECTED
    assert sorted(int(event.cart_id) for event in seen) == [number for number in range(1000) if number % 10]
    assert found["double_applied"] == 0


def test_r5_holds_for_eight_threads_on_one_connection(url):
    app, wrong, right = App(recorder("mail")[0]), [], Counter()

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
    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    backlog = app.backlog("mail")
    app.close()

    assert wrong == []
    assert (right[True], right[False], backlog) == (8 * 34, 8 * 66, 8 * 66)


def test_r5_finds_it_when_a_return_is_given_to_the_next_confirm(monkeypatch):
    """What is switched off is the match of a return with its message: the newest in flight takes it, as where one waits for the next confirm."""

    def newest(self, error, exchange, key, message):
        list(self.sent.values())[-1].returned = True

    def outcomes():
        app = App(recorder("mail")[0])
        link = app.bus.link
        found = list(link.publish_many(("order.placed" if number % 10 == 0 else "cart.item.added", str(number).encode(), {}) for number in range(200)))
        app.close()
        return found

    with monkeypatch.context() as off:
        off.setattr(rabbitmq_publisher._Confirms, "_returned", newest)
        shifted = outcomes()
    exact = outcomes()

    right = [0 if number % 10 == 0 else None for number in range(200)]
    assert shifted != right
    assert exact == right


def test_r5_and_s4_a_user_without_a_right_is_told_by_that_very_call_in_five_seconds(node):
    name = f"v{uuid.uuid4().hex[:8]}"
    node.add_vhost(name)
    owner = Bus(node.url_for("edakit", node.state.password, name))
    owner.declare(recorder("mail")[0])
    node.add_user(f"reader-{name}", "s3cret-word")
    node.allow(f"reader-{name}", vhost=name, configure="^edakit$", write="^$", read=".*")
    bus = Bus(node.url_for(f"reader-{name}", "s3cret-word", name))
    begin, errors = time.monotonic(), []
    for use in (
        lambda: bus.publish(added(1)),
        lambda: bus.publish_many(added(number) for number in range(20)),
        lambda: bus.declare(recorder("other")[0]),
        lambda: bus.link.put("mail", type("M", (), {"body": b"", "properties": {}, "content_type": None, "content_encoding": None}), {}),
    ):
        with pytest.raises(PermissionDeniedError) as caught:
            use()
        errors.append(str(caught.value))
    node.allow(f"reader-{name}", vhost=name, configure="^edakit$", write=".*", read="^$")
    with pytest.raises(PermissionDeniedError, match="queue 'mail'"):
        bus.subscribe("mail", 1)
    took = time.monotonic() - begin
    backlog = owner.backlog("mail")
    bus.close()
    owner.close()

    assert all(f"reader-{name}" in error and ("exchange" in error or "queue" in error) and "s3cret" not in error for error in errors)
    assert backlog == 0, "nothing of it was done"
    assert took < 20


def test_r5_a_dead_broker_is_told_in_fifteen_seconds_and_nothing_is_lost(node):
    url = fresh(node.url)
    mail, seen = recorder("mail")
    app = App(mail, broker=url)
    app.publish(CartItemAdded(cart_id="before"))
    node.stop()
    began = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        app.publish(CartItemAdded(cart_id="while"))
    told = time.monotonic() - began
    with pytest.raises(BrokerError, match="does not answer"):
        Bus(url)
    node.start()
    app.publish(CartItemAdded(cart_id="after"))
    app.run_until_idle()
    app.close()

    print(json.dumps({"check": "R5 amqp, dead broker", "told_s": round(told, 1)}))
    assert told < 15
    assert "start it" in str(caught.value) or "publish it again" in str(caught.value)
    assert {"before", "after"} <= {event.cart_id for event in seen} <= {"before", "while", "after"}


def test_a_blocked_broker_is_told_in_fifteen_seconds_and_takes_messages_again(node, monkeypatch):
    app = App(recorder("mail")[0], broker=fresh(node.url))
    app.publish(CartItemAdded(cart_id="0"))
    node.control("set_vm_memory_high_watermark", "0.000001")
    try:
        begin = time.monotonic()
        with pytest.raises(UncertainError, match="memory or disk"):
            app.publish(CartItemAdded(cart_id="1"))
        told = time.monotonic() - begin
        monkeypatch.setattr(rabbitmq_publisher, "TRYING", 1.0)
        with pytest.raises(BrokerError, match="memory or disk"):
            app.publish(CartItemAdded(cart_id="2"))
    finally:
        node.control("set_vm_memory_high_watermark", "0.6")
    app.publish(CartItemAdded(cart_id="3"))
    app.close()

    assert told < 15


def test_r8_an_event_that_always_fails_is_tried_exactly_so_often_and_harms_no_neighbour():
    def trial(poisoned):
        tries, waits, cured = Counter(), [], []
        component = Component("mail", max_attempts=4, prefetch=20, backoff=Backoff(base=0.2, cap=1.0))

        @component.on(CartItemAdded)
        def handle(event, context):
            tries[event.cart_id] += 1
            if int(event.cart_id) in poisoned and not cured:
                raise ValueError("always")

        app = App(component, seed=8)
        due = time.monotonic()
        app.start()
        for number in range(600):
            app.publish(CartItemAdded(cart_id=str(number)))
            due += 0.005
            time.sleep(max(0.0, due - time.monotonic()))
        app.wait_until_idle(30)
        published = {row.event: (number, row.published_at) for number, row in enumerate(app.trace.publications)}
        for row in app.trace.deliveries:
            number, at = published[row.event]
            if row.outcome == "handled" and number not in poisoned:
                waits.append(row.done_at - at)
        letters = app.dead_letters("mail")
        cured.append(True)
        assert app.redrive("mail") == len(poisoned)
        app.wait_until_idle(30)
        assert app.dead_letters("mail") == []
        app.close()
        return sorted(waits)[int(0.95 * len(waits))] / 1e6, tries, letters

    poisoned = frozenset(range(0, 600, 10))
    calm, _, none = trial(frozenset())
    troubled, tries, letters = trial(poisoned)

    print(json.dumps({"check": "R8 amqp", "p95_calm_ms": round(calm, 2), "p95_troubled_ms": round(troubled, 2), "dead": len(letters)}))
    assert none == []
    assert (len(letters), {letter.attempts for letter in letters}) == (60, {4})
    assert all(tries[str(number)] == (5 if number in poisoned else 1) for number in range(600))
    assert troubled < max(2 * calm, 20), "events that wait for their next attempt hold up no others"


@BOTH
def test_r9_a_consumer_that_is_asked_to_stop_does_so_and_leaves_nothing_behind(url, tmp_path):
    effects, confirmed, took = Effects(str(tmp_path / "effects.db")), set(), []
    bus, over = Bus(url), threading.Event()
    bus.declare(consumer(effects))

    def produce():
        while not over.is_set():
            confirmed.update(receipt.id for receipt in bus.publish_many(added(number) for number in range(20)))
            time.sleep(0.02)

    flowing = threading.Thread(target=produce)
    flowing.start()
    for stop in range(30 if FULL else 5):
        with process("consume", url, tmp_path / "effects.db", 0.001) as running:
            time.sleep(0.3)
            begin = time.monotonic()
            running.send_signal(signal.SIGINT if stop % 2 else signal.SIGTERM)
            assert running.wait(5) == 0
            took.append(time.monotonic() - begin)
    over.set()
    flowing.join()
    bus.close()
    before = threading.active_count(), sockets()
    with App(consumer(effects), broker=url) as app:
        app.wait_until_idle(60)

    found = printed("R9 amqp", confirmed, effects, stopped_s=round(max(took), 2))
    assert (found["lost"], found["double_applied"], found["duplicated_delivery"]) == (0, 0, 0)
    assert (threading.active_count(), sockets()) == before


def sockets():
    gc.collect()
    folder = Path("/proc/self/fd")
    if not folder.is_dir():  # only Linux tells
        return 0
    return sum(str(each.readlink()).startswith("socket:") for each in list(folder.iterdir()) if each.is_symlink())


def test_r10_a_producer_ten_times_as_fast_fills_the_broker_and_not_the_memory(url):
    slow, handled = Component("mail", prefetch=10, concurrency=2), []

    @slow.on(CartItemAdded)
    def handle(event, context):
        time.sleep(0.1)
        handled.append(event.cart_id)

    seconds, samples = 60 if FULL else 10, []
    with App(slow, broker=url) as app:
        app.publish(CartItemAdded(cart_id="warm"))
        app.wait_until_idle()
        stock = app._running.servers["mail"].subscription.stock
        gc.collect()
        tracemalloc.start()
        begin, number = time.monotonic(), 0
        while time.monotonic() < begin + seconds:
            app.publish(CartItemAdded(cart_id=str(number)))
            number += 1
            samples.append(len(stock.acks))
            time.sleep(max(0.0, begin + number / 1000 - time.monotonic()))
        allocated, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        done = len(handled)

    print(json.dumps({"check": "R10 amqp", "attempt": number, "applied": done, "in_flight": max(samples), "allocated_mb": round(allocated / 1e6, 1)}))
    assert number > 4 * done, "the producer was much faster"
    assert max(samples) == 10, "prefetch was reached, and held"
    assert allocated < (120e6 if FULL else 20e6), "the trace is what grows with the number of events"


def test_r16_eight_threads_publish_and_four_consume_through_one_bus_then_a_fork_is_told(url):
    component, seen = recorder("mail", concurrency=4)
    errors = []

    def publish(thread):
        try:
            for number in range(250):
                app.publish(CartItemAdded(cart_id=f"{thread}-{number}"))
        except Exception as error:  # noqa: BLE001 (whatever it is, none is expected)
            errors.append(error)

    with App(component, broker=url) as app:
        threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        app.wait_until_idle(30)

        record("R16 amqp", app, Counter(event.cart_id for event in seen), lost=None)
        assert errors == app._running.servers["mail"].errors == []
        assert Counter(event.cart_id for event in seen) == Counter(f"{thread}-{number}" for thread in range(8) for number in range(250))
    if hasattr(os, "fork"):
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
            bus.link.close()
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading) as told:
            assert "was opened by process" in told.read()
        bus.publish(added(1))
        bus.close()
