"""What kombu alone does under the same checks: the figure beside ours. Each function takes its URL and returns what it counted."""

from __future__ import annotations

import itertools
import tracemalloc
from collections import Counter
from contextlib import contextmanager, suppress
from random import Random
from time import monotonic
from uuid import uuid4

import kombu
from kombu.transport import memory

from edakit.transports.address import parse_url
from tests.chaos.garbage import HEADERS, JSON, PICKLE, YAML, Canary, forty_kinds_of_garbage

PATIENCE = 0.5
"""So long is waited for a message that may not come [s]."""


def connect(url):
    """Connect as a program does that knows kombu and not edakit."""
    if url.startswith("memory"):
        return kombu.Connection("memory://", transport_options={"polling_interval": 0.001})
    return kombu.Connection(url.partition("?")[0], transport_options={})


class Shop:
    """A topic exchange and *names* bound to it by `cart.#`."""

    def __init__(self, url, *names, arguments=None):
        unique = uuid4().hex[:8]
        self.connection = connect(url)
        self.channel = self.connection.channel()
        self.exchange = kombu.Exchange(f"shop-{unique}", "topic", durable=False, auto_delete=True)
        options = {"queue_arguments": arguments, "durable": False, "auto_delete": True}
        self.queues = [kombu.Queue(f"{name}-{unique}", self.exchange, "cart.#", **options)(self.channel) for name in names]
        for queue in self.queues:
            queue.declare()
        self.producer = kombu.Producer(self.channel, self.exchange)

    def publish(self, body, key="cart.item.added", **options):
        self.producer.publish(body, routing_key=key, **options)

    def publish_raw(self, body, properties):
        message = self.channel.prepare_message(body, None, properties["content_type"], properties["content_encoding"], properties["headers"], None)
        self.channel.basic_publish(message, self.exchange.name, "cart.item.added")

    @contextmanager
    def consumed(self, *callbacks):
        """Consume each queue with its callback within the block."""
        for queue, callback in zip(self.queues, callbacks, strict=True):
            kombu.Consumer(self.channel, queue, callbacks=[callback], accept=["json"]).consume()
        yield

    def drain(self, enough=None, seconds=60.0):
        """Handle until *enough* says so; without it, until nothing comes any more."""
        deadline = monotonic() + seconds
        while monotonic() < deadline and not (enough and enough()):
            try:
                self.connection.drain_events(timeout=PATIENCE)
            except TimeoutError:
                if enough is None:
                    return


@contextmanager
def opened(url, *names, **options):
    """Close the shop's connection at the end."""
    shop = Shop(url, *names, **options)
    try:
        yield shop
    finally:
        if hasattr(shop.connection.connection, "collect"):
            shop.connection.connection.collect()  # a close in good order would handle what still arrives, and raise what that raises
        shop.connection.release()


def r5(url):
    """A thousand publishes, every tenth unroutable and mandatory: how many failures nobody is told of, or in another call."""
    raised, unroutable = set(), set(range(0, 1000, 10))
    with opened(url, "mail") as shop:
        for number in range(1000):
            try:
                shop.publish(number, "order.placed" if number in unroutable else "cart.item.added", mandatory=True)
            except Exception:  # noqa: BLE001 (each transport has its own)
                raised.add(number)
    return {"attempt": 1000, "failed": len(raised), "silent": len(unroutable - raised), "shifted": len(raised - unroutable)}


def r6(url):
    """Three subscribers, of whom one gives back three of ten: what reaches the others again."""
    applied, random = {name: Counter() for name in ("steady", "moody", "other")}, Random(6)

    def calm(name):
        def handle(body, message):
            applied[name][body] += 1
            message.ack()

        return handle

    def moody(body, message):
        if random.random() < 0.3:
            message.requeue()
        else:
            applied["moody"][body] += 1
            message.ack()

    with opened(url, "steady", "moody", "other") as shop, shop.consumed(calm("steady"), moody, calm("other")):
        for number in range(1000):
            shop.publish(number)
        shop.drain()
    twice = sum(count - 1 for counts in applied.values() for count in counts.values())
    return {"attempt": 1000, "applied": sum(map(len, applied.values())), "lost": 3000 - sum(map(len, applied.values())), "double_applied": twice}


def r7(url):
    """Malformed messages among good ones: how many good ones are handled before an error ends the loop."""
    applied = []

    def handle(body, message):
        if isinstance(body, dict) and isinstance(body.get("cart_id"), int):
            applied.append(body["cart_id"])
        message.ack()

    with opened(url, "mail") as shop:
        for number, (body, properties) in zip(range(1000), itertools.cycle(forty_kinds_of_garbage()), strict=False):
            shop.publish_raw(body, properties)
            shop.publish({"cart_id": number})
        with shop.consumed(handle):
            try:
                shop.drain()
                ended = None
            except Exception as error:  # noqa: BLE001 (whatever ends the loop is the answer)
                ended = type(error).__name__
    return {"attempt": 2000, "applied": len(applied), "not_applied": 1000 - len(applied), "dead": 0, "loop_ended_by": ended}


def r10(url):
    """A queue that is bounded to fifty and nobody who consumes: how many it holds after a thousand."""
    with opened(url, "mail", arguments={"x-max-length": 50}) as shop:
        for number in range(1000):
            shop.publish(number)
        return {"attempt": 1000, "backlog": shop.channel._size(shop.queues[0].name)}


def r17(url):
    """A program that is run five times and closes its connection: how many queues stay behind."""
    before = len(memory.Channel.queues)
    for _ in range(5):
        with opened(url, "mail", "stock"):
            pass
    return {"attempt": 5, "queues": len(memory.Channel.queues) - before}


def s1(url):
    """Pickles and yaml, with and without a type: how many are handed to the handler as they are."""
    handed = []
    with opened(url, "mail") as shop, shop.consumed(lambda body, message: (handed.append(body), message.ack())):
        for body in (PICKLE, YAML):
            shop.publish_raw(body, {**JSON, "content_type": None, "content_encoding": "binary"})
        shop.drain(lambda: len(handed) >= 2)
    return {"attempt": 2, "executed": len(Canary.sung), "handed_to_the_handler": len(handed), "dead": 0}


def s2(url, bomb):
    """A compression bomb: how much memory its arrival takes."""
    seen = []
    with opened(url, "mail") as shop, shop.consumed(lambda body, message: (seen.append(len(body["cart_id"])), message.ack())):
        shop.publish_raw(bomb, {**JSON, "headers": {**HEADERS, "compression": "application/x-gzip"}})
        tracemalloc.start()
        shop.drain(lambda: seen)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return {"attempt": 1, "handed_to_the_handler": len(seen), "peak_mb": round(peak / 1e6, 1)}


def r2(url, *, acks=1):
    """Fetch a hundred events from Kafka, ack the first one (or none), and die: how many of the others never come again."""
    login, topic = parse_url(url).login, f"t{uuid4().hex[:12]}"
    place = {"hostname": f"confluentkafka://{login.host}:{login.port}", "transport_options": {"kafka_common_config": {"log_level": "0"}}}

    def fetch(seconds, acks):
        with kombu.Connection(**place) as connection:
            fetched, queue, deadline = [], connection.SimpleQueue(topic), monotonic() + seconds
            while len(fetched) < 100 and monotonic() < deadline:
                with suppress(queue.Empty):
                    fetched.append(queue.get(timeout=PATIENCE))
            for message in fetched[:acks]:
                message.ack()
            return {message.payload for message in fetched}

    with kombu.Connection(**place) as connection:
        for number in range(100):
            connection.SimpleQueue(topic).put(number)
    before, after = fetch(60, acks), fetch(3 if acks else 60, 0)
    return {"attempt": 100, "confirmed": 100, "applied": acks, "lost": len(before - after) - acks}
