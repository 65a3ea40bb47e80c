"""CHECKS R1, R5 to R11, R16, S1 and S2 on sqlite://, with real processes that are really killed."""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from edakit import App, Backoff, Bus, Component
from edakit.errors import ForkedError, MessageTooLargeError, UnroutableEventError
from edakit.transports.sqlite_consumer import Consumer
from edakit.transports.sqlite_keeper import Keeper
from tests.chaos import test_memory as memory
from tests.chaos.cart_process import Effects, consumer, state_hash
from tests.chaos.record import FULL, record
from tests.conformance.helpers import added, opened, queue, until
from tests.shop_language import CartItemAdded, OrderPlaced, recorder

ROOT = Path(__file__).parents[2]
BOTH = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process could answer")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path.as_posix()}/shop.db?lease=0.5"


@pytest.fixture
def effects(tmp_path):
    kept = Effects(str(tmp_path / "effects.db"))
    yield kept
    kept.connection.close()


@pytest.fixture(autouse=True)
def on_sqlite(url, monkeypatch):
    monkeypatch.setenv("EDAKIT_BROKER", url)


# As on memory://, to the letter.
test_s1_nothing_that_arrives_is_executed = memory.test_s1_nothing_that_arrives_is_executed
test_s1_kombus_own_producer_cannot_smuggle_a_pickle_in = memory.test_s1_kombus_own_producer_cannot_smuggle_a_pickle_in
test_s2_bombs_and_giants_are_refused_before_they_are_decoded = memory.test_s2_bombs_and_giants_are_refused_before_they_are_decoded


def test_r6_three_subscribers_are_isolated():
    memory.test_r6_three_subscribers_are_isolated("wall")


@pytest.mark.parametrize("order", [None, "per key"])
def test_r7_malformed_messages_are_dead_lettered_among_good_ones(order):
    memory.test_r7_malformed_messages_are_dead_lettered_among_good_ones("wall", order)


@contextmanager
def process(*arguments):
    """Run one side in a process of its own; killed at the end if it still runs."""
    command = [sys.executable, "-m", "tests.chaos.cart_process", *map(str, arguments)]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout.readline() == "ready\n"
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()
        running.stdout.close()


def printed(check, confirmed, effects, **more):
    """Return and print the record of a run whose effects stand in a database."""
    ids = effects.ids()
    found = {
        "check": check,
        "attempt": len(confirmed),
        "confirmed": len(confirmed),
        "uncertain": None,
        "applied": len(ids & confirmed),
        "lost": len(confirmed - ids),
        "duplicated_delivery": effects.one("SELECT sum(deliveries - 1) FROM applied"),
        "double_applied": effects.one("SELECT sum(quantity) FROM cart") - len(ids),
        "dead": None,
        "out_of_order": None,
        "recovery_s": None,
        "seed": 0,
        **more,
    }
    print(json.dumps(found))
    return found


def kill_consumers(url, tmp_path, effects, *, size, kills, seconds):
    """Let *size* events flow for about *seconds* [s] to a consumer that is killed *kills* times.

    Returns:
        The bus, the ids of the events, and how long after each kill but the last the dead one's messages were free again [s].
    """
    confirmed, waits = set(), []
    bus = Bus(url)
    bus.declare(consumer(effects))

    def flow():
        begin = time.monotonic()
        for number in range(size):
            confirmed.add(bus.publish(CartItemAdded(cart_id=str(number % 100), product_id=str(number))).id)
            time.sleep(max(0.0, begin + seconds * number / size - time.monotonic()))

    def applied():
        return effects.one("SELECT count(*) FROM applied")

    def consumers():
        return {row[0] for row in bus.link.file.read("SELECT id FROM consumer")}

    dead, killed_at = set(), 0.0
    flowing = threading.Thread(target=flow)
    flowing.start()
    for kill in range(kills):
        # So slow that there always is a backlog: a consumer that idles has nothing that a kill could take.
        with process("consume", url, tmp_path / "effects.db", 0.0003) as running:
            if dead:
                until(lambda dead=dead: not dead & consumers())
                waits.append(time.monotonic() - killed_at)
            until(lambda kill=kill: applied() >= (kill + 1) * size // (kills + 2), 30)
            dead = consumers()
            running.kill()
            running.wait()
            killed_at = time.monotonic()
    flowing.join()
    return bus, confirmed, waits


def test_r1_a_consumer_that_is_killed_again_and_again_loses_nothing_and_applies_nothing_twice(url, tmp_path, effects):
    size, kills = (100_000, 50) if FULL else (10_000, 10)
    bus, confirmed, waits = kill_consumers(url, tmp_path, effects, size=size, kills=kills, seconds=size / 2000)
    with process("consume", url, tmp_path / "effects.db"):
        until(lambda: bus.outstanding("carts") == 0, 60)
    bus.close()

    found = printed("R1 sqlite", confirmed, effects, crashed=kills, recovery_s=round(max(waits), 2))
    assert max(waits) < 5
    assert (found["confirmed"], found["lost"], found["double_applied"]) == (size, 0, 0)
    assert found["duplicated_delivery"] > 0, "the check met what it is about: events that were handled, killed before their ack, and came again"


def test_r1_finds_it_when_nobody_ends_the_leases_of_the_dead(url, tmp_path, effects, monkeypatch):
    bus, confirmed, _ = kill_consumers(url, tmp_path, effects, size=1000, kills=1, seconds=0.2)
    monkeypatch.setattr(Keeper, "go_round", lambda self: [each.renew() for each in self.file.consumers])
    with App(consumer(effects), broker=url):
        # Idle for twice as long as a lease lasts: whatever would come back has come.
        until(lambda: bus.backlog("carts") == 0)
        time.sleep(1.0)
    bus.close()

    assert printed("R1 sqlite, leases never end", confirmed, effects)["lost"] > 0


@pytest.mark.parametrize("renewed", [True, False])
def test_r1_a_slow_handler_keeps_its_event_because_its_lease_is_renewed_and_only_then(url, tmp_path, effects, monkeypatch, renewed):
    if not renewed:
        monkeypatch.setattr(Consumer, "renew", lambda self: None)
    slow = consumer(effects, pause=1.5)
    with App(slow, broker=url) as app:
        confirmed = {app.publish(added(1)).id}
        until(effects.ids)
        with process("consume", url, tmp_path / "effects.db"):
            time.sleep(1.2)
        app.wait_until_idle()

    found = printed(f"R1 sqlite, slow handler, lease renewed: {renewed}", confirmed, effects)
    assert (found["duplicated_delivery"] == 0) == renewed
    assert (found["lost"], found["double_applied"]) == (0, 0)


@BOTH
def test_r1_a_consumer_that_froze_longer_than_its_lease_does_not_undo_what_others_did_and_works_on(url, tmp_path, effects):
    with opened(url) as bus:
        bus.declare(consumer(effects))
        # It sleeps nearly all of the time: frozen in the middle of a transaction it would hold SQLite's lock, and everybody would wait.
        with process("consume", url, tmp_path / "effects.db", 0.05) as frozen:
            confirmed = {receipt.id for receipt in bus.publish_many(added(number) for number in range(500))}
            until(effects.ids)
            frozen.send_signal(signal.SIGSTOP)
            with App(consumer(effects), broker=url) as app:
                app.wait_until_idle(30)
                frozen.send_signal(signal.SIGCONT)
            until(lambda: bus.outstanding("carts") == 0)
            confirmed |= {receipt.id for receipt in bus.publish_many(added(number) for number in range(500, 520))}
            until(lambda: confirmed <= effects.ids())
            assert bus.link.store.consumers("carts") == 1, "it found that it had lost its lease, and has another"

    found = printed("R1 sqlite, frozen", confirmed, effects, crashed=1)
    assert (found["lost"], found["double_applied"]) == (0, 0)


@pytest.mark.parametrize("wrong", ["", "commit later"])
def test_r1_what_was_confirmed_to_a_producer_that_is_killed_is_there_because_it_was_committed(url, tmp_path, effects, wrong):
    with opened(url) as bus:
        bus.declare(consumer(effects))
        for _ in range(5):
            with process("produce", url, tmp_path / "confirmed", *([wrong] if wrong else [])) as running:
                time.sleep(0.1 + 0.1 * random.random())
                running.kill()
                running.wait()
        confirmed = set((tmp_path / "confirmed").read_text().split())
        with App(consumer(effects), broker=url) as app:
            app.wait_until_idle(60)

    found = printed(f"R1 sqlite, producer killed{', commits late' if wrong else ''}", confirmed, effects)
    assert found["confirmed"] > 500
    assert found["double_applied"] == 0
    assert (found["lost"] > 0) == bool(wrong)


def test_r5_every_failed_publish_is_raised_by_that_very_call():
    mail, seen = recorder("mail")
    app, failed = App(mail), {}
    for number in range(1000):
        larger = 300_000 if number % 20 == 10 else 1
        event = CartItemAdded(cart_id=str(number) * larger) if number % 20 else OrderPlaced(order_id=str(number))
        try:
            app.publish(event, must_route=True)
        except (UnroutableEventError, MessageTooLargeError) as error:
            failed[number] = type(error)
    app.run_until_idle()

    found = record("R5 sqlite", app, Counter(event.cart_id for event in seen), failed=len(failed))
    assert failed == {number: MessageTooLargeError if number % 20 else UnroutableEventError for number in range(0, 1000, 10)}
    assert sorted(int(event.cart_id) for event in seen) == [number for number in range(1000) if number % 10]
    assert found["lost"] == 0


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
    record("R8 sqlite", app, done)
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


@BOTH
def test_r9_a_consumer_that_is_asked_to_stop_does_so_and_leaves_nothing_behind(url, tmp_path, effects):
    confirmed, took = set(), []
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
            time.sleep(0.3)
            begin = time.monotonic()
            running.send_signal(signal.SIGINT if stop % 2 else signal.SIGTERM)
            assert running.wait(5) == 0
            took.append(time.monotonic() - begin)
            assert bus.link.store.consumers("carts") == 0, "it signed off"
    over.set()
    flowing.join()
    bus.close()
    assert sorted(file.name for file in tmp_path.iterdir() if file.name.startswith("shop")) == ["shop.db"]
    before = threading.active_count()
    with App(consumer(effects), broker=url) as app:
        app.wait_until_idle(60)

    found = printed("R9 sqlite", confirmed, effects, stopped_s=round(max(took), 2))
    assert (found["lost"], found["double_applied"], found["duplicated_delivery"]) == (0, 0, 0)
    assert threading.active_count() == before


def test_r10_a_producer_ten_times_as_fast_fills_the_disk_and_not_the_memory(url):
    slow, handled = Component("mail", prefetch=10, concurrency=2), []

    @slow.on(CartItemAdded)
    def handle(event, context):
        time.sleep(0.02)
        handled.append(event.cart_id)

    seconds, samples = 60 if FULL else 10, []
    with App(slow, broker=url) as app:
        app.publish(CartItemAdded(cart_id="warm"))
        app.wait_until_idle()
        gc.collect()
        tracemalloc.start()
        begin, number = time.monotonic(), 0
        while time.monotonic() < begin + seconds:
            app.publish(CartItemAdded(cart_id=str(number)))
            number += 1
            if number % 10 == 0:
                samples.append(app.bus.link.file.read("SELECT count(*) FROM message WHERE consumer > 0")[0][0])
            time.sleep(max(0.0, begin + number / 1000 - time.monotonic()))
        allocated, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        done = len(handled)

    print(json.dumps({"check": "R10 sqlite", "attempt": number, "applied": done, "in_flight": max(samples), "allocated_mb": round(allocated / 1e6, 1)}))
    assert number > 8 * done, "the producer was much faster"
    assert max(samples) == 10, "prefetch was reached, and held"
    assert allocated < (120e6 if FULL else 20e6), "the trace is what grows with the number of events"
    assert app.broker == url


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

    begin, rebuilt, count = time.monotonic(), Counter(), 0
    bus = Bus(url)
    for each in bus.replay(0, CartItemAdded):
        rebuilt[each.event.cart_id] += each.event.quantity
        count += 1
    took = time.monotonic() - begin
    bus.close()

    print(json.dumps({"check": "R11 sqlite", "attempt": size, "applied": count, "replay_s": round(took, 2), "state": state_hash(rebuilt)[:16]}))
    assert count == size
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

        found = record("R16 sqlite", app, Counter(event.cart_id for event in seen))
        assert errors == app._running.servers["mail"].errors == []
        assert Counter(event.cart_id for event in seen) == Counter(f"{thread}-{number}" for thread in range(8) for number in range(250))
        assert found["lost"] == found["double_applied"] == found["duplicated_delivery"] == 0
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
