"""CHECKS R7, S1 and S2 on every broker: what is malformed, malicious or too large is refused, kept with its reason, and harms nobody."""

from __future__ import annotations

import base64
import gc
import itertools
import json
import pickle
import tracemalloc
import zlib
from collections import Counter

import kombu
import pytest
import yaml

import edakit.server
from edakit.errors import BrokerError, MessageTooLargeError
from tests.chaos.garbage import HEADERS, JSON, PICKLE, YAML, Canary, forty_kinds_of_garbage, stranger
from tests.chaos.record import FULL, record
from tests.chaos.test_handling import counted
from tests.conformance.helpers import added
from tests.shop_language import CartItemAdded, recorder

COMPONENTS = {"mail": None, "stock": "per key"}
"""Each with its order."""


def among_garbage(make_app, size):
    """Publish *size* malformed messages among as many good ones to two components; return the app, what they applied, and the memory taken [bytes]."""
    applied = {name: Counter() for name in COMPONENTS}
    app = make_app(*(counted(name, applied[name], order=order) for name, order in COMPONENTS.items()))
    publish_raw = stranger(app.bus)
    app.publish(CartItemAdded(cart_id="warm"))
    app.run_until_idle()
    gc.collect()
    tracemalloc.start()
    for number, (body, properties) in zip(range(size), itertools.cycle(forty_kinds_of_garbage()), strict=False):
        publish_raw(body, properties)
        app.publish(CartItemAdded(cart_id=str(number)))
    app.run_until_idle(on_error="retry")
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return app, applied, allocated


def test_there_are_forty_kinds_of_garbage():
    assert len(list(forty_kinds_of_garbage())) == 40


def test_r7_malformed_messages_are_dead_lettered_among_good_ones(broker, make_app):
    size = 10_000 if FULL else 1_000
    app, applied, allocated = among_garbage(make_app, size)

    found = record(f"R7 {broker}", app, applied["mail"], allocated_mb=round(allocated / 1e6, 1))
    assert found["lost"] == found["double_applied"] == 0
    assert found["dead"] == 2 * size
    assert {type(row.event) for row in app.trace.deliveries} == {str}, "an id that is no text is in no row"
    for name in COMPONENTS:
        letters = app.dead_letters(name)
        assert Counter((letter.reason, letter.error.startswith("DecodeError: ")) for letter in letters) == {("malformed", True): size}
        assert applied[name] == Counter(["warm", *map(str, range(size))])
    assert allocated < 50e6, "also on memory://, where it is the letters themselves"


@pytest.mark.on("virtual")
def test_r7_finds_it_when_arrivals_are_not_checked(broker, make_app, monkeypatch):
    monkeypatch.setattr(edakit.server, "check", lambda *_: None)
    app, applied, _ = among_garbage(make_app, 200)

    found = record(f"R7 {broker}, arrivals are not checked", app, applied["mail"])
    assert found["dead"] < 2 * 200
    assert applied["mail"] != Counter(["warm", *map(str, range(200))])


def test_s1_the_canary_sings_where_it_is_executed():
    for execute in (lambda: pickle.loads(PICKLE), lambda: yaml.unsafe_load(YAML)):
        execute()
        assert Canary.sung == ["executed"]
        Canary.sung.clear()


POISON = {
    "a pickle": (PICKLE, "application/x-python-serialize"),
    "yaml": (YAML, "application/x-yaml"),
    "msgpack": (b"\x81\xa7cart_id\xa1a", "application/x-msgpack"),
    "a pickle without a type": (PICKLE, None),
    "yaml without a type": (YAML, None),
    "a pickle that claims to be JSON": (PICKLE, "application/json"),
}


def test_s1_nothing_that_arrives_is_executed(broker, make_app):
    mail, mailed = recorder("mail")
    app = make_app(mail)
    publish_raw = stranger(app.bus)
    for body, content_type in POISON.values():
        for coded, encoding in ((body, "binary"), (body, "utf-8"), (base64.b64encode(body), "utf-8")):
            publish_raw(coded, {"content_type": content_type, "content_encoding": encoding, "headers": HEADERS})
    app.run_until_idle(on_error="retry")

    found = record(f"S1 {broker}", app, Counter(), executed=len(Canary.sung))
    assert Canary.sung == mailed == []
    assert [letter.reason for letter in app.dead_letters("mail")] == ["malformed"] * found["dead"] == ["malformed"] * 3 * len(POISON)


def test_s1_kombus_own_producer_cannot_smuggle_a_pickle_in(make_app):
    app = make_app(recorder("mail")[0])
    connection = app.bus.connect()
    kombu.enable_insecure_serializers(["pickle"])
    try:
        producer = kombu.Producer(connection.channel())
        producer.publish(Canary(), exchange="edakit", routing_key="cart.item.added", serializer="pickle", headers=dict(HEADERS))
        app.run_until_idle(on_error="retry")
    finally:
        kombu.disable_insecure_serializers()

    assert Canary.sung == []
    assert ["x-python-serialize" in letter.error for letter in app.dead_letters("mail")] == [True]


BOMB = zlib.compress(json.dumps({"cart_id": "a" * 60_000_000}).encode())
GIANT = b'{"cart_id":"' + b"a" * 10_000_000 + b'"}'
SLIGHTLY = b'{"cart_id":"' + b"a" * (257 * 1024) + b'"}'


def too_large(app):
    """Publish a bomb, a giant, and what is slightly too large; return how many the broker itself refused, and the most memory taken [bytes]."""
    app.publish(CartItemAdded(cart_id="warm"))
    app.run_until_idle()
    publish_raw, refused = stranger(app.bus), 0
    tracemalloc.start()
    for body, headers in ((BOMB, {**HEADERS, "compression": "application/x-gzip"}), (GIANT, HEADERS), (SLIGHTLY, HEADERS)):
        try:
            publish_raw(body, {**JSON, "headers": headers})
        except BrokerError as error:
            refused += "larger than it takes" in str(error)
    app.run_until_idle(on_error="retry")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return refused, peak


def test_s2_bombs_and_giants_are_refused_before_they_are_decoded(broker, make_app):
    app = make_app(recorder("mail")[0])
    refused, peak = too_large(app)
    reasons = [letter.error for letter in app.dead_letters("mail")]
    with pytest.raises(MessageTooLargeError):
        app.publish(CartItemAdded(cart_id="a" * (257 * 1024)))

    record(f"S2 {broker}", app, Counter(), refused_by_the_broker=refused, peak_mb=round(peak / 1e6, 1))
    assert sum("is not accepted" in reason for reason in reasons) == 1
    assert sum("at most 262,144" in reason for reason in reasons) == 2 - refused
    assert len(reasons) == 3 - refused
    assert refused == (broker == "kafka"), "Kafka takes no body of 10 MB"
    assert peak < 20e6


def test_s2_the_limit_is_a_choice(make_app):
    mail, mailed = recorder("mail")
    app = make_app(mail, max_body=300 * 1024)
    app.publish(added(1))
    stranger(app.bus)(SLIGHTLY, JSON)
    app.run_until_idle()

    assert len(mailed) == 2


@pytest.mark.on("virtual")
def test_s2_finds_it_when_there_is_no_limit(broker, make_app):
    app = make_app(recorder("mail")[0], max_body=100_000_000)
    _, peak = too_large(app)

    found = record(f"S2 {broker}, no limit", app, Counter(), peak_mb=round(peak / 1e6, 1))
    assert found["dead"] == 1, "the bomb's compression is refused; the others are taken for events"
