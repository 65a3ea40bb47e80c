"""What the suite does again and again: declare, take, wait, start another process, publish what is foreign."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from edakit import Bus, Component
from edakit.transports.link import EXCHANGE
from tests.shop_language import CartItemAdded

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""How long a broker may take before a test fails [s]."""


def queue(bus, name="mail", *, pattern="cart.#", **options):
    """Declare a queue with nobody behind it; return its name."""
    bus.declare(Component(name, bindings=[pattern], **options))
    return name


def raised_within(seconds, use, kind, match=None):
    """Return the error that *use* raises within *seconds* [s]; where it took longer it is asked for once more: the machine may have been busy."""
    for _ in range(2):
        begin = time.monotonic()
        with pytest.raises(kind, match=match) as caught:
            use()
        if (took := time.monotonic() - begin) < seconds:
            break
    assert took < seconds
    return caught.value


def added(number, key="a"):
    return CartItemAdded(cart_id=key, product_id=str(number))


class Taker:
    """One subscription, from which a test takes what it wants."""

    def __init__(self, bus, name="mail", prefetch=100):
        self.subscription = bus.subscribe(name, prefetch)
        self.prefetch = prefetch
        self._something = threading.Event()
        self.subscription.listen(self._something.set)

    def take(self, seconds=PATIENCE):
        """Return the next message, or None if none comes within *seconds* [s]."""
        deadline = time.monotonic() + seconds
        while True:
            self._something.clear()
            if self.subscription.in_flight < self.prefetch and (message := self.subscription.get()) is not None:
                return message
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._something.wait(min(left, 0.01))

    def take_all(self, count, *, ack=True):
        """Return the bodies' product ids of the next *count* messages."""
        found = []
        for _ in range(count):
            message = self.take()
            assert message is not None, f"{len(found)} of {count} messages came within {PATIENCE} s"
            found.append(message)
            if ack:
                message.ack()
        return found

    def close(self):
        self.subscription.close()


@contextmanager
def taker(bus, name="mail", prefetch=100):
    taking = Taker(bus, name, prefetch)
    try:
        yield taking
    finally:
        taking.close()


@contextmanager
def opened(*urls):
    """Open a bus on each address."""
    buses = [Bus(url) for url in urls]
    try:
        yield buses[0] if len(buses) == 1 else buses
    finally:
        for bus in buses:
            bus.close()


def numbers(messages):
    """Return what `added` was called with."""
    return [int(message.body.split(b'"product_id":"')[1].split(b'"')[0]) for message in messages]


def until(condition, seconds=PATIENCE):
    """Wait until *condition* holds; fail after *seconds* [s]."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.002)


def in_namespace(url, namespace):
    """Return *url* with another namespace, or one within its own."""
    place, _, options = url.partition("?")
    others = [option for option in options.split("&") if option and not option.startswith("namespace=")]
    own = url.partition("namespace=")[2].partition("&")[0]
    return f"{place}?{'&'.join([*others, f'namespace={own}{namespace}'])}"


@contextmanager
def process(code, *arguments):
    """Run *code* in another Python process, which is killed with kill -9 at the end if it still runs."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    running = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        kill(running)


def kill(running):
    """kill -9."""
    if running.poll() is None:
        running.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    running.wait()
    running.stdout.close()
    running.stdin.close()


def publish_raw(bus, body, properties, key="cart.item.added"):
    """Publish what is perhaps no event, as a program does that knows kombu and not edakit."""
    channel = bus.connect().channel()
    message = channel.prepare_message(body, None, properties["content_type"], properties["content_encoding"], properties["headers"], None)
    channel.basic_publish(message, EXCHANGE, key)
