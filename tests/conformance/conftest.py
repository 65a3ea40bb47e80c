"""The brokers that the suite runs on, and an address that nobody else uses for each test."""

from __future__ import annotations

from uuid import uuid4

import pytest

from edakit.capabilities import BROKERS

UNDER_TEST = ("memory", "sqlite", "amqp")
"""URL schemes. A broker with a server gets its entry here, and its address in `_ADDRESSES`."""

_ADDRESSES = {
    "memory": lambda request: f"memory://{uuid4().hex}",
    "sqlite": lambda request: f"sqlite:///{request.getfixturevalue('tmp_path').as_posix()}/shop.db?lease=1",
    "amqp": lambda request: f"{request.getfixturevalue('rabbitmq')}?namespace=t{uuid4().hex[:12]}",
}


def pytest_generate_tests(metafunc):
    """Run each test of this folder on each broker, whether it names the fixture or not."""
    if "broker" in metafunc.fixturenames:
        metafunc.parametrize("broker", UNDER_TEST, scope="function")


@pytest.fixture
def broker_url(broker, request):
    """An address of one broker, with nothing on it."""
    return _ADDRESSES[broker](request)


@pytest.fixture
def can(broker):
    """What the broker can do, as the table says."""
    return BROKERS[broker]
