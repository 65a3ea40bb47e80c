from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.amqp import AMQPMessage, from_amqp
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from edakit.codec import CONTENT_TYPE, check, decode, encode, rfc3339
from edakit.errors import DecodeError
from edakit.events import Event, Schema
from tests.shop_language import CartItemAdded

HEADERS = {
    "cloudEvents_specversion": "1.0",
    "cloudEvents_id": "1",
    "cloudEvents_type": "cart.item.added",
    "cloudEvents_source": "test",
    "cloudEvents_time": "2026-01-01T00:00:00Z",
}


def test_an_event_on_the_wire_is_a_cloud_event_to_other_tools():
    event = CartItemAdded(cart_id="c-1", quantity=2)
    body, headers = encode(event, event_id="00000000000000aa", time_ns=1_767_225_600_123_456_789, source="cart")

    read = from_amqp(AMQPMessage(properties={"content-type": CONTENT_TYPE}, application_properties=headers, application_data=body), JSONFormat(), CloudEvent)

    assert read.get_type() == "cart.item.added"
    assert (read.get_id(), read.get_source(), read.get_subject()) == ("00000000000000aa", "cart", "c-1")
    assert read.get_time() == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert read.get_data() == {"cart_id": "c-1", "product_id": "1001", "quantity": 2}
    assert read.get_extension("partitionkey") == "c-1"
    assert read.get_extension("traceparent") == "00-00000000000000aa00000000000000aa-00000000000000aa-01"


def test_a_key_field_that_is_none_is_no_key():
    class PageViewed(Event, key="customer"):
        customer: str | None = None

    class Cause:
        headers = {"cloudEvents_id": "1", "cloudEvents_partitionkey": "c-1"}
        correlation_id = "1"

    own, beginning, caused = (
        encode(event, event_id="00000000000000aa", time_ns=0, source="page", cause=cause)[1].get("cloudEvents_partitionkey")
        for event, cause in ((PageViewed(customer="17"), Cause()), (PageViewed(), None), (PageViewed(), Cause()))
    )

    assert (own, beginning, caused) == ("17", None, "c-1")


def test_a_foreign_correlation_id_still_gives_a_valid_traceparent():
    class Cause:
        headers = {"cloudEvents_id": "their-id", "cloudEvents_correlationid": "order/17"}
        correlation_id = "order/17"

    _, headers = encode(CartItemAdded(cart_id="c-1"), event_id="00000000000000aa", time_ns=0, source="cart", cause=Cause())

    version, trace, span, flags = headers["cloudEvents_traceparent"].split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert (headers["cloudEvents_causationid"], headers["cloudEvents_correlationid"]) == ("their-id", "order/17")


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1_767_225_599_999_999_999, "2025-12-31T23:59:59.999999999Z"),
        (1_767_225_600_000_000_001, "2026-01-01T00:00:00.000000001Z"),
    ],
)
def test_times_are_written_to_the_nanosecond(time_ns, text):
    assert rfc3339(time_ns) == text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"content_type": None}, "content type is None"),
        ({"content_type": "application/x-python-serialize"}, "content type is 'application/x-python-serialize'"),
        ({"content_type": "application/data"}, "content type is 'application/data'"),
        ({"content_encoding": "binary"}, "content encoding is 'binary'"),
        ({"headers": None}, "headers are NoneType"),
        ({"headers": {**HEADERS, "compression": "application/x-gzip"}}, "compression 'application/x-gzip' is not accepted"),
        ({"headers": {}}, "cloudEvents_specversion is None"),
        ({"headers": {**HEADERS, "cloudEvents_specversion": "0.3"}}, "cloudEvents_specversion is '0.3'"),
        ({"headers": {**HEADERS, "cloudEvents_id": ""}}, "cloudEvents_id is ''"),
        ({"headers": {**HEADERS, "cloudEvents_id": 7}}, "cloudEvents_id is 7"),
        ({"headers": {**HEADERS, "cloudEvents_time": 7}}, "cloudEvents_time is 7"),
        ({"headers": {**HEADERS, "cloudEvents_type": ["a"]}}, r"cloudEvents_type is \['a'\]"),
        ({"headers": {**HEADERS, "cloudEvents_correlationid": {}}}, "cloudEvents_correlationid is {}"),
        ({"headers": {**HEADERS, "cloudEvents_partitionkey": 1}}, "cloudEvents_partitionkey is 1"),
        ({"body": {"a": 1}}, "body is dict"),
        ({"body": b"x" * 101}, "body has 101 bytes, at most 100"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason_before_it_is_decoded(change, reason):
    message = {"body": b"{}", "headers": HEADERS, "content_type": CONTENT_TYPE, "content_encoding": "utf-8", "max_body": 100}
    check(**message)
    check(**message | {"headers": {name: value for name, value in HEADERS.items() if name != "cloudEvents_time"}})  # CloudEvents leaves it open

    with pytest.raises(DecodeError, match=reason):
        check(**(message | change))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b'{"cart_id": 1}', b'{"cart_id": "a", "quantity": NaN}', b'{"quantity": 1}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_body_that_does_not_fit_is_refused(body):
    with pytest.raises(DecodeError):
        decode(body, CartItemAdded.schema.decode)


def test_a_schema_is_kept_by_module_and_name():
    assert Schema.known[CartItemAdded.__module__, "CartItemAdded"].cls is CartItemAdded
