"""What several tests need."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest

from tests.real_brokers import real_broker
from tests.tls import make_certificates

# The same examples in every run, however busy the machine is.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("suite")

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def online_retail():
    """The path of the real shop's data; a test that needs it fails where it is required, and skips with a reason elsewhere."""
    path = Path(os.environ.get("EDAKIT_ONLINE_RETAIL") or "not-given")
    if not path.is_file():
        if "online-retail" in os.environ.get("EDAKIT_REQUIRE", "").split(","):
            pytest.fail("EDAKIT_REQUIRE names online-retail: set EDAKIT_ONLINE_RETAIL to the file")
        pytest.skip("Online Retail is not here: set EDAKIT_ONLINE_RETAIL to the file (data/README.md says where it comes from)")
    return path


@pytest.fixture(scope="session")
def rabbitmq():
    """The URL of a RabbitMQ that is this test run's own, or the one that $EDAKIT_RABBITMQ names."""
    with real_broker("rabbitmq") as url:
        yield url


@pytest.fixture(scope="session")
def kafka():
    """The URL of a Kafka that is this test run's own, or the one that $EDAKIT_KAFKA names."""
    with real_broker("kafka") as url:
        yield url


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A folder with ca.pem and certificates that are right and wrong; see `tests.tls`."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))
