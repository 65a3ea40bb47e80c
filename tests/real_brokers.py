"""Real brokers for tests: they fail where a broker is required and absent, and skip with a reason where it is only absent."""

from __future__ import annotations

import os
from contextlib import contextmanager

import pytest

from edakit.brokers import BrokerNotFoundError, from_environment, running
from edakit.brokers.machine import KINDS


@contextmanager
def real_broker(name):
    """Give the URL of a broker: the one that the environment names, else one that is started for the block."""
    if not from_environment(name):
        require_installed(name)
    with running(name, private=True) as url:
        yield url


def require_installed(name):
    """Go on only where the broker can be started on this machine."""
    try:
        KINDS[name].find()
    except BrokerNotFoundError as error:
        if name in os.environ.get("EDAKIT_REQUIRE", "").split(","):
            pytest.fail(f"EDAKIT_REQUIRE names {name}: {error}")
        pytest.skip(str(error))
