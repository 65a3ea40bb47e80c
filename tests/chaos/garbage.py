"""What arrives at a broker and is no event of ours, or wants to be executed."""

from __future__ import annotations

import pickle

from edakit.transports.link import EXCHANGE

HEADERS = {
    "cloudEvents_specversion": "1.0",
    "cloudEvents_id": "x",
    "cloudEvents_type": "cart.item.added",
    "cloudEvents_source": "evil",
    "cloudEvents_time": "t",
}
JSON = {"content_type": "application/json", "content_encoding": "utf-8", "headers": HEADERS}
"""The properties of a message that is well-formed but for its body."""


def sing(word):
    Canary.sung.append(word)


class Canary:
    """Writes into a list when it is unpickled."""

    sung: list[str] = []

    def __reduce__(self):
        return (sing, ("executed",))


PICKLE = pickle.dumps(Canary())
YAML = f"!!python/object/apply:{sing.__module__}.sing [executed]".encode()


def forty_kinds_of_garbage():
    """Yield (body, properties) of messages that are no events of ours."""
    bodies = [
        b"", b"{", b"null", b"[]", b"7", b'"text"', b"true", b"{}", b'{"cart_id":1}', b'{"cart_id":null}', b'{"cart_id":"a","quantity":"x"}',
        b'{"cart_id":"a","quantity":NaN}', b'{"cart_id":"a","quantity":Infinity}', b'{"cart_id":"a","quantity":1.5}', b'{"cart_id":"a","quantity":[]}',
        b"\xff\xfe\x00", b'{"cart_id":"\xff"}', b"[" * 50_000, b'{"a":' * 50_000, b'{"cart_id":"a"}{"cart_id":"b"}', b"<xml/>", b"%PDF", b"x" * (257 * 1024),
    ]  # fmt: skip
    yield from ((body, JSON) for body in bodies)
    good = b'{"cart_id":"a"}'
    for name in ("cloudEvents_specversion", "cloudEvents_id", "cloudEvents_source"):
        yield good, {**JSON, "headers": {key: value for key, value in HEADERS.items() if key != name}}
        yield good, {**JSON, "headers": {**HEADERS, name: True}}
    yield good, {**JSON, "headers": {**HEADERS, "cloudEvents_specversion": "0.3"}}
    yield good, {**JSON, "headers": {**HEADERS, "cloudEvents_time": True}}
    yield good, {**JSON, "headers": {**HEADERS, "cloudEvents_correlationid": []}}
    yield good, {**JSON, "headers": {**HEADERS, "cloudEvents_partitionkey": 1}}
    for content_type in (None, "text/plain", "application/data", "application/x-python-serialize", "application/x-yaml", "application/x-msgpack"):
        yield good, {**JSON, "content_type": content_type}
    yield good, {**JSON, "content_encoding": "binary"}


def stranger(bus):
    """Return what publishes anything, as a program does that knows kombu and not edakit: on one connection, since each has a buffer of 128 KiB."""
    channel = bus.connect().channel()

    def publish_raw(body, properties, key="cart.item.added"):
        message = channel.prepare_message(body, None, properties["content_type"], properties["content_encoding"], properties["headers"], None)
        channel.basic_publish(message, EXCHANGE, key)

    return publish_raw
