"""Messages, queues and exchanges inside one process: what `memory://` keeps, whoever is connected to it."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar
from weakref import WeakSet, WeakValueDictionary

from amqp.exceptions import ChannelError
from kombu.message import Message as KombuMessage

from edakit.errors import QueueFullError, UnroutableEventError
from edakit.transports.routing import Exchange

__all__ = ["LONGEST_WAIT", "Broker", "Content", "Message", "Queue"]

LONGEST_WAIT = 30.0
"""How long a publishing thread waits for room in a bounded queue before it is told that there is none [s]."""
Content = tuple[Any, Mapping[str, Any], Any, Any, dict[str, Any]]
"""Body, headers, content type, content encoding, properties: what all copies of a message share."""


class Message(KombuMessage):  # type: ignore[misc]  # kombu is not typed
    """One queue's own copy of a message."""

    __slots__ = ("_state", "attempt", "body", "channel", "content_encoding", "content_type", "delivery_tag", "headers", "properties", "queue", "redelivered")
    accept: ClassVar[Any] = None
    _decoded_cache: Any = None
    errors: ClassVar[Any] = ()

    def __init__(self, content: Content, queue: Queue) -> None:
        # Not super().__init__: it would unpack a compressed body without limit, and costs more than all the rest.
        self.body, self.headers, self.content_type, self.content_encoding, self.properties = content
        self.queue = queue
        self.channel: Any = None
        self.attempt, self.redelivered = 1, False
        self._state = "READY"

    @property
    def delivery_info(self) -> dict[str, Any]:
        """Where it lies: redelivery goes back to this queue and to no other."""
        return {"exchange": "", "routing_key": self.queue.name, "redelivered": self.redelivered}

    def ack(self, multiple: bool = False) -> None:
        """Tell the broker that the work is done.

        Raises:
            MessageStateError: it went back to its queue already, or was acked.
        """
        if multiple or self._state != "RECEIVED":
            super().ack(multiple=multiple)
            return
        with self.queue.broker.lock:
            self._check_taken()
            # No call among these three, after which Python would look for Ctrl-C: a message half acked could neither be handled nor given back.
            del self.channel.unacked[self.delivery_tag]
            self._state = "ACK"
            self.queue.in_flight -= 1

    def _check_taken(self) -> None:
        if self.delivery_tag not in self.channel.unacked:
            raise self.MessageStateError(f"message {self.delivery_tag} of queue {self.queue.name!r} is not this channel's any more")

    def retry(self, due_ns: int, *, attempt: bool = True) -> None:
        """Give it back to its queue, to be delivered once more not before *due_ns* [ns]; *attempt* tells whether this one counted.

        Raises:
            MessageStateError: as `ack`.
        """
        with self.queue.broker.lock:
            self._check_taken()
            del self.channel.unacked[self.delivery_tag]
            self.queue.put_back(self.again(attempt=self.attempt + attempt), due_ns)

    def again(self, *, attempt: int, redelivered: bool = True) -> Message:
        """Return a fresh copy for the next delivery, and make this one useless: who still holds it must not ack the other."""
        copy = Message((self.body, self.headers, self.content_type, self.content_encoding, self.properties), self.queue)
        copy.attempt, copy.redelivered = attempt, redelivered
        self._state = "REQUEUED"
        return copy

    def duplicate(self) -> None:
        """Put a second copy with the same id into its queue, as a producer does that was not told of its success."""
        with self.queue.broker.lock:
            self.queue.append(Message((self.body, self.headers, self.content_type, self.content_encoding, self.properties), self.queue))


class Queue:
    """One queue: ready messages in order, those that wait for their time, and a count of those being handled.

    Every method is called with the broker's lock held.

    Args:
        broker: Whose lock and clock it uses.
        name: Its name.
        bound: Most messages that it holds, those being handled not counted [messages]; None for no bound.
        when_full: One of `link.POLICIES`.
    """

    def __init__(self, broker: Broker, name: str, bound: int | None = None, when_full: str = "raise") -> None:
        self.broker, self.name, self.bound, self.when_full = broker, name, bound, when_full
        self.ready: deque[Message] = deque()
        self.waiting: list[tuple[int, int, Message]] = []
        self.in_flight = 0
        self.listeners: list[Callable[[], None]] = []
        self.on_drop: Callable[[Message], None] = _nothing

    def __len__(self) -> int:
        return len(self.ready) + len(self.waiting)

    @property
    def full(self) -> bool:
        """Whether there is no room for one more."""
        return self.bound is not None and len(self) >= self.bound

    def append(self, message: Message) -> None:
        """Take a new message at the end."""
        self.ready.append(message)
        for wake in self.listeners:
            wake()

    def put_back(self, message: Message, due_ns: int) -> None:
        """Take a message back that was being handled, to be delivered when it is due."""
        self.in_flight -= 1
        heapq.heappush(self.waiting, (due_ns, next(self.broker.counter), message))
        for wake in self.listeners:
            wake()

    def restore(self, messages: list[Message]) -> None:
        """Take messages back to the front, in the order in which they were delivered."""
        self.in_flight -= len(messages)
        for message in reversed(messages):
            self.ready.appendleft(message.again(attempt=message.attempt))
            for wake in self.listeners:
                wake()

    def pop(self) -> Message | None:
        """Hand out the next message that is due, or None."""
        if self.waiting and self.waiting[0][0] <= self.broker.now_ns():
            message = heapq.heappop(self.waiting)[2]
        elif self.ready:
            message = self.ready.popleft()
        else:
            return None
        self.in_flight += 1
        if self.bound is not None:
            self.broker.has_room.notify_all()
        return message

    def next_due_ns(self) -> int | None:
        """When the earliest waiting message is due [ns]; None if none waits."""
        return self.waiting[0][0] if self.waiting else None


def _nothing(message: Message) -> None:
    """Do nothing: nobody wants to know."""


class Broker:
    """Exchanges and queues that several connections of one process share.

    Args:
        now_ns: The clock by which waiting messages become due [ns].

    Attributes:
        threaded: How many of those who share it have several threads at work: a publisher waits for room as long as one has.
        links: Those who share it and are not closed.
    """

    named: ClassVar[WeakValueDictionary[str, Broker]] = WeakValueDictionary()

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.now_ns = now_ns
        # Re-entrant: a finalizer may close a channel while this very thread holds the lock.
        self.lock = threading.RLock()
        self.has_room = threading.Condition(self.lock)
        self.counter = itertools.count(1)
        # As in AMQP, to the exchange without a name each queue is bound by its own.
        self.exchanges: dict[str, Exchange[Queue]] = {"": Exchange("", "direct")}
        self.queues: dict[str, Queue] = {}
        self.threaded = 0
        self.links: WeakSet[Any] = WeakSet()

    def publish(self, exchange: str, routing_key: str, content: Content, *, mandatory: bool = False, may_drop: bool = True) -> int:
        """Give each queue that is bound its own copy; return how many took it.

        Raises:
            UnroutableEventError: *mandatory*, and no queue is bound.
            QueueFullError: one of them is full and its policy is not to drop, or *may_drop* is not set; then none took it.
            ChannelError: there is no such exchange.
        """
        with self.lock:
            targets = self.exchange(exchange).route(routing_key)
            if not targets and mandatory:
                raise UnroutableEventError(routing_key, self.exchanges[exchange].bindings())
            for queue in targets:
                if queue.bound is not None:
                    return self._publish_bounded(targets, content, may_drop=may_drop)
            for queue in targets:
                queue.append(Message(content, queue))
            return len(targets)

    def _publish_bounded(self, targets: Iterable[Queue], content: Content, *, may_drop: bool) -> int:
        refusing = [queue for queue in targets if not (may_drop and queue.when_full.startswith("drop"))]
        for queue in refusing:
            self._wait_for_room(queue, refusing)
        taken = 0
        for queue in targets:
            message = Message(content, queue)
            if queue.full and queue.when_full == "drop newest":
                queue.on_drop(message)
                continue
            if queue.full and queue.ready:
                queue.on_drop(queue.ready.popleft())
            queue.append(message)
            taken += 1
        return taken

    def _wait_for_room(self, queue: Queue, refusing: list[Queue]) -> None:
        if not queue.full:
            return
        # In one thread nobody would make room while we wait.
        waits = LONGEST_WAIT if queue.when_full == "wait" and self.threaded else 0.0
        if not (waits and self.has_room.wait_for(lambda: not any(queue.full for queue in refusing), waits)):
            raise QueueFullError(queue.name, queue.bound or 0, waits, queue.when_full)

    def declare_exchange(self, name: str, kind: str) -> None:
        """Make an exchange; doing so twice is doing it once."""
        with self.lock:
            known = self.exchanges.setdefault(name, Exchange(name, kind))
        if known.kind != kind:
            raise ChannelError(f"PRECONDITION_FAILED - exchange {name!r} is of kind {known.kind}, not {kind}", (40, 10), "Channel.exchange_declare", "406")

    def declare_queue(self, name: str, bound: int | None = None, when_full: str = "raise") -> Queue:
        """Make a queue; doing so twice is doing it once, with the newer bound."""
        with self.lock:
            queue = self.queues.setdefault(name, Queue(self, name))
            self.exchanges[""].bind(queue, name)
            queue.bound, queue.when_full = bound, when_full
            return queue

    def delete_queue(self, name: str) -> None:
        """Remove a queue with all that is in it."""
        with self.lock:
            if (queue := self.queues.pop(name, None)) is not None:
                for exchange in self.exchanges.values():
                    exchange.forget(queue)

    def queue(self, name: str) -> Queue:
        """Return a queue.

        Raises:
            ChannelError: there is none of this name.
        """
        if name not in self.queues:
            raise ChannelError(f"NOT_FOUND - no queue {name!r}", (50, 10), "Channel.queue_declare", "404")
        return self.queues[name]

    def exchange(self, name: str) -> Exchange[Queue]:
        """Return an exchange.

        Raises:
            ChannelError: there is none of this name.
        """
        if name not in self.exchanges:
            raise ChannelError(f"NOT_FOUND - no exchange {name!r}", (40, 10), "Channel.exchange_declare", "404")
        return self.exchanges[name]

    def bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Let *queue* take what is published to *exchange* and fits *routing_key*."""
        with self.lock:
            self.exchange(exchange).bind(self.queue(queue), routing_key)

    def unbind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Undo a `bind`."""
        with self.lock:
            if (found := self.queues.get(queue)) is not None:
                self.exchange(exchange).unbind(found, routing_key)
