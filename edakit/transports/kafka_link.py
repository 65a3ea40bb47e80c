"""`kafka://` as a bus sees it: one topic for all events, a consumer group for each queue, and a topic for what is put straight into one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

import kombu

from edakit.capabilities import BROKERS
from edakit.errors import CapabilityError
from edakit.transports.kafka_clients import PARTING
from edakit.transports.kafka_cluster import Cluster
from edakit.transports.kafka_consumer import KafkaSubscription
from edakit.transports.kafka_marks import Mark, Place
from edakit.transports.kafka_message import Message
from edakit.transports.kafka_producer import Publisher, Report
from edakit.transports.kafka_reader import merged, numbered
from edakit.transports.kafka_topics import Topics, is_dead
from edakit.transports.kafka_wire import Headers, content, headers_of, key_of, type_of, wire_headers
from edakit.transports.link import EXCHANGE, Link, Logged
from edakit.transports.routing import Exchange

__all__ = ["KafkaLink"]

SESSION = 6.0  # the shortest that a broker allows if nobody has changed its settings [s]

_WINDOW = 5000  # how many records `publish_many` has under way at a time


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
        self.topics = Topics(self.cluster, address.namespace, int(options["partitions"]) if "partitions" in options else None)
        self.log = self.topics.log
        self._session = float(options.get("session", SESSION))
        self._now_ns = now_ns
        self._exchange = Exchange[str](EXCHANGE, "topic")
        self._publisher = Publisher(self.cluster)
        self._bound: set[str] = set()
        self._open: dict[Any, None] = {}

    def connect(self) -> Any:
        """Open one more kombu connection to the same cluster."""
        from edakit.transports.kafka_kombu import Transport  # noqa: PLC0415 (it needs this module)

        self.cluster.ours()
        connection = kombu.Connection(transport=Transport, transport_options={"link": self})
        self._open[connection] = None
        return connection

    def declare(self, queue: str, *, bound: int | None = None, when_full: str = "raise", on_drop: Callable[[Any], None] | None = None) -> None:
        """Make a queue; a new one gets what comes after.

        Raises:
            CapabilityError: it is to be bounded: a topic grows, and is cut by age.
        """
        if bound is not None:
            BROKERS["kafka"].need("bounds", "bound a queue")
        self.topics.declare(queue)

    def bind(self, queue: str, pattern: str) -> None:
        """Let a queue take what fits *pattern*: its consumers pass over the rest."""
        self._bound.add(queue)
        self._exchange.bind(queue, pattern)

    def publish(self, name: str, body: bytes, headers: Mapping[str, Any], must_route: bool = False) -> int | None:
        """Publish; return when all replicas have it. Who takes it cannot be known: consumers filter.

        Raises:
            BrokerError: it was not taken; UncertainError where that is not known.
            CapabilityError: *must_route*.
        """
        if must_route:
            BROKERS["kafka"].need("must_route", "refuse an event that nobody is bound to")
        self.topics.look()
        self._publisher.confirm(self._publisher.send(self.log, key_of(headers), body, wire_headers(headers)))
        return None

    def publish_many(self, events: Iterable[tuple[str, bytes, Mapping[str, Any]]]) -> Iterator[int | None]:
        """Publish events in order, many under way at a time; yield for each when all replicas have it."""
        self.topics.look()
        under_way: deque[Report] = deque()
        for _, body, headers in events:
            under_way.append(self._publisher.send(self.log, key_of(headers), body, wire_headers(headers)))
            if len(under_way) >= _WINDOW:
                self._publisher.confirm(under_way.popleft())
                yield None
        while under_way:
            self._publisher.confirm(under_way.popleft())
            yield None

    def replay(self, offset: int = 0) -> Iterator[Logged]:
        """Yield what was published, from *offset* to what is the end now, in the order in which the cluster got it (by the millisecond)."""
        for number, record in numbered(self.cluster, self.topics.log_places(), offset):
            headers = headers_of(record)
            body, found, content_type, encoding, _ = content(record.value(), headers, record.key())
            yield Logged(number, type_of(headers) or "", body, found, content_type, encoding)

    def put(self, queue: str, message: Any, headers: Mapping[str, Any]) -> None:
        """Put a copy straight into one queue."""
        self._publisher.confirm(self._send(self.topics.own(queue), message, headers))

    def publish_message(self, message: Any) -> None:
        """Publish a message of any kind, as a producer does that is none of ours."""
        self._publisher.confirm(self._send(self.log, message, message.headers))

    def _send(self, topic: str, message: Any, headers: Mapping[str, Any]) -> Report:
        self.topics.look()
        wire: Headers = wire_headers(headers, message.content_type, message.content_encoding)
        body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
        return self._publisher.send(topic, key_of(headers), body, wire)

    def _waiting(self, queue: str) -> tuple[dict[Place, int], dict[Place, int]]:
        """Return where what waits in a queue begins and ends."""
        places = self.topics.places(queue)
        return self._begins(queue, places), self.cluster.ends(places)

    def _begins(self, queue: str, places: Iterable[Place]) -> dict[Place, int]:
        """Return where what waits begins: behind what was committed, and what was deleted does not wait."""
        places = list(places)
        committed = {} if is_dead(queue) else self.cluster.committed(self.topics.group(queue), places)
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
        if not is_dead(source):
            raise CapabilityError("kafka://", f"move what waits in {source!r}", "move dead letters only: others read the same log")
        starts, ends = self._waiting(source)
        reports = [self._send(self.topics.own(target), message, headers(message.headers)) for message in self._browse(source, starts, ends)]
        for report in reports:
            self._publisher.confirm(report)
        if reports:
            self.cluster.forget(ends)
        return len(reports)

    def consumers(self, queue: str) -> int:
        """Count the members of its group; one that was killed counts until its session ends."""
        return self.cluster.members(self.topics.group(queue))

    def alone(self, queue: str) -> AbstractContextManager[None]:
        """Be the one of all processes that is inside this context for *queue*, which has been declared."""
        return self.cluster.alone(f"{self.topics.group(queue)}.owner", self.topics.own(queue), self._session)

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
        places = self.topics.places(queue)
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

        Raises:
            BrokerError: the cluster has forgotten how far the queue had come; told once.
        """
        self.cluster.ours()
        if not is_dead(queue):
            self.topics.check(queue)

        def duplicate(message: Any) -> None:
            self.put(queue, message, message.headers)

        group, topics = self.topics.group(queue), self.topics.read_by(queue)
        subscription = KafkaSubscription(self.cluster, queue, group, topics, self._wanted(queue), duplicate, self._now_ns, self._session)
        subscription.prefetch = prefetch
        self._open[subscription] = None
        subscription.on_close = lambda: self._open.pop(subscription, None)
        return subscription

    def hurry(self) -> None:
        """Wait a few seconds at most from now on."""
        self.cluster.patience = PARTING

    def close(self) -> None:
        """Close every connection; in a forked process nothing is touched: it is the parent's."""
        if self.cluster.forked:
            return
        for each in list(self._open):
            each.close() if isinstance(each, KafkaSubscription) else each.release()
        self._open.clear()
        self._publisher.close()
        self.cluster.close()
