"""CHECKS R6, R7, R8, R10, R13, R17, S1 and S2 on memory:// and in virtual time."""

from __future__ import annotations

import base64
import gc
import itertools
import json
import pickle
import threading
import time
import tracemalloc
import zlib
from collections import Counter
from random import Random

import kombu
import pytest

from edakit import App, Backoff, Component, CrashPoint, Exponential, Faults, Inbox
from edakit.bus import EXCHANGE
from edakit.errors import MessageTooLargeError, QueueFullError, UnroutableEventError
from tests.chaos.record import FULL, record
from tests.shop_language import AddItem, CartItemAdded, OrderPlaced, cart_component, recorder

CLOCKS = ["virtual", "wall"]


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
    app = App(steady, moody, other, clock=clock, seed=6, faults=Faults(CrashPoint("moody", "started", nth=0, share=0.05), restart_after=0.001))
    for number in range(1000):
        app.publish(CartItemAdded(cart_id=str(number)))
    run(app)

    record(f"R6 {clock}", app, applied["moody"])
    for name, counts in applied.items():
        assert sum(counts.values()) == 1000, name
        assert set(counts.values()) == {1}, name


class Canary:
    """Writes into a list when it is unpickled."""

    sung: list[str] = []

    def __reduce__(self):
        return (Canary.sung.append, ("executed",))


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


@pytest.mark.parametrize("clock", CLOCKS)
def test_r7_malformed_messages_are_dead_lettered_among_good_ones(clock):
    kinds, applied = list(forty_kinds_of_garbage()), Counter()
    assert len(kinds) == 40
    app = App(counted("mail", applied), clock=clock)
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
    record(f"R7 {clock}", app, applied, allocated_mb=round(allocated / 1e6, 1))
    assert len(letters) == size
    assert {letter.reason for letter in letters} == {"malformed"}
    assert all(letter.error.startswith("DecodeError: ") for letter in letters)
    assert sum(applied.values()) == size + 1
    assert allocated < 50e6


def test_r8_an_event_that_always_fails_is_tried_exactly_so_often_and_harms_no_neighbour():
    def p95(share):
        component, tries = Component("mail", max_attempts=5, takes=Exponential(0.004)), Counter()

        @component.on(CartItemAdded)
        def handle(event, context):
            tries[event.cart_id] += 1
            if event.product_id == "poison":
                raise ValueError("always")

        app, random = App(component, clock="virtual", seed=8), Random(8)
        for number in range(3000):
            poison = random.random() < share
            event = CartItemAdded(cart_id=str(number), product_id="poison" if poison else "fine")
            app.call_at(number * 10_000_000, lambda event=event: app.publish(event))
        run(app)
        columns = app.trace.columns()
        fine = (columns["outcome"] == "handled") & (columns["attempt"] == 1)
        waits = sorted((columns["done_at"] - columns["published_at"])[fine])
        return waits[int(0.95 * len(waits))], tries, app

    calm, _, _ = p95(0.0)
    troubled, tries, app = p95(0.05)

    poisoned = [count for count in tries.values() if count > 1]
    assert poisoned
    assert set(poisoned) == {5}
    assert troubled < 2 * calm
    assert len(app.dead_letters("mail")) == len(poisoned)
    retries = [row for row in app.trace.deliveries if row.outcome == "retried"]
    by_event = {}
    for row in app.trace.deliveries:
        by_event.setdefault(row.event, []).append(row)
    pauses = {attempt: [] for attempt in range(1, 5)}
    for rows in by_event.values():
        for before, after in itertools.pairwise(rows):
            pauses[before.attempt].append(after.received_at - before.done_at)
    assert len(retries) == 4 * len(poisoned)
    means = [sum(pauses[attempt]) / len(pauses[attempt]) for attempt in range(1, 5)]
    assert means == sorted(means), "the pauses grow"
    assert len(set(pauses[1])) == len(pauses[1]), "and are jittered"

    assert app.redrive("mail") == len(poisoned)
    run(app)
    assert len(app.dead_letters("mail")) == len(poisoned)


def test_r10_the_bound_holds_in_one_thread():
    component, _ = recorder("mail", bound=100)
    app = App(component, clock="virtual")

    with pytest.raises(QueueFullError):
        for number in range(1000):
            app.publish(CartItemAdded(cart_id=str(number)))
    assert app.backlog("mail") == 100


def test_r10_a_faster_producer_is_held_back_between_threads_and_nothing_is_lost():
    slow, handled = Component("mail", bound=50, when_full="wait", prefetch=10), []

    @slow.on(CartItemAdded)
    def handle(event, context):
        time.sleep(0.001)
        handled.append(event.cart_id)

    deepest, in_flight, total = 0, 0, 60_000 if FULL else 3_000
    with App(slow) as app:
        app.publish(CartItemAdded(cart_id="warm"))
        gc.collect()
        tracemalloc.start()
        for number in range(total):
            app.publish(CartItemAdded(cart_id=str(number)))
            deepest = max(deepest, app.backlog("mail"))
            in_flight = max(in_flight, app.bus.outstanding("mail") - app.backlog("mail"))
        app.wait_until_idle(60)
        allocated, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert deepest <= 50
    assert in_flight <= 10
    assert handled == ["warm", *map(str, range(total))]
    assert allocated < (200e6 if FULL else 20e6), "the trace is what grows with the number of events"


def test_r13_the_same_seed_gives_the_same_trace_byte_for_byte():
    def trace(seed):
        applied = Counter()
        faults = Faults(CrashPoint("mail", "handled", nth=0, share=0.05), duplicate=0.1, delayed=0.1, delay=Exponential(0.3))
        app = App(cart_component(), counted("mail", applied, takes=Exponential(0.01), concurrency=2), clock="virtual", seed=seed, faults=faults)
        random = Random(seed)
        for number in range(60):
            app.call_at(round(random.random() * 1e9), lambda number=number: app.send(AddItem(cart_id=str(number))))
        run(app)
        return "\n".join(app.trace.lines())

    for seed in range(500 if FULL else 50):
        assert trace(seed) == trace(seed)
    assert trace(1) != trace(2)


def test_r17_making_and_running_everything_again_leaves_nothing_behind():
    def cell():
        applied = Counter()
        app = App(cart_component(), counted("mail", applied), name="r17")
        app.start()
        for number in range(50):
            app.send(AddItem(cart_id=str(number)))
        app.wait_until_idle()
        app.publish(OrderPlaced(order_id="o"))
        return applied, app.bus

    outputs = []
    buses = []
    for _ in range(5):
        applied, bus = cell()
        outputs.append(applied)
        buses.append(bus.broker)
    App(name="r17")
    gc.collect()

    assert all(output == outputs[0] for output in outputs)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("cart", "mail"))]


@pytest.mark.parametrize("serializer", ["pickle", "yaml", "msgpack", None])
def test_s1_nothing_that_arrives_is_executed(serializer):
    app = App(recorder("mail")[0])
    payloads = {
        "pickle": (pickle.dumps(Canary()), "application/x-python-serialize"),
        "yaml": (b"!!python/object/apply:builtins.print ['executed']", "application/x-yaml"),
        "msgpack": (b"\x81\xa1a\x01", "application/x-msgpack"),
        None: (pickle.dumps(Canary()), None),
    }
    body, content_type = payloads[serializer]
    good = {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": "x",
        "cloudEvents_type": "cart.item.added",
        "cloudEvents_source": "evil",
        "cloudEvents_time": "t",
    }
    publish_raw(app, body, {"content_type": content_type, "content_encoding": "binary", "headers": good})
    publish_raw(app, base64.b64encode(body), {"content_type": content_type, "content_encoding": "utf-8", "headers": good})
    run(app)

    assert Canary.sung == []
    assert [letter.reason for letter in app.dead_letters("mail")] == ["malformed", "malformed"]


def test_s1_kombus_own_producer_cannot_smuggle_a_pickle_in():
    app = App(recorder("mail")[0])
    connection = app.bus.connect()
    kombu.enable_insecure_serializers(["pickle"])
    try:
        kombu.Producer(connection.channel()).publish(Canary(), exchange=EXCHANGE, routing_key="cart.item.added", serializer="pickle")
        run(app)
    finally:
        kombu.disable_insecure_serializers()

    assert Canary.sung == []
    assert len(app.dead_letters("mail")) == 1


def test_s2_bombs_and_giants_are_refused_before_they_are_decoded():
    app = App(recorder("mail")[0])
    app.publish(CartItemAdded(cart_id="warm"))
    run(app)
    good = {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": "x",
        "cloudEvents_type": "cart.item.added",
        "cloudEvents_source": "evil",
        "cloudEvents_time": "t",
    }
    bomb = zlib.compress(json.dumps({"cart_id": "a" * 60_000_000}).encode())
    giant = b'{"cart_id":"' + b"a" * 10_000_000 + b'"}'
    slightly = b'{"cart_id":"' + b"a" * (257 * 1024) + b'"}'
    tracemalloc.start()
    for body, compression in ((bomb, "application/x-gzip"), (giant, None), (slightly, None)):
        headers = good | ({"compression": compression} if compression else {})
        publish_raw(app, body, {"content_type": "application/json", "content_encoding": "utf-8", "headers": headers})
    run(app)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    reasons = [letter.error for letter in app.dead_letters("mail")]
    assert ["is not accepted" in reasons[0], "at most 262,144" in reasons[1], "at most 262,144" in reasons[2]] == [True] * 3
    assert peak < 20e6
    with pytest.raises(MessageTooLargeError):
        app.publish(CartItemAdded(cart_id="a" * (257 * 1024)))


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
