"""The topics and consumer groups of one namespace: their names, the number of partitions that each had, and how a new queue begins.

In namespace `shop`, with a component `mail`: all events are in `shop.edakit`, which the group `shop.mail` reads. What is put into the one queue, such as
redriven dead letters, is in `shop.mail.direct`, which the group reads too. Dead letters are in `shop.mail.dead`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Final

from edakit.errors import BrokerError
from edakit.transports.kafka_cluster import PATIENCE, Cluster
from edakit.transports.kafka_errors import changed, forgotten, missing
from edakit.transports.kafka_marks import Place
from edakit.transports.link import EXCHANGE

__all__ = ["PARTITIONS", "Topics", "is_dead"]

PARTITIONS: Final = 3
"""How many partitions the log has, where the address does not say and it is not there yet."""

_SOON = 0.05  # before it is looked again whether a topic or an offset is there [s]
_LOOK_EVERY = 5.0  # how often a publisher makes sure that its topic is as it was [s]; librdkafka itself looks every 300 s
_LOG = {"message.timestamp.type": "LogAppendTime"}  # so that a replay can merge partitions
_ROOM = {"max.message.bytes": str(8 * 1024 * 1024)}  # a dead letter is larger than what it was, which may have been as large as the log takes
_KEPT = {"retention.ms": "-1", **_ROOM}  # dead letters stay until they are moved


def is_dead(queue: str) -> bool:
    """Whether a queue is one for dead letters: it has a topic of its own, and no part in the log."""
    return "." in queue


class Topics:
    """The topics of one namespace. Any thread may call any method.

    Args:
        cluster: Where they are.
        namespace: What their names begin with, "" for nothing.
        asked: How many partitions the log is to have, where that was said.

    Attributes:
        log: The topic of all events.

    Raises:
        BrokerError: the cluster does not answer, or the log has another number of partitions.
    """

    def __init__(self, cluster: Cluster, namespace: str, asked: int | None) -> None:
        self._cluster = cluster
        self._prefix = f"{namespace}." if namespace else ""
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._unchecked: set[str] = set()
        self.log = self._prefix + EXCHANGE
        self._new = self._make(self.log, asked or PARTITIONS, _LOG)
        if asked not in (None, self._counts[self.log]):
            raise BrokerError(
                cluster.shown,
                f"topic {self.log!r} has {self._counts[self.log]} partitions, and the address says partitions={asked}",
                "leave partitions= out, or use another namespace",
            )
        self._looked_at = time.monotonic()

    def group(self, queue: str) -> str:
        """Return the consumer group of a queue."""
        return self._prefix + queue

    def own(self, queue: str) -> str:
        """Return the topic of what is put straight into a queue; one for dead letters has no other."""
        return self._prefix + (queue if is_dead(queue) else f"{queue}.direct")

    def read_by(self, queue: str) -> dict[str, int]:
        """Return the topics that a queue reads, each with its number of partitions.

        Raises:
            BrokerError: there is no such queue.
        """
        names = [self.own(queue)] if is_dead(queue) else [self.log, self.own(queue)]
        if not all(self._count(name) for name in names):
            raise BrokerError(self._cluster.shown, f"there is no queue {queue!r}", "declare it first")
        return {name: self._count(name) for name in names}

    def places(self, queue: str) -> list[Place]:
        """Return the partitions that a queue reads."""
        return [(topic, number) for topic, count in self.read_by(queue).items() for number in range(count)]

    def log_places(self) -> list[Place]:
        """Return the partitions of the log."""
        return [(self.log, number) for number in range(self._counts[self.log])]

    def _count(self, topic: str) -> int:
        """Return how many partitions a topic has, as it was when it was first asked; 0 where there is none."""
        if topic not in self._counts and (count := self._cluster.partitions(topic)):
            self._counts[topic] = count
        return self._counts.get(topic, 0)

    def _make(self, topic: str, partitions: int, settings: Mapping[str, str]) -> bool:
        """Make a topic where it is not there; return whether this call did."""
        if self._count(topic):
            return False
        made = self._cluster.create(topic, partitions, settings)
        deadline = time.monotonic() + PATIENCE
        while not self._count(topic):
            if time.monotonic() > deadline:
                raise BrokerError(self._cluster.shown, f"topic {topic!r} was made and does not appear", "look at its log")
            time.sleep(_SOON)
        return made

    def declare(self, queue: str) -> None:
        """Make what a queue needs; a new one gets what comes after."""
        with self._lock:
            made = self._make(self.own(queue), 1, _KEPT if is_dead(queue) else _ROOM)
            if not is_dead(queue):
                self._begin(self.group(queue), made=made)
                self._unchecked.add(queue)

    def _begin(self, group: str, *, made: bool) -> None:
        """Commit where a new queue begins: at the end of the log. Who made its topic does that; others wait until it is done, lest it be done twice.

        A queue whose topic was only removed is no new one: it goes on where it was.
        """
        places = self.log_places()
        if made and not self._cluster.committed(group, places):
            self._cluster.commit(group, self._cluster.ends(places))
            return
        deadline = time.monotonic() + PATIENCE / 2
        while not (known := self._cluster.committed(group, places)) and time.monotonic() < deadline:
            time.sleep(_SOON)
        if self._new and not known:  # of a log that was made anew it has seen nothing
            self._cluster.commit(group, self._cluster.starts(places))

    def check(self, queue: str) -> None:
        """Make sure that a queue, and each that was declared since the last call, still knows where it was in the log.

        Raises:
            BrokerError: the cluster has forgotten it. Told once: from then on it begins at the start of the log, so that nothing is lost.
        """
        with self._lock:
            queues, self._unchecked = {queue, *self._unchecked}, set()
        # Told together: a cluster that has forgotten one queue of an app has forgotten the others too.
        if found := {name: count for name in sorted(queues) if (count := self._forgotten(self.group(name)))}:
            raise forgotten(self._cluster.shown, self.log, found)

    def _forgotten(self, group: str) -> int:
        """Return how many records stand where a group has no offset, and commit the start there."""
        lost = set(self.log_places()) - self._cluster.committed(group, self.log_places()).keys()
        starts, ends = self._cluster.starts(lost), self._cluster.ends(lost)
        count = sum(ends[place] - starts[place] for place in lost)
        if count:
            self._cluster.commit(group, starts)
        return count

    def look(self) -> None:
        """Make sure now and then that nobody has given the log more partitions: keys would go to other ones.

        Raises:
            BrokerError: somebody has.
        """
        self._cluster.ours()
        now = time.monotonic()
        if now - self._looked_at > _LOOK_EVERY:
            count = self._cluster.partitions(self.log)
            if not count:
                raise missing(self._cluster.shown, self.log)
            if count != self._counts[self.log]:
                raise changed(self._cluster.shown, self.log, self._counts[self.log])
            self._looked_at = now
