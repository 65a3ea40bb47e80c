"""`memory://`: a kombu transport inside one process that wakes instead of polling and gives back what was not acked.

kombu's own forgets un-acked messages when a channel closes, shares one state among all users of the process, sleeps for up to a second
when a queue is empty, and publishes what it requeues to every subscriber again. Here each queue has its own copy of a message and
takes it back alone.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from kombu.transport import virtual
from kombu.transport.virtual.base import queue_declare_ok_t

from edakit.errors import UnroutableEventError
from edakit.transports.broker import Broker, Content, Message, Queue

__all__ = ["Channel", "Transport"]


class Channel(virtual.Channel):  # type: ignore[misc]  # kombu is not typed
    """A kombu channel: what it was given and has not acked goes back when it closes."""

    supports_fanout = True

    def __init__(self, connection: Any, **options: Any) -> None:
        super().__init__(connection, **options)
        self.broker: Broker = connection.broker
        self.unacked: dict[int, Message] = {}
        self.callbacks: dict[str, tuple[Queue, Callable[[Message], Any], bool]] = {}
        self.prefetch_count = 0
        self._tags = itertools.count(1)

    def prepare_message(
        self, body: Any, priority: Any = None, content_type: Any = None, content_encoding: Any = None, headers: Any = None, properties: Any = None
    ) -> Content:
        """Put the parts of a message together; the body stays as it is, not base64."""
        return (body, headers or {}, content_type, content_encoding, properties or {})

    def basic_publish(self, message: Content, exchange: str, routing_key: str, mandatory: bool = False, **_: Any) -> int:
        """Publish; return how many queues took it."""
        taken = self.broker.publish(exchange, routing_key, message)
        if mandatory and not taken:
            raise UnroutableEventError(routing_key, self.broker.exchanges[exchange].bindings() if exchange else ())
        return taken

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Message | None:
        """Receive the next message, or None."""
        return self.take(self.broker.queue(queue), no_ack=no_ack)

    def take(self, queue: Queue, *, no_ack: bool = False) -> Message | None:
        """Receive the next message of a queue that is at hand, or None."""
        with self.broker.lock:
            message = queue.pop()
            if message is None:
                return None
            message.channel, message.delivery_tag = self, (tag := next(self._tags))
            message._state = "RECEIVED"
            if no_ack:
                queue.in_flight -= 1
            else:
                self.unacked[tag] = message
            return message

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
            if self.prefetch_count and len(self.unacked) >= self.prefetch_count:
                return False
            message = self.take(queue, no_ack=no_ack)
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

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Limit how many messages `drain_events` hands out before they are acked; 0 for no limit."""
        self.prefetch_count = prefetch_count

    def exchange_declare(self, exchange: str = "", type: str = "direct", passive: bool = False, **_: Any) -> None:
        """Make an exchange, or with *passive* make sure that it is there."""
        if passive:
            self.broker._exchange(exchange)
        else:
            self.broker.declare_exchange(exchange, type or "direct")

    def exchange_delete(self, exchange: str, **_: Any) -> None:
        """Remove an exchange."""
        self.broker.exchanges.pop(exchange, None)

    def queue_declare(self, queue: str = "", passive: bool = False, arguments: dict[str, Any] | None = None, **_: Any) -> queue_declare_ok_t:
        """Make a queue; *arguments* knows `x-max-length` and `x-overflow` (raise, wait, drop newest, drop oldest)."""
        arguments = arguments or {}
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


class Transport(virtual.Transport):  # type: ignore[misc]  # kombu is not typed
    """The kombu transport: `kombu.Connection(transport=Transport, transport_options={"broker": Broker()})`."""

    Channel = Channel
    driver_type = driver_name = "memory"
    implements = virtual.Transport.implements.extend(exchange_type=frozenset(["direct", "topic", "fanout"]))

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.broker: Broker = client.transport_options.get("broker") or Broker()
        self._awake = threading.Event()
        self.wake = self._awake.set

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Deliver one message, waiting for it up to *timeout* [s]; None waits for ever.

        Raises:
            TimeoutError: none came.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._awake.clear()
            if any(channel.deliver_one() for channel in list(self.channels)):
                return
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self._awake.wait(self._until_due(left))

    def _until_due(self, left: float | None) -> float | None:
        dues = [due for channel in self.channels for queue, *_ in channel.callbacks.values() if (due := queue.next_due_ns()) is not None]
        waits = [max(0.0, (min(dues) - self.broker.now_ns()) / 1e9)] if dues else []
        return min(waits + ([] if left is None else [left]), default=None)

    def driver_version(self) -> str:
        """Return a version, as kombu asks of every transport."""
        return "1"
