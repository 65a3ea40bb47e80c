"""One side of the shop as a process of its own, for the checks that end it."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sqlite3
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from edakit import App, Bus, Component
from tests.shop_language import CartItemAdded

BOTH = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process could answer")
# Where the system has fork, a server forks a process that has imported everything already: 20 ms each instead of a second of processor time.
_START = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")
if _START.get_start_method() == "forkserver":
    _START.set_forkserver_preload(["tests.chaos.cart_process"])


class Effects:
    """What the handlers did, in a database of their own: each event once, by its id, in one transaction with what it changes.

    Here the test keeps the ids, so that a check of a broker depends on nothing else; test_inbox.py has the inbox keep them.
    """

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self.connection.execute("PRAGMA journal_mode=wal")
        self.connection.execute("PRAGMA synchronous=off")
        self.connection.execute("CREATE TABLE IF NOT EXISTS applied (id TEXT PRIMARY KEY, deliveries INTEGER NOT NULL)")
        self.connection.execute("CREATE TABLE IF NOT EXISTS cart (id TEXT PRIMARY KEY, quantity INTEGER NOT NULL)")

    def apply(self, event: CartItemAdded, event_id: str) -> None:
        """Put the product into the cart, unless this event did so already."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("INSERT INTO applied VALUES (?, 1) ON CONFLICT DO UPDATE SET deliveries = deliveries + 1", (event_id,))
        if self.connection.execute("SELECT deliveries FROM applied WHERE id = ?", (event_id,)).fetchone()[0] == 1:
            statement = "INSERT INTO cart VALUES (?, ?) ON CONFLICT DO UPDATE SET quantity = quantity + excluded.quantity"
            self.connection.execute(statement, (event.cart_id, event.quantity))
        self.connection.execute("COMMIT")

    def one(self, statement: str) -> int:
        """Return the one number that *statement* asks for."""
        return self.connection.execute(statement).fetchone()[0] or 0

    def count(self) -> int:
        """Return how many events were applied."""
        return self.one("SELECT count(*) FROM applied")

    def has_all(self, ids: list[str]) -> bool:
        """Return whether all of these events were applied."""
        return self._applied(ids) == len(ids)

    def has_any(self, ids: list[str]) -> bool:
        """Return whether one of these events was applied."""
        return self._applied(ids) > 0

    def _applied(self, ids: list[str]) -> int:
        statement = "SELECT count(*) FROM applied WHERE id IN (SELECT value FROM json_each(?))"
        return self.connection.execute(statement, (json.dumps(ids),)).fetchone()[0]

    def ids(self) -> set[str]:
        """Return the ids of all events that were applied."""
        return {row[0] for row in self.connection.execute("SELECT id FROM applied")}


def state_hash(carts: dict[str, int]) -> str:
    """Return what two equal sets of carts have in common."""
    return hashlib.sha256(json.dumps(sorted(carts.items())).encode()).hexdigest()


def consumer(effects: Effects, pause: float = 0.0) -> Component:
    """Return the component that applies cart events."""
    component = Component("carts")

    @component.on(CartItemAdded)
    def apply(event, context):
        effects.apply(event, context.id)
        time.sleep(pause)

    return component


@contextmanager
def process(side, *arguments, wrong=None):
    """Run *side* in a process of its own, with *wrong* called there first; at the end it is killed with kill -9 if it still runs."""
    told, telling = _START.Pipe(duplex=False)
    running = _START.Process(target=_run, args=(telling, wrong, side, *arguments))
    running.start()
    running.told = told  # what it says after "ready"
    telling.close()
    try:
        assert told.poll(120), "the other process is not ready"
        assert told.recv() == "ready"
        yield running
    finally:
        running.kill()
        running.join()
        running.close()
        told.close()


def _run(telling, wrong, side, *arguments):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it starts in the background ignore Ctrl-C
    if wrong is not None:
        wrong()
    side(telling, *arguments)


def consume(telling, url: str, effects: str | Path, pause: float = 0.0) -> None:
    """Handle until SIGTERM or Ctrl-C, then stop as an app does."""
    try:
        with App(consumer(Effects(str(effects)), pause), broker=url):
            telling.send("ready")
            while True:
                time.sleep(1)
    except KeyboardInterrupt:
        sys.exit(0)


def produce(telling, url: str, confirmed: str | Path) -> None:
    """Publish for ever; write the id of each event that was confirmed into a file, before the next one."""
    bus = Bus(url)
    with Path(confirmed).open("a", encoding="utf-8") as file:
        number = 0
        while True:
            receipt = bus.publish(CartItemAdded(cart_id=str(number % 100), product_id=str(number)))
            file.write(f"{receipt.id}\n")
            file.flush()
            if number == 0:
                telling.send("ready")
            number += 1


def commit_later() -> None:
    """Switch off what sqlite's guarantee rests on: have publish return before its transaction is committed, as a group of a thousand at a time."""
    from edakit.transports.sqlite_file import File  # noqa: PLC0415 (only who is wrong needs it)

    calls = [0]

    def write(self, work):
        with self.lock:
            calls[0] += 1
            if not self.connection.in_transaction:
                self.connection.execute("BEGIN IMMEDIATE")
            result = work(self.connection)
            if calls[0] % 1000 == 0:
                self.connection.execute("COMMIT")
            return result

    File.write = write


def commit_what_was_fetched() -> None:
    """Switch off what Kafka's guarantee rests on: commit all that was fetched, as stock kombu does, handled or not."""
    from edakit.transports.kafka_marks import Mark  # noqa: PLC0415 (as above)

    Mark.low = property(lambda self: self.next)


def sign_off_never() -> None:
    """Switch off the end in good order: whoever is asked to stop is gone at once, without a word to the broker."""
    App.close = lambda self: os._exit(0)
