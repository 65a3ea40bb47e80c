"""CHECKS R6, R7, R8, R10, R13, R17, S1 and S2 on memory:// and in virtual time."""

from __future__ import annotations

import base64
import gc
import itertools
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path
from random import Random

import kombu
import pytest
import yaml

from edakit import App, Backoff, Component, CrashPoint, Exponential, Faults, Inbox
from edakit.bus import EXCHANGE
from edakit.errors import MessageTooLargeError, QueueFullError, UnroutableEventError
from edakit.transports.broker import Queue
from tests.chaos.record import FULL, record
from tests.shop_language import AddItem, CartItemAdded, OrderPlaced, cart_component, recorder

CLOCKS = ["virtual", "wall"]
ROOT = Path(__file__).parents[2]


def run(app):
    app.run_until_idle(on_error="retry")


def counted(name, applied, **options):
    component = Component(name, backoff=Backoff(base=0.001, cap=0.01), **options)

    @component.on(CartItemAdded)
    def handle(event, context):
        applied[event.cart_id] += 1

    return component


@pytest.mark.parametrize("clock", CLOCKS)
def test_r6_three_subscribers_are_isolated(clock):
    applied = {name: Counter() for name in ("steady", "moody", "other")}
    moody, random = Component("moody", max_attempts=30, backoff=Backoff(base=0.001, cap=0.01), inbox=Inbox()), Random(6)

    @moody.on(CartItemAdded)
    def handle(event, context):
        if random.random() < 0.3:
            raise ValueError("rejected")
        applied["moody"][event.cart_id] += 1

    steady, other = (counted(name, applied[name]) for name in ("steady", "other"))
    crashes = [CrashPoint("moody", point, nth=0, share=0.05) for point in ("started", "handled")]
    app = App(steady, moody, other, clock=clock, seed=6, faults=Faults(*crashes, restart_after=0.001))
    for number in range(1000):
        app.publish(CartItemAdded(cart_id=str(number)))
    run(app)

    found = record(f"R6 {clock}", app, applied["moody"], seed=6)
    assert found["lost"] == 0
    assert min(found["crashed"], found["retried"], found["duplicated_delivery"]) > 0, "the check met what it is about"
    for name, counts in applied.items():
        assert sum(counts.values()) == 1000, name
        assert set(counts.values()) == {1}, name


def sing(word):
    Canary.sung.append(word)


class Canary:
    """Writes into a list when it is unpickled."""

    sung: list[str] = []

    def __reduce__(self):
        return (sing, ("executed",))


def forty_kinds_of_garbage():
    """Yield (body, properties) of messages that are no events of ours."""
    good = {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": "x",
        "cloudEvents_type": "cart.item.added",
        "cloudEvents_source": "evil",
        "cloudEvents_time": "t",
    }
    valid = {"content_type": "application/json", "content_encoding": "utf-8", "headers": good}
    bodies = [
        b"", b"{", b"null", b"[]", b"7", b'"text"', b"true", b"{}", b'{"cart_id":1}', b'{"cart_id":null}', b'{"cart_id":"a","quantity":"x"}',
        b'{"cart_id":"a","quantity":NaN}', b'{"cart_id":"a","quantity":Infinity}', b'{"cart_id":"a","quantity":1.5}', b'{"cart_id":"a","quantity":[]}',
        b"\xff\xfe\x00", b'{"cart_id":"\xff"}', b"[" * 50_000, b'{"a":' * 50_000, b'{"cart_id":"a"}{"cart_id":"b"}', b"<xml/>", b"%PDF", b"x" * (257 * 1024),
    ]  # fmt: skip
    yield from ((body, valid) for body in bodies)
    json_body = b'{"cart_id":"a"}'
    for name in ("cloudEvents_specversion", "cloudEvents_id", "cloudEvents_source", "cloudEvents_time"):
        yield json_body, {**valid, "headers": {key: value for key, value in good.items() if key != name}}
        yield json_body, {**valid, "headers": {**good, name: 7}}
    yield json_body, {**valid, "headers": {**good, "cloudEvents_correlationid": []}}
    yield json_body, {**valid, "headers": {**good, "cloudEvents_partitionkey": 1}}
    for content_type in (None, "text/plain", "application/data", "application/x-python-serialize", "application/x-yaml", "application/x-msgpack"):
        yield json_body, {**valid, "content_type": content_type}
    yield json_body, {**valid, "content_encoding": "binary"}


def publish_raw(app, body, properties, key="cart.item.added"):
    channel = app.bus.connect().channel()
    message = channel.prepare_message(body, None, properties["content_type"], properties["content_encoding"], properties["headers"], None)
    channel.basic_publish(message, EXCHANGE, key)


@pytest.mark.parametrize(("clock", "order"), [("virtual", None), ("virtual", "per key"), ("wall", None)])
def test_r7_malformed_messages_are_dead_lettered_among_good_ones(clock, order):
    kinds, applied = list(forty_kinds_of_garbage()), Counter()
    assert len(kinds) == 40
    app = App(counted("mail", applied, order=order), clock=clock)
    app.publish(CartItemAdded(cart_id="warm"))
    run(app)
    size = 10_000 if FULL else 1_000

    gc.collect()
    tracemalloc.start()
    for number, (body, properties) in zip(range(size), itertools.cycle(kinds), strict=False):
        publish_raw(app, body, properties)
        app.publish(CartItemAdded(cart_id=str(number)))
    run(app)
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    letters = app.dead_letters("mail")
    found = record(f"R7 {clock}", app, applied, allocated_mb=round(allocated / 1e6, 1))
    assert found["lost"] == found["double_applied"] == 0
    assert len(letters) == size
    assert {letter.reason for letter in letters} == {"malformed"}
    assert all(letter.error.startswith("DecodeError: ") for letter in letters)
    assert sum(applied.values()) == size + 1
    assert allocated < 50e6


def test_r8_an_event_that_always_fails_is_tried_exactly_so_often_and_harms_no_neighbour():
    cured = []

    def p95(share):
        component, tries, poisoned = Component("mail", max_attempts=5, takes=Exponential(0.004)), Counter(), set()

        @component.on(CartItemAdded)
        def handle(event, context):
            tries[event.cart_id] += 1
            if event.product_id == "poison" and not cured:
                raise ValueError("always")

        app, random = App(component, clock="virtual", seed=8), Random(8)
        for number in range(3000):
            poison = random.random() < share
            event = CartItemAdded(cart_id=str(number), product_id="poison" if poison else "fine")
            if poison:
                poisoned.add(event.cart_id)
            app.call_at(number * 10_000_000, lambda event=event: app.publish(event))
        run(app)
        waits = sorted(row.done_at - number * 10_000_000 for number, row in enumerate_fine(app))
        return waits[int(0.95 * len(waits))], tries, poisoned, app

    def enumerate_fine(app):
        numbers = {row.event: number for number, row in enumerate(app.trace.publications)}
        return [(numbers[row.event], row) for row in app.trace.deliveries if row.outcome == "handled"]

    calm, *_ = p95(0.0)
    troubled, tries, poisoned, app = p95(0.05)

    assert len(poisoned) > 100
    assert troubled < 2 * calm
    assert all(count == (5 if cart_id in poisoned else 1) for cart_id, count in tries.items())
    assert len(app.dead_letters("mail")) == len(poisoned)
    assert {letter.attempts for letter in app.dead_letters("mail")} == {5}
    by_event = {}
    for row in app.trace.deliveries:
        by_event.setdefault(row.event, []).append(row)
    pauses = {attempt: [] for attempt in range(1, 5)}
    for rows in by_event.values():
        for before, after in itertools.pairwise(rows):
            pauses[before.attempt].append(after.received_at - before.done_at)
    assert [len(pauses[attempt]) for attempt in range(1, 5)] == [len(poisoned)] * 4
    means = [sum(pauses[attempt]) / len(poisoned) / 1e9 for attempt in range(1, 5)]
    assert means == pytest.approx([0.05, 0.1, 0.2, 0.4], rel=0.25), "the pauses double: half of 0.1 s, 0.2 s and so on"
    assert all(len(set(pauses[attempt])) == len(poisoned) for attempt in range(1, 5)), "and are jittered"

    cured.append(True)
    assert app.redrive("mail") == len(poisoned)
    run(app)
    assert app.dead_letters("mail") == []
    assert all(tries[cart_id] == 6 for cart_id in poisoned)


def test_r10_the_bound_holds_in_one_thread():
    component, _ = recorder("mail", bound=100)
    app = App(component, clock="virtual")

    with pytest.raises(QueueFullError):
        for number in range(1000):
            app.publish(CartItemAdded(cart_id=str(number)))
    assert app.backlog("mail") == 100


def test_r10_a_faster_producer_is_held_back_between_threads_and_nothing_is_lost():
    slow, handled = Component("mail", bound=50, when_full="wait", concurrency=4, prefetch=2), []

    @slow.on(CartItemAdded)
    def handle(event, context):
        time.sleep(0.001)
        handled.append(event.cart_id)

    def sample():
        with app.bus.link.broker.lock:
            backlog = app.backlog("mail")
            return backlog, app.bus.outstanding("mail") - backlog

    samples, total, seconds = set(), 0, 60 if FULL else 10
    with App(slow) as app:
        app.publish(CartItemAdded(cart_id="warm"))
        gc.collect()
        tracemalloc.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            app.publish(CartItemAdded(cart_id=str(total)))
            samples.add(sample())
            total += 1
        app.wait_until_idle(60)
        allocated, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    print(json.dumps({"check": "R10", "attempt": total + 1, "applied": len(handled), "allocated_mb": round(allocated / 1e6, 1)}))
    assert max(backlog for backlog, _ in samples) == 50, "the bound was reached, and held"
    assert max(in_flight for _, in_flight in samples) == 2, "of four workers two at a time had an event: prefetch was reached, and held"
    assert Counter(handled) == Counter(["warm", *map(str, range(total))])
    assert allocated < (200e6 if FULL else 20e6), "the trace is what grows with the number of events"


def faulty_trace(seed):
    """Return the trace of a small shop under faults."""
    faults = Faults(CrashPoint("mail", "handled", nth=0, share=0.05), duplicate=0.1, delayed=0.1, delay=Exponential(0.3))
    mail = counted("mail", Counter(), takes=Exponential(0.01), concurrency=2)
    stock = counted("stock", Counter(), takes=Exponential(0.01), concurrency=2, order="per key", inbox=Inbox())
    app = App(cart_component(), mail, stock, clock="virtual", seed=seed, faults=faults)
    random = Random(seed)
    for _ in range(60):
        app.call_at(round(random.random() * 1e9), lambda: app.send(AddItem(cart_id=str(random.randrange(5)))))
    run(app)
    return "\n".join(app.trace.lines())


def test_r13_the_same_seed_gives_the_same_trace_byte_for_byte():
    traces = [faulty_trace(seed) for seed in range(500 if FULL else 50)]

    assert [faulty_trace(seed) for seed in range(len(traces))] == traces
    assert len(set(traces)) == len(traces)
    assert all(f'"{outcome}"' in "".join(traces) for outcome in ("crashed", "duplicate", "handled"))


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_r13_another_process_writes_the_same_trace(hash_seed):
    code = "from tests.chaos.test_memory import faulty_trace; print(faulty_trace(13))"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}

    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    assert other.strip() == faulty_trace(13)


def left_behind():
    """Count the threads, sockets and queues of this process."""
    gc.collect()
    kinds = Counter(type(thing) for thing in gc.get_objects())
    return threading.active_count(), kinds[socket.socket], kinds[Queue]


def test_r17_making_and_running_everything_again_leaves_nothing_behind():
    def run_all():
        applied = Counter()
        later = Component("later")

        @later.on(CartItemAdded)
        async def handle(event, context):
            await context.sleep(0)
            applied[f"later {event.cart_id}"] += 1

        app = App(cart_component(), counted("mail", applied), later, name="r17")
        app.start()
        for number in range(50):
            app.send(AddItem(cart_id=str(number)))
        app.wait_until_idle()
        return applied, app

    before = left_behind()
    # A notebook's Out keeps every app, so what is replaced must be stopped, not only forgotten.
    out = [run_all() for _ in range(5)]
    out.append((None, App(name="r17")))
    assert left_behind()[:2] == before[:2]
    outputs = [applied for applied, _ in out[:5]]
    out.clear()

    assert left_behind() == before
    assert len(outputs[0]) == 100
    assert all(output == outputs[0] for output in outputs)


GOOD = {
    "cloudEvents_specversion": "1.0",
    "cloudEvents_id": "x",
    "cloudEvents_type": "cart.item.added",
    "cloudEvents_source": "evil",
    "cloudEvents_time": "t",
}
YAML = f"!!python/object/apply:{sing.__module__}.sing [executed]".encode()


def test_s1_the_canary_sings_where_it_is_executed():
    for execute in (lambda: pickle.loads(pickle.dumps(Canary())), lambda: yaml.unsafe_load(YAML)):
        execute()
        assert Canary.sung == ["executed"]
        Canary.sung.clear()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (pickle.dumps(Canary()), "application/x-python-serialize"),
        (YAML, "application/x-yaml"),
        (b"\x81\xa7cart_id\xa1a", "application/x-msgpack"),
        (pickle.dumps(Canary()), None),
        (YAML, None),
        (pickle.dumps(Canary()), "application/json"),
    ],
)
def test_s1_nothing_that_arrives_is_executed(body, content_type):
    mail, mailed = recorder("mail")
    app = App(mail)
    publish_raw(app, body, {"content_type": content_type, "content_encoding": "binary", "headers": GOOD})
    publish_raw(app, body, {"content_type": content_type, "content_encoding": "utf-8", "headers": GOOD})
    publish_raw(app, base64.b64encode(body), {"content_type": content_type, "content_encoding": "utf-8", "headers": GOOD})
    run(app)

    assert Canary.sung == mailed == []
    assert [letter.reason for letter in app.dead_letters("mail")] == ["malformed"] * 3


def test_s1_kombus_own_producer_cannot_smuggle_a_pickle_in():
    app = App(recorder("mail")[0])
    connection = app.bus.connect()
    kombu.enable_insecure_serializers(["pickle"])
    try:
        kombu.Producer(connection.channel()).publish(Canary(), exchange=EXCHANGE, routing_key="cart.item.added", serializer="pickle", headers=dict(GOOD))
        run(app)
    finally:
        kombu.disable_insecure_serializers()

    assert Canary.sung == []
    assert ["x-python-serialize" in letter.error for letter in app.dead_letters("mail")] == [True]


def test_s2_bombs_and_giants_are_refused_before_they_are_decoded():
    app = App(recorder("mail")[0])
    app.publish(CartItemAdded(cart_id="warm"))
    run(app)
    bomb = zlib.compress(json.dumps({"cart_id": "a" * 60_000_000}).encode())
    giant = b'{"cart_id":"' + b"a" * 10_000_000 + b'"}'
    slightly = b'{"cart_id":"' + b"a" * (257 * 1024) + b'"}'
    tracemalloc.start()
    for body, compression in ((bomb, "application/x-gzip"), (giant, None), (slightly, None)):
        headers = GOOD | ({"compression": compression} if compression else {})
        publish_raw(app, body, {"content_type": "application/json", "content_encoding": "utf-8", "headers": headers})
    run(app)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    reasons = [letter.error for letter in app.dead_letters("mail")]
    assert ["is not accepted" in reasons[0], "at most 262,144" in reasons[1], "at most 262,144" in reasons[2]] == [True] * 3
    assert peak < 20e6
    with pytest.raises(MessageTooLargeError):
        app.publish(CartItemAdded(cart_id="a" * (257 * 1024)))

    mail, mailed = recorder("mail")
    roomy = App(mail, max_body=300 * 1024)
    publish_raw(roomy, slightly, {"content_type": "application/json", "content_encoding": "utf-8", "headers": GOOD})
    run(roomy)
    assert len(mailed) == 1, "the limit is a choice"


def test_r5_every_failed_publish_is_raised_by_that_very_call():
    app = App(recorder("mail")[0])
    failed = []
    for number in range(1000):
        event = OrderPlaced(order_id=str(number)) if number % 10 == 0 else CartItemAdded(cart_id=str(number))
        try:
            app.publish(event, must_route=True)
        except UnroutableEventError:
            failed.append(number)

    assert failed == list(range(0, 1000, 10))
    assert app.backlog("mail") == 900
