"""`sqlite:///file.db`: a kombu transport for several processes on one machine, with nothing to install.

kombu's own for databases hides a killed consumer's message for ever, drops fanout and polls once a second. Here a message is leased, with a
deadline that is put off while its consumer lives; each queue has its own copy; and what was published stays in a log.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from amqp.exceptions import ChannelError
from kombu.transport import virtual
from kombu.transport.virtual.base import queue_declare_ok_t

from edakit.transports.broker import Content
from edakit.transports.sqlite_consumer import LEASE, Consumer
from edakit.transports.sqlite_file import File
from edakit.transports.sqlite_message import Message
from edakit.transports.sqlite_store import Store
from edakit.transports.waking import WakingChannel, WakingTransport

__all__ = ["Channel", "Transport"]

_BLOCK = 20
"""How many messages `drain_events` takes from the file at once, where no prefetch says less."""


class Channel(WakingChannel):
    """A kombu channel: what it was given and has not acked goes back when it closes, or when its process dies."""

    supports_fanout = True

    def __init__(self, connection: Any, **options: Any) -> None:
        super().__init__(connection, **options)
        self.store: Store = connection.store
        self.unacked: dict[int, Message] = {}
        self._consumers: dict[str, Consumer] = {}
        self._tags = itertools.count(1)

    def basic_publish(self, message: Content, exchange: str, routing_key: str, mandatory: bool = False, **_: Any) -> int:
        """Publish; return how many queues took it, after the commit."""
        return self.store.publish(exchange, [(routing_key, message)], must_route=mandatory)[0]

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Message | None:
        """Receive the next message, or None."""
        return self._receive(self._consumer(queue), 1, no_ack=no_ack)

    def _consumer(self, queue: str) -> Consumer:
        if queue not in self._consumers:
            self._consumers[queue] = Consumer(self.store, queue, lease=self.connection.lease)
        return self._consumers[queue]

    def _receive(self, consumer: Consumer, most: int, *, no_ack: bool = False) -> Message | None:
        message = consumer.get(most)
        if message is None:
            return None
        if no_ack:
            consumer.ack(message)
        message.channel = self
        message.delivery_tag = tag = next(self._tags)
        if not no_ack:
            self.unacked[tag] = message
        return message

    def basic_consume(self, queue: str, no_ack: bool, callback: Callable[[Message], Any], consumer_tag: str, **_: Any) -> None:
        """Have *callback* called for each message, from `drain_events`."""
        consumer = self._consumer(queue)
        self.store.file.listen(consumer.queue.id, self.connection.wake)
        self.callbacks[consumer_tag] = (consumer, callback, no_ack)

    def basic_cancel(self, consumer_tag: str) -> None:
        """Stop calling back."""
        if consumer_tag in self.callbacks:
            self.store.file.unlisten(self.callbacks.pop(consumer_tag)[0].queue.id, self.connection.wake)

    def deliver_one(self) -> bool:
        """Call back for one message, if one is there and prefetch allows."""
        for consumer, callback, no_ack in list(self.callbacks.values()):
            room = self.prefetch_count - len(self.unacked) if self.prefetch_count else _BLOCK
            message = self._receive(consumer, room, no_ack=no_ack) if room > 0 else None
            if message is not None:
                callback(message)
                return True
        return False

    def _settled(self, delivery_tag: int) -> Message:
        if delivery_tag not in self.unacked:
            raise Message.MessageStateError(f"message {delivery_tag} is not this channel's any more")
        return self.unacked.pop(delivery_tag)

    def basic_ack(self, delivery_tag: int, multiple: bool = False) -> None:
        """Forget a message, and with *multiple* all that were delivered before it."""
        for tag in [tag for tag in self.unacked if tag <= delivery_tag] if multiple else [delivery_tag]:
            message = self._settled(tag)
            message.owner.ack(message)

    def basic_reject(self, delivery_tag: int, requeue: bool = False) -> None:
        """Refuse a message: back to its place in its own queue, or gone."""
        message = self._settled(delivery_tag)
        if requeue:
            message.owner.give_back(message, 0, message.attempt)
        else:
            message.owner.ack(message)

    def basic_recover(self, requeue: bool = False) -> None:
        """Give back all that is not acked."""
        for tag in list(self.unacked):
            self.basic_reject(tag, requeue=True)

    def exchange_declare(self, exchange: str = "", type: str = "direct", passive: bool = False, **_: Any) -> None:
        """Make an exchange, or with *passive* make sure that it is there."""
        if passive:
            self.store.exchange(exchange)
        else:
            self.store.declare_exchange(exchange, type or "direct")

    def exchange_delete(self, exchange: str, **_: Any) -> None:
        """Remove an exchange."""
        self.store.delete_exchange(exchange)

    def queue_declare(self, queue: str = "", passive: bool = False, arguments: dict[str, Any] | None = None, **_: Any) -> queue_declare_ok_t:
        """Make a queue; *arguments* knows `x-max-length` and `x-overflow` (raise, wait, drop newest, drop oldest)."""
        arguments = arguments or {}
        if not queue:
            raise ChannelError("PRECONDITION_FAILED - give the queue a name: several processes share the file", (50, 10), "Channel.queue_declare", "406")
        if unknown := sorted(arguments.keys() - {"x-max-length", "x-overflow"}):
            raise ChannelError(f"NOT_IMPLEMENTED - no queue here knows {', '.join(unknown)}", (50, 10), "Channel.queue_declare", "540")
        if not passive:
            self.store.declare_queue(queue, arguments.get("x-max-length"), arguments.get("x-overflow", "raise"))
        return queue_declare_ok_t(queue, self._size(queue), self.store.consumers(queue))

    def queue_bind(self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any) -> None:
        """Bind a queue."""
        self.store.bind(queue, exchange or "", routing_key)

    def queue_unbind(self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **_: Any) -> None:
        """Unbind a queue."""
        self.store.unbind(queue, exchange or "", routing_key)

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:
        """Remove a queue."""
        if self.store.has_queue(queue) and not (if_empty and self._size(queue)) and not (if_unused and self.store.consumers(queue)):
            self.store.delete_queue(queue)

    def _purge(self, queue: str) -> int:
        return self.store.purge(queue)

    def _size(self, queue: str) -> int:
        return self.store.count(queue)

    def close(self) -> None:
        """Close; what was not acked goes back to its own queue, and to no other subscriber."""
        if self.closed:
            return
        self.closed: bool = True
        for consumer_tag in list(self.callbacks):
            self.basic_cancel(consumer_tag)
        self.unacked.clear()
        for consumer in self._consumers.values():
            consumer.close()
        self.connection.close_channel(self)


# kombu asks for it by this name; inside the class it would hide the type.
Channel.Message = Message


class Transport(WakingTransport):
    """The kombu transport: `kombu.Connection(transport=Transport, transport_options={"path": "shop.db"})`.

    Further options: `namespace`, `lease` [s], `sync` ("normal" or "full").
    """

    Channel = Channel
    driver_type = driver_name = "sqlite"
    implements = virtual.Transport.implements.extend(exchange_type=frozenset(["direct", "topic", "fanout"]))

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        chosen = client.transport_options
        self.lease = chosen.get("lease", LEASE)
        self._file: File | None = File.open(chosen["path"], chosen.get("sync", "normal"))
        self.store = Store(self._file, chosen.get("namespace", ""), chosen.get("now_ns", time.time_ns))
        self.now_ns = self.store.now_ns

    def close_connection(self, connection: Any) -> None:
        """Close the channels, and let go of the file."""
        super().close_connection(connection)
        if self._file is not None:
            file, self._file = self._file, None
            file.release()
