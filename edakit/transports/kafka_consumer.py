"""Who takes records of one queue: a member of its consumer group, with a thread that polls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from edakit.transports.kafka_clients import PARTING
from edakit.transports.kafka_cluster import Cluster
from edakit.transports.kafka_errors import LASTING, PATIENCE, changed, jumped
from edakit.transports.kafka_held import HELD, Held
from edakit.transports.kafka_marks import Mark, Place
from edakit.transports.kafka_message import Message
from edakit.transports.kafka_progress import COMMIT_EVERY, Progress
from edakit.transports.kafka_wire import content, headers_of

__all__ = ["BLOCK", "COMMIT_EVERY", "HELD", "SPAN", "KafkaSubscription"]

BLOCK: Final = 500
"""How many records are taken from librdkafka at a time."""

SPAN: Final = 10_000
"""How many records behind one that is not done may be handled before their partition is paused: so many at most come twice after a crash."""

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
        self.trouble: BaseException | None = None
        self.on_close: Callable[[], object] = _nothing
        self._held, self._progress = Held(), Progress()
        self._paused: set[Place] = set()
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
            message = self._held.take(self._now_ns())
            if message is not None:
                message.mark.seen = max(message.mark.seen, message.offset + 1)
            return message

    def ack(self, message: Message) -> None:
        """Note that *message* is done; committed with others in a moment."""
        with self.lock:
            self._held.release(message)
            message._state = "ACK"
            message.mark.done(message.offset)

    def give_back(self, message: Message, due_ns: int, attempt: int) -> None:
        """Hold *message* until it is due [ns]."""
        with self.lock:
            self._held.release(message)
            self._held.delay(message.again(attempt), due_ns)
        if self._wake is not None:
            self._wake()

    def listen(self, wake: Callable[[], None]) -> None:
        """Have *wake* called for each message that arrives, and now for each that is there."""
        with self.lock:
            self._wake = wake
            there = len(self._held)
        for _ in range(there):
            wake()

    def next_due_ns(self) -> int | None:
        """When the earliest message that waits for its time is due [ns]."""
        with self.lock:
            return self._held.next_due_ns

    @property
    def in_flight(self) -> int:
        """How many messages were taken and are not yet acked [messages]."""
        return len(self._held.taken)

    def __len__(self) -> int:
        return len(self._held)

    def progress(self) -> dict[Place, tuple[int, int]]:
        """Return of each partition that this consumer has the offset behind what it fetched, and how much of that is not done [records]."""
        with self.lock:
            return self._progress.fetched

    @property
    def caught_up(self) -> bool:
        """Whether it has partitions, and has read each of them once to its end or to a message."""
        with self.lock:
            return self._progress.caught_up

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
                self._drop(set(self._progress.marks))

    def _turn(self, consumer: Consumer) -> None:
        # Nobody wakes this thread: it looks more often while there is something to commit or to resume.
        record = consumer.poll(0.01 if self._paused or self._progress.behind else 0.1)
        if record is not None:
            self._take([record, *consumer.consume(BLOCK, 0)])
        if self._progress.due(time.monotonic(), idle=record is None):
            self._commit(set(self._progress.marks))
        self._throttle(consumer)

    def _take(self, records: Collection[Any]) -> None:
        with self.lock:
            arrived = [message for record in records if (message := self._open(record)) is not None]
            self._held.add(arrived)
        for record in records:
            if record.error() is not None:
                self._trouble(record.error(), (record.topic(), record.partition()), record.offset())
        wake = self._wake
        if wake is not None:
            for _ in arrived:
                wake()

    def _open(self, record: Any) -> Message | None:
        """Return a message where the record is for this queue."""
        place, offset, error = (record.topic(), record.partition()), record.offset(), record.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            return None
        mark = self._progress.marks.get(place)
        if mark is None or offset < mark.next:
            return None  # of a partition that was taken away
        if error is not None:
            mark.skip(offset)
            return None
        headers = headers_of(record)
        if not self._wanted(place[0], headers):
            mark.skip(offset + 1)
            return None
        mark.fetch(offset)
        return Message(content(record.value(), headers, record.key()), place, offset, mark, self)

    def _trouble(self, error: KafkaError, place: Place, offset: int) -> None:
        # Only what does not pass by itself: librdkafka goes on trying to reach a cluster that is away.
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._begin_anew(place, offset)
        elif error.fatal() or error.code() in LASTING:
            self._give_up(self.cluster.error(error, "consume", place[0] or self.group))

    def _give_up(self, error: BaseException) -> None:
        self.trouble = error
        if self._wake is not None:
            self._wake()

    def _begin_anew(self, place: Place, offset: int) -> None:
        """Begin at the start of what a partition has, where there is no *offset* any more; tell it where that leaves out events, or brings some again.

        It ends this consumer, since nobody asks for the errors of one that works. The group's offset is set on the way, so that the next one goes on.
        """
        start, end = self.cluster.starts([place])[place], self.cluster.ends([place])[place]
        with self.lock:
            self._drop({place})
            mark = self._progress.marks[place] = Mark()
            mark.skip(start)
        if start <= offset <= end:  # nothing was committed, and `_committed` had no answer; or the topic grew meanwhile
            self._consumer.incremental_unassign([TopicPartition(*place)])
            self._consumer.incremental_assign([TopicPartition(*place, start)])
        else:
            self._give_up(jumped(self.cluster.shown, self.queue, place, offset, start, end))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        partitions = self._committed(partitions)
        with self.lock:
            for each in partitions:
                self._progress.marks[each.topic, each.partition] = Mark(_seen(each.metadata))
        consumer.incremental_assign(partitions)
        consumer.resume(partitions)  # librdkafka keeps a partition paused that was so when it went to somebody else
        unknown = sorted({each.topic for each in partitions if each.partition >= self.topics[each.topic]})
        if unknown:
            self._give_up(changed(self.cluster.shown, unknown[0], self.topics[unknown[0]]))

    def _committed(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Return where the group is in these partitions, with what it had seen of each; at its start where nothing was committed.

        Without an answer librdkafka asks again by itself, so nothing is lost: only `redelivered` is not known.
        """
        try:
            found: list[TopicPartition] = self._consumer.committed(partitions, timeout=PATIENCE)
        except KafkaException:
            return partitions
        for each in found:
            if each.offset < 0 and each.error is None:
                each.offset = OFFSET_BEGINNING
        return found

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Let the handlers finish that have an event of these partitions, commit what is done, drop the rest."""
        places = {(each.topic, each.partition) for each in partitions}
        deadline = time.monotonic() + (0 if self._closing else GRACE)
        with self.lock:
            self._held.drop_waiting(places)
        while self._held.worked_on(places) and time.monotonic() < deadline:
            time.sleep(0.005)
        self._commit(places, wait=True)
        with self.lock:
            self._drop(places)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others have these partitions already: nothing of them can be committed."""
        with self.lock:
            self._drop({(each.topic, each.partition) for each in partitions})

    def _drop(self, places: Collection[Place]) -> None:
        self._held.drop(places)
        for place in places:
            self._progress.marks.pop(place, None)
        self._paused.difference_update(places)

    def _commit(self, places: Collection[Place], *, wait: bool = False) -> None:
        """Commit how far these partitions are done, all in one request; what cannot be committed now is tried again.

        Waited for only where the partitions go: librdkafka may wait for a cluster for ever, and meanwhile this thread would poll nothing.
        """
        with self.lock:
            news = self._progress.send(time.monotonic(), places)
        if not news:
            return
        offsets = [TopicPartition(*place, low, metadata=str(seen)) for place, (low, seen) in news.items()]
        try:
            done = self._consumer.commit(offsets=offsets, asynchronous=not wait)
        except KafkaException as error:
            self._answered(error.args[0], [])
        else:
            if wait:
                self._answered(None, done)

    def _answered(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Take note of what the cluster says to a commit."""
        with self.lock:
            if error is None and all(each.error is None for each in partitions):
                self._progress.answered({(each.topic, each.partition): (each.offset, _seen(each.metadata)) for each in partitions})
            else:
                self._progress.failed()
        if error is not None:
            self._trouble(error, ("", 0), 0)

    def _throttle(self, consumer: Consumer) -> None:
        """Pause what has brought more than can be handled, and resume it when half of that is done; the group does not notice."""
        with self.lock:
            full = self._held.full(before=bool(self._paused))
            wanted = {place for place, mark in self._progress.marks.items() if full or mark.span >= SPAN}
            pause, resume = wanted - self._paused, self._paused - wanted
            self._paused = wanted
        if pause:
            consumer.pause([TopicPartition(*place) for place in pause])
        if resume:
            consumer.resume([TopicPartition(*place) for place in resume])


def _nothing() -> None:
    """Do nothing."""


def _seen(metadata: str | None) -> int:
    """Return what whoever committed had seen of a partition, as it wrote beside the offset; -1 where that is not known."""
    return int(metadata) if metadata and metadata.isascii() and metadata.isdigit() else -1


def _settings(group: str, session: float) -> dict[str, Any]:
    return {
        "group.id": group,
        "session.timeout.ms": int(session * 1000),
        "heartbeat.interval.ms": max(1, int(session * 1000 / 3)),
        "partition.assignment.strategy": "cooperative-sticky",  # who keeps a partition goes on with it while others are moved
        "socket.timeout.ms": 5000,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # see `_begin_anew`
        "enable.partition.eof": True,
        "topic.metadata.refresh.interval.ms": 5000,
        "fetch.queue.backoff.ms": 10,  # otherwise it pauses for a second where its queue was full
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 8 * 1024,
        "queued.min.messages": 2 * HELD,
        "fetch.message.max.bytes": 1024 * 1024,
    }
