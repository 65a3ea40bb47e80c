"""`kafka://` as a bus sees it: one topic for all events, a consumer group for each queue, and a topic for what is put straight into one.

Topics and groups of namespace `shop`, with a component `mail`: all events are in `shop.edakit`, which the group `shop.mail` reads. What is put into the
one queue, such as redriven dead letters, is in `shop.mail.direct`, which the group reads too. Dead letters are in `shop.mail.dead`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

import kombu

from edakit.capabilities import BROKERS
from edakit.errors import BrokerError, CapabilityError
from edakit.transports.kafka_cluster import PATIENCE, Cluster
from edakit.transports.kafka_consumer import KafkaSubscription
from edakit.transports.kafka_errors import changed
from edakit.transports.kafka_marks import Mark, Place
from edakit.transports.kafka_message import Message
from edakit.transports.kafka_producer import Publisher, Report
from edakit.transports.kafka_reader import merged, numbered
from edakit.transports.kafka_wire import Headers, content, headers_of, key_of, type_of, wire_headers
from edakit.transports.link import EXCHANGE, Link, Logged
from edakit.transports.routing import Exchange

__all__ = ["KafkaLink"]

PARTITIONS = 3
SESSION = 6.0  # the shortest that a broker allows if nobody has changed its settings [s]

_WINDOW = 5000  # how many records `publish_many` has under way at a time
_SOON = 0.05  # before it is looked again whether a topic or an offset is there [s]
_LOOK_EVERY = 5.0  # how often a publisher makes sure that its topic is as it was [s]; librdkafka itself looks every 300 s
_LOG = {"message.timestamp.type": "LogAppendTime"}  # so that a replay can merge partitions
_ROOM = {"max.message.bytes": str(8 * 1024 * 1024)}  # a dead letter is larger than what it was, which may have been as large as the log takes
_KEPT = {"retention.ms": "-1", **_ROOM}  # dead letters stay until they are moved


class KafkaLink(Link):
    """Connections to one cluster.

    Args:
        address: Where it is, who we are, and which part of it is ours.
        now_ns: The clock by which messages become due [ns].
    """

    pause = 0.02

    def __init__(self, address: Any, now_ns: Callable[[], int]) -> None:
        options = address.options
        self.cluster = Cluster(address)
        self._prefix = f"{address.namespace}." if address.namespace else ""
        self._asked = int(options["partitions"]) if "partitions" in options else None
        self._session = float(options.get("session", SESSION))
        self._now_ns = now_ns
        self._exchange = Exchange(EXCHANGE, "topic")
        self._partitions: dict[str, int] = {}
        self.log = self._prefix + EXCHANGE
        self._make(self.log, self._asked or PARTITIONS, _LOG)
        if self._asked not in (None, self._partitions[self.log]):
            raise BrokerError(
                self.cluster.shown,
                f"topic {self.log!r} has {self._partitions[self.log]} partitions, and the address says partitions={self._asked}",
                "leave partitions= out, or use another namespace",
            )
        self._publisher = Publisher(self.cluster)
        self._looked_at = time.monotonic()
        self._lock = threading.Lock()
        self._bound: set[str] = set()
        self._open: dict[Any, None] = {}

    def connect(self) -> Any:
        """Open one more kombu connection to the same cluster."""
        from edakit.transports.kafka_kombu import Transport  # noqa: PLC0415 (it needs this module)

        self.cluster.ours()
        connection = kombu.Connection(transport=Transport, transport_options={"link": self})
        self._open[connection] = None
        return connection

    def _topic(self, queue: str) -> str:
        """Return the topic of what is put straight into a queue; a queue for dead letters has no other."""
        return self._prefix + (queue if "." in queue else f"{queue}.direct")

    def _topics(self, queue: str) -> dict[str, int]:
        """Return the topics that a queue reads, with their partitions; dead letters are in one of their own."""
        names = [self._topic(queue)] if "." in queue else [self.log, self._topic(queue)]
        if not all(self._count(name) for name in names):
            raise BrokerError(self.cluster.shown, f"there is no queue {queue!r}", "declare it first")
        return {name: self._count(name) for name in names}

    def _count(self, topic: str) -> int:
        """Return how many partitions a topic has, as it was when it was first asked; 0 where there is none."""
        if topic not in self._partitions and (count := self.cluster.partitions(topic)):
            self._partitions[topic] = count
        return self._partitions.get(topic, 0)

    def _places(self, queue: str) -> list[Place]:
        return [(topic, number) for topic, count in self._topics(queue).items() for number in range(count)]

    def _make(self, topic: str, partitions: int, settings: Mapping[str, str]) -> bool:
        """Make a topic where it is not there; return whether this call did."""
        if self._count(topic):
            return False
        made = self.cluster.create(topic, partitions, settings)
        deadline = time.monotonic() + PATIENCE
        while not self._count(topic):
            if time.monotonic() > deadline:
                raise BrokerError(self.cluster.shown, f"topic {topic!r} was made and does not appear", "look at its log")
            time.sleep(_SOON)
        return made

    def declare(self, queue: str, *, bound: int | None = None, when_full: str = "raise", on_drop: Callable[[Any], None] | None = None) -> None:
        """Make a queue; a new one gets what comes after.

        Raises:
            CapabilityError: it is to be bounded: a topic grows, and is cut by age.
        """
        if bound is not None:
            BROKERS["kafka"].need("bounds", "bound a queue")
        with self._lock:
            made = self._make(self._topic(queue), 1, _KEPT if "." in queue else _ROOM)
            if "." not in queue:
                self._begin(queue, made=made)

    def _begin(self, queue: str, *, made: bool) -> None:
        """Commit where a new queue begins: at the end of the log. Who made its topic does that; others wait until it is done, lest it be done twice.

        A queue whose topic was only removed is no new one: it goes on where it was.
        """
        group = self._prefix + queue
        places = [(self.log, number) for number in range(self._partitions[self.log])]
        if made and not self.cluster.committed(group, places):
            self.cluster.commit(group, self.cluster.ends(places))
            return
        deadline = time.monotonic() + PATIENCE / 2
        # Without an answer it begins at the start of the log: whoever made it died, or its offsets were forgotten after a week without a consumer.
        while not self.cluster.committed(group, places) and time.monotonic() < deadline:
            time.sleep(_SOON)

    def bind(self, queue: str, pattern: str) -> None:
        """Let a queue take what fits *pattern*: its consumers pass over the rest."""
        self._bound.add(queue)
        self._exchange.bind(queue, pattern)

    def publish(self, name: str, body: bytes, headers: Mapping[str, Any], *, must_route: bool = False) -> int | None:
        """Publish; return when all replicas have it. Who takes it cannot be known: consumers filter.

        Raises:
            BrokerError: it was not taken; UncertainError where that is not known.
            CapabilityError: *must_route*.
        """
        if must_route:
            BROKERS["kafka"].need("must_route", "refuse an event that nobody is bound to")
        self._look()
        self._publisher.confirm(self._publisher.send(self.log, key_of(headers), body, wire_headers(headers)))
        return None

    def publish_many(self, events: Iterable[tuple[str, bytes, Mapping[str, Any]]]) -> Iterator[int | None]:
        """Publish events in order, many under way at a time; yield for each when all replicas have it."""
        self._look()
        under_way: deque[Report] = deque()
        for _, body, headers in events:
            under_way.append(self._publisher.send(self.log, key_of(headers), body, wire_headers(headers)))
            if len(under_way) >= _WINDOW:
                self._publisher.confirm(under_way.popleft())
                yield None
        while under_way:
            self._publisher.confirm(under_way.popleft())
            yield None

    def _look(self) -> None:
        """Make sure now and then that nobody has given the topic more partitions: keys would go to other ones.

        Raises:
            BrokerError: somebody has.
        """
        self.cluster.ours()
        now = time.monotonic()
        if now - self._looked_at > _LOOK_EVERY:
            count = self.cluster.partitions(self.log)
            if not count:
                raise BrokerError(self.cluster.shown, f"there is no topic {self.log}", "somebody has removed it; make a new App, which makes it again")
            if count != self._partitions[self.log]:
                raise changed(self.cluster.shown, self.log, self._partitions[self.log])
            self._looked_at = now

    def replay(self, offset: int = 0) -> Iterator[Logged]:
        """Yield what was published, from *offset* to what is the end now, in the order in which the cluster got it (by the millisecond)."""
        for number, record in numbered(self.cluster, self.log, self._partitions[self.log], offset):
            headers = headers_of(record)
            body, found, content_type, encoding, _ = content(record.value(), headers, record.key())
            yield Logged(number, type_of(headers) or "", body, found, content_type, encoding)

    def put(self, queue: str, message: Any, headers: Mapping[str, Any]) -> None:
        """Put a copy straight into one queue."""
        self._publisher.confirm(self._send(self._topic(queue), message, headers))

    def publish_message(self, message: Any) -> None:
        """Publish a message of any kind, as a producer does that is none of ours."""
        self._publisher.confirm(self._send(self.log, message, message.headers))

    def _send(self, topic: str, message: Any, headers: Mapping[str, Any]) -> Report:
        self._look()
        wire: Headers = wire_headers(headers, message.content_type, message.content_encoding)
        body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
        return self._publisher.send(topic, key_of(headers), body, wire)

    def _waiting(self, queue: str) -> tuple[dict[Place, int], dict[Place, int]]:
        """Return where what waits in a queue begins and ends."""
        places = self._places(queue)
        return self._begins(queue, places), self.cluster.ends(places)

    def _begins(self, queue: str, places: Iterable[Place]) -> dict[Place, int]:
        """Return where what waits begins: behind what was committed, and what was deleted does not wait."""
        places = list(places)
        committed = {} if "." in queue else self.cluster.committed(self._prefix + queue, places)
        return {place: max(start, committed.get(place, 0)) for place, start in self.cluster.starts(places).items()}

    def browse(self, queue: str) -> list[Any]:
        """Return what waits."""
        return list(self._browse(queue, *self._waiting(queue)))

    def _browse(self, queue: str, starts: Mapping[Place, int], ends: Mapping[Place, int]) -> Iterator[Message]:
        wanted = self._wanted(queue)
        for record in merged(self.cluster, starts, ends):
            headers = headers_of(record)
            if wanted(record.topic(), headers):
                yield Message(content(record.value(), headers, record.key()), (record.topic(), record.partition()), record.offset(), Mark())

    def move(self, source: str, target: str, headers: Callable[[Mapping[str, Any]], dict[str, Any]]) -> int:
        """Move the dead letters in *source*: deleted there when *target* has them. A crash in between leaves some in both.

        Raises:
            CapabilityError: *source* is not a queue of dead letters.
        """
        if "." not in source:
            raise CapabilityError("kafka://", f"move what waits in {source!r}", "move dead letters only: others read the same log")
        starts, ends = self._waiting(source)
        reports = [self._send(self._topic(target), message, headers(message.headers)) for message in self._browse(source, starts, ends)]
        for report in reports:
            self._publisher.confirm(report)
        if reports:
            self.cluster.forget(ends)
        return len(reports)

    def consumers(self, queue: str) -> int:
        """Count the members of its group; one that was killed counts until its session ends."""
        return self.cluster.members(self._prefix + queue)

    def alone(self, queue: str) -> AbstractContextManager[None]:
        """Be the one of all processes that is inside this context for *queue*, which has been declared."""
        return self.cluster.alone(f"{self._prefix}{queue}.owner", self._topic(queue), self._session)

    def backlog(self, queue: str) -> int:
        """Count what waits. Events that the queue's consumers will pass over are among it until they have done so."""
        in_flight = sum(each.in_flight for each in self._subscriptions(queue))
        return max(0, self.outstanding([queue])[queue] - in_flight)

    def outstanding(self, queues: Iterable[str]) -> dict[str, int]:
        """Count what waits or is being handled.

        Raises:
            BrokerError: it cannot be known.
        """
        queues = list(queues)
        # First what is done, then where the log ends: a handler publishes before it acks, so the other way round both could be missed.
        done = {queue: self._done(queue) for queue in queues}
        ends = self.cluster.ends(set(chain.from_iterable(done.values())))
        return {queue: sum(max(0, ends[place] - offset) + unacked for place, (offset, unacked) in places.items()) for queue, places in done.items()}

    def _done(self, queue: str) -> dict[Place, tuple[int, int]]:
        places = self._places(queue)
        here: dict[Place, tuple[int, int]] = {}
        for subscription in self._subscriptions(queue):
            if subscription.trouble is not None:
                raise subscription.trouble
            here |= subscription.progress()
        if all(place in here for place in places):
            return here
        begin = self._begins(queue, [place for place in places if place not in here])
        return {place: here.get(place) or (begin[place], 0) for place in places}

    def _subscriptions(self, queue: str) -> list[KafkaSubscription]:
        return [each for each in tuple(self._open) if isinstance(each, KafkaSubscription) and each.queue == queue]

    def _wanted(self, queue: str) -> Callable[[str, Any], bool]:
        """Return what tells whether a record is for *queue*.

        Kafka does not know the patterns: each process filters by what it has bound, and one that has bound nothing takes all. A record without a type
        is for everybody, lest it be passed over unseen.
        """
        route, log, bound = self._exchange.route, self.log, self._bound

        def wanted(topic: str, headers: Any) -> bool:
            return topic != log or queue not in bound or (name := type_of(headers)) is None or queue in route(name)

        return wanted

    def subscribe(self, queue: str, prefetch: int) -> KafkaSubscription:
        """Open a subscription; it joins the queue's consumer group in a moment.

        It fetches ahead of *prefetch*, within bounds of its own: a partition has one consumer, so no other gets less.
        """
        self.cluster.ours()

        def duplicate(message: Any) -> None:
            self.put(queue, message, message.headers)

        group, topics = self._prefix + queue, self._topics(queue)
        subscription = KafkaSubscription(self.cluster, queue, group, topics, self._wanted(queue), duplicate, self._now_ns, self._session)
        self._open[subscription] = None
        subscription.on_close = lambda: self._open.pop(subscription, None)
        return subscription

    def close(self) -> None:
        """Close every connection; in a forked process nothing is touched: it is the parent's."""
        if self.cluster.forked:
            return
        for each in list(self._open):
            each.close() if isinstance(each, KafkaSubscription) else each.release()
        self._open.clear()
        self._publisher.close()
        self.cluster.close()
