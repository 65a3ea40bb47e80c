"""The thread that polls for one consumer: it is a member of a consumer group, fetches, pauses and resumes, and commits what is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from math import inf
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from edakit.transports.kafka_clients import PARTING, fetching
from edakit.transports.kafka_cluster import Cluster
from edakit.transports.kafka_errors import LASTING, PATIENCE, changed, jumped
from edakit.transports.kafka_held import Held
from edakit.transports.kafka_marks import Mark, Place
from edakit.transports.kafka_message import Message
from edakit.transports.kafka_progress import Progress
from edakit.transports.kafka_wire import content, headers_of

__all__ = ["BLOCK", "SPAN", "Fetcher"]

BLOCK: Final = 500
"""How many records are taken from librdkafka at a time."""

SPAN: Final = 10_000
"""How many records behind one that is not done may be handled before their partition is paused: so many at most come twice after a crash."""

GRACE: Final = 1.0
"""How long a partition that goes to another consumer waits for the handlers that have an event of it [s]."""


class Fetcher:
    """A member of a consumer group, and its thread.

    Args:
        cluster: Where the group is.
        group: Its name.
        topics: What it reads, each with its number of partitions.
        wanted: Tells from a record's topic and headers whether it is to be handled.
        owner: Whose its messages are; its `queue` is what errors call it.
        session: How long the partitions of a consumer that was killed wait for another one [s].

    Attributes:
        lock: To be held by whoever uses `held` and `progress`.
        held: The messages at hand.
        progress: How far each partition is done.
        paused: Partitions that are not fetched for now.
        trouble: Why nothing will come any more.
        wake: Called for each message that arrives, and for trouble.
    """

    def __init__(self, cluster: Cluster, group: str, topics: Mapping[str, int], wanted: Callable[[str, Any], bool], owner: Any, session: float) -> None:
        self._cluster, self._group, self._topics, self._wanted, self._owner = cluster, group, topics, wanted, owner
        self.lock = threading.RLock()
        self.held, self.progress = Held(), Progress()
        self.paused: set[Place] = set()
        self.trouble: BaseException | None = None
        self.wake: Callable[[], None] | None = None
        self._leave_by = inf
        self._consumer: Consumer = cluster.consumer({**fetching(group, session), "on_commit": self._answered})
        self._thread = threading.Thread(target=self._run, name=f"{owner.queue}-kafka", daemon=True)
        self._thread.start()

    @property
    def leaving(self) -> bool:
        """Whether this is to end."""
        return self._leave_by < inf

    def leave(self) -> None:
        """Begin to commit what is done, and to leave the group, without waiting."""
        self._leave_by = min(self._leave_by, time.monotonic() + PARTING)

    def join(self) -> None:
        """Wait until the thread has done so, or its time is over."""
        self.leave()
        if self._thread is not threading.current_thread():
            self._thread.join(max(0.0, self._leave_by - time.monotonic()))

    # What follows runs in the thread.

    def _run(self) -> None:
        consumer = self._consumer
        try:
            consumer.subscribe(list(self._topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
            while not self.leaving and self.trouble is None:
                self._turn(consumer)
        except BaseException as error:  # noqa: BLE001 (a thread has no caller to raise to)
            self._give_up(error if not isinstance(error, KafkaException) else self._cluster.error(error.args[0], "consume as", self._group))
        finally:
            with suppress(KafkaException, RuntimeError):
                consumer.close()  # calls `_revoked`
            with self.lock:
                self._drop(set(self.progress.marks))

    def _turn(self, consumer: Consumer) -> None:
        # Nobody wakes this thread: it looks more often while there is something to commit or to resume.
        record = consumer.poll(0.01 if self.paused or self.progress.behind else 0.1)
        if record is not None:
            self._take([record, *consumer.consume(BLOCK, 0)])
        if self.progress.due(time.monotonic(), idle=record is None):
            self._commit(set(self.progress.marks))
        self._throttle(consumer)

    def _take(self, records: Collection[Any]) -> None:
        with self.lock:
            arrived = [message for record in records if (message := self._open(record)) is not None]
            self.held.add(arrived)
        for record in records:
            if record.error() is not None and self.trouble is None:  # the first tells of all partitions; each by itself would hide it
                self._trouble(record.error(), (record.topic(), record.partition()), record.offset())
        wake = self.wake
        if wake is not None:
            for _ in arrived:
                wake()

    def _open(self, record: Any) -> Message | None:
        """Return a message where the record is for this queue."""
        place, offset, error = (record.topic(), record.partition()), record.offset(), record.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            return None
        mark = self.progress.marks.get(place)
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
        return Message(content(record.value(), headers, record.key()), place, offset, mark, self._owner)

    def _trouble(self, error: KafkaError, place: Place, offset: int) -> None:
        # Only what does not pass by itself: librdkafka goes on trying to reach a cluster that is away.
        if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION}:
            if place in self.progress.marks:  # else it was taken away
                self._begin_anew(place, offset)
        elif error.fatal() or error.code() in LASTING:
            self._give_up(self._cluster.error(error, "consume", place[0] or self._group))

    def _give_up(self, error: BaseException) -> None:
        self.trouble = error
        if self.wake is not None:
            self.wake()

    def _begin_anew(self, place: Place, offset: int) -> None:
        """Begin at the start of what a partition has, where there is no *offset* any more; tell it where that leaves out events, or brings some again.

        It ends this consumer, since nobody asks for the errors of one that works. The group's offset is set on the way, so that the next one goes on.
        """
        at = {place: mark.here for place, mark in self.progress.marks.items()} | {place: offset}
        starts, ends = self._cluster.starts(at), self._cluster.ends(at)
        # Where one has lost its beginning, others have as a rule: told together, since each telling ends a consumer.
        outside = {each: (here, starts[each], ends[each]) for each, here in at.items() if here >= 0 and not starts[each] <= here <= ends[each]}
        with self.lock:
            self._drop({place, *outside})
            for each in {place, *outside}:
                self.progress.marks[each] = Mark()
                self.progress.marks[each].skip(starts[each])
        if outside:
            self._give_up(jumped(self._cluster.shown, self._owner.queue, outside))
        else:  # nothing was committed, and `_committed` had no answer; or the topic grew meanwhile
            self._consumer.incremental_unassign([TopicPartition(*place)])
            self._consumer.incremental_assign([TopicPartition(*place, starts[place])])

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        partitions = self._committed(partitions)
        with self.lock:
            for each in partitions:
                self.progress.marks[each.topic, each.partition] = Mark(_seen(each.metadata), max(each.offset, -1))
        consumer.incremental_assign(partitions)
        consumer.resume(partitions)  # librdkafka keeps a partition paused that was so when it went to somebody else
        unknown = sorted({each.topic for each in partitions if each.partition >= self._topics[each.topic]})
        if unknown:
            self._give_up(changed(self._cluster.shown, unknown[0], self._topics[unknown[0]]))

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
        deadline = time.monotonic() + (0 if self.leaving else GRACE)
        with self.lock:
            self.held.drop_waiting(places)
        while self.held.worked_on(places) and time.monotonic() < deadline:
            time.sleep(0.005)
        self._commit(places, wait=True)
        with self.lock:
            self._drop(places)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others have these partitions already: nothing of them can be committed."""
        with self.lock:
            self._drop({(each.topic, each.partition) for each in partitions})

    def _drop(self, places: Collection[Place]) -> None:
        self.held.drop(places)
        for place in places:
            self.progress.marks.pop(place, None)
        self.paused.difference_update(places)

    def _commit(self, places: Collection[Place], *, wait: bool = False) -> None:
        """Commit how far these partitions are done, all in one request; what cannot be committed now is tried again.

        Waited for only where the partitions go: librdkafka may wait for a cluster for ever, and meanwhile this thread would poll nothing.
        """
        with self.lock:
            news = self.progress.send(time.monotonic(), places)
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
                self.progress.answered({(each.topic, each.partition): (each.offset, _seen(each.metadata)) for each in partitions})
            else:
                self.progress.failed()
        if error is not None:
            self._trouble(error, ("", 0), 0)

    def _throttle(self, consumer: Consumer) -> None:
        """Pause what has brought more than can be handled, and resume it when half of that is done; the group does not notice."""
        with self.lock:
            full = self.held.full(before=bool(self.paused))
            wanted = {place for place, mark in self.progress.marks.items() if full or mark.span >= SPAN}
            pause, resume = wanted - self.paused, self.paused - wanted
            self.paused = wanted
        if pause:
            consumer.pause([TopicPartition(*place) for place in pause])
        if resume:
            consumer.resume([TopicPartition(*place) for place in resume])


def _seen(metadata: str | None) -> int:
    """Return what whoever committed had seen of a partition, as it wrote beside the offset; -1 where that is not known."""
    return int(metadata) if metadata and metadata.isascii() and metadata.isdigit() else -1
