"""Who takes records of one queue: a member of its consumer group with a thread that polls, and a low-water mark for each partition."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from kombu.exceptions import MessageStateError

from edakit.transports.kafka_cluster import PATIENCE, Cluster, Place
from edakit.transports.kafka_errors import LASTING, changed
from edakit.transports.kafka_marks import Mark
from edakit.transports.kafka_message import Message
from edakit.transports.kafka_wire import content

__all__ = ["KafkaSubscription"]

BLOCK: Final = 500
"""How many records are taken from librdkafka at a time."""

HELD: Final = 3000
"""How many records wait here for a worker before their partitions are paused; they are resumed at half of it."""

HELD_BYTES: Final = 8 * 1024 * 1024
"""As HELD, in bytes of their bodies."""

SPAN: Final = 10_000
"""How many records behind one that is not done may be handled before their partition is paused: so many at most come twice after a crash."""

COMMIT_EVERY: Final = 0.05
"""How long what is done waits to be committed while more arrives [s]; with nothing to do it is committed at once."""

ANSWERED: Final = 5.0
"""How long the answer to a commit is waited for before it is sent again [s]; a cluster that restarts may forget one."""

PARTING: Final = 4.0
"""How long a close waits for the last commit and for the group; a cluster that is away gets no more, and the thread ends by itself later [s]."""

GRACE: Final = 1.0
"""How long a partition that goes to another consumer waits for the handlers that have an event of it [s]."""


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
        taken: What was handed out and is neither acked nor given back.
        trouble: Why nothing will come any more.
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
        self.cluster, self.queue, self.group, self.topics = cluster, queue, group, topics
        self.duplicate, self._wanted, self._now_ns = duplicate, wanted, now_ns
        self.lock = threading.RLock()
        self.taken: dict[Message, None] = {}
        self.trouble: BaseException | None = None
        self.on_close: Callable[[], object] = _nothing
        self._buffer: deque[Message] = deque()
        self._bytes = 0
        self._delayed: list[tuple[int, int, Message]] = []
        self._marks: dict[Place, Mark] = {}
        self._paused: set[Place] = set()
        self._numbers = itertools.count()
        self._committed_at = 0.0
        self._sent: dict[Place, tuple[int, int]] = {}
        self._wake: Callable[[], None] | None = None
        self._closing = False
        self._consumer: Consumer = cluster.consumer({**_settings(group, session), "on_commit": self._answered})
        self._thread = threading.Thread(target=self._run, name=f"{queue}-kafka", daemon=True)
        self._thread.start()

    def get(self) -> Message | None:
        """Return the next message that is due, or None.

        Raises:
            BrokerError: nothing will come any more, with the reason.
        """
        if self.trouble is not None and not self._closing:
            raise self.trouble
        with self.lock:
            if self._delayed and self._delayed[0][0] <= self._now_ns():
                message = heapq.heappop(self._delayed)[2]
            elif self._buffer:
                message = self._buffer.popleft()
                self._bytes -= len(message.body)
            else:
                return None
            self.taken[message] = None
            message.mark.seen = max(message.mark.seen, message.offset + 1)
            return message

    def ack(self, message: Message) -> None:
        """Note that *message* is done; committed with others in a moment."""
        with self.lock:
            mark = self._release(message)
            message._state = "ACK"
            mark.done(message.offset)

    def give_back(self, message: Message, due_ns: int, attempt: int) -> None:
        """Hold *message* until it is due [ns]."""
        with self.lock:
            self._release(message)
            heapq.heappush(self._delayed, (due_ns, next(self._numbers), message.again(attempt)))
        if self._wake is not None:
            self._wake()

    def _release(self, message: Message) -> Mark:
        if message not in self.taken:
            raise MessageStateError(f"message {message.offset} of {message.place} is not this consumer's any more")
        del self.taken[message]
        return self._marks[message.place]

    def listen(self, wake: Callable[[], None]) -> None:
        """Have *wake* called for each message that arrives, and now for each that is there."""
        with self.lock:
            self._wake = wake
            there = len(self)
        for _ in range(there):
            wake()

    def next_due_ns(self) -> int | None:
        """When the earliest message that waits for its time is due [ns]."""
        with self.lock:
            return self._delayed[0][0] if self._delayed else None

    @property
    def in_flight(self) -> int:
        """How many messages were taken and are not yet acked [messages]."""
        return len(self.taken)

    def __len__(self) -> int:
        return len(self._buffer) + len(self._delayed)

    def progress(self) -> dict[Place, tuple[int, int]]:
        """Return of each partition that this consumer has the offset behind what it fetched, and how much of that is not done [records]."""
        with self.lock:
            return {place: (mark.next, mark.unacked) for place, mark in self._marks.items() if mark.next >= 0}

    @property
    def caught_up(self) -> bool:
        """Whether it has partitions, and has read each of them once to its end or to a message."""
        with self.lock:
            return bool(self._marks) and all(mark.next >= 0 for mark in self._marks.values())

    def leave(self) -> None:
        """Begin to end it, without waiting."""
        self._closing = True

    def close(self) -> None:
        """Commit what is done, and leave the group: others get the rest."""
        if self.cluster.forked:
            return
        self.leave()
        if self._thread is not threading.current_thread():
            self._thread.join(PARTING)
        self.on_close()

    # What follows runs in the thread that polls.

    def _run(self) -> None:
        consumer = self._consumer
        try:
            consumer.subscribe(list(self.topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
            while not self._closing and self.trouble is None:
                self._turn(consumer)
        except BaseException as error:  # noqa: BLE001 (a thread has no caller to raise to)
            self._give_up(error if not isinstance(error, KafkaException) else self.cluster.error(error.args[0], "consume as", self.group))
        finally:
            with suppress(KafkaException, RuntimeError):
                consumer.close()  # calls `_revoked`
            with self.lock:
                self._drop(list(self._marks))

    def _turn(self, consumer: Consumer) -> None:
        record = consumer.poll(self._patience())
        if record is not None:
            self._take([record, *consumer.consume(BLOCK, 0)])
        if self._is_time(idle=record is None):
            self._commit(list(self._marks))
        self._throttle(consumer)

    def _is_time(self, *, idle: bool) -> bool:
        """Whether what is done is to be committed now."""
        return idle or time.monotonic() - self._committed_at > COMMIT_EVERY

    def _patience(self) -> float:
        # Nobody wakes this thread: it looks more often while there is something to commit or to resume.
        busy = self._paused or any(mark.low > mark.committed[0] for mark in tuple(self._marks.values()))
        return 0.01 if busy else 0.1

    def _take(self, records: Iterable[Any]) -> None:
        with self.lock:
            arrived = [message for record in records if (message := self._open(record)) is not None]
            self._buffer.extend(arrived)
            self._bytes += sum(len(message.body) for message in arrived)
        wake = self._wake
        if wake is not None:
            for _ in arrived:
                wake()

    def _open(self, record: Any) -> Message | None:
        """Return a message where the record is for this queue."""
        place, offset, error = (record.topic(), record.partition()), record.offset(), record.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            self._trouble(error, record.topic())
            return None
        mark = self._marks.get(place)
        if mark is None or offset < mark.next:
            return None  # of a partition that was taken away
        if error is not None:
            mark.skip(offset)
            return None
        headers = record.headers()
        if not self._wanted(place[0], headers):
            mark.skip(offset + 1)
            return None
        mark.fetch(offset)
        return Message(content(record.value(), headers, record.key()), place, offset, mark, self)

    def _trouble(self, error: KafkaError, topic: str | None) -> None:
        # Only what does not pass by itself: librdkafka goes on trying to reach a cluster that is away.
        if error.fatal() or error.code() in LASTING:
            self._give_up(self.cluster.error(error, "consume", topic or self.group))

    def _give_up(self, error: BaseException) -> None:
        self.trouble = error
        if self._wake is not None:
            self._wake()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        before = self._seen_before(partitions)
        with self.lock:
            for each in partitions:
                place = (each.topic, each.partition)
                self._marks[place] = Mark(before.get(place, -1))
        unknown = sorted({each.topic for each in partitions if each.partition >= self.topics[each.topic]})
        if unknown:
            self._give_up(changed(self.cluster.shown, unknown[0], self.topics[unknown[0]]))

    def _seen_before(self, partitions: list[TopicPartition]) -> dict[Place, int]:
        """Return what whoever had these partitions before wrote beside its offsets; without it nothing is lost, only `redelivered` is not known."""
        try:
            found = self._consumer.committed(partitions, timeout=PATIENCE)
        except KafkaException:
            return {}
        return {(each.topic, each.partition): int(each.metadata) for each in found if each.metadata and each.metadata.isascii() and each.metadata.isdigit()}

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Let the handlers finish that have an event of these partitions, commit what is done, drop the rest."""
        places = {(each.topic, each.partition) for each in partitions}
        deadline = time.monotonic() + (0 if self._closing else GRACE)
        with self.lock:
            self._drop_waiting(places)
        while any(message.place in places for message in tuple(self.taken)) and time.monotonic() < deadline:
            time.sleep(0.005)
        self._commit(places, wait=True)
        with self.lock:
            self._drop(places)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others have these partitions already: nothing of them can be committed."""
        with self.lock:
            self._drop([(each.topic, each.partition) for each in partitions])

    def _drop_waiting(self, places: Iterable[Place]) -> None:
        gone = set(places)
        self._buffer = deque(message for message in self._buffer if message.place not in gone)
        self._bytes = sum(len(message.body) for message in self._buffer)
        self._delayed = [entry for entry in self._delayed if entry[2].place not in gone]
        heapq.heapify(self._delayed)

    def _drop(self, places: Iterable[Place]) -> None:
        gone = set(places)
        self._drop_waiting(gone)
        for message in [message for message in self.taken if message.place in gone]:
            message._state = "REQUEUED"
            del self.taken[message]
        for place in gone:
            self._marks.pop(place, None)
        self._paused -= gone

    def _commit(self, places: Iterable[Place], *, wait: bool = False) -> None:
        """Commit how far these partitions are done, all in one request, and one at a time; what cannot be committed now is tried again.

        Waited for only where the partitions go: librdkafka may wait for a cluster for ever, and meanwhile this thread would poll nothing.
        """
        now = time.monotonic()
        if self._sent and not wait and now - self._committed_at < ANSWERED:
            return
        self._committed_at = now
        with self.lock:
            self._sent = {place: state for place in places if (mark := self._marks.get(place)) is not None and (state := mark.news) is not None}
        if not self._sent:
            return
        offsets = [TopicPartition(*place, low, metadata=str(seen)) for place, (low, seen) in self._sent.items()]
        try:
            done = self._consumer.commit(offsets=offsets, asynchronous=not wait)
        except KafkaException as error:
            self._answered(error.args[0], [])
        else:
            if wait:
                self._answered(None, done)

    def _answered(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Take note of what the cluster says to the last commit."""
        sent, self._sent = self._sent, {}
        if error is not None:
            self._trouble(error, None)
            return
        with self.lock:
            for each in partitions:
                place = (each.topic, each.partition)
                if each.error is None and place in self._marks and place in sent and sent[place][0] == each.offset:
                    self._marks[place].committed = sent[place]

    def _throttle(self, consumer: Consumer) -> None:
        """Pause what has brought more than can be handled, and resume it when half of that is done; the group does not notice."""
        with self.lock:
            waiting, held = len(self._buffer), self._bytes
            full = waiting >= HELD or held >= HELD_BYTES or (bool(self._paused) and (waiting > HELD // 2 or held > HELD_BYTES // 2))
            wanted = {place for place, mark in self._marks.items() if full or mark.span >= SPAN}
            pause, resume = wanted - self._paused, self._paused - wanted
            self._paused = wanted
        if pause:
            consumer.pause([TopicPartition(*place) for place in pause])
        if resume:
            consumer.resume([TopicPartition(*place) for place in resume])


def _nothing() -> None:
    """Do nothing."""


def _settings(group: str, session: float) -> dict[str, Any]:
    return {
        "group.id": group,
        "session.timeout.ms": int(session * 1000),
        "heartbeat.interval.ms": max(1, int(session * 1000 / 3)),
        "partition.assignment.strategy": "cooperative-sticky",  # who keeps a partition goes on with it while others are moved
        "socket.timeout.ms": 5000,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",  # where a queue begins was committed when it was declared; a partition that was added later begins at its start
        "enable.partition.eof": True,
        "topic.metadata.refresh.interval.ms": 5000,
        "fetch.queue.backoff.ms": 10,  # otherwise it pauses for a second where its queue was full
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 8 * 1024,
        "queued.min.messages": 2 * HELD,
        "fetch.message.max.bytes": 1024 * 1024,
    }
