"""librdkafka's clients in Python: what they have in common, and how they outlive a fork."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, Producer

from edakit.transports.kafka_errors import PATIENCE

__all__ = ["PARTING", "Member", "Sender", "close", "made", "membership", "settings"]

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
        answers: Where answers to its commits are put by who wants them.
    """

    answers: Any = None


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


def close(consumers: Iterable[Consumer]) -> None:
    """Close consumers, all at the same time: one whose commit was not answered waits for its cluster, and nobody should wait with it."""
    deadline = time.monotonic() + PARTING
    threads = [threading.Thread(target=consumer.close, daemon=True) for consumer in consumers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _keep_for_ever() -> None:
    for client in list(_clients):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_for_ever)


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
