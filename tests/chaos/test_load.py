"""CHECKS R9, R10 and R11: consumers that are asked to stop under load, producers that are too fast, and a log that is read again."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from edakit import App, Component
from edakit.errors import QueueFullError
from tests.chaos.cart_process import BOTH, consume, consumer, process, sign_off_never, state_hash
from tests.chaos.conftest import LEASE
from tests.chaos.flood import BOUND, PREFETCH, fill_the_broker, take_all, wait_for_room
from tests.chaos.record import FULL, printed, tell
from tests.conformance.helpers import added, opened, until
from tests.real_brokers import address
from tests.shop_language import CartItemAdded, recorder

STOPS = 5 if FULL else 60
"""So long may a consumer take to stop [s]; the small size runs also where the machine is busy."""


@contextmanager
def events_flow(bus):
    """Publish twenty events at a time beside the block; yield the ids of those that were confirmed."""
    confirmed, over = set(), threading.Event()

    def flow():
        while not over.wait(0.02):
            confirmed.update(receipt.id for receipt in bus.publish_many(added(number) for number in range(20)))

    flowing = threading.Thread(target=flow)
    flowing.start()
    try:
        yield confirmed
    finally:
        over.set()
        flowing.join()


def stop_consumers(url, effects, tmp_path, *, stops, wrong=None):
    """Ask one consumer after the other to stop under load; return the confirmed ids, how long each took [s], and how many the broker still knows."""
    took, known = [], 0
    with opened(url) as bus:
        bus.declare(consumer(effects))
        with events_flow(bus) as confirmed:
            for stop in range(stops):
                with process(consume, url, tmp_path / "effects.db", 0.001, wrong=wrong) as running:
                    before = effects.count()
                    until(lambda before=before: effects.count() > before + 20)
                    begin = time.monotonic()
                    os.kill(running.pid, signal.SIGINT if stop % 2 else signal.SIGTERM)
                    running.join(STOPS)
                    assert running.exitcode == 0
                    took.append(time.monotonic() - begin)
                    known += bus.link.store.consumers("carts") if hasattr(bus.link, "store") else 0
    return confirmed, took, known


def handle_the_rest(url, effects):
    with App(consumer(effects), broker=url) as app:
        app.wait_until_idle(60)


def left_behind():
    """Count the threads of this process and its open files and sockets, where the system tells."""
    gc.collect()
    folder = Path("/proc/self/fd")
    return threading.active_count(), len(list(folder.iterdir())) if folder.is_dir() else 0


@BOTH
@pytest.mark.needs("processes")
def test_r9_a_consumer_that_is_asked_to_stop_does_so_and_leaves_nothing_behind(broker, url, effects, tmp_path):
    confirmed, took, known = stop_consumers(url, effects, tmp_path, stops=30 if FULL else 5)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("shop.db-")] == []
    before = left_behind()
    handle_the_rest(url, effects)

    found = printed(f"R9 {broker}", confirmed, effects, stopped_s=round(max(took), 2))
    assert (found["lost"], found["double_applied"], found["duplicated_delivery"], known) == (0, 0, 0, 0)
    assert max(took) < STOPS
    # librdkafka closes its sockets when its producer is collected.
    until(lambda: all(after <= now for after, now in zip(left_behind(), before, strict=True)))


@BOTH
@pytest.mark.on("sqlite")
def test_r9_finds_it_when_a_consumer_goes_without_a_word(broker, url, effects, tmp_path):
    confirmed, _, known = stop_consumers(url, effects, tmp_path, stops=1, wrong=sign_off_never)

    printed(f"R9 {broker}, goes without a word", confirmed, effects, left_behind=known)
    assert known > 0


def test_r10_a_producer_ten_times_as_fast_fills_no_memory(broker, together, request, tmp_path_factory):
    seconds = 60 if FULL else 10

    def prepare(broker):
        return address(broker, request.getfixturevalue, tmp_path_factory.mktemp(broker), lease=LEASE[broker])

    def flood(url, broker):
        with process(wait_for_room if broker == "memory" else fill_the_broker, url, seconds) as running:
            assert running.told.poll(seconds + 120)
            return running.told.recv()

    found = together(prepare, flood)
    tell(f"R10 {broker}", **found | {"allocated_mb": round(found["allocated_mb"], 1)})
    assert found["in_flight"] == PREFETCH, "of four workers two at a time had an event: prefetch was reached, and held"
    assert found["allocated_mb"] < (120 if FULL else 20), "the trace is what grows with the number of events"
    if broker == "memory":
        assert found["backlog"] == BOUND, "the bound was reached, and held"
        assert (found["lost"], found["applied"]) == (0, found["attempt"])
    else:
        assert found["attempt"] > 10 * found["applied"], "the producer was much faster"
    if broker == "kafka":
        from edakit.transports.kafka_fetcher import BLOCK  # noqa: PLC0415 (confluent-kafka is an extra)
        from edakit.transports.kafka_held import HELD  # noqa: PLC0415 (as above)

        assert found["paused"], "the partitions were paused"
        assert found["ahead"] <= HELD + BLOCK


@pytest.mark.on("sqlite")
def test_r10_finds_it_when_prefetch_is_not_kept(broker, url):
    with process(fill_the_broker, url, 1, wrong=take_all) as running:
        assert running.told.poll(120)
        found = running.told.recv()

    tell(f"R10 {broker}, prefetch is not kept", **found)
    assert found["in_flight"] > PREFETCH


@pytest.mark.on("virtual")
def test_r10_the_bound_holds_in_one_thread(make_app):
    component, _ = recorder("mail", bound=100)
    app = make_app(component)

    with pytest.raises(QueueFullError):
        for number in range(1000):
            app.publish(CartItemAdded(cart_id=str(number)))
    assert app.backlog("mail") == 100


@pytest.mark.needs("replay")
def test_r11_a_replay_of_a_hundred_thousand_events_rebuilds_all_carts(broker, url):
    live, size, draw = Counter(), 100_000, Random(11)
    component = Component("carts", prefetch=1000)

    @component.on(CartItemAdded)
    def apply(event, context):
        live[event.cart_id] += event.quantity

    with App(component, broker=url) as app:
        app.publish_many(CartItemAdded(cart_id=str(draw.randrange(500)), quantity=draw.randrange(1, 5)) for _ in range(size))
        app.wait_until_idle(240)

    begin, rebuilt, offsets = time.monotonic(), Counter(), []
    with opened(url) as bus:
        for each in bus.replay(0, CartItemAdded):
            rebuilt[each.event.cart_id] += each.event.quantity
            offsets.append(each.offset)
        took, middle = time.monotonic() - begin, offsets[size // 2]
        assert [each.offset for each in itertools.islice(bus.replay(middle, CartItemAdded), 1000)] == offsets[size // 2 : size // 2 + 1000]

    tell(f"R11 {broker}", attempt=size, applied=len(offsets), replay_s=round(took, 2), state=state_hash(rebuilt)[:16], seed=11)
    assert len(offsets) == size
    assert offsets == sorted(set(offsets))
    assert state_hash(rebuilt) == state_hash(live)
    rebuilt[each.event.cart_id] -= each.event.quantity
    assert state_hash(rebuilt) != state_hash(live), "one event less is found"
    assert took < 60
