"""Reading what was published again: the past, without its consequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, NoReturn, cast

from edakit.codec import check, decode
from edakit.delivery import Delivery
from edakit.errors import DecodeError, InvalidValueError
from edakit.events import Message, schema_of
from edakit.transports.link import Logged

__all__ = ["Replayed", "replayed"]


class Replayed(NamedTuple):
    """One event of the past.

    Attributes:
        offset: Where it stands in the log; to go on behind it, replay from one more.
        event: What was published.
        context: Its circumstances; a handler may be called with both. Publishing from it raises: it has happened already.
    """

    offset: int
    event: Any
    context: Delivery


class _Past:
    """Where a replayed context would publish."""

    @staticmethod
    def publish(event: Message, **_: object) -> NoReturn:
        raise InvalidValueError("publish(…) during a replay", event, "nothing: what followed has been published already; replay into handlers that only keep")

    send = publish


def replayed(log: Iterable[Logged], event_types: Iterable[type[Message]], max_body: int) -> Iterator[Replayed]:
    """Decode what in *log* is of *event_types*."""
    schemas = {schema.type: schema for schema in map(schema_of, event_types)}
    for logged in log:
        schema = schemas.get(logged.name)
        if schema is None:
            continue
        try:
            check(logged.body, logged.headers, logged.content_type, logged.content_encoding, max_body)
            event = decode(logged.body, schema.decode)
        except DecodeError:
            continue
        yield Replayed(logged.offset, event, _context(logged.headers))


def _context(headers: dict[str, str]) -> Delivery:
    context = Delivery()
    context.headers, context.component, context.attempt = headers, "replay", 1
    context.publisher = cast("Any", _Past)
    return context
