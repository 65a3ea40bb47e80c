"""The brokers that the suite runs on, and an address that nobody else uses for each test."""

from __future__ import annotations

import pytest

from edakit.capabilities import BROKERS
from tests.real_brokers import UNDER_TEST, address

NEEDS = {
    "test_a_command_needs_exactly_one_handler": "must_route",
    "test_an_event_without_handlers_is_counted_and_must_route_raises": "counts_queues",
    "test_competing_consumers_share_the_work_and_each_event_is_handled_once": "shares_events",
    "test_prefetch_limits_what_one_consumer_has_and_leaves_the_rest_to_others": "shares_events",
    "test_what_is_redriven_into_a_bounded_queue_is_never_dropped_nor_drops_anything": "drops",
}
"""What a broker must be able to do for a test to make sense; the tests of a broker that cannot say what holds there."""


def pytest_generate_tests(metafunc):
    """Run each test of this folder on each broker, whether it names the fixture or not."""
    if "broker" in metafunc.fixturenames:
        need = NEEDS.get(metafunc.function.__name__)
        metafunc.parametrize("broker", [name for name in UNDER_TEST if need is None or getattr(BROKERS[name], need)], scope="function")


@pytest.fixture
def broker_url(broker, request, tmp_path):
    """An address of one broker, with nothing on it."""
    return address(broker, request.getfixturevalue, tmp_path)


@pytest.fixture
def can(broker):
    """What the broker can do, as the table says."""
    return BROKERS[broker]
