"""An event as a Kafka record: CloudEvents in binary mode, with `ce_` headers, the content type, and the partition key as the record's key.

Source:
    "Kafka Protocol Binding for CloudEvents 1.0.2", sections 3.1 and 3.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from operator import methodcaller
from typing import Any, Final

from edakit.codec import CONTENT_TYPE
from edakit.events import KEY, TYPE
from edakit.transports.broker import Content

__all__ = ["Headers", "content", "headers_of", "key_of", "type_of", "wire_headers"]

Headers = list[tuple[str, Any]]
"""Headers of a record: names may repeat, values are bytes (texts when sent), or None."""

_OURS, _THEIRS = "cloudEvents_", "ce_"
_TYPE_HEADER: Final = _THEIRS + TYPE.removeprefix(_OURS)
_CONTENT_TYPE, _CONTENT_ENCODING = "content-type", "content-encoding"
_OTHERS = "edakit_others"
_MEANT = ("utf-8", "UTF-8", None)
_KEPT = (str, bytes, type(None))
_PLAIN = frozenset(_KEPT)
_MOST_NAMES = 1000  # header names that are remembered; a stranger may make up any number

_headers = methodcaller("headers")
_to_wire: dict[str, str] = {}
_from_wire: dict[str, str] = {}


def _translated(name: str, known: dict[str, str], old: str, new: str) -> str:
    if len(known) > _MOST_NAMES:
        known.clear()
    found = known[name] = new + name.removeprefix(old) if name.startswith(old) else name
    return found


def wire_headers(headers: Mapping[str, Any], content_type: Any = CONTENT_TYPE, content_encoding: Any = "utf-8") -> Headers:
    """Return *headers* as Kafka has them: texts. What is none, such as a number, goes as JSON into a header of its own, and comes back as it was."""
    others: dict[str, Any] = {}
    if not _PLAIN.issuperset(map(type, headers.values())):
        others = {name: value for name, value in headers.items() if not isinstance(value, _KEPT)}
        headers = {name: value for name, value in headers.items() if name not in others}
    known = _to_wire
    found: Headers = [(known.get(name) or _translated(name, known, _OURS, _THEIRS), value) for name, value in headers.items()]
    if others:
        found.append((_OTHERS, json.dumps(others, default=str)))
    if content_type is not None:
        found.append((_CONTENT_TYPE, content_type))
    if content_encoding not in _MEANT:
        found.append((_CONTENT_ENCODING, content_encoding))
    return found


def key_of(headers: Mapping[str, Any]) -> bytes | None:
    """Return the record's key: what decides about its partition."""
    key = headers.get(KEY)
    return key.encode() if isinstance(key, str) else None


def headers_of(record: Any) -> Headers | None:
    """Return the headers of a record that was read; none where one of their names is no text, so that it is buried as no event."""
    # There confluent-kafka 2.16 returns a list that ends the process when it is looked into, and sets an exception. `record.headers()` may miss that: Python's
    # faster call of a method does not look for one that comes with a result. And it is asked once only: later it returns the list alone.
    try:
        found: Headers | None = _headers(record)
    except SystemError:
        return None
    return found


def type_of(headers: Sequence[tuple[str, bytes | None]] | None) -> str | None:
    """Return the event's type, or None where it cannot be read; of several headers of one name the last holds, here as in `content`."""
    for name, value in reversed(headers or ()):
        if name == _TYPE_HEADER:
            return _text(value) if isinstance(_text(value), str) else None
    return None


def content(body: bytes | None, headers: Iterable[tuple[str, bytes | None]] | None, key: bytes | None) -> Content:
    """Return body, headers, content type, content encoding and properties, as every broker hands them over."""
    known = _from_wire
    try:
        found: dict[str, Any] = {known.get(name) or _translated(name, known, _THEIRS, _OURS): value.decode() for name, value in headers or ()}  # type: ignore[union-attr]  # next line
    except (AttributeError, UnicodeDecodeError):  # None, or no text
        found = {known.get(name) or _translated(name, known, _THEIRS, _OURS): _text(value) for name, value in headers or ()}
    content_type, encoding = found.pop(_CONTENT_TYPE, None), found.pop(_CONTENT_ENCODING, "utf-8")
    if _OTHERS in found:
        found |= _others(found.pop(_OTHERS))
    if key is not None and KEY not in found:
        found[KEY] = _text(key)  # a producer of another kind sets the key alone
    return (b"" if body is None else body, found, content_type, encoding, {})


def _others(value: Any) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {_OTHERS: value}


def _text(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value  # whoever checks it says that it is no text
