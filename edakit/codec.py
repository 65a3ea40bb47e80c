"""Event and context on the wire: CloudEvents 1.0 in binary mode, attributes in the headers and JSON in the body.

Source:
    CloudEvents specification 1.0.2; "AMQP Protocol Binding for CloudEvents 1.0.2", section 3.1.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import Final

import msgspec

from edakit.clock import NS
from edakit.errors import DecodeError, MessageTooLargeError
from edakit.events import CAUSATION, CORRELATION, ID, KEY, SOURCE, SUBJECT, TIME, TRACEPARENT, TYPE, Context, Message, encode_body

__all__ = ["CONTENT_TYPE", "MAX_BODY", "decode", "encode", "rfc3339"]

CONTENT_TYPE: Final = "application/json"
MAX_BODY: Final = 256 * 1024
"""Largest body by default [bytes]; larger things belong into a store, and their address into the event."""

_SPEC: Final = "cloudEvents_specversion"
_ENCODINGS: Final = ("utf-8", "UTF-8", None)
_LENGTHS: Final = {ID: 1, SOURCE: 1, TYPE: 1, CAUSATION: 0, CORRELATION: 0, KEY: 0, SUBJECT: 0, TIME: 0, TRACEPARENT: 0}
"""Shortest value of each attribute; one of 0 may be missing."""
_DIGITS: Final = [f"{number:03d}" for number in range(1000)]
# What was written out last: neighbouring events share all but the digits behind the point. One tuple, so that no thread sees the half of each.
_second = (0, "1970-01-01T00:00:00.")
_OWN_ID = re.compile(r"[0-9a-f]{16}")


def rfc3339(time_ns: int) -> str:
    """Write a time [ns since 1970-01-01 UTC] as RFC 3339 with nine digits behind the point."""
    global _second  # noqa: PLW0603 (an object's attribute would have to be looked up)
    start, text = _second
    rest = time_ns - start
    if not 0 <= rest < NS:
        start, rest = time_ns - time_ns % NS, time_ns % NS
        text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(start // NS))
        _second = (start, text)
    # Digits from a table, no format: between two sleeps caches are cold, and each further function of the interpreter costs microseconds.
    return f"{text}{_DIGITS[rest // 1_000_000]}{_DIGITS[rest // 1000 % 1000]}{_DIGITS[rest % 1000]}Z"


def encode(
    event: Message, event_id: str, time_ns: int, source: str, key: str | None = None, cause: Context | None = None, max_body: int = MAX_BODY
) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of *event*.

    Args:
        event: What to send.
        event_id: 16 hexadecimal digits, unique among the events of *source*.
        time_ns: When it is published [ns since 1970-01-01 UTC].
        source: Who publishes it.
        key: Partition key; by default the field that the class names as `key=`, else, or if that field is None, that of the cause.
        cause: The delivery whose handler publishes it; None for the first of a chain.
        max_body: Largest body allowed [bytes].

    Raises:
        EventTypeError, EventValueError: it cannot travel as it is.
        MessageTooLargeError: its body is larger than *max_body*.
    """
    cls = type(event)
    body = encode_body(event)
    if len(body) > max_body:
        raise MessageTooLargeError(cls.__name__, len(body), max_body)
    if key is None and cls.key is not None and (named := getattr(event, cls.key)) is not None:
        key = str(named)
    correlation = event_id if cause is None else cause.correlation_id
    trace = f"{event_id}{event_id}" if cause is None else _trace_id(correlation)
    headers = {_SPEC: "1.0", ID: event_id, TYPE: cls.schema.type, SOURCE: source, TIME: rfc3339(time_ns), CORRELATION: correlation}
    headers[TRACEPARENT] = f"00-{trace}-{event_id}-01"
    if cause is not None:
        headers[CAUSATION] = cause.headers[ID]
        key = cause.headers.get(KEY) if key is None else key
    if key is not None:
        headers[KEY] = headers[SUBJECT] = key
    return body, headers


def _trace_id(correlation: str) -> str:
    """Derive the trace id from that of the first event, so that it needs no random numbers of its own."""
    own = _OWN_ID.fullmatch(correlation)
    return correlation + correlation if own else hashlib.blake2b(correlation.encode(), digest_size=16).hexdigest()


def check(body: object, headers: object, content_type: object, content_encoding: object, max_body: int) -> None:
    """Refuse what is no event of ours, before a byte of its body is decoded.

    Raises:
        DecodeError: with the reason.
    """
    if not isinstance(headers, dict):
        raise DecodeError(f"headers are {type(headers).__name__}, not a table")
    if content_type != CONTENT_TYPE:
        raise DecodeError(f"content type is {content_type!r}, known is {CONTENT_TYPE!r}")
    if content_encoding not in _ENCODINGS:
        raise DecodeError(f"content encoding is {content_encoding!r}, known is 'utf-8'")
    if "compression" in headers:
        raise DecodeError(f"compression {headers['compression']!r} is not accepted: a small body could unpack without limit")
    if not isinstance(body, bytes | str):
        raise DecodeError(f"body is {type(body).__name__}, not bytes")
    if len(body) > max_body:
        raise DecodeError(f"body has {len(body):,} bytes, at most {max_body:,} are allowed")
    if headers.get(_SPEC) != "1.0":
        raise DecodeError(f"{_SPEC} is {headers.get(_SPEC)!r}, known is '1.0'")
    for name, least in _LENGTHS.items():
        value = headers.get(name, "")
        if not isinstance(value, str) or len(value) < least:
            raise DecodeError(f"{name} is {headers.get(name)!r}, not a text")


def decode(body: bytes, decoder: Callable[[bytes], Message]) -> Message:
    """Return the event in *body*.

    Raises:
        DecodeError: the body is not JSON, or does not fit the event class.
    """
    try:
        return decoder(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DecodeError(str(error)) from error
