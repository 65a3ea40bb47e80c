"""The messages that one consumer has fetched and that are not done: they wait for a worker or for their time, or a worker has them."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

from kombu.exceptions import MessageStateError

from edakit.transports.kafka_marks import Place
from edakit.transports.kafka_message import Message

__all__ = ["HELD", "Held"]

HELD: Final = 3000
"""How many records wait here for a worker before their partitions are paused; they are resumed at half of it."""

HELD_BYTES: Final = 8 * 1024 * 1024
"""As HELD, in bytes of their bodies."""


class Held:
    """Messages at hand. Whoever has it holds a lock.

    Attributes:
        taken: What a worker has: neither acked nor given back.
    """

    def __init__(self) -> None:
        self.taken: dict[Message, None] = {}
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._delayed: list[tuple[int, int, Message]] = []
        self._numbers = itertools.count()

    def add(self, messages: Iterable[Message]) -> None:
        """Let messages wait for a worker."""
        for message in messages:
            self._waiting.append(message)
            self._bytes += len(message.body)

    def delay(self, message: Message, due_ns: int) -> None:
        """Let a message wait until it is due [ns]."""
        heapq.heappush(self._delayed, (due_ns, next(self._numbers), message))

    def take(self, now_ns: int) -> Message | None:
        """Hand out the next message, first of those that are due; None if none is there."""
        if self._delayed and self._delayed[0][0] <= now_ns:
            message = heapq.heappop(self._delayed)[2]
        elif self._waiting:
            message = self._waiting.popleft()
            self._bytes -= len(message.body)
        else:
            return None
        self.taken[message] = None
        return message

    def release(self, message: Message) -> None:
        """Take a message back from its worker.

        Raises:
            MessageStateError: its partition went to another consumer, or it was acked.
        """
        if message not in self.taken:
            raise MessageStateError(f"message {message.offset} of {message.place} is not this consumer's any more")
        del self.taken[message]

    def drop_waiting(self, places: Collection[Place]) -> None:
        """Forget what no worker has of these partitions."""
        self._waiting = deque(message for message in self._waiting if message.place not in places)
        self._bytes = sum(len(message.body) for message in self._waiting)
        self._delayed = [entry for entry in self._delayed if entry[2].place not in places]
        heapq.heapify(self._delayed)

    def drop(self, places: Collection[Place]) -> None:
        """Forget all messages of these partitions; who has one can ack it no more."""
        self.drop_waiting(places)
        for message in [message for message in self.taken if message.place in places]:
            message._state = "REQUEUED"
            del self.taken[message]

    def worked_on(self, places: Collection[Place]) -> bool:
        """Whether a worker has a message of these partitions; any thread may ask, without the lock."""
        return any(message.place in places for message in tuple(self.taken))

    def full(self, *, before: bool) -> bool:
        """Whether no more is to be fetched: at the bounds, and where it was full *before*, until half of that is handed out."""
        part = 2 if before else 1
        return len(self._waiting) * part >= HELD or self._bytes * part >= HELD_BYTES

    @property
    def next_due_ns(self) -> int | None:
        """When the earliest message that waits for its time is due [ns]."""
        return self._delayed[0][0] if self._delayed else None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._delayed)
