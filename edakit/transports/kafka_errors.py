"""What librdkafka's errors mean, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError

from edakit.errors import BrokerError, PermissionDeniedError, UncertainError

__all__ = ["LASTING", "PATIENCE", "WRITE", "changed", "explained", "forgotten", "jumped", "missing", "other_protocol", "refuses"]

PATIENCE: Final = 10.0
"""How long the cluster may take to answer before that is an error [s]."""

_REFUSALS: Final = (KafkaError._AUTHENTICATION, KafkaError._SSL)
_FOREIGN: Final = "Invalid response size"  # the first bytes of another protocol, read as a length

LASTING: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.INVALID_SESSION_TIMEOUT,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
"""What does not pass by itself; librdkafka goes on trying to reach a cluster that is away."""

WRITE: Final = "write to"
"""What a producer does with a topic, in the words of its errors."""

_DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
}
_UNREACHABLE = frozenset(
    {KafkaError._ALL_BROKERS_DOWN, KafkaError._MSG_TIMED_OUT, KafkaError._RESOLVE, KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError._TRANSPORT}
)
_GONE = ("there is no topic {name}", "somebody has removed it; make a new App, which makes it again")
_SENTENCES = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: _GONE,
    KafkaError._UNKNOWN_TOPIC: _GONE,
    KafkaError._UNKNOWN_PARTITION: _GONE,
    KafkaError.INVALID_REPLICATION_FACTOR: ("topic {name} cannot be made: {why}", "start more brokers, or have default.replication.factor lowered"),
    KafkaError.POLICY_VIOLATION: ("topic {name} may not be made as it was asked for: {why}", "have it made by who runs the cluster, or use another namespace"),
    KafkaError.MSG_SIZE_TOO_LARGE: (
        "a message for {name}, or a batch of small ones (64 KiB), is larger than it takes ({why})",
        "send less, or raise max.message.bytes of the topic",
    ),
    KafkaError.INVALID_SESSION_TIMEOUT: ("group {name}: {why}", "choose session= in the address within the limits of the broker"),
}


def refuses(trouble: KafkaError | None) -> bool:
    """Whether what was heard will not change by itself: the cluster will not have us at all, or there is no cluster."""
    return trouble is not None and (trouble.code() in _REFUSALS or _FOREIGN in trouble.str())


def explained(shown: str, user: str, reason: KafkaError, trouble: KafkaError | None, doing: str, name: str, waited: float = PATIENCE) -> BrokerError:
    """Return what *reason* means to the *user* who wanted to do something with the topic or group *name*; *trouble* is what was heard before it.

    Where nothing was heard, it was *waited* for that [s].
    """
    if trouble is not None and reason.code() == KafkaError._FATAL:
        reason = trouble  # a producer that has failed says why once, and then only that it has
    code = reason.code()
    if code in _DENIED:
        # An idempotent producer is refused as a whole where it may write to no topic.
        what = "topic" if doing == WRITE else _DENIED[code]
        return PermissionDeniedError(shown, user, doing, f"{what} {name}".strip())
    if trouble is not None and refuses(trouble):
        return _refused(shown, user, trouble)
    if code in _UNREACHABLE:
        problem = f"it did not answer within {waited:g} s when asked to {doing} {name} ({(trouble or reason).str()})"
        advice = "start it (edakit brokers up kafka), or correct the address (kafka:// speaks without TLS, kafkas:// with it)"
        if code != KafkaError._MSG_TIMED_OUT:
            return BrokerError(shown, problem, advice)
        # It may have been sent, and the answer was lost.
        return UncertainError(shown, f"{problem}; whether it has the event is not known", f"publish it again if twice is better than never; {advice}")
    if code in _SENTENCES:
        problem, advice = _SENTENCES[code]
        return BrokerError(shown, problem.format(name=name, why=reason.str().rstrip(".")), advice)
    return BrokerError(shown, f"it would not {doing} {name}: {reason.str()}", "see its log")


def _refused(shown: str, user: str, trouble: KafkaError) -> BrokerError:
    if _FOREIGN in trouble.str():
        return BrokerError(shown, "what answers there does not speak Kafka's protocol", "correct host and port in the address")
    if trouble.code() == KafkaError._SSL:
        return BrokerError(shown, f"no secure connection ({trouble.str()})", "correct ca= in the address, or write kafka:// where it speaks no TLS")
    return BrokerError(shown, f"it refuses the user {user!r} ({trouble.str()})", "correct user, password or mechanism= in the address")


def missing(shown: str, topic: str) -> BrokerError:
    """Return the error of a topic that was there."""
    return BrokerError(shown, _GONE[0].format(name=topic), _GONE[1])


def changed(shown: str, topic: str, known: int) -> BrokerError:
    """Return the error of a topic that was given partitions while it is in use."""
    return BrokerError(
        shown,
        f"topic {topic!r} has other partitions than the {known} that it had: events of one key may be in two of them now, and their order is lost",
        "make a new App when what is in the topic was handled; choose the number of partitions (partitions=) before the first event",
    )


def forgotten(shown: str, log: str, queues: Mapping[str, int]) -> BrokerError:
    """Return the error of *queues* that have no offset in a *log* of so many records each: whoever made one committed where it begins."""
    told = ", ".join(f"{queue!r} ({count:,} records)" for queue, count in queues.items())
    return BrokerError(
        shown,
        f"it has forgotten how far these queues had come in topic {log!r}: {told}; nobody consumed for longer than it keeps offsets, or somebody deleted them",
        "start it again: it begins at the start of the topic, so nothing is lost, and what was handled before comes again (a DatabaseInbox leaves that out), "
        "or set its group's offsets first (kafka-consumer-groups --reset-offsets); raise offsets.retention.minutes of the brokers if a queue may rest so long",
    )


def jumped(shown: str, queue: str, places: Mapping[tuple[str, int], tuple[int, int, int]]) -> BrokerError:
    """Return the error of a *queue* whose next offset in some partitions is not between the start and the end of what they have: these three of each."""
    told = [_jump(f"partition {number} of topic {topic!r}", queue, *offsets) for (topic, number), offsets in sorted(places.items())]
    again = "start it again: it goes on with what is there; raise retention.ms of the topic if a queue may wait for so long"
    return BrokerError(shown, ", and ".join(told), again)


def _jump(where: str, queue: str, offset: int, start: int, end: int) -> str:
    if offset < start:
        return f"what stood at offsets {offset:,} to {start - 1:,} in {where} was deleted before {queue!r} read it"
    return f"{where} ends at offset {end:,}, and {queue!r} had come to {offset:,}: it was made anew, or has lost its end"


def other_protocol(shown: str, *, tls: bool) -> BrokerError:
    """Return the error of an address whose port speaks Kafka's protocol, with *tls* or without, and not as the address says."""
    if tls:
        return BrokerError(shown, "the port speaks TLS only", "write kafkas:// in the address, or the port at which it speaks without TLS (9092 as a rule)")
    return BrokerError(shown, "the port speaks no TLS", "write kafka:// in the address, or the port at which it speaks TLS (9093 as a rule)")
