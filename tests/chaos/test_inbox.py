"""CHECKS R1 and R2 for effects that are not idempotent: consumers end with kill -9, also between commit and ack, and each event counts once."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from edakit import App, Bus
from edakit.brokers import start
from tests.chaos.inbox_process import KILL, TABLES, Own, consumer
from tests.chaos.record import FULL
from tests.conformance.helpers import until
from tests.real_brokers import require_installed
from tests.shop_language import CartItemAdded

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def kafka_node():
    """A Kafka of this module's own, which misses a killed consumer soon."""
    require_installed("kafka")
    with start("kafka", settings={"group.min.session.timeout.ms": "500"}) as running:
        yield running


@pytest.fixture
def url(broker, request, tmp_path):
    if broker == "sqlite":
        return f"sqlite:///{tmp_path.as_posix()}/broker.db?lease=0.5"
    if broker == "amqp":
        return f"{request.getfixturevalue('rabbitmq')}?namespace=t{uuid4().hex[:12]}"
    return f"{request.getfixturevalue('kafka_node').url}?namespace=t{uuid4().hex[:16]}&session=1"


class Flow(threading.Thread):
    """Publishes *size* events, and after them a few for as long as somebody waits for events that he may die of."""

    def __init__(self, bus, size):
        super().__init__()
        self.bus, self.size, self.over, self.confirmed = bus, size, threading.Event(), []

    def run(self):
        for first in itertools.count(0, 50):
            if first >= self.size and self.over.is_set():
                return
            events = [self.event(number) for number in range(first, first + 50)]
            self.bus.publish_many(events)
            self.confirmed += events
            time.sleep(0.025 if first < self.size else 0.2)

    @staticmethod
    def event(number):
        return CartItemAdded(cart_id=str(number % 100), product_id=str(number), quantity=number % 5 + 1)


@contextmanager
def process(*arguments):
    """Run one consumer; killed at the end if it still runs."""
    running = subprocess.Popen([sys.executable, "-m", "tests.chaos.inbox_process", *map(str, arguments)], cwd=ROOT)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def killed_again_and_again(broker, url, path, way, *, size, kills, points):
    """Have *size* events handled while consumers end themselves *kills* times, each at one of *points*; return the record.

    On Kafka a second worker of the group goes on, and takes over the partitions of the dead.
    """
    own, draw, begin = Own(path), Random(size), time.monotonic()
    for table in TABLES:
        own.execute(table)
    bus = Bus(url)
    bus.declare(consumer(way, path, own, None))
    flow = Flow(bus, size)
    flow.start()
    try:
        with ExitStack() as ended:
            if broker == "kafka":
                ended.enter_context(process(url, path, way, "never", 0))
            for _, point in zip(range(kills), itertools.cycle(points), strict=False):
                with process(url, path, way, point, draw.randrange(1, min(200, size // 5))) as victim:
                    assert abs(victim.wait(120)) == KILL
    finally:
        flow.over.set()
        flow.join()
    last = consumer(way, path, own, lambda point: None)
    with App(last, broker=url) as app:
        # What the last victim had comes back when the broker has missed it: until then there may seem to be nothing to do.
        until(lambda: own.execute("SELECT count(*) FROM applied").fetchone()[0] >= len(flow.confirmed), 600 if FULL else 120)
        app.wait_until_idle(60)
        again = [(row.event,) for row in app.trace.deliveries if row.outcome == "duplicate"]
    if way == "inbox":
        last.inbox.close()
    own.connection.executemany("INSERT INTO repeated VALUES (?)", again)
    bus.close()
    return printed(f"{'R2' if broker == 'kafka' else 'R1'} {broker}, {way}", flow.confirmed, own, kills, time.monotonic() - begin)


def printed(check, confirmed, own, kills, seconds):
    """Return and print the record, and what the carts hold beside what they should."""
    applied = dict(own.execute("SELECT number, times FROM applied").fetchall())
    due = Counter()
    for event in confirmed:
        due[event.cart_id] += event.quantity
    record = {
        "check": check,
        "attempt": len(confirmed),
        "confirmed": len(confirmed),
        "uncertain": None,
        "applied": len(applied),
        "lost": sum(int(event.product_id) not in applied for event in confirmed),
        "duplicated_delivery": own.execute("SELECT count(*) FROM repeated").fetchone()[0],
        "double_applied": sum(times - 1 for times in applied.values()),
        "dead": None,
        "crashed": kills,
        "out_of_order": None,
        "recovery_s": None,
        "seed": 0,
        "seconds": round(seconds, 1),
    }
    print(json.dumps(record))
    carts = dict(own.execute("SELECT id, quantity FROM cart").fetchall())
    own.connection.close()
    return record | {"right": carts == due}


@pytest.mark.parametrize("broker", ["sqlite", "amqp", "kafka"])
def test_with_the_inbox_on_a_database_each_event_is_applied_once_whenever_its_consumer_is_killed(broker, url, tmp_path):
    size, kills = (100_000, 50) if FULL else (10_000, 4 if broker == "kafka" else 10)
    found = killed_again_and_again(broker, url, tmp_path / "shop.db", "inbox", size=size, kills=kills, points=["committed", "inside", "started"])

    assert (found["lost"], found["double_applied"], found["right"]) == (0, 0, True)
    assert found["duplicated_delivery"] >= kills // 3, "what was committed and not acked came again, and was known"


@pytest.mark.parametrize("way", ["no inbox", "id apart"])
@pytest.mark.parametrize("broker", ["sqlite", "amqp", "kafka"])
def test_it_finds_it_when_the_id_is_not_committed_with_the_effect(broker, url, tmp_path, way):
    found = killed_again_and_again(broker, url, tmp_path / "shop.db", way, size=300, kills=1, points=["committed"])

    assert found["lost"] == 0
    assert found["double_applied"] >= 1, "the consumer that died between the commit of its effect and that of the id left an event that was applied again"
    assert not found["right"]
