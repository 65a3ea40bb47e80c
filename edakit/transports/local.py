"""`memory://` as a bus sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

import kombu

from edakit.codec import CONTENT_TYPE
from edakit.errors import QueueFullError, VirtualTimeError
from edakit.transports.broker import Broker
from edakit.transports.link import EXCHANGE, Link, Subscription
from edakit.transports.memory import Transport

__all__ = ["MemoryLink", "open_link"]


_NO_PROPERTIES: Final = cast("dict[str, Any]", MappingProxyType({}))  # of all messages alike, so nobody may write into them


class MemoryLink(Link):
    """Connections to one broker inside this process."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._threaded = False
        self._connections: dict[Any, None] = {}
        broker.links.add(self)
        self._channel = self.connect().channel()
        self._channel.exchange_declare(EXCHANGE, "topic", durable=True)

    @property
    def threaded(self) -> bool:
        """Whether several threads work."""
        return self._threaded

    @threaded.setter
    def threaded(self, value: bool) -> None:
        with self.broker.lock:
            self.broker.threaded += value - self._threaded
            self._threaded = value

    def connect(self) -> Any:
        """Open one more kombu connection to the same broker."""
        connection = kombu.Connection(transport=Transport, transport_options={"broker": self.broker})
        self._connections[connection] = None
        return connection

    def declare(self, queue: str, *, bound: int | None = None, when_full: str = "raise", on_drop: Callable[[Any], None] | None = None) -> None:
        """Make a queue."""
        self._channel.queue_declare(queue, durable=True, arguments={"x-max-length": bound, "x-overflow": when_full})
        if on_drop is not None:
            self.broker.queue(queue).on_drop = on_drop

    def bind(self, queue: str, pattern: str) -> None:
        """Let a queue take what fits *pattern*."""
        self._channel.queue_bind(queue, EXCHANGE, pattern)

    def publish(self, name: str, body: bytes, headers: Mapping[str, Any], must_route: bool = False) -> int | None:
        """Publish; return how many queues took it."""
        return self.broker.publish(EXCHANGE, name, (body, headers, CONTENT_TYPE, "utf-8", _NO_PROPERTIES), must_route, True)

    def put(self, queue: str, message: Any, headers: Mapping[str, Any]) -> None:
        """Put a copy straight into one queue."""
        content = self._channel.prepare_message(message.body, None, message.content_type, message.content_encoding, headers, message.properties)
        self.broker.publish("", queue, content, may_drop=False)

    def browse(self, queue: str) -> list[Any]:
        """Return what waits."""
        connection = self.connect()
        channel = connection.channel()
        messages = list(iter(lambda: channel.basic_get(queue), None))
        self._release(connection)
        return messages

    def move(self, source: str, target: str, headers: Callable[[Mapping[str, Any]], dict[str, Any]]) -> int:
        """Move what waits in *source* now, as far as there is room."""
        # Counted first: with workers running, one that comes back at once must not be moved for ever.
        waiting = self.backlog(source)
        for moved in range(waiting):
            message = self._channel.basic_get(source)
            if message is None:  # another thread moves them too
                return moved
            try:
                self.put(target, message, headers(message.headers))
            except BaseException as error:
                message.requeue()  # where it could not go, it stays
                if moved and isinstance(error, QueueFullError):
                    return moved
                raise
            message.ack()
        return waiting

    def backlog(self, queue: str) -> int:
        """Count what waits."""
        return len(self.broker.queue(queue))

    def outstanding(self, queues: Iterable[str]) -> dict[str, int]:
        """Count what waits or is being handled."""
        with self.broker.lock:
            found = {name: self.broker.queue(name) for name in queues}
            return {name: len(queue) + queue.in_flight for name, queue in found.items()}

    def subscribe(self, queue: str, prefetch: int) -> Subscription:
        """Open a subscription."""
        return MemorySubscription(self.connect(), queue, prefetch, self._release)

    def _release(self, connection: Any) -> None:
        connection.release()
        self._connections.pop(connection, None)

    def close(self) -> None:
        """Close every connection."""
        self.threaded = False
        self.broker.links.discard(self)
        for connection in list(self._connections):
            self._release(connection)


class MemorySubscription:
    """Messages of one queue in this process."""

    def __init__(self, connection: Any, queue: str, prefetch: int, release: Callable[[Any], None]) -> None:
        self._connection, self._release, self._prefetch = connection, release, prefetch
        self._channel = connection.channel()
        self._queue = self._channel.broker.queue(queue)
        self._listener: Callable[[], None] | None = None

    def get(self) -> Any | None:
        """Return the next message that is due; None if there is none, or prefetch is used up."""
        return self._queue.pop(self._channel, self._prefetch)

    def listen(self, wake: Callable[[], None]) -> None:
        """Have *wake* called for each message that arrives, and now for each that is there."""
        with self._queue.broker.lock:
            self._listener = wake
            self._queue.listeners.append(wake)
            for _ in range(len(self._queue)):
                wake()

    def next_due_ns(self) -> int | None:
        """When the earliest message that waits for its time is due [ns]."""
        return cast("int | None", self._queue.next_due_ns())

    @property
    def in_flight(self) -> int:
        """How many messages were taken and are not yet acked [messages]."""
        return len(self._channel.unacked)

    def __len__(self) -> int:
        return len(self._queue)

    def leave(self) -> None:
        """Do nothing: a close waits for nobody."""

    def close(self) -> None:
        """End it; what was taken and not acked goes back."""
        with self._queue.broker.lock:
            if self._listener in self._queue.listeners:
                self._queue.listeners.remove(self._listener)
        self._release(self._connection)


def open_link(address: Any, now_ns: Callable[[], int]) -> MemoryLink:
    """Return a link to a broker of its own, or to the one that has this name in this process.

    Raises:
        VirtualTimeError: who shares this name has another clock, and one of the two is virtual.
    """
    if not address.name:
        return MemoryLink(Broker(now_ns))
    name = f"{address.name}?{address.namespace}"
    broker = Broker.named.get(name)
    alike = broker is not None and (broker.now_ns == now_ns or not (_virtual(broker.now_ns) or _virtual(now_ns)))
    if broker is None or (not alike and not broker.links):
        # Where all who had another clock are closed, what they left waits by a time that means nothing here.
        broker = Broker.named[name] = Broker(now_ns)
    elif not alike:
        del broker  # a traceback would keep it when the other app has gone
        raise VirtualTimeError(
            f"memory://{address.name} is in use with another clock, and what waits for its time there would wait by that one; "
            "close the other app, give this one another name, or put all components into one app"
        )
    return MemoryLink(broker)


def _virtual(now_ns: Callable[[], int]) -> bool:
    return bool(getattr(getattr(now_ns, "__self__", None), "virtual", False))
