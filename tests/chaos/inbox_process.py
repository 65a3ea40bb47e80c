"""A consumer whose effect doubles when it is repeated, and which ends itself with kill -9: python -m tests.chaos.inbox_process URL DATABASE WAY POINT NTH."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time

from edakit import App, Component, DatabaseInbox, Inbox
from tests.shop_language import CartItemAdded

TABLES = (
    "CREATE TABLE cart (id TEXT PRIMARY KEY, quantity INTEGER NOT NULL)",
    "CREATE TABLE applied (number INTEGER PRIMARY KEY, times INTEGER NOT NULL)",
    "CREATE TABLE seen (id TEXT PRIMARY KEY)",
    "CREATE TABLE repeated (id TEXT NOT NULL)",
)
EFFECT = (
    "INSERT INTO cart VALUES (:cart, :quantity) ON CONFLICT DO UPDATE SET quantity = quantity + :quantity",
    "INSERT INTO applied VALUES (:number, 1) ON CONFLICT DO UPDATE SET times = times + 1",
)


class Own:
    """A connection of the test's own to the database, each statement a transaction unless it begins one."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self.connection.execute("PRAGMA journal_mode=wal")
        self.connection.execute("PRAGMA synchronous=normal")
        self.execute = self.connection.execute

    def apply(self, values):
        """Write the effect, in a transaction of its own."""
        self.execute("BEGIN IMMEDIATE")
        for statement in EFFECT:
            self.execute(statement, values)
        self.execute("COMMIT")


class IdApart(Inbox):
    """The mechanism switched off: an id is written in a transaction of its own, after that of the effect."""

    def __init__(self, own):
        self.own = own

    def __contains__(self, event_id):
        return self.own.execute("SELECT 1 FROM seen WHERE id = ?", (event_id,)).fetchone() is not None

    def add(self, event_id):
        self.own.execute("INSERT INTO seen VALUES (?)", (event_id,))


KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one only, which is as sudden


class End:
    """kill -9 of this process, the *nth* time that it comes to *point*."""

    def __init__(self, point, nth):
        self.point, self.left = point, nth

    def __call__(self, point):
        if point == self.point:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), KILL)


def consumer(way, path, own, end):
    """Return the component; *end* is called inside of the transaction, or where the mechanism is off, when the effect is committed.

    What survives kill -9 survives it without a wait for the disk, which would make this a test of the disk.
    """
    inboxes = {"inbox": lambda: DatabaseInbox(path, sync="normal"), "id apart": lambda: IdApart(own), "no inbox": lambda: None}
    component = Component("carts", inbox=inboxes[way]())

    @component.on(CartItemAdded)
    def apply(event, context):
        values = {"cart": event.cart_id, "quantity": event.quantity, "number": int(event.product_id)}
        if way == "inbox":
            for statement in EFFECT:
                context.transaction.execute(statement, values)
            end("inside")
        else:
            own.apply(values)
            end("committed")

    return component


def main(url, path, way, point, nth):
    """Handle until killed."""
    end, own = End(point, int(nth)), Own(path)
    app = App(consumer(way, path, own, end), broker=url)
    app.hooks.on("started", lambda *_: end("started"))
    if way == "inbox":
        app.hooks.on("handled", lambda *_: end("committed"))
    # Only a duplicate that the inbox knows comes to its end without a handler.
    app.hooks.on("acked", lambda name, delivery: delivery.handler is None and own.execute("INSERT INTO repeated VALUES (?)", (delivery.id,)))
    with app:
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
