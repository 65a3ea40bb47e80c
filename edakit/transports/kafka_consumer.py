"""Who takes records of one queue, as a component's workers see it: take, ack, give back; the thread that fetches is in `kafka_fetcher`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from edakit.transports.kafka_cluster import Cluster
from edakit.transports.kafka_fetcher import Fetcher
from edakit.transports.kafka_marks import Place
from edakit.transports.kafka_message import Message

__all__ = ["KafkaSubscription"]


class KafkaSubscription:
    """Messages of one queue.

    Args:
        cluster: Where the queue is.
        queue: The queue's name.
        group: Its consumer group.
        topics: What it reads, each with its number of partitions.
        wanted: Tells from a record's topic and headers whether it is for this queue.
        duplicate: Puts a copy of a message into the queue.
        now_ns: The clock by which messages become due [ns].
        session: How long the partitions of a consumer that was killed wait for another one [s].

    Attributes:
        prefetch: Most messages that are taken and not acked [messages].
    """

    def __init__(
        self,
        cluster: Cluster,
        queue: str,
        group: str,
        topics: Mapping[str, int],
        wanted: Callable[[str, Any], bool],
        duplicate: Callable[[Any], None],
        now_ns: Callable[[], int],
        session: float,
    ) -> None:
        self.queue, self.duplicate, self._cluster, self._now_ns = queue, duplicate, cluster, now_ns
        self.prefetch = sys.maxsize
        self.on_close: Callable[[], object] = _nothing
        self._fetcher = Fetcher(cluster, group, topics, wanted, self, session)
        self._lock, self._held = self._fetcher.lock, self._fetcher.held

    def get(self) -> Message | None:
        """Return the next message that is due; None if there is none, or prefetch is used up.

        Raises:
            BrokerError: nothing will come any more, with the reason.
        """
        if self.trouble is not None and not self._fetcher.leaving:
            raise self.trouble
        with self._lock:
            if self.in_flight >= self.prefetch:
                return None
            message = self._held.take(self._now_ns())
            if message is not None:
                message.mark.seen = max(message.mark.seen, message.offset + 1)
            return message

    def ack(self, message: Message) -> None:
        """Note that *message* is done; committed with others in a moment."""
        with self._lock:
            self._held.release(message)
            message._state = "ACK"
            message.mark.done(message.offset)

    def give_back(self, message: Message, due_ns: int, attempt: int) -> None:
        """Hold *message* until it is due [ns]."""
        with self._lock:
            self._held.release(message)
            self._held.delay(message.again(attempt), due_ns)
        if self._fetcher.wake is not None:
            self._fetcher.wake()

    def listen(self, wake: Callable[[], None]) -> None:
        """Have *wake* called for each message that arrives, and now for each that is there."""
        with self._lock:
            self._fetcher.wake = wake
            there = len(self._held)
        for _ in range(there):
            wake()

    def next_due_ns(self) -> int | None:
        """When the earliest message that waits for its time is due [ns]."""
        with self._lock:
            return self._held.next_due_ns

    @property
    def trouble(self) -> BaseException | None:
        """Why nothing will come any more."""
        return self._fetcher.trouble

    @property
    def paused(self) -> bool:
        """Whether partitions are not fetched for now, because enough is at hand."""
        return bool(self._fetcher.paused)

    @property
    def in_flight(self) -> int:
        """How many messages were taken and are not yet acked [messages]."""
        return len(self._held.taken)

    def __len__(self) -> int:
        return len(self._held)

    def progress(self) -> dict[Place, tuple[int, int]]:
        """Return of each partition that this consumer has the offset behind what it fetched, and how much of that is not done [records]."""
        with self._lock:
            return self._fetcher.progress.fetched

    @property
    def caught_up(self) -> bool:
        """Whether it has partitions, and has read each of them once to its end or to a message."""
        with self._lock:
            return self._fetcher.progress.caught_up

    def leave(self) -> None:
        """Begin to end it, without waiting."""
        self._fetcher.leave()

    def close(self) -> None:
        """Commit what is done, and leave the group: others get the rest."""
        if self._cluster.forked:
            return
        self._fetcher.join()
        self.on_close()


def _nothing() -> None:
    """Do nothing."""
