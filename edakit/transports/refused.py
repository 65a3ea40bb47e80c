"""Brokers that kombu knows and edakit does not offer: why, and what to use instead. Measured, or read in the source of kombu 5.7.0."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["REFUSED", "Refused"]


class Refused(NamedTuple):
    """Why a URL scheme is not offered, and what to use instead."""

    why: str
    instead: str


_REDIS = Refused(
    "a consumer killed at the wrong moment loses its message, and one subscriber's ack makes another's unrecoverable",
    "amqp:// or kafka:// between machines, sqlite:// on one",
)
_SQLALCHEMY = Refused("a killed consumer's message stays hidden for ever, and fanout is dropped", "sqlite:// on one machine, amqp:// between several")
_UNBOUND = "a program that has not bound the queues itself publishes to nobody, without an error"
_SQS = Refused(f"{_UNBOUND}; a killed consumer's message is hidden for 30 minutes", "amqp:// or kafka://")
_TAKES_FIRST = "a message is deleted before its consumer has it, so a killed consumer loses it"

REFUSED: Final = {
    "redis": _REDIS,
    "rediss": _REDIS,
    "sentinel": _REDIS,
    "filesystem": Refused("torn reads lost 93 of 600 messages when it was measured", "sqlite:// for several processes on one machine"),
    "sqlalchemy": _SQLALCHEMY,
    "sqla": _SQLALCHEMY,
    "pgmq": Refused("a killed consumer's message is hidden for 30 minutes, and acks of several at a time raise", "amqp:// between machines, sqlite:// on one"),
    "mongodb": Refused(_TAKES_FIRST, "amqp:// or kafka:// between machines, sqlite:// on one"),
    "zookeeper": Refused(_TAKES_FIRST, "amqp:// or kafka://"),
    "etcd": Refused(f"{_TAKES_FIRST}; it has direct exchanges only", "amqp:// or kafka://"),
    "consul": Refused(f"{_TAKES_FIRST}; its order is that of each publisher's own clock", "amqp:// or kafka://"),
    "pyro": Refused(f"{_TAKES_FIRST}; its queues are in the memory of one process", "memory:// in one process, sqlite:// between several"),
    "azurestoragequeues": Refused(_TAKES_FIRST, "amqp:// or kafka://"),
    "azureservicebus": Refused(f"{_UNBOUND}; an event that is handled for more than a minute is delivered again", "amqp:// or kafka://"),
    "sqs": _SQS,
    "slmq": _SQS,
    "gcpubsub": Refused("it has no topic exchange, which every event here goes through", "amqp:// or kafka://"),
    "qpid": Refused("it needs Python 2", "amqp:// with RabbitMQ"),
    "confluentkafka": Refused("acking one message commits all that were polled, and publishing to a dead broker looks like success", "kafka://"),
    "pyamqp": Refused("it is kombu's other name for RabbitMQ", "amqp://, or amqps:// with TLS"),
    "librabbitmq": Refused("it is RabbitMQ through another client, which speaks no TLS", "amqp://, or amqps:// with TLS"),
}
"""By URL scheme, in small letters."""
