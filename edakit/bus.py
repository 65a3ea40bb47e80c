"""One broker: declare what a component needs, publish, subscribe."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

from edakit.checks import expect, whole
from edakit.clock import Clock, SystemClock
from edakit.codec import MAX_BODY, encode
from edakit.delivery import DeadLetter, Hooks, alive_headers, dead_queue, death_headers
from edakit.errors import ClosedError, ForkedError, HandlerCountError, InvalidValueError, UnroutableEventError
from edakit.events import CAUSATION, CORRELATION, ID, TYPE, Command, Context, Event, EventMeta, Message, Receipt
from edakit.replay import Replayed, replayed
from edakit.trace import Publication, Trace
from edakit.transports.address import require
from edakit.transports.link import EXCHANGE, Subscription, UntilFailure, open_link

if TYPE_CHECKING:
    from edakit.component import Component

__all__ = ["EXCHANGE", "Bus"]


_ID: Final = (1 << 64) - 1
_IDS: Final = 64  # so many ids are written out at a time, since to write the first of them costs microseconds where caches are cold
_EVENT: Final = "an Event; a Command is sent with send(…)"


class Bus:
    """One broker and what this process has declared on it.

    Args:
        url: Address of the broker. `memory://` is private to this bus, `memory://name` is shared within the process, `sqlite:///shop.db` within
            the machine. `?namespace=class-a` keeps two users of one broker apart.
        clock: What tells the time; by default the machine.
        seed: Where event ids come from; None makes them unique among all processes.
        trace: Where publications are recorded.
        hooks: Functions to call at each publication.
        max_body: Largest body of an event [bytes].

    Raises:
        BrokerURLError: the address cannot be read, or the broker is not offered.
        CapabilityError: the broker does not go with a virtual clock.
    """

    def __init__(
        self,
        url: str = "memory://",
        *,
        clock: Clock | None = None,
        seed: object = None,
        trace: Trace | None = None,
        hooks: Hooks | None = None,
        max_body: int = MAX_BODY,
    ) -> None:
        self.clock = clock or SystemClock()
        self.address = require(url, virtual=self.clock.virtual)
        self.trace, self.hooks, self.max_body = trace or Trace(), hooks or Hooks(), max_body
        self.link = open_link(self.address, self.clock.now_ns)
        self.components: dict[str, Component] = {}
        self.closed, self._process = False, os.getpid()
        # An inbox that lasts meets the ids of many processes: they begin 64 random bits apart, where they need not be told from a seed.
        start = int.from_bytes(os.urandom(8)) if seed is None else Random(f"{seed}/ids").getrandbits(32) << 32
        self._numbers = itertools.count(start + 1, _IDS)
        self._ids: Iterator[str] = iter(())
        self._single: set[str] = set()
        self.recent: defaultdict[str, deque[Message]] = defaultdict(lambda: deque(maxlen=1000))

    def connect(self) -> Any:
        """Open one more kombu connection to the same broker; the bus closes it."""
        self._open()
        return self.link.connect()

    def declare(self, component: Component) -> None:
        """Make the component's queue, its dead-letter queue and its bindings; doing so twice is doing it once.

        Raises:
            CapabilityError: the component's queue is to be bounded, and the broker cannot.
        """
        self._open()
        if component.bound is not None:
            self.address.broker.need("drops" if component.when_full.startswith("drop") else "bounds", f"bound a queue, when_full={component.when_full!r}")
        self.link.declare(component.name, bound=component.bound, when_full=component.when_full, on_drop=lambda message: self._refused(component.name, message))
        self.link.declare(dead_queue(component.name))
        self.components[component.name] = component
        self.bind(component)

    def bind(self, component: Component) -> None:
        """Bind the component's queue to what it handles now."""
        self._single.clear()
        for pattern in component.patterns:
            self.link.bind(component.name, pattern)

    def publish(
        self, event: Event, *, key: str | None = None, must_route: bool = False, cause: Context | None = None, source: str = "app", due_at: int | None = None
    ) -> Receipt:
        """Publish *event*; return when the broker has it.

        Args:
            event: What happened.
            key: Partition key; by default the field that the class names with `key=`, else that of the cause.
            must_route: Raise where nobody is bound to its type.
            cause: The delivery whose handler publishes it.
            source: Who publishes it.
            due_at: When it was meant to be published [ns]; by default now.

        Raises:
            EventTypeError, EventValueError: it cannot travel as it is.
            QueueFullError: a bounded queue has no room.
            UnroutableEventError: *must_route*, and no queue is bound to its type.
            ClosedError: the bus is closed.
        """
        if Event not in type(event).__mro__:
            raise InvalidValueError("publish(…)", event, _EVENT)
        if must_route:
            self.address.broker.need("must_route", "refuse an event that nobody is bound to")
        return self._publish(event, key, cause, source, due_at, must_route)

    def publish_many(self, events: Iterable[Event], *, source: str = "app") -> list[Receipt]:
        """Publish *events* in order, many of them at a time where the broker can; return when it has them all. Raises as `publish`.

        Before an event that cannot travel, all are published, and none behind it. Where the broker refuses one, those in front of it are published; of
        those behind it some may be, where the broker takes many at a time.
        """
        self._open()
        expect("publish_many(…)", events, Iterable, "events in a list; a single one is published with publish(…)")
        under_way: deque[tuple[Event, dict[str, str], int]] = deque()
        receipts = []

        def encoded() -> Iterator[tuple[str, bytes, dict[str, str]]]:
            for event in events:
                expect("publish_many(…)", event, Event, _EVENT)
                now, event_id = self.clock.now_ns(), next(self._ids, None) or self._more_ids()
                body, headers = encode(event, event_id, now, source, max_body=self.max_body)
                under_way.append((event, headers, now))
                yield headers[TYPE], body, headers

        with UntilFailure(encoded()) as sound:
            for queues in self.link.publish_many(sound):
                event, headers, now = under_way.popleft()
                receipts.append(self._published(event, headers, source, now, now, queues))
        return receipts

    def replay(self, offset: int, *event_types: type[Message]) -> Iterator[Replayed]:
        """Yield the events of these types that were published from *offset* on, oldest first; queues are not touched.

        What cannot be read as such an event is left out: it is among the dead letters of those who got it.

        Raises:
            CapabilityError: the broker keeps no log.
            InvalidValueError: no type is named, or what is none, or *offset* is no offset.
        """
        self.address.broker.need("replay", "replay what was published")
        self._open()
        whole("offset", offset, least=0)
        if not event_types:
            raise InvalidValueError("event_types", event_types, "at least one Event or Command class")
        return replayed(self.link.replay(int(offset)), event_types, self.max_body)

    def send(self, command: Command, *, key: str | None = None, cause: Context | None = None, source: str = "app", due_at: int | None = None) -> Receipt:
        """Send *command* to its one handler.

        Raises:
            HandlerCountError: no component handles it, or more than one.
            EventTypeError, EventValueError, QueueFullError, ClosedError: as `publish`.
        """
        expect("send(…)", command, Command, "a Command; an Event is published with publish(…)")
        name = cast("EventMeta", type(command)).schema.type
        if name not in self._single:
            self._check_single(name)
        try:
            return self._publish(command, key, cause, source, due_at, self.address.broker.must_route)
        except UnroutableEventError:
            raise HandlerCountError(name, ()) from None

    def _check_single(self, name: str) -> None:
        found = [component.name for component in self.components.values() if name in component.handlers]
        # On a shared broker the handler may belong to another app; then only "nobody is bound" can be told.
        if len(found) > 1 or (not found and not self.address.name):
            raise HandlerCountError(name, found)
        self._single.add(name)

    def _publish(self, event: Message, key: str | None, cause: Context | None, source: str, due_at: int | None, must_route: bool) -> Receipt:  # noqa: FBT001 (faster by position)
        if self.closed or self._process != os.getpid():
            self._open()
        now, event_id = self.clock.now_ns(), next(self._ids, None) or self._more_ids()
        body, headers = encode(event, event_id, now, source, key, cause, self.max_body)
        queues = self.link.publish(headers[TYPE], body, headers, must_route)
        return self._published(event, headers, source, now if due_at is None else due_at, now, queues)

    def _more_ids(self) -> str:
        """Write some ids out, and return the first."""
        start = next(self._numbers)
        self._ids = ids = iter(["%016x" % (number & _ID) for number in range(start, start + _IDS)])
        return next(ids)

    def _published(self, event: Message, headers: Mapping[str, str], source: str, due_at: int, now: int, queues: int | None) -> Receipt:
        name = headers[TYPE]
        row = (headers[ID], headers.get(CAUSATION, ""), headers[CORRELATION], name, source, due_at, now, -1 if queues is None else queues)
        self.trace.published(row)
        self.recent[name].append(event)
        for function in tuple(self.hooks.published):
            function(source, Publication._make(row))
        return Receipt(headers[ID], queues)

    def _refused(self, component: str, message: Any) -> None:
        now = self.clock.now_ns()
        self.trace.delivered((message.headers.get(ID, ""), component, 0, message.attempt, "refused", now, now, now))
        for function in tuple(self.hooks.refused):
            function(component, message)

    def bury(self, component: str, message: Any, reason: str, error: BaseException, handler: Any, attempts: int) -> None:
        """Put *message* among the dead letters of *component*; its ack comes after, so a crash in between repeats and does not lose."""
        self.link.put(dead_queue(component), message, death_headers(message.headers, reason, error, handler, attempts))

    def dead_letters(self, component: str) -> list[DeadLetter]:
        """Return the dead letters of *component*, oldest first; they stay where they are."""
        return [DeadLetter.read(component, message) for message in self.link.browse(dead_queue(component))]

    def redrive(self, component: str) -> int:
        """Put the dead letters of *component* back into its queue, as new ones, as far as a bounded queue has room; return how many [messages].

        Raises:
            QueueFullError: there is room for none. Whatever the queue does when it is full, nothing is dropped for a dead letter, nor is that.
        """
        self._open()
        return self.link.move(dead_queue(component), component, alive_headers)

    def backlog(self, component: str) -> int:
        """Return how many events wait in the queue of *component*, those being handled not counted [events]."""
        return self.link.backlog(component)

    def outstanding(self, *components: str) -> int:
        """Return how many events of *components* are waiting or being handled [events]."""
        return sum(self.link.outstanding(components).values())

    def subscribe(self, component: str, prefetch: int) -> Subscription:
        """Open a subscription to the queue of *component*, on a connection of its own, for at most *prefetch* messages at a time."""
        self._open()
        return self.link.subscribe(component, prefetch)

    def close(self) -> None:
        """Close every connection; what was not acked goes back to its queue. Doing so twice is doing it once."""
        if not self.closed:
            self.closed = True
            self.link.close()

    def _open(self) -> None:
        if self.closed:
            raise ClosedError("the bus")
        if self._process != os.getpid():
            raise ForkedError("the bus", self._process, os.getpid())
