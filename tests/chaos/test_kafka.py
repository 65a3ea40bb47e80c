"""CHECKS R2, R3, R5 to R11, R16, S1 and S2 on a real Kafka, with real processes that are really killed."""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import signal
import threading
import time
import tracemalloc
import zlib
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from edakit import App, Backoff, Bus, Component
from edakit.errors import BrokerError, ForkedError, MessageTooLargeError, PermissionDeniedError
from tests.chaos import test_memory as memory
from tests.chaos.cart_process import Effects, consumer, state_hash
from tests.chaos.record import FULL, record
from tests.conformance.helpers import added, numbers, opened, queue, taker, until
from tests.real_brokers import require_installed
from tests.shop_language import CartItemAdded, recorder

if "kafka" not in os.environ.get("EDAKIT_REQUIRE", "").split(","):
    pytest.importorskip("confluent_kafka")

from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType, ResourceType

from edakit.brokers.machine import start
from edakit.transports.kafka_consumer import BLOCK, HELD
from tests.chaos.kafka_side import BOTH, printed, process

SETTINGS = {
    "group.min.session.timeout.ms": "500",  # so that a killed worker is missed soon
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS;User:ann",
    "listeners": "PLAINTEXT://127.0.0.1:{kafka},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}",
    "advertised.listeners": "PLAINTEXT://127.0.0.1:{kafka},SASL_PLAINTEXT://127.0.0.1:{sasl}",
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_ann=full-rights user_bob=hardly-any user_carl=may-read;"
    ),
}


@pytest.fixture(scope="module")
def node():
    """A Kafka of these tests' own, which they may kill; ann may do everything, bob nothing, carl what a test allows."""
    require_installed("kafka")
    with start("kafka", settings=SETTINGS, ports=["sasl"]) as running:
        yield running


@pytest.fixture
def url(node):
    return f"{node.url}?namespace=t{uuid4().hex[:16]}&session=1"


@pytest.fixture(autouse=True)
def on_kafka(url, monkeypatch):
    monkeypatch.setenv("EDAKIT_BROKER", url)


# As on memory://, to the letter.
test_s1_nothing_that_arrives_is_executed = memory.test_s1_nothing_that_arrives_is_executed
test_s1_kombus_own_producer_cannot_smuggle_a_pickle_in = memory.test_s1_kombus_own_producer_cannot_smuggle_a_pickle_in


def test_r6_three_subscribers_are_isolated():
    memory.test_r6_three_subscribers_are_isolated("wall")


@pytest.mark.parametrize("order", [None, "per key"])
def test_r7_malformed_messages_are_dead_lettered_among_good_ones(order):
    memory.test_r7_malformed_messages_are_dead_lettered_among_good_ones("wall", order)


def out_of_order(effects, carts=100):
    """Count the events that were first applied after a later one of their cart; `kill_workers` publishes number n to cart n % *carts*."""
    last, found = {}, 0
    for (event_id,) in effects.connection.execute("SELECT id FROM applied ORDER BY rowid"):
        number = int(event_id[8:], 16)
        found += number < last.get(number % carts, 0)
        last[number % carts] = max(number, last.get(number % carts, 0))
    return found


def kill_workers(url, tmp_path, *, size, kills, wrong=""):
    """Let *size* events flow to two workers of one group, of which one after the other is killed; return the ids, the effects, and the recoveries [s]."""
    effects, path, waits = Effects(str(tmp_path / "effects.db")), tmp_path / "effects.db", []
    bus = Bus(url)
    bus.declare(consumer(effects))
    confirmed = set()

    def flow():
        for first in range(0, size, 100):
            confirmed.update(receipt.id for receipt in bus.publish_many(added(number, str((number + 1) % 100)) for number in range(first, first + 100)))
            time.sleep(0.1)

    def applied():
        return effects.one("SELECT count(*) FROM applied")

    flowing = threading.Thread(target=flow)
    flowing.start()
    with ExitStack() as ended:

        def worker():
            return ended.enter_context(process("consume", url, path, 0.0005, *([wrong] if wrong else [])))

        workers = [worker(), worker()]
        for kill in range(kills):
            until(lambda kill=kill: applied() >= (kill + 1) * size // (kills + 2), 60)
            workers[kill % 2].kill()
            killed_at, before = time.monotonic(), applied()
            workers[kill % 2].wait()
            workers[kill % 2] = worker()
            until(lambda before=before: applied() > before + 20 or not (flowing.is_alive() or bus.outstanding("carts")), 60)
            waits.append(time.monotonic() - killed_at)
        flowing.join()
        deadline = time.monotonic() + 60
        while bus.outstanding("carts") and time.monotonic() < deadline:
            time.sleep(0.1)
    bus.close()
    return confirmed, effects, waits


def test_r2_workers_of_one_group_that_are_killed_lose_nothing_and_apply_nothing_twice_and_in_order(url, tmp_path):
    size, kills = (100_000, 50) if FULL else (10_000, 10)
    confirmed, effects, waits = kill_workers(url, tmp_path, size=size, kills=kills)

    late = out_of_order(effects)
    found = printed("R2 kafka", confirmed, effects, crashed=kills, out_of_order=late, recovery_s=round(max(waits), 2))
    assert (found["confirmed"], found["lost"], found["double_applied"], late) == (size, 0, 0, 0)
    assert found["duplicated_delivery"] > 0, "the check met what it is about: events that were handled, killed before their ack, and came again"


def test_r2_finds_it_when_all_that_was_fetched_is_committed(url, tmp_path):
    confirmed, effects, _ = kill_workers(url, tmp_path, size=2000, kills=1, wrong="commit what was fetched")

    assert printed("R2 kafka, commits what was fetched", confirmed, effects)["lost"] > 0


def test_r3_both_sides_go_on_after_a_restart_of_the_broker(node, url):
    component, seen = recorder("mail")
    confirmed, uncertain, over, waits = [], 0, threading.Event(), []
    with App(component, broker=url) as app:

        def flow():
            nonlocal uncertain
            begin, number = time.monotonic(), 0
            while not over.is_set():
                try:
                    app.publish(added(number))
                    confirmed.append(number)
                except BrokerError:
                    uncertain += 1
                number += 1
                time.sleep(max(0.0, begin + number / 500 - time.monotonic()))

        flowing = threading.Thread(target=flow)
        flowing.start()
        for restart in range(5 if FULL else 2):
            time.sleep(1)
            node.restart(kill=restart % 2 == 0)
            answers, before = time.monotonic(), len(seen)
            until(lambda before=before: len(seen) > before + 10, 25)
            waits.append(time.monotonic() - answers)
        time.sleep(1)
        over.set()
        flowing.join()
        app.wait_until_idle(60)

    handled = {int(event.product_id) for event in seen}
    found = {"check": "R3 kafka", "attempt": len(confirmed) + uncertain, "confirmed": len(confirmed), "uncertain": uncertain, "applied": len(handled)}
    found |= {"lost": len(set(confirmed) - handled), "duplicated_delivery": len(seen) - len(handled), "recovery_s": round(max(waits), 2)}
    print(json.dumps(found))
    assert found["lost"] == 0
    assert max(waits) < 20


def test_r5_every_failed_publish_is_raised_by_that_very_call(url):
    mail, seen = recorder("mail")
    app, failed = App(mail), {}
    for number in range(1000):
        event = CartItemAdded(cart_id=str(number), product_id="x" * (1 if number % 10 else 300_000))
        try:
            app.publish(event)
        except MessageTooLargeError as error:
            failed[number] = type(error)
    app.run_until_idle()

    found = record("R5 kafka", app, Counter(event.cart_id for event in seen), failed=len(failed))
    assert failed == dict.fromkeys(range(0, 1000, 10), MessageTooLargeError)
    assert sorted(int(event.cart_id) for event in seen) == [number for number in range(1000) if number % 10]
    assert found["double_applied"] == 0


def test_r5_what_the_broker_refuses_is_raised_by_that_very_call_and_shifts_no_other(url):
    mail, seen = recorder("mail")
    app, failed = App(mail, max_body=10_000_000), []
    for number in range(200):
        try:
            app.publish(CartItemAdded(cart_id=str(number), product_id="x" * (1 if number % 10 else 2_000_000)))
        except BrokerError as error:
            failed.append((number, "larger than it takes" in str(error)))
    app.run_until_idle()
    app.close()

    assert failed == [(number, True) for number in range(0, 200, 10)]
    assert sorted(int(event.cart_id) for event in seen) == [number for number in range(200) if number % 10]


def as_user(node, url, user, password):
    return url.replace(f"//127.0.0.1:{node.port}", f"//{user}:{password}@127.0.0.1:{node.state.ports['sasl']}") + "&mechanism=PLAIN"


def test_r5_who_may_not_publish_is_told_so_by_each_call(node, url):
    with opened(url, as_user(node, url, "ann", "full-rights")) as (bus, ann):
        queue(bus)
        ann.publish(added(1))
        begin = time.monotonic()
        with pytest.raises(PermissionDeniedError, match=r"user 'bob' may not .*topic t") as caught:
            Bus(as_user(node, url, "bob", "hardly-any"))
        assert time.monotonic() - begin < 5
        assert "hardly-any" not in f"{caught.value}{caught.value!r}{caught.value.args}"


def allow(node, user, prefix, kind, *rights):
    """Give a user rights on all topics, or all consumer groups, whose names begin with *prefix*."""
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{node.port}"})
    prefixed, allowed = ResourcePatternType.PREFIXED, AclPermissionType.ALLOW
    for future in admin.create_acls([AclBinding(kind, prefix, prefixed, f"User:{user}", "*", right, allowed) for right in rights]).values():
        future.result()


def test_r5_who_may_read_only_is_told_by_each_publish_and_may_not_make_a_topic(node, url):
    namespace = url.partition("namespace=")[2].partition("&")[0]
    carls = as_user(node, url, "carl", "may-read")
    for kind in (ResourceType.TOPIC, ResourceType.GROUP):
        allow(node, "carl", namespace, kind, AclOperation.READ, AclOperation.DESCRIBE)
    with pytest.raises(PermissionDeniedError, match=rf"user 'carl' may not create: topic {namespace}.edakit"):
        Bus(carls)

    with opened(url) as bus:
        queue(bus)
        with opened(carls) as carl:
            queue(carl)
            told = 0
            for number in range(100):
                if number % 10:
                    bus.publish(added(number))
                    continue
                with pytest.raises(PermissionDeniedError, match="user 'carl' may not write to: topic"):
                    carl.publish(added(number))
                told += 1
            with taker(carl) as taking:
                assert numbers(taking.take_all(90)) == [number for number in range(100) if number % 10]
    assert told == 10


def test_r5_who_may_not_join_the_group_is_told_by_who_waits(node, url):
    namespace = url.partition("namespace=")[2].partition("&")[0]
    with opened(url) as bus:
        queue(bus)
        bus.publish(added(1))
    allow(node, "carl", namespace, ResourceType.TOPIC, AclOperation.READ, AclOperation.DESCRIBE)
    allow(node, "carl", namespace, ResourceType.GROUP, AclOperation.DESCRIBE)
    app = App(recorder("mail")[0], broker=as_user(node, url, "carl", "may-read"))

    with pytest.raises(PermissionDeniedError, match=r"user 'carl' may not consume.*: consumer group"):
        app.run_until_idle()
    app.close()


def test_r5_a_wrong_password_is_told_soon_and_not_shown(node, url):
    begin = time.monotonic()
    with pytest.raises(BrokerError, match="refuses the user 'ann'") as caught:
        Bus(as_user(node, url, "ann", "wrong-password"))
    assert time.monotonic() - begin < 15
    assert "wrong-password" not in f"{caught.value}{caught.value!r}"
    assert "wrong-password" not in repr(App(broker=as_user(node, url, "ann", "wrong-password")))


def test_r5_a_dead_broker_raises_within_fifteen_seconds(node, url):
    component, _ = recorder("mail")
    app = App(component)
    app.publish(added(1))
    node.kill()
    told = []

    def use(function):
        begin = time.monotonic()
        with pytest.raises(BrokerError, match="did not answer within 10 s"):
            function()
        told.append(time.monotonic() - begin)

    try:
        asked = (lambda: app.publish(added(2)), lambda: app.publish_many([added(3)]), lambda: app.backlog("mail"))
        threads = [threading.Thread(target=use, args=(function,)) for function in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        use(app.close)
    finally:
        node.start()
    assert len(told) == 4
    assert max(told) < 15


def test_r8_an_event_that_always_fails_is_tried_exactly_so_often_with_growing_pauses_and_can_be_redriven():
    tries, done, cured = Counter(), Counter(), []
    component = Component("mail", max_attempts=4, concurrency=2, backoff=Backoff(base=0.1, cap=1.0))

    @component.on(CartItemAdded)
    def handle(event, context):
        tries[event.cart_id] += 1
        if int(event.cart_id) % 10 == 0 and not cured:
            raise ValueError("always")
        done[event.cart_id] += 1

    app = App(component, seed=8)
    app.bus.publish_many(CartItemAdded(cart_id=str(number)) for number in range(1000))
    app.run_until_idle(on_error="retry")
    record("R8 kafka", app, done)
    poisoned = {str(number) for number in range(0, 1000, 10)}
    assert tries == Counter({str(number): 4 if str(number) in poisoned else 1 for number in range(1000)})
    letters = app.dead_letters("mail")
    assert (len(letters), {letter.attempts for letter in letters}) == (100, {4})

    rows = {}
    for row in app.trace.deliveries:
        rows.setdefault(row.event, []).append(row)
    pauses = {attempt: [] for attempt in (1, 2, 3)}
    for before, after in itertools.chain.from_iterable(itertools.pairwise(each) for each in rows.values()):
        pauses[before.attempt].append((after.received_at - before.done_at) / 1e9)
    means = [sum(pauses[attempt]) / 100 for attempt in (1, 2, 3)]
    for mean, expected in zip(means, (0.05, 0.1, 0.2), strict=True):
        assert 0.8 * expected < mean < 1.25 * expected + 0.05, "the pauses double: half of 0.1 s, 0.2 s and so on, and then the event's turn"
    assert all(len(set(each)) > 90 for each in pauses.values()), "and are jittered"

    cured.append(True)
    assert app.redrive("mail") == 100
    app.run_until_idle(on_error="retry")
    assert app.dead_letters("mail") == []
    assert all(tries[cart_id] == 5 for cart_id in poisoned)
    app.close()


def files():
    """Count the open files and sockets of this process, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


@BOTH
def test_r9_a_consumer_that_is_asked_to_stop_does_so_and_leaves_nothing_behind(url, tmp_path):
    effects, confirmed, took = Effects(str(tmp_path / "effects.db")), set(), []
    bus = Bus(url)
    bus.declare(consumer(effects))
    over = threading.Event()

    def flow():
        while not over.is_set():
            confirmed.update(receipt.id for receipt in bus.publish_many(added(number) for number in range(20)))
            time.sleep(0.02)

    flowing = threading.Thread(target=flow)
    flowing.start()
    for stop in range(30 if FULL else 5):
        with process("consume", url, tmp_path / "effects.db", 0.001) as running:
            time.sleep(0.5)
            begin = time.monotonic()
            running.send_signal(signal.SIGINT if stop % 2 else signal.SIGTERM)
            assert running.wait(5) == 0
            took.append(time.monotonic() - begin)
    over.set()
    flowing.join()
    bus.close()
    before = threading.active_count(), files()
    with App(consumer(effects), broker=url) as app:
        app.wait_until_idle(60)
    gc.collect()

    found = printed("R9 kafka", confirmed, effects, stopped_s=round(max(took), 2))
    assert (found["lost"], found["double_applied"], found["duplicated_delivery"]) == (0, 0, 0)
    assert threading.active_count() == before[0]
    assert files() <= before[1], "no socket is left"


def test_r10_a_producer_ten_times_as_fast_fills_the_brokers_disk_and_not_the_memory():
    slow, handled = Component("mail", prefetch=2, concurrency=4), []

    @slow.on(CartItemAdded)
    def handle(event, context):
        time.sleep(0.04)
        handled.append(event.cart_id)

    seconds, samples = 60 if FULL else 10, []
    with App(slow) as app:
        app.publish(CartItemAdded(cart_id="warm"))
        app.wait_until_idle()
        subscription = app._running.servers["mail"].subscription
        gc.collect()
        tracemalloc.start()
        begin, number = time.monotonic(), 0
        while time.monotonic() < begin + seconds:
            app.publish(CartItemAdded(cart_id=str(number)))
            number += 1
            samples.append((subscription.in_flight, len(subscription)))
            time.sleep(max(0.0, begin + number / 1000 - time.monotonic()))
        allocated, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        done, paused = len(handled), bool(subscription._paused)

    in_flight, held = (max(each) for each in zip(*samples, strict=True))
    found = {"check": "R10 kafka", "attempt": number, "applied": done, "in_flight": in_flight, "held": held}
    print(json.dumps(found | {"allocated_mb": round(allocated / 1e6, 1)}))
    assert number > 5 * done, "the producer was much faster"
    assert in_flight == 2, "of four workers two at a time had an event: prefetch was reached, and held"
    assert paused, "the partitions were paused"
    assert held <= HELD + BLOCK
    assert allocated < (120e6 if FULL else 20e6), "the trace is what grows with the number of events"


def test_r11_a_replay_of_a_hundred_thousand_events_rebuilds_all_carts(url):
    live, size = Counter(), 100_000
    component = Component("carts", prefetch=1000)

    @component.on(CartItemAdded)
    def apply(event, context):
        live[event.cart_id] += event.quantity

    with App(component, broker=url) as app:
        draw = random.Random(11)
        events = (CartItemAdded(cart_id=str(draw.randrange(500)), quantity=draw.randrange(1, 5)) for _ in range(size))
        app.bus.publish_many(events)
        app.wait_until_idle(120)

    begin, rebuilt, offsets = time.monotonic(), Counter(), []
    with opened(url) as bus:
        for each in bus.replay(0, CartItemAdded):
            rebuilt[each.event.cart_id] += each.event.quantity
            offsets.append(each.offset)
        took = time.monotonic() - begin
        middle = offsets[size // 2]
        assert [each.offset for each in itertools.islice(bus.replay(middle, CartItemAdded), 1000)] == offsets[size // 2 : size // 2 + 1000]

    print(json.dumps({"check": "R11 kafka", "attempt": size, "applied": len(offsets), "replay_s": round(took, 2), "state": state_hash(rebuilt)[:16]}))
    assert len(offsets) == len(set(offsets)) == size
    assert offsets == sorted(offsets)
    assert state_hash(rebuilt) == state_hash(live)
    assert took < 60


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

        found = record("R16 kafka", app, Counter(event.cart_id for event in seen))
        assert errors == app._running.servers["mail"].errors == []
        assert Counter(event.cart_id for event in seen) == Counter(f"{thread}-{number}" for thread in range(8) for number in range(250))
        assert found["double_applied"] == found["duplicated_delivery"] == 0
    if hasattr(os, "fork"):
        bus = Bus(url)
        queue(bus)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                bus.link.publish("cart.item.added", b"{}", {})
            except ForkedError as error:
                os.write(writing, str(error).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading) as told:
            assert "was opened by process" in told.read()
        bus.publish(added(1))
        bus.close()


def test_s2_bombs_and_giants_are_refused_before_they_are_decoded():
    app = App(recorder("mail")[0])
    app.publish(CartItemAdded(cart_id="warm"))
    app.run_until_idle()
    bomb = zlib.compress(json.dumps({"cart_id": "a" * 60_000_000}).encode())
    slightly = b'{"cart_id":"' + b"a" * (257 * 1024) + b'"}'
    giant = b'{"cart_id":"' + b"a" * 10_000_000 + b'"}'
    tracemalloc.start()
    for body, compression in ((bomb, "application/x-gzip"), (slightly, None)):
        headers = memory.GOOD | ({"compression": compression} if compression else {})
        memory.publish_raw(app, body, {"content_type": "application/json", "content_encoding": "utf-8", "headers": headers})
    with pytest.raises(BrokerError, match="larger than it takes"):
        memory.publish_raw(app, giant, {"content_type": "application/json", "content_encoding": "utf-8", "headers": memory.GOOD})
    app.run_until_idle(on_error="retry")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    reasons = sorted(letter.error for letter in app.dead_letters("mail"))
    app.close()
    assert ["at most 262,144" in reasons[0], "is not accepted" in reasons[1]] == [True] * 2
    assert peak < 20e6
