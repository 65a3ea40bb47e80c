"""`amqp://` and `amqps://` as a bus sees them: RabbitMQ 3.10 to 4.x, by kombu's pyamqp transport."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import amqp

from edakit.errors import BrokerError, ClosedError, EventValueError, ForkedError, QueueFullError, UnroutableEventError
from edakit.transports.link import EXCHANGE, Link, UntilFailure
from edakit.transports.rabbitmq_connection import PARTING, Control, Opener, give_back
from edakit.transports.rabbitmq_messages import Message
from edakit.transports.rabbitmq_names import transport_in
from edakit.transports.rabbitmq_publisher import REFUSED, RETURNED, Parcel, Publisher
from edakit.transports.rabbitmq_subscription import RabbitSubscription
from edakit.transports.rabbitmq_wire import Event
from edakit.transports.routing import Exchange

__all__ = ["RabbitLink", "open_link"]

LONGEST_WAIT: Final = 30.0
"""How long a publishing thread waits for room in a bounded queue [s]."""
_UNLIMITED: Final = 2**31 - 1
"""RabbitMQ 4 drops a message that came back 20 times; a few killed consumers would be enough. Older ones do not know -1."""
_NOT_COPIED: Final = ("application_headers", "expiration", "user_id", "delivery_mode")
_BLOCK: Final = 100
_HEADERS, _NAME = 100_000, 200
"""Most bytes of headers, which must fit into one frame of 128 KiB, and characters of a type, which must fit into 255 bytes."""


class RabbitLink(Link):
    """What one process does with one RabbitMQ.

    Args:
        address: Where it is; see `address.parse_url`.
        now_ns: The clock by which messages become due [ns].
    """

    pause = 0.02

    def __init__(self, address: Any, now_ns: Callable[[], int]) -> None:
        self.now_ns, self.closed, self._process = now_ns, False, os.getpid()
        self.opener = Opener(address)
        self._prefix = f"{address.namespace}." if address.namespace else ""
        self.exchange = self._prefix + EXCHANGE
        self.control, self.publisher = Control(self.opener), Publisher(self.opener)
        self._connections: list[Any] = []
        self._subscriptions: list[RabbitSubscription] = []
        self._declared: dict[str, dict[str, Any]] = {}
        self._bound, self._patterns = Exchange[str](EXCHANGE, "topic"), dict[str, dict[str, None]]()
        self._policies: dict[str, tuple[int, str, Callable[[Any], None] | None]] = {}
        try:
            self.control.call(self._declare_exchange)
        except BaseException:
            self.control.close()  # nobody else will: there is no link
            raise

    def _declare_exchange(self, channel: Any) -> None:
        channel.exchange_declare(self.exchange, "topic", durable=True, auto_delete=False)

    def _here(self) -> None:
        if self._process != os.getpid():
            raise ForkedError(f"the connection to {self.opener.shown}", self._process, os.getpid())
        if self.closed:
            raise ClosedError("the link")

    def connect(self) -> Any:
        """Open one more kombu connection; each publish on it is confirmed."""
        self._here()
        connection = self.opener.kombu(transport_in(self._prefix), confirm_publish=True)
        self._connections.append(connection)
        return connection

    def declare(self, queue: str, *, bound: int | None = None, when_full: str = "raise", on_drop: Callable[[Any], None] | None = None) -> None:
        """Make a queue. Its policy is kept by those who publish: another process than the one that declares it is told of a full queue, whatever the policy.

        Raises:
            CapabilityError: the queue exists with another bound.
        """
        self._here()
        arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": _UNLIMITED}
        if bound is not None:
            # A quorum queue takes one more than its bound, and then refuses until a fifth is free.
            arguments = {"x-queue-type": "classic", "x-max-length": bound, "x-overflow": "reject-publish"}
            self._policies[queue] = (bound, when_full, on_drop)
        self._declared[queue] = arguments
        self.control.call(lambda channel: channel.queue_declare(self._prefix + queue, durable=True, auto_delete=False, arguments=arguments))

    def bind(self, queue: str, pattern: str) -> None:
        """Let a queue take what fits *pattern*."""
        self._here()
        self._bound.bind(queue, pattern)
        self._patterns.setdefault(queue, {})[pattern] = None
        self.control.call(lambda channel: channel.queue_bind(self._prefix + queue, self.exchange, pattern))

    def _declare_again(self, queue: str) -> None:
        self.control.call(self._declare_exchange)
        self.control.call(lambda channel: channel.queue_declare(self._prefix + queue, durable=True, auto_delete=False, arguments=self._declared.get(queue, {})))
        for pattern in tuple(self._patterns.get(queue, ())):
            self.bind(queue, pattern)

    def publish(self, name: str, body: bytes, headers: Mapping[str, Any], must_route: bool = False) -> int | None:
        """Publish; return 0 where no queue is bound, else None: RabbitMQ tells no number. Where one queue is full, the others have it all the same."""
        self._here()
        parcel = self._parcel(name, body, headers)
        return self._judge(parcel, self.publisher.publish(parcel), must_route=must_route)

    def publish_many(self, events: Iterable[tuple[str, bytes, Mapping[str, Any]]]) -> Iterator[int | None]:
        """Publish events with many of them in flight, and yield in order; where one fails, those behind it may have been published."""
        self._here()
        with UntilFailure(self._parcel(*each) for each in events) as parcels:
            for parcel, outcome in self.publisher.publish_many(parcels):
                yield self._judge(parcel, outcome, must_route=False)

    def _parcel(self, name: str, body: bytes, headers: Mapping[str, Any]) -> Parcel:
        message = Event(body, headers)
        if len(message.packed) > _HEADERS or len(name) > _NAME:
            found = f"its headers have {len(message.packed):,} bytes and its type {len(name)} characters"
            raise EventValueError(name[:_NAME], f"{found}; RabbitMQ takes {_HEADERS:,} and {_NAME} (is its key a whole document?)")
        return Parcel(self.exchange, name, message)

    def _judge(self, parcel: Parcel, outcome: str, *, must_route: bool) -> int | None:
        if outcome is REFUSED:
            self._refused(parcel)
        if outcome is not RETURNED:
            return None
        if must_route:
            raise UnroutableEventError(parcel.key, self._bound.bindings())
        return 0

    def _refused(self, parcel: Parcel) -> None:
        """Do what the policy of the queue says that was full (which one, RabbitMQ does not tell); the others have the event."""
        bounded = [queue for queue in self._bound.route(parcel.key) if queue in self._policies]
        full = bounded if len(bounded) == 1 else [queue for queue in bounded if self._waiting(queue) >= self._policies[queue][0]] or bounded
        if not full:
            raise QueueFullError("of another program", 0)
        for queue in full:
            bound, policy, on_drop = self._policies[queue]
            if policy == "drop newest":
                (on_drop or _nothing)(Message(parcel.message))
            elif policy == "drop oldest":
                self._push(queue, parcel, on_drop or _nothing)
            elif policy == "raise" or not self.threaded:
                raise QueueFullError(queue, bound, 0.0, policy)
            else:
                self._wait_for_room(queue, parcel)

    def _offer(self, queue: str, parcel: Parcel) -> bool:
        """Offer the event to this queue alone; return whether it was taken."""
        return self.publisher.publish(Parcel("", self._prefix + queue, parcel.message)) is not REFUSED

    def _push(self, queue: str, parcel: Parcel, on_drop: Callable[[Any], None]) -> None:
        """Take out the oldest until there is room. RabbitMQ could do that (drop-head), and would tell nobody what it dropped."""
        while not self._offer(queue, parcel):
            oldest = self.control.call(lambda channel: channel.basic_get(self._prefix + queue, no_ack=True))
            if oldest is not None:
                on_drop(Message(oldest))

    def _wait_for_room(self, queue: str, parcel: Parcel) -> None:
        deadline, pause = time.monotonic() + LONGEST_WAIT, 0.001
        while not self._offer(queue, parcel):
            if time.monotonic() > deadline:
                raise QueueFullError(queue, self._policies[queue][0], LONGEST_WAIT, "wait")
            time.sleep(pause)
            pause = min(0.05, pause * 2)

    def put(self, queue: str, message: Any, headers: Mapping[str, Any]) -> None:
        """Put a copy straight into one queue; return when the broker has it."""
        self._here()
        self._put([(queue, message, headers)])

    def _put(self, copies: Iterable[tuple[str, Any, Mapping[str, Any]]]) -> None:
        parcels = [Parcel("", self._prefix + queue, _copy(message, headers)) for queue, message, headers in copies]
        for parcel, outcome in self.publisher.publish_many(parcels):
            if outcome is RETURNED:
                raise BrokerError(self.opener.shown, f"there is no queue {parcel.key!r}", "declare it first")
            if outcome is REFUSED:
                queue = parcel.key.removeprefix(self._prefix)
                bound, policy, _ = self._policies.get(queue, (0, "raise", None))
                raise QueueFullError(queue, bound, 0.0, policy)

    def browse(self, queue: str) -> list[Any]:
        """Return what waits; meanwhile nobody else sees it."""
        self._here()
        return self.control.call(lambda channel: self._look(channel, queue))

    def _look(self, channel: Any, queue: str) -> list[Message]:
        looking = channel.connection.channel()
        found = list(iter(lambda: looking.basic_get(self._prefix + queue), None))
        give_back(looking, self._prefix + queue, len(found))
        return [Message(raw, redelivered=raw.delivery_info["redelivered"]) for raw in found]

    def move(self, source: str, target: str, headers: Callable[[Mapping[str, Any]], dict[str, Any]]) -> int:
        """Move what waits in *source* now, as far as there is room; each is acked there after *target* has it."""
        self._here()
        # One at a time where *target* may be full: of several under way some may be taken, and those go back to *source* with the one that was refused.
        block = _BLOCK if target in self._declared.keys() - self._policies.keys() else 1
        waiting, moved = self._waiting(source), 0
        try:
            while taken := self.control.call(partial(self._carry, source, target, headers, min(waiting - moved, block))):
                moved += taken
        except QueueFullError:
            if not moved:
                raise
        return moved

    def _carry(self, source: str, target: str, headers: Callable[[Mapping[str, Any]], dict[str, Any]], most: int, channel: Any) -> int:
        found = [raw for _ in range(most) if (raw := channel.basic_get(self._prefix + source)) is not None]
        messages = [Message(raw) for raw in found]
        try:
            self._put((target, message, headers(message.headers)) for message in messages)
        except BaseException:
            give_back(channel, self._prefix + source, len(found))
            raise
        if found:
            channel.basic_ack(found[-1].delivery_tag, multiple=True)
        return len(found)

    def _waiting(self, queue: str) -> int:
        return int(self.control.call(lambda channel: channel.queue_declare(self._prefix + queue, passive=True).message_count))

    def consumers(self, queue: str) -> int:
        """Count who consumes."""
        return int(self.control.call(lambda channel: channel.queue_declare(self._prefix + queue, passive=True).consumer_count))

    def backlog(self, queue: str) -> int:
        """Count what waits: in the queue, and taken by this process but not yet handed out. What waits in other processes counts as being handled."""
        self._here()
        return sum(self._counts(queue)[:2])

    def outstanding(self, queues: Iterable[str]) -> dict[str, int]:
        """Count what waits, and what this process has and has not done; AMQP does not tell what other processes have taken."""
        self._here()
        names = list(queues)
        while True:
            # Counted one after the other: meanwhile an event may lead from a queue that is not counted yet to one that is.
            before = self._changes(names)
            counts = {name: waiting + unfinished for name in names for waiting, _, unfinished in [self._counts(name)]}
            if any(counts.values()) or self._changes(names) == before:
                return counts

    def _changes(self, queues: Iterable[str]) -> int:
        """Return how often something came from one of *queues* or was done, in this process."""
        names = {self._prefix + queue for queue in queues}
        return sum(each.stock.changes for each in tuple(self._subscriptions) if each.queue in names)

    def _counts(self, queue: str) -> tuple[int, int, int]:
        """Return how many wait in the queue, how many are here and not handed out, and how many are here and not done with."""
        counts = [each.count() for each in tuple(self._subscriptions) if each.queue == self._prefix + queue]
        if not counts:
            return self._waiting(queue), 0, 0
        adrift = sum(each.adrift for each in counts)
        return max(each.waiting for each in counts), adrift + sum(each.here for each in counts), adrift + sum(each.unfinished for each in counts)

    def subscribe(self, queue: str, prefetch: int) -> RabbitSubscription:
        """Open a subscription."""
        self._here()
        subscription = _Listed(
            self.opener,
            self._prefix + queue,
            prefetch,
            self.now_ns,
            lambda message: self.put(queue, message, message.headers),
            lambda: self._declare_again(queue),
        )
        subscription.listed = self._subscriptions
        self._subscriptions.append(subscription)
        return subscription

    def hurry(self) -> None:
        """Wait a few seconds at most from now on."""
        self.control.trying = PARTING

    def close(self) -> None:
        """Close every connection. In a fork the sockets are the parent's: they are left alone."""
        if self.closed or self._process != os.getpid():
            return
        self.closed = True
        for subscription in list(self._subscriptions):
            subscription.leave()
        for subscription in list(self._subscriptions):
            subscription.close()
        for connection in self._connections:
            connection.release()
        self.publisher.close()
        self.control.close()


class _Listed(RabbitSubscription):
    """A subscription that its link knows until it is closed."""

    listed: list[RabbitSubscription]

    def close(self) -> None:
        super().close()
        if self in self.listed:
            self.listed.remove(self)


def _copy(message: Any, headers: Mapping[str, Any]) -> amqp.Message:
    kept = {name: value for name, value in (message.properties or {}).items() if name not in _NOT_COPIED}
    kept |= {"content_type": message.content_type, "content_encoding": message.content_encoding}
    return amqp.Message(message.body, application_headers=dict(headers), delivery_mode=2, **kept)


def _nothing(message: Any) -> None:
    """Do nothing: nobody wants to know."""


def open_link(address: Any, now_ns: Callable[[], int]) -> RabbitLink:
    """Connect to the RabbitMQ that *address* names; see `address.parse_url`."""
    return RabbitLink(address, now_ns)
