"""Messages, queues and exchanges inside one process: what `memory://` keeps, whoever is connected to it."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final
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


_new: Final[Callable[[Any], Any]] = object.__new__


class Message(KombuMessage):  # type: ignore[misc]  # kombu is not typed
    """One queue's own copy of a message.

    Attributes:
        checked: Whether `codec.encode` of this very process made it. It lies here as it was made, so there is nothing to check when it arrives.
    """

    __slots__ = (
        *("_state", "attempt", "body", "channel", "checked", "content_encoding", "content_type", "delivery_tag", "headers", "properties", "queue"),
        "redelivered",
    )
    _state: str
    accept: ClassVar[Any] = None
    _decoded_cache: Any = None
    errors: ClassVar[Any] = ()

    @staticmethod
    def of(content: Content, queue: Queue, checked: bool) -> Message:
        """Make one that was never delivered."""
        # Not KombuMessage.__init__: it would unpack a compressed body without limit, and costs more than all the rest. Nor one of our own:
        # called by the interpreter's C, and not by its bytecode, it costs three times as much where caches are cold.
        message: Message = _new(Message)
        message.body, message.headers, message.content_type, message.content_encoding, message.properties = content
        message.queue, message.checked, message.channel = queue, checked, None
        message.attempt, message.redelivered, message._state = 1, False, "READY"
        return message

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
        copy = self._copy()
        copy.attempt, copy.redelivered = attempt, redelivered
        self._state = "REQUEUED"
        return copy

    def duplicate(self) -> None:
        """Put a second copy with the same id into its queue, as a producer does that was not told of its success."""
        with self.queue.broker.lock:
            self.queue.wake()
            self.queue.ready.append(self._copy())

    def _copy(self) -> Message:
        return Message.of((self.body, self.headers, self.content_type, self.content_encoding, self.properties), self.queue, self.checked)


class Queue:
    """One queue: ready messages in order, those that wait for their time, and a count of those being handled.

    Every method but `pop` is called with the broker's lock held.

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

    def wake(self) -> None:
        """Tell those who listen that there is something for one of them; they cannot look before the broker's lock is released."""
        for wake in self.listeners:
            wake()

    def put_back(self, message: Message, due_ns: int) -> None:
        """Take a message back that was being handled, to be delivered when it is due."""
        self.in_flight -= 1
        heapq.heappush(self.waiting, (due_ns, next(self.broker.counter), message))
        self.wake()

    def restore(self, messages: list[Message]) -> None:
        """Take messages back to the front, in the order in which they were delivered."""
        self.in_flight -= len(messages)
        for message in reversed(messages):
            self.ready.appendleft(message.again(attempt=message.attempt))
            self.wake()

    def pop(self, channel: Any, most: int, no_ack: bool = False) -> Message | None:
        """Hand out the next message that is due to *channel*; None if there is none, or *most* of that channel's are not acked [messages]."""
        try:
            self.broker.lock.acquire()  # as in `publish`
            # Closed by another thread, or under a loop that was about to take one: it would have what nobody gives back.
            if channel.closed or len(channel.unacked) >= most:
                return None
            if self.waiting and self.waiting[0][0] <= self.broker.now_ns():
                message = heapq.heappop(self.waiting)[2]
            elif self.ready:
                message = self.ready.popleft()
            else:
                return None
            if self.bound is not None:
                self.broker.has_room.notify_all()
            message.channel, message._state = channel, "RECEIVED"
            message.delivery_tag = tag = next(channel.tags)
            if not no_ack:
                self.in_flight += 1
                channel.unacked[tag] = message
            return message
        finally:
            try:  # noqa: SIM105 (as in `publish`)
                self.broker.lock.release()
            except RuntimeError:
                pass  # Ctrl-C has ended the wait for it

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
        bounded: Whether a queue was ever bounded.
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
        self.threaded, self.bounded = 0, False
        self.links: WeakSet[Any] = WeakSet()

    def publish(self, exchange: str, routing_key: str, content: Content, mandatory: bool = False, checked: bool = False, may_drop: bool = True) -> int:
        """Give each queue that is bound its own copy; return how many took it. *checked* is as in `Message`.

        Raises:
            UnroutableEventError: *mandatory*, and no queue is bound.
            QueueFullError: one of them is full and its policy is not to drop, or *may_drop* is not set; then none took it.
            ChannelError: there is no such exchange.
        """
        try:
            # No `with`: it makes two objects, which costs microseconds where caches are cold, as they are before nearly every event.
            # Inside of the try: behind a call Python looks for Ctrl-C, and then nobody would let go of the lock.
            self.lock.acquire()
            found = self.exchanges.get(exchange) or self.exchange(exchange)
            targets = found.remembered.get(routing_key) or found.route(routing_key)
            if not targets and mandatory:
                raise UnroutableEventError(routing_key, found.bindings())
            if self.bounded and any(queue.bound is not None for queue in targets):
                return self._publish_bounded(targets, content, checked, may_drop)
            for queue in targets:
                queue.wake()  # first: until a thread is awake, this one has done all that follows
                queue.ready.append(Message.of(content, queue, checked))
            return len(targets)
        finally:
            try:  # noqa: SIM105 (a call more, in which Ctrl-C could come first)
                self.lock.release()
            except RuntimeError:
                pass  # Ctrl-C has ended the wait for it

    def _publish_bounded(self, targets: Iterable[Queue], content: Content, checked: bool, may_drop: bool) -> int:
        refusing = [queue for queue in targets if not (may_drop and queue.when_full.startswith("drop"))]
        for queue in refusing:
            self._wait_for_room(queue, refusing)
        taken = 0
        for queue in targets:
            message = Message.of(content, queue, checked)
            if queue.full and queue.when_full == "drop newest":
                queue.on_drop(message)
                continue
            if queue.full and queue.ready:
                queue.on_drop(queue.ready.popleft())
            queue.wake()
            queue.ready.append(message)
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
            self.bounded = self.bounded or bound is not None
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
