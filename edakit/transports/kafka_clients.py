"""librdkafka's clients in Python: what they have in common, and how they outlive a fork."""

from __future__ import annotations

import ctypes
import logging
import os
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, Producer

from edakit.transports.kafka_errors import PATIENCE
from edakit.transports.kafka_held import HELD

__all__ = ["PARTING", "Member", "Sender", "close", "fetching", "made", "membership", "settings"]

_C = TypeVar("_C")

PARTING: Final = 4.0
"""How long a close waits for the last commit and for the group; a cluster that is away gets no more, and the thread ends by itself later [s]."""

# Without a logger librdkafka's threads would print.
_logger = logging.getLogger("edakit.kafka")
_logger.addHandler(logging.NullHandler())

# librdkafka's threads do not survive a fork, and its destructor waits for them: the child must never run it.
_clients: weakref.WeakSet[Any] = weakref.WeakSet()


class Sender(Producer):  # type: ignore[misc]  # typed in part
    """A producer that can be referred to weakly.

    Attributes:
        fatal: Why it can do no more.
    """

    fatal: KafkaError | None = None


class Member(Consumer):  # type: ignore[misc]  # as above
    """A consumer that can be referred to weakly.

    Attributes:
        unanswered: How many of its commits were not answered, where somebody counts them.
    """

    unanswered = 0


def _keep(client: Any) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))


def _keep_all() -> None:
    for client in list(_clients):
        _keep(client)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_all)


def made(kind: Callable[[dict[str, Any]], _C], settings: Mapping[str, Any]) -> _C:
    """Make a client, which a fork does not end.

    Raises:
        KafkaException: it cannot be made with these settings.
    """
    client = kind(dict(settings))
    _clients.add(client)
    return client


def membership(group: str, session: float) -> dict[str, Any]:
    """Return the settings of a member of a group, which has let go when nothing was heard of it for *session* [s]; librdkafka's own heartbeat is 3 s."""
    return {
        "group.id": group,
        "session.timeout.ms": int(session * 1000),
        "heartbeat.interval.ms": max(1, int(session * 1000 / 3)),
        "enable.auto.commit": False,
    }


def fetching(group: str, session: float) -> dict[str, Any]:
    """Return the settings of a member that fetches, pauses, and commits by itself."""
    return {
        **membership(group, session),
        "partition.assignment.strategy": "cooperative-sticky",  # who keeps a partition goes on with it while others are moved
        "socket.timeout.ms": 5000,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # a fetcher sees to it
        "enable.partition.eof": True,
        "topic.metadata.refresh.interval.ms": 5000,
        "fetch.queue.backoff.ms": 10,  # otherwise it pauses for a second where its queue was full
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 8 * 1024,
        "queued.min.messages": 2 * HELD,
        "fetch.message.max.bytes": 1024 * 1024,
    }


def close(member: Member) -> None:
    """Close a consumer; one whose commit was not answered is left to the end of the process: to close it is to wait for its cluster without end."""
    if member.unanswered:
        _keep(member)
    else:
        member.close()


def settings(address: Any) -> dict[str, Any]:
    """Return what all clients have in common."""
    secure, options = address.scheme == "kafkas", address.options
    found: dict[str, Any] = {
        "bootstrap.servers": address.name,
        "client.id": "edakit",
        "log_level": 2,  # what matters comes through error_cb
        "logger": _logger,
        "allow.auto.create.topics": False,
        "socket.timeout.ms": int(PATIENCE * 1000),
        "socket.connection.setup.timeout.ms": 5000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "security.protocol": ("SASL_" if address.login.user else "") + ("SSL" if secure else "PLAINTEXT"),
    }
    if address.login.user:
        # Without TLS a password must not travel as it is.
        mechanism = options.get("mechanism", "PLAIN" if secure else "SCRAM-SHA-256")
        found |= {"sasl.mechanism": mechanism, "sasl.username": address.login.user, "sasl.password": address.login.password}
    if "ca" in options:
        found["ssl.ca.location"] = options["ca"]
    return found
