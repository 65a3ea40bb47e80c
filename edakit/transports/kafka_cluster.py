"""One Kafka cluster as this process reaches it: topics, offsets, and its errors in sentences."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from edakit.errors import BrokerError, ForkedError
from edakit.transports import kafka_clients as clients
from edakit.transports.kafka_errors import PATIENCE, explained, other_protocol, refuses
from edakit.transports.kafka_listener import speaks_plainly, speaks_tls
from edakit.transports.kafka_marks import Place
from edakit.transports.lookup import look_up

__all__ = ["PATIENCE", "Cluster"]

_C = TypeVar("_C")
_T = TypeVar("_T")

_SOON = 0.05  # before a question is put again [s]
_TRY = 2.0  # how long an answer is waited for before that [s]
_PASSING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._WAIT_COORD,
    }
)
"""What is heard while a cluster is starting, or while a topic is new."""


class Cluster:
    """One cluster. Any thread may call any method.

    Args:
        address: Where it is, and who we are.

    Attributes:
        shown: Its address without a password.
        patience: How long an answer to a question is waited for [s].

    Raises:
        BrokerError: its host cannot be found, or no client can be made for the address.
    """

    def __init__(self, address: Any) -> None:
        self.shown, self.patience = f"{address.scheme}://{address.name}", PATIENCE
        self.user = address.login.user
        self._process = os.getpid()
        self._name, self._settings = address.name, clients.settings(address)
        self._trouble: KafkaError | None = None
        self._known = False
        self._lock = threading.Lock()
        self._members: dict[str, clients.Member] = {}
        self._answers: dict[str, KafkaError | None] = {}
        try:
            look_up(address.login.host)
        except (OSError, UnicodeError) as error:
            raise BrokerError(self.shown, f"its host cannot be found ({error})", "correct the address") from None
        self._admin: AdminClient = self._client(AdminClient, {})

    def producer(self, settings: Mapping[str, Any]) -> Producer:
        """Make a producer."""
        return self._client(clients.Sender, settings)

    def consumer(self, settings: Mapping[str, Any]) -> clients.Member:
        """Make a consumer."""
        return self._client(clients.Member, settings)

    def _client(self, kind: Callable[[dict[str, Any]], _C], settings: Mapping[str, Any]) -> _C:
        try:
            return clients.made(kind, {**self._settings, "error_cb": self._note, **settings})
        except KafkaException as error:
            raise BrokerError(self.shown, f"the client cannot be made: {error.args[0].str()}", "correct the address") from None

    def _note(self, error: KafkaError) -> None:
        # What a refusal says is worth more than "all brokers are down", which follows.
        if refuses(error) or self._trouble is None or (not refuses(self._trouble) and error.code() != KafkaError._ALL_BROKERS_DOWN):
            self._trouble = error

    @property
    def forked(self) -> bool:
        """Whether another process opened it: nothing of it may be touched then, not even closed."""
        return self._process != os.getpid()

    def ours(self) -> None:
        """Make sure that this process opened it.

        Raises:
            ForkedError: another one did.
        """
        if self.forked:
            raise ForkedError(f"the connection to {self.shown}", self._process, os.getpid())

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, 0 where there is none; the first question to a cluster, so its answer may be that it refuses us.

        Raises:
            BrokerError: it does not answer, or refuses us.
        """
        found = self._again("describe", topic, lambda: self._admin.list_topics(topic, timeout=_TRY)).topics[topic]
        if found.error is None or found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return len(found.partitions)
        if found.error.code() in _PASSING:
            return 0
        raise self.error(found.error, "describe", topic)

    def create(self, topic: str, partitions: int, settings: Mapping[str, str]) -> bool:
        """Make a topic; return whether this call made it, which of several that try at the same time only one does.

        Raises:
            BrokerError: it may not be made.
        """
        new = NewTopic(topic, num_partitions=partitions, config=dict(settings))

        def create() -> bool:
            try:
                self._admin.create_topics([new], operation_timeout=PATIENCE, request_timeout=PATIENCE)[topic].result()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    return False
                raise
            return True

        return self._again("create", topic, create)

    def forget(self, offsets: Mapping[Place, int]) -> None:
        """Delete what stands before these offsets."""
        wanted = [TopicPartition(*place, offset) for place, offset in offsets.items()]

        def delete() -> None:
            for future in self._admin.delete_records(wanted, request_timeout=PATIENCE, operation_timeout=PATIENCE).values():
                future.result()

        self._again("delete records of", ", ".join({place[0] for place in offsets}), delete)

    def _again(self, doing: str, name: str, call: Callable[[], _T]) -> _T:
        """Return the answer to a question, asked again while the cluster is not ready.

        Raises:
            BrokerError: it does not answer, or says no.
        """
        self.ours()
        deadline = time.monotonic() + self.patience
        while True:
            try:
                answer = call()
            except KafkaException as error:
                self._admin.poll(0)  # has `_note` called
                if not (late := time.monotonic() > deadline):
                    self._protocol()
                if refuses(self._trouble) or error.args[0].code() not in _PASSING or late:
                    raise self.error(error.args[0], doing, name) from None
                time.sleep(_SOON)
            else:
                self._trouble, self._known = None, True
                return answer

    def _protocol(self) -> None:
        """Make sure, until the cluster has answered once, that its port does not speak the other protocol: with TLS where the address says without.

        Raises:
            BrokerError: it does.
        """
        if self._known:
            return
        tls = self._settings["security.protocol"].endswith("SSL")
        if speaks_plainly(self._name) if tls else speaks_tls(self._name):
            raise other_protocol(self.shown, tls=not tls) from None

    # librdkafka's administrator ends the process (an assertion, its issue 4605) when a group's coordinator goes away, so offsets are asked of consumers.

    def _member(self, group: str) -> clients.Member:
        """Return a consumer that does not join *group*, to read and to set its offsets."""
        with self._lock:
            if group not in self._members:
                self._members[group] = self.consumer(
                    {"group.id": group, "enable.auto.commit": False, "on_commit": lambda *answer: self._answered(group, *answer)}
                )
            return self._members[group]

    def _answered(self, group: str, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._members[group].unanswered -= 1
        self._answers[group] = error or next((each.error for each in partitions if each.error is not None), None)

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return where each partition ends: the offset that its next record will have."""
        return self.since(places, OFFSET_END)

    def starts(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return where each partition begins."""
        return self.since(places, OFFSET_BEGINNING)

    def since(self, places: Iterable[Place], time_ms: int) -> dict[Place, int]:
        """Return the offset of the first record of each partition that was written at *time_ms* [ms] or later; -1 where there is none."""
        wanted = [TopicPartition(*place, time_ms) for place in places]
        asked = self._member("edakit-reader")
        found = self._again("read offsets of", _names(wanted), lambda: _whole(asked.offsets_for_times(wanted, timeout=_TRY))) if wanted else []
        return {(each.topic, each.partition): each.offset for each in found}

    def committed(self, group: str, places: Iterable[Place]) -> dict[Place, int]:
        """Return what a consumer group has committed, by partition; those without are left out."""
        wanted = [TopicPartition(*place) for place in places]
        asked = self._member(group)
        found = self._again("read offsets of", group, lambda: _whole(asked.committed(wanted, timeout=_TRY))) if wanted else []
        return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}

    def members(self, group: str) -> int:
        """Return how many consumers have joined a group."""
        with warnings.catch_warnings():  # the newer call is one of those that can end the process
            warnings.simplefilter("ignore", DeprecationWarning)
            found = self._again("describe the group", group, lambda: self._admin.list_groups(group, timeout=_TRY))
        return sum(len(each.members) for each in found)

    @contextmanager
    def alone(self, group: str, topic: str, session: float) -> Iterator[None]:
        """Be the one member of *group* that has the only partition of *topic*; who comes meanwhile waits, after a death until its *session* ends [s].

        The group gives a partition to another member only when the one that had it has let go, or has not polled for five minutes; this one does neither.

        Raises:
            BrokerError: the cluster does not answer, or the topic has been removed.
        """
        member = self.consumer(clients.membership(group, session) | {"partition.assignment.strategy": "range"})
        try:
            member.subscribe([topic])
            asked = time.monotonic()
            while not member.assignment():
                if time.monotonic() - asked > _TRY:
                    # Whoever waits for another one may do so for long, and for a cluster that is away not: the member itself would try for ever.
                    if not self.partitions(topic):
                        raise self.error(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), "join the group", topic)
                    asked = time.monotonic()
                if (heard := member.poll(_SOON)) and (reason := heard.error()) and reason.code() not in _PASSING:
                    raise self.error(reason, "join the group", group)
            yield
        finally:
            member.close()

    def commit(self, group: str, offsets: Mapping[Place, int]) -> None:
        """Set what a consumer group without members has committed."""
        wanted = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        self._again("set offsets of", group, lambda: self._set(group, wanted))

    def _set(self, group: str, wanted: list[TopicPartition]) -> None:
        """Commit; librdkafka itself would wait without end for an answer, or for somebody who may give one."""
        asked = self._member(group)
        _whole(asked.committed(wanted, timeout=_TRY))
        self._answers.pop(group, None)
        asked.commit(offsets=wanted, asynchronous=True)
        asked.unanswered += 1
        deadline = time.monotonic() + _TRY
        while group not in self._answers:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            asked.poll(_SOON)
        if (error := self._answers.pop(group)) is not None:
            raise KafkaException(error)

    def close(self) -> None:
        """Close what reads and sets offsets."""
        with self._lock:
            while self._members:
                clients.close(self._members.popitem()[1])

    def error(self, reason: KafkaError, doing: str, name: str = "") -> BrokerError:
        """Return what *reason* means to whoever wanted to do something with the topic or group *name*."""
        return explained(self.shown, self.user, reason, self._trouble, doing, name, self.patience)


def _whole(partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Return *partitions*, each without an error."""
    for each in partitions:
        if each.error is not None:
            raise KafkaException(each.error)
    return partitions


def _names(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(dict.fromkeys(each.topic for each in partitions))
