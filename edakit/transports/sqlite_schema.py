"""The tables of a `sqlite://` broker."""

from __future__ import annotations

from typing import Final

__all__ = ["APPLICATION", "TABLES", "VERSION"]

APPLICATION: Final = 0x65444131
"""What marks a file as ours ("eDA1"), in PRAGMA application_id."""

VERSION: Final = 1
"""Of the tables, in PRAGMA user_version; larger ones are refused."""

TABLES: Final = (
    # Grows with each change of the next three, so that other processes know when to read them again.
    "CREATE TABLE topology (version INTEGER NOT NULL)",
    "INSERT INTO topology VALUES (1)",
    "CREATE TABLE exchange (id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, UNIQUE (namespace, name))",
    """CREATE TABLE queue (id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, name TEXT NOT NULL,
        bound INTEGER, when_full TEXT NOT NULL, UNIQUE (namespace, name))""",
    "CREATE TABLE binding (exchange INTEGER NOT NULL, queue INTEGER NOT NULL, pattern TEXT NOT NULL, UNIQUE (exchange, queue, pattern))",
    # What was published to an exchange, once, however many queues took it; nothing is ever changed or removed, so that offsets grow.
    """CREATE TABLE log (offset INTEGER PRIMARY KEY, exchange INTEGER NOT NULL, routing_key TEXT NOT NULL, body BLOB, headers TEXT NOT NULL,
        content_type TEXT, content_encoding TEXT, properties TEXT, published_ns INTEGER NOT NULL)""",
    # Who takes messages: alive until the deadline [ns of the machine's monotonic clock]. Numbers are never used again: they tell an owner from the next.
    "CREATE TABLE consumer (id INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER NOT NULL, deadline_ns INTEGER NOT NULL, lease_ns INTEGER NOT NULL)",
    # A queue's own copy: what it says stands in the log at its offset, or else here. consumer 0: it waits; due_ns 0: it never was given back.
    # The id is the queue's number times 2**40 and a count: each queue lies together and in order, and a publish writes no index.
    """CREATE TABLE message (id INTEGER PRIMARY KEY, offset INTEGER, attempt INTEGER NOT NULL DEFAULT 1,
        redelivered INTEGER NOT NULL DEFAULT 0, due_ns INTEGER NOT NULL DEFAULT 0, consumer INTEGER NOT NULL DEFAULT 0,
        body BLOB, headers TEXT, content_type TEXT, content_encoding TEXT, properties TEXT)""",
    "CREATE INDEX message_taken ON message (consumer) WHERE consumer > 0",
    "CREATE INDEX message_due ON message (due_ns) WHERE due_ns > 0",
)
