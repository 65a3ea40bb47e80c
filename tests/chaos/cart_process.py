"""One side of the shop as a process of its own, for the checks that end it: python -m tests.chaos.cart_process consume|produce URL …"""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
import sys
import time
from pathlib import Path

from edakit import App, Bus, Component
from tests.shop_language import CartItemAdded


class Effects:
    """What the handlers did, in a database of their own: each event once, by its id, in one transaction with what it changes.

    The ids stand here until the machinery brings an inbox on a database.
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


def consume(url: str, effects: str, pause: str = "0") -> None:
    """Handle until SIGTERM or Ctrl-C, then stop as an app does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with App(consumer(Effects(effects), float(pause)), broker=url):
            print("ready", flush=True)
            while True:
                time.sleep(1)
    except KeyboardInterrupt:
        sys.exit(0)


def produce(url: str, confirmed: str, wrong: str = "") -> None:
    """Publish for ever; write the id of each event that was confirmed into a file, before the next one."""
    bus = Bus(url)
    if wrong:
        commit_later(bus)
    with Path(confirmed).open("a", encoding="utf-8") as file:
        number = 0
        while True:
            receipt = bus.publish(CartItemAdded(cart_id=str(number % 100), product_id=str(number)))
            file.write(f"{receipt.id}\n")
            file.flush()
            if number == 0:
                print("ready", flush=True)
            number += 1


def commit_later(bus: Bus) -> None:
    """Switch off what the guarantee rests on: have publish return before its transaction is committed, as a group of a thousand at a time."""
    file, calls = bus.link.file, [0]

    def write(work):
        with file.lock:
            calls[0] += 1
            if not file.connection.in_transaction:
                file.connection.execute("BEGIN IMMEDIATE")
            result = work(file.connection)
            if calls[0] % 1000 == 0:
                file.connection.execute("COMMIT")
            return result

    file.write = write


if __name__ == "__main__":
    {"consume": consume, "produce": produce}[sys.argv[1]](*sys.argv[2:])
