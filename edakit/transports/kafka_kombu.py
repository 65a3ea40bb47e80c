"""A kombu transport over a `KafkaLink`, for code that speaks to kombu: publish to the exchange or to one queue, get, consume, ack."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import confluent_kafka
from kombu.transport import virtual
from kombu.transport.virtual.base import queue_declare_ok_t

from edakit.capabilities import BROKERS
from edakit.errors import CapabilityError
from edakit.transports.broker import Content
from edakit.transports.kafka_consumer import KafkaSubscription
from edakit.transports.kafka_marks import Mark
from edakit.transports.kafka_message import Message
from edakit.transports.link import EXCHANGE
from edakit.transports.waking import WakingChannel, WakingTransport

__all__ = ["Channel", "Transport"]

_LOOK = 0.1  # what waits for its time is looked for so often [s]
_JOINING = 10.0  # how long `basic_get` waits for the first answer of a new member of a group [s]


class Channel(WakingChannel):
    """A kombu channel: each queue that it reads is a subscription of its own."""

    def __init__(self, connection: Any, **options: Any) -> None:
        super().__init__(connection, **options)
        self.link = connection.link
        self.subscriptions: dict[str, KafkaSubscription] = {}

    def basic_publish(self, message: Content, exchange: str, routing_key: str, mandatory: bool = False, **_: Any) -> None:
        """Publish to the exchange, whose only routing key is the event's type in the headers, or with exchange "" straight into a queue."""
        if exchange not in {"", EXCHANGE}:
            raise CapabilityError("kafka://", f"publish to an exchange {exchange!r}", f"there is one, {EXCHANGE!r}")
        if mandatory:
            BROKERS["kafka"].need("must_route", "refuse a message that nobody is bound to")
        whole = Message(message, ("", 0), 0, Mark())
        self.link.publish_message(whole) if exchange else self.link.put(routing_key, whole, whole.headers)

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Message | None:
        """Receive the next message, or None."""
        subscription = self._subscription(queue)
        deadline = time.monotonic() + _JOINING
        while (message := subscription.get()) is None and not subscription.caught_up and time.monotonic() < deadline:
            time.sleep(0.005)
        if message is not None and no_ack:
            message.ack()
        return message

    def _subscription(self, queue: str) -> KafkaSubscription:
        if queue not in self.subscriptions:
            self.subscriptions[queue] = self.link.subscribe(queue, sys.maxsize)  # the channel keeps to its own prefetch
            self.subscriptions[queue].listen(self.connection.wake)
        return self.subscriptions[queue]

    def basic_consume(self, queue: str, no_ack: bool, callback: Callable[[Message], Any], consumer_tag: str, **_: Any) -> None:
        """Have *callback* called for each message, from `drain_events`."""
        self.callbacks[consumer_tag] = (self._subscription(queue), callback, no_ack)

    def basic_cancel(self, consumer_tag: str) -> None:
        """Stop calling back."""
        self.callbacks.pop(consumer_tag, None)

    def deliver_one(self) -> bool:
        """Call back for one message, if one is there."""
        for subscription, callback, no_ack in list(self.callbacks.values()):
            full = self.prefetch_count and sum(each.in_flight for each in self.subscriptions.values()) >= self.prefetch_count
            message = None if full else subscription.get()
            if message is not None:
                if no_ack:
                    message.ack()
                callback(message)
                return True
        return False

    def exchange_declare(self, exchange: str = "", type: str = "direct", **_: Any) -> None:
        """Do nothing: the one topic exchange is there."""
        if exchange != EXCHANGE or type != "topic":
            raise CapabilityError("kafka://", f"declare a {type} exchange {exchange!r}", f"there is one, the topic exchange {EXCHANGE!r}")

    def queue_declare(self, queue: str = "", passive: bool = False, arguments: dict[str, Any] | None = None, **_: Any) -> queue_declare_ok_t:
        """Make a queue; it knows no *arguments*."""
        if arguments:
            raise CapabilityError("kafka://", f"declare a queue with {', '.join(sorted(arguments))}", "a topic is cut by age, and has no other limit")
        if not passive:
            self.link.declare(queue)
        return queue_declare_ok_t(queue, self.link.backlog(queue), 0)

    def queue_bind(self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any) -> None:
        """Bind a queue."""
        self.link.bind(queue, routing_key)

    def _size(self, queue: str) -> int:
        size: int = self.link.backlog(queue)
        return size

    def close(self) -> None:
        """Close; what was not acked goes to the next member of the group."""
        if not self.closed:
            self.closed: bool = True
            for subscription in self.subscriptions.values():
                subscription.close()
            self.connection.close_channel(self)


# kombu asks for it by this name; inside the class it would hide the type.
Channel.Message = Message


class Transport(WakingTransport):
    """The kombu transport: `link.connect()` makes its connections."""

    Channel = Channel
    driver_type = driver_name = "kafka"
    implements = virtual.Transport.implements.extend(exchange_type=frozenset(["topic"]))
    longest = _LOOK

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.link = client.transport_options["link"]

    def driver_version(self) -> str:
        """Return the version of librdkafka."""
        return str(confluent_kafka.libversion()[0])
