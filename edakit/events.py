"""The language of the shop: an `Event` says what happened, a `Command` what is asked, a `Context` the circumstances."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from functools import cache, cached_property
from typing import Any, ClassVar, Final, Protocol, cast, dataclass_transform

import msgspec
from msgspec import inspect

from edakit.errors import EventTypeError, EventValueError, InvalidValueError

__all__ = ["Command", "Context", "Event", "Message", "Receipt", "Schema", "type_name"]

# CloudEvents attributes as AMQP application properties ("AMQP Protocol Binding for CloudEvents 1.0.2", section 3.1.3.1).
ID: Final = "cloudEvents_id"
TYPE: Final = "cloudEvents_type"
SOURCE: Final = "cloudEvents_source"
TIME: Final = "cloudEvents_time"
SUBJECT: Final = "cloudEvents_subject"
CORRELATION: Final = "cloudEvents_correlationid"
CAUSATION: Final = "cloudEvents_causationid"
KEY: Final = "cloudEvents_partitionkey"
TRACEPARENT: Final = "cloudEvents_traceparent"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_TYPE = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
# Types that msgspec would take on trust: what they hold may not survive the journey.
_CANNOT_TRAVEL = (inspect.AnyType, inspect.CustomType, inspect.RawType, inspect.ExtType)


class Schema:
    """How one event class travels. Running a notebook cell again changes it in place, so handlers see the new class.

    Attributes:
        type: The type's name, also the routing key: `cart.item.added`.
        cls: The newest class of this module and name.
    """

    known: ClassVar[dict[tuple[str, str], Schema]] = {}

    def __init__(self, cls: type[Message], name: str) -> None:
        self.replace(cls, name)

    @cached_property
    def decode(self) -> Callable[[bytes], Message]:
        """A function from a JSON body to the event; made, and the field types checked, when first used."""
        return _decoder(self.cls)

    def replace(self, cls: type[Message], name: str) -> None:
        """Let the class of a cell that was run again take the place of the older one."""
        self.cls, self.type = cls, name
        self.__dict__.pop("decode", None)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class EventMeta(msgspec.StructMeta):
    """Make every subclass frozen and keyword-only (msgspec inherits neither), and give it a type name."""

    schema: Schema
    key: str | None

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        type: str | None = None,  # noqa: A002 (CloudEvents' word)
        key: str | None = None,
        **options: Any,
    ) -> EventMeta:
        options = {"frozen": True, "kw_only": True, **options}
        cls = cast("Any", super().__new__(mcs, name, bases, namespace, **options))
        named = type or ".".join(word.lower() for word in _WORD.findall(name))
        if not _TYPE.fullmatch(named) or len(named) > 200:  # noqa: PLR2004 (AMQP: a routing key has at most 255 bytes)
            raise EventTypeError(name, f"{named!r} is no event type (words of a-z, 0-9, - and _ with dots between)")
        if taken := {"key", "schema"}.intersection(cls.__struct_fields__):
            raise EventTypeError(name, f"{', '.join(sorted(taken))} is what every event class has, and no name for a field (button_key, say)")
        cls.key = key or getattr(cls, "key", None)
        if key and key not in cls.__struct_fields__:
            raise EventTypeError(name, f"key={key!r} names no field (fields: {', '.join(cls.__struct_fields__)})")
        cls.schema = Schema.known.setdefault((cls.__module__, cls.__qualname__), Schema(cls, named))
        cls.schema.replace(cls, named)
        return cast("EventMeta", cls)


class Message(msgspec.Struct, metaclass=EventMeta):
    """What an Event and a Command have in common: typed, frozen fields, given by name."""


class Event(Message):
    """Something that happened. Name it in the past tense; it may have any number of handlers, also none."""


class Command(Message):
    """Something that is asked for. Name it in the imperative; it has exactly one handler."""


def schema_of(event_type: type[Message]) -> Schema:
    """Return how the events of a class travel.

    Raises:
        InvalidValueError: it is no Event or Command class.
    """
    if not isinstance(event_type, EventMeta):
        raise InvalidValueError("the type of an event", event_type, "an Event or Command class")
    return event_type.schema


def type_name(event: Message | type[Message]) -> str:
    """Return the type name of an event or of its class: `CartItemAdded` is called `cart.item.added`. Raises as `schema_of`."""
    return schema_of(event if isinstance(event, type) else type(event)).type


_encode = msgspec.json.Encoder(order="deterministic").encode


def encode_body(event: Message) -> bytes:
    """Encode *event* as JSON, and make sure that it will arrive as what it is.

    Raises:
        EventTypeError: a field's type cannot travel.
        EventValueError: a value is not of its field's type (msgspec does not look at values, and turns NaN into null).
    """
    cls = type(event)
    decode = _decoder(cls)
    try:
        body = _encode(event)
        arrives = decode(body)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        hint = " (a NaN or infinite number cannot travel)" if "null" in str(error) else ""
        raise EventValueError(cls.__name__, f"{error}{hint}") from None
    if arrives != event:
        raise EventValueError(cls.__name__, f"{event!r} would arrive as {arrives!r}")
    return body


@cache
def _decoder(cls: type[Message]) -> Callable[[bytes], Message]:
    try:
        info = inspect.type_info(cls)
        decode = msgspec.json.Decoder(cls).decode
    except (TypeError, NameError) as error:
        raise EventTypeError(cls.__name__, str(error)) from error
    for path, found in _walk(info, cls.__name__, set()):
        if isinstance(found, _CANNOT_TRAVEL):
            raise EventTypeError(cls.__name__, f"{path} has a type that cannot travel ({getattr(found, 'cls', None) or 'Any'})")
    return decode


def _walk(found: inspect.Type, path: str, seen: set[type]) -> Iterator[tuple[str, inspect.Type]]:
    yield path, found
    if isinstance(found, inspect.Metadata):
        yield from _walk(found.type, path, seen)
    for part in ("item_type", "key_type", "value_type"):
        if isinstance(inner := getattr(found, part, None), inspect.Type):
            yield from _walk(inner, f"{path}[]", seen)
    for inner in (*getattr(found, "types", ()), *getattr(found, "item_types", ())):
        yield from _walk(inner, path, seen)
    if (cls := getattr(found, "cls", None)) and (fields := getattr(found, "fields", ())) and cls not in seen:
        seen.add(cls)
        for field in fields:
            yield from _walk(field.type, f"{path}.{field.name}", seen)


class Receipt(msgspec.Struct, frozen=True):
    """The broker has the event.

    Attributes:
        id: The event's id.
        queues: How many queues took it; 0 means that nobody is bound to it, None that the broker cannot know.
    """

    id: str
    queues: int | None


class Publisher(Protocol):
    """Whatever lets a handler publish: the bus, seen from inside a delivery."""

    def publish(self, event: Event, *, key: str | None = None, must_route: bool = False, cause: Context | None = None, source: str = "") -> Receipt:
        """Publish *event* and return when the broker has it."""
        ...

    def send(self, command: Command, *, key: str | None = None, cause: Context | None = None, source: str = "") -> Receipt:
        """Send *command* to its one handler."""
        ...


class Context:
    """The circumstances of one delivery of one event, as the handler sees them.

    Attributes:
        headers: CloudEvents attributes by their wire names.
        component: The component that is handling.
        attempt: 1 for the first try.
        unit_of_work: What `transaction` returns while a handler runs inside of one.
    """

    __slots__ = ("attempt", "component", "headers", "publisher", "sleeper", "unit_of_work")

    headers: dict[str, str]
    component: str
    attempt: int
    publisher: Publisher
    sleeper: Callable[[float], Awaitable[None]]
    unit_of_work: Any

    @property
    def id(self) -> str:
        """The event's id: the same at each delivery, so that a repeated one can be recognised."""
        return self.headers[ID]

    @property
    def type(self) -> str:
        """The event's type: `cart.item.added`."""
        return self.headers[TYPE]

    @property
    def time(self) -> str | None:
        """When it was published: RFC 3339, UTC. None where a producer of another kind did not say: CloudEvents leaves it open."""
        return self.headers.get(TIME)

    @property
    def source(self) -> str:
        """Who published it."""
        return self.headers[SOURCE]

    @property
    def subject(self) -> str | None:
        """What it is about."""
        return self.headers.get(SUBJECT)

    @property
    def partition_key(self) -> str | None:
        """Events of one key stay in order."""
        return self.headers.get(KEY)

    @property
    def correlation_id(self) -> str:
        """The id of the first event of the chain that this one belongs to."""
        return self.headers.get(CORRELATION) or self.headers[ID]

    @property
    def causation_id(self) -> str | None:
        """The id of the event whose handler published this one; None for the first of a chain."""
        return self.headers.get(CAUSATION)

    @property
    def traceparent(self) -> str | None:
        """Trace id and span id as other tools expect them (W3C Trace Context, level 1)."""
        return self.headers.get(TRACEPARENT)

    @property
    def transaction(self) -> Any:
        """The `edakit.inbox.Transaction` of this delivery: what is written with it is committed together with the event's id.

        Raises:
            InvalidValueError: the component has no inbox on a database.
        """
        if not hasattr(self, "unit_of_work"):
            raise InvalidValueError("context.transaction", None, "the component an inbox=DatabaseInbox(…)")
        return self.unit_of_work

    def publish(self, event: Event, *, key: str | None = None, must_route: bool = False) -> Receipt:
        """Publish *event* as a consequence of the one being handled.

        It is sent at once, and the broker has it before the event that caused it is acked: a crash can repeat work, never lose a consequence.

        Raises:
            EventValueError, EventTypeError: it cannot travel as it is.
            QueueFullError: a bounded queue has no room.
            UnroutableEventError: *must_route*, and no queue is bound to its type.
        """
        return self.publisher.publish(event, key=key, must_route=must_route, cause=self, source=self.component)

    def send(self, command: Command, *, key: str | None = None) -> Receipt:
        """Send *command* as a consequence of the event being handled; raises as `publish` does, and HandlerCountError."""
        return self.publisher.send(command, key=key, cause=self, source=self.component)

    async def sleep(self, seconds: float) -> None:
        """Wait *seconds* [s] on the app's clock, virtual or not, and let other handlers of the component go on."""
        await self.sleeper(seconds)
