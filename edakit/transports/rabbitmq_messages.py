"""Messages of one queue of RabbitMQ in this process: those that came and wait, those that are handled, those held until they are due, and their acks."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from kombu.exceptions import MessageStateError

from edakit.transports.rabbitmq_headers import known_headers

__all__ = ["Acks", "Message", "Stock"]

_BROKERS_OWN = ("x-delivery-count", "x-acquired-count", "x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason")


class Message:
    """One queue's copy of a message, while one subscription has it; see `link.Message`."""

    __slots__ = ("_stock", "attempt", "body", "content_encoding", "content_type", "epoch", "headers", "properties", "redelivered", "state", "tag")
    checked = False

    def __init__(self, raw: Any, stock: Stock | None = None, *, tag: int = 0, redelivered: bool = False) -> None:
        properties = raw.properties
        headers = properties.get("application_headers") or {}
        self.body, self.properties = raw.body, properties
        self.content_type, self.content_encoding = properties.get("content_type"), properties.get("content_encoding")
        count = headers.get("x-delivery-count", redelivered)  # a classic queue does not count: twice at least
        self.attempt = 1 + (count if isinstance(count, int) and count > 0 else 0)
        if "x-delivery-count" in headers:
            headers = {name: value for name, value in headers.items() if name not in _BROKERS_OWN}
        self.headers = known_headers(headers)
        self.redelivered, self.tag = redelivered, tag
        self._stock, self.epoch, self.state = stock, stock.epoch if stock is not None else 0, "WAITS"

    @property
    def acknowledged(self) -> bool:
        """Whether it was acked, or given back; it also went back with a connection that was lost."""
        return self.state in {"ACKED", "RETRIED"} or (self._stock is not None and self.epoch != self._stock.epoch)

    def ack(self) -> None:
        """Tell the broker that the work is done; the ack travels with others, within some milliseconds.

        Raises:
            MessageStateError: it went back to its queue already, with a connection that was lost or closed, or was acked before.
        """
        if self._stock is None or not self._stock.settle(self):
            raise MessageStateError(f"message {self.tag} is not this subscription's any more ({self.state}): it went back to its queue, or was acked")

    def retry(self, due_ns: int, *, attempt: bool = True) -> None:
        """Have it delivered once more, not before *due_ns* [ns]: it is held here, un-acked, so that it comes back from the queue if this process dies."""
        if self._stock is not None:
            self._stock.hold(self, due_ns, attempt=attempt)

    def duplicate(self) -> None:
        """Put a second copy with the same id into its queue."""
        if self._stock is not None:
            self._stock.put(self)

    def again(self, *, attempt: bool) -> Message:
        """Return the same delivery as a new message; who still holds this one must not ack the other."""
        other = Message.__new__(Message)
        for name in Message.__slots__:
            setattr(other, name, getattr(self, name))
        other.attempt, other.redelivered, other.state = self.attempt + attempt, True, "WAITS"
        return other


class Acks:
    """Which deliveries of a channel are not acked yet, in the order in which they came; acks leave in blocks. Called with the stock's lock held.

    Attributes:
        last: Tag of the newest delivery; tags count from 1.
    """

    def __init__(self) -> None:
        self._open: dict[int, None] = {}
        self._done: set[int] = set()
        self.last = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def unfinished(self) -> int:
        """How many deliveries are not done with [messages]."""
        return len(self._open) - len(self._done)

    @property
    def done(self) -> int:
        """How many acks wait to be sent [messages]."""
        return len(self._done)

    def came(self, tag: int) -> None:
        """Take note of a delivery."""
        self._open[tag] = None
        self.last = tag

    def since(self, tag: int) -> int:
        """Count the deliveries after *tag* whose ack was not sent [messages]."""
        return sum(each > tag for each in self._open)

    def finished(self, tag: int) -> None:
        """Take note that its work is done."""
        self._done.add(tag)

    def take(self) -> list[tuple[int, bool]]:
        """Return the acks to send, (tag, multiple): one for all up to the first delivery that is not done, one for each behind it."""
        prefix = list(itertools.takewhile(self._done.__contains__, self._open))
        rest = sorted(self._done.difference(prefix))
        for tag in self._done:
            del self._open[tag]
        self._done.clear()
        return ([(prefix[-1], True)] if prefix else []) + [(tag, False) for tag in rest]


class Stock:
    """What one subscription has. Any thread may call it.

    Args:
        now_ns: The clock by which messages become due [ns].
        put: Puts a copy of a message into the queue.
        ring: Wakes the thread that sends acks.
        block: So many acks are sent at once [messages].
        most: So many may be taken and not acked; the broker counts otherwise where those held until they are due are many [messages].
    """

    def __init__(self, now_ns: Callable[[], int], put: Callable[[Message], None], ring: Callable[[], None], block: int, most: int) -> None:
        self.now_ns, self.put, self._ring, self.block, self._most = now_ns, put, ring, block, most
        self.lock = threading.Lock()
        self.epoch = 1
        self.ready: deque[Message] = deque()
        self.held: list[tuple[int, int, Message]] = []
        self.acks = Acks()
        self.in_flight = self.changes = 0
        self.wake: Callable[[], None] = _nothing
        self._counter = itertools.count()

    def __len__(self) -> int:
        return len(self.ready) + len(self.held)

    def receive(self, raw: Any) -> None:
        """Take what the broker delivers."""
        info = raw.delivery_info
        message = Message(raw, self, tag=info["delivery_tag"], redelivered=info["redelivered"])
        with self.lock:
            self.changes += 1
            self.acks.came(message.tag)
            self.ready.append(message)
        self.wake()

    def get(self) -> Message | None:
        """Return the next message that is due; None if there is none, or too many are taken."""
        with self.lock:
            if self.in_flight >= self._most:
                return None
            if self.held and self.held[0][0] <= self.now_ns():
                message = heapq.heappop(self.held)[2]
            elif self.ready:
                message = self.ready.popleft()
            else:
                return None
            message.state = "TAKEN"
            self.in_flight += 1
            return message

    def settle(self, message: Message) -> bool:
        """Take note that its work is done; return whether it was still ours to ack."""
        with self.lock:
            if message.state != "TAKEN" or message.epoch != self.epoch:
                return False
            message.state = "ACKED"
            self.changes += 1
            self.in_flight -= 1
            self.acks.finished(message.tag)
            done = self.acks.done
        # At the first, so that a time is set; at a whole block, so that it leaves.
        if done in {1, self.block}:
            self._ring()
        return True

    def hold(self, message: Message, due_ns: int, *, attempt: bool) -> None:
        """Keep a message that was taken until it is due.

        Raises:
            MessageStateError: its connection was lost, and the broker brings it back.
        """
        with self.lock:
            if message.state != "TAKEN" or message.epoch != self.epoch:
                raise MessageStateError(f"message {message.tag} is not this subscription's any more ({message.state}): it went back to its queue")
            self.in_flight -= 1
            heapq.heappush(self.held, (due_ns, next(self._counter), message.again(attempt=attempt)))
            message.state = "RETRIED"
        self._ring()  # room for others may have to be made
        self.wake()

    def lose(self) -> int:
        """Forget everything: the channel is gone, and what was not acked goes back to the queue. Return how many are to come back [messages]."""
        with self.lock:
            self.epoch += 1
            adrift = len(self.acks)
            self.ready.clear()
            self.held.clear()
            self.acks, self.in_flight = Acks(), 0
            return adrift


def _nothing() -> None:
    """Do nothing: nobody listens."""
