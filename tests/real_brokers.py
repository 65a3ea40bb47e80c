"""The brokers that tests run on; real ones fail where a broker is required and absent, and skip with a reason where it is only absent."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.util import find_spec
from uuid import uuid4

import pytest

from edakit.brokers import BrokerNotFoundError, from_environment, start
from edakit.brokers.machine import KINDS

UNDER_TEST = ("memory", "sqlite", "amqp", "kafka")
"""URL schemes. A broker with a server gets its entry here, and its address in `address`."""

SETTINGS = {"kafka": {"group.min.session.timeout.ms": "600"}, "rabbitmq": {}}
"""What tests ask of a broker of their own: on Kafka, that a killed worker is missed soon."""


def address(scheme, server, folder, *, lease=3.0):
    """Return the URL of a broker with nothing on it.

    Args:
        scheme: One of UNDER_TEST.
        server: Gives the URL of the server that runs for all tests, by its name: `request.getfixturevalue`.
        folder: Where a broker in a file may be.
        lease: After this time what a dead process had is free again, where that can be chosen [s].
    """
    namespace = f"namespace=t{uuid4().hex[:16]}"
    if scheme == "memory":
        return f"memory://{uuid4().hex}"
    if scheme == "sqlite":
        return f"sqlite:///{folder.as_posix()}/shop.db?lease={lease}"
    if scheme == "amqp":
        return f"{server('rabbitmq')}?{namespace}"
    session = "" if from_environment("kafka") else f"&session={lease}"
    return f"{server('kafka')}?{namespace}{session}"


@contextmanager
def real_broker(name):
    """Give the URL of a broker: the one that the environment names, else one that is started for the block."""
    if given := from_environment(name):
        yield given
        return
    require_installed(name)
    node = start(name, settings=SETTINGS[name])
    try:
        yield node.url
    finally:
        node.erase()  # at once: nobody needs its data in good order


def require_installed(name):
    """Go on only where the broker can be started on this machine, and talked to."""
    try:
        KINDS[name].find()
        missing = "" if name != "kafka" or find_spec("confluent_kafka") else "confluent-kafka is not installed: pip install 'edakit[kafka]'"
    except BrokerNotFoundError as error:
        missing = str(error)
    if missing and name in os.environ.get("EDAKIT_REQUIRE", "").split(","):
        pytest.fail(f"EDAKIT_REQUIRE names {name}: {missing}")
    if missing:
        pytest.skip(missing)
