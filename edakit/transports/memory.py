"""`memory://`: a kombu transport inside one process that wakes instead of polling and gives back what was not acked.

kombu's own forgets un-acked messages when a channel closes, shares one state among all users of the process, sleeps for up to a second
when a queue is empty, and publishes what it requeues to every subscriber again. Here each queue has its own copy of a message and
takes it back alone.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

from amqp.exceptions import ChannelError
from kombu.transport import virtual
from kombu.transport.virtual.base import queue_declare_ok_t

from edakit.transports.broker import Broker, Content, Message
from edakit.transports.waking import WakingChannel, WakingTransport

__all__ = ["Channel", "Transport"]


class Channel(WakingChannel):
    """A kombu channel: what it was given and has not acked goes back when it closes."""

    supports_fanout = True

    def __init__(self, connection: Any, **options: Any) -> None:
        super().__init__(connection, **options)
        self.broker: Broker = connection.broker
        self.unacked: dict[int, Message] = {}
        self.tags = itertools.count(1)

    def basic_publish(self, message: Content, exchange: str, routing_key: str, mandatory: bool = False, **_: Any) -> int:
        """Publish; return how many queues took it."""
        return self.broker.publish(exchange, routing_key, message, mandatory=mandatory)

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Message | None:
        """Receive the next message, or None."""
        return self.broker.queue(queue).pop(self, sys.maxsize, no_ack=no_ack)

    def basic_consume(self, queue: str, no_ack: bool, callback: Callable[[Message], Any], consumer_tag: str, **_: Any) -> None:
        """Have *callback* called for each message, from `drain_events`."""
        with self.broker.lock:
            found = self.broker.queue(queue)
            found.listeners.append(self.connection.wake)
            self.callbacks[consumer_tag] = (found, callback, no_ack)

    def basic_cancel(self, consumer_tag: str) -> None:
        """Stop calling back."""
        with self.broker.lock:
            if consumer_tag in self.callbacks:
                self.callbacks.pop(consumer_tag)[0].listeners.remove(self.connection.wake)

    def deliver_one(self) -> bool:
        """Call back for one message, if one is there and prefetch allows."""
        for queue, callback, no_ack in list(self.callbacks.values()):
            message = queue.pop(self, self.prefetch_count or sys.maxsize, no_ack=no_ack)
            if message is not None:
                callback(message)
                return True
        return False

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """Forget a message, and with *multiple* all that were delivered before it."""
        with self.broker.lock:
            for tag in [tag for tag in self.unacked if tag <= delivery_tag] if multiple else [delivery_tag]:
                if tag in self.unacked:
                    self.unacked.pop(tag).queue.in_flight -= 1

    def basic_reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Refuse a message: back to the front of its own queue, or gone."""
        with self.broker.lock:
            message = self.unacked.pop(delivery_tag)
            if requeue:
                message.queue.restore([message])
            else:
                message.queue.in_flight -= 1

    def basic_recover(self, requeue: bool = False) -> None:
        """Give back all that is not acked."""
        with self.broker.lock:
            queues = dict.fromkeys(message.queue for message in self.unacked.values())
            for queue in queues:
                queue.restore([message for message in self.unacked.values() if message.queue is queue])
            self.unacked.clear()

    def exchange_declare(self, exchange: str = "", type: str = "direct", passive: bool = False, **_: Any) -> None:
        """Make an exchange, or with *passive* make sure that it is there."""
        if passive:
            self.broker.exchange(exchange)
        else:
            self.broker.declare_exchange(exchange, type or "direct")

    def exchange_delete(self, exchange: str, **_: Any) -> None:
        """Remove an exchange."""
        self.broker.exchanges.pop(exchange, None)

    def queue_declare(self, queue: str = "", passive: bool = False, arguments: dict[str, Any] | None = None, **_: Any) -> queue_declare_ok_t:
        """Make a queue; *arguments* knows `x-max-length` and `x-overflow` (raise, wait, drop newest, drop oldest)."""
        arguments = arguments or {}
        if unknown := sorted(arguments.keys() - {"x-max-length", "x-overflow"}):
            raise ChannelError(f"NOT_IMPLEMENTED - no queue here knows {', '.join(unknown)}", (50, 10), "Channel.queue_declare", "540")
        queue = queue or f"amq.gen-{next(self.broker.counter)}"
        found = self.broker.queue(queue) if passive else self.broker.declare_queue(queue, arguments.get("x-max-length"), arguments.get("x-overflow", "raise"))
        return queue_declare_ok_t(queue, len(found), len(found.listeners))

    def queue_bind(self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any) -> None:
        """Bind a queue."""
        self.broker.bind(queue, exchange or "", routing_key)

    def queue_unbind(self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any) -> None:
        """Unbind a queue."""
        self.broker.unbind(queue, exchange or "", routing_key)

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:
        """Remove a queue."""
        found = self.broker.queues.get(queue)
        if found and not (if_empty and len(found)) and not (if_unused and found.listeners):
            self.broker.delete_queue(queue)

    def _purge(self, queue: str) -> int:
        with self.broker.lock:
            found = self.broker.queue(queue)
            size = len(found)
            found.ready.clear()
            found.waiting.clear()
        return size

    def _size(self, queue: str) -> int:
        return len(self.broker.queue(queue))

    def close(self) -> None:
        """Close; what was not acked goes back to its own queue, and to no other subscriber."""
        if self.closed:
            return
        self.closed: bool = True
        with self.broker.lock:
            for consumer_tag in list(self.callbacks):
                self.basic_cancel(consumer_tag)
            self.basic_recover(requeue=True)
        self.connection.close_channel(self)


# kombu asks for it by this name; inside the class it would hide the type.
Channel.Message = Message


class Transport(WakingTransport):
    """The kombu transport: `kombu.Connection(transport=Transport, transport_options={"broker": Broker()})`."""

    Channel = Channel
    driver_type = driver_name = "memory"
    implements = virtual.Transport.implements.extend(exchange_type=frozenset(["direct", "topic", "fanout"]))

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.broker: Broker = client.transport_options.get("broker") or Broker()
        self.now_ns = self.broker.now_ns
