"""Where kombu alone fails a check, its figure is printed, and stands beside ours in docs/chaos.md."""

from __future__ import annotations

import pytest

from tests.chaos import stock
from tests.chaos.record import tell
from tests.chaos.test_bad_input import BOMB


def told(check, broker, **found):
    """Tell what kombu alone did; docs/chaos.md shows it beside ours."""
    return tell(f"{check} {broker}, stock kombu", **found)


@pytest.mark.on("memory", "amqp")
def test_r5_kombu_tells_of_an_unroutable_message_in_another_call_or_not_at_all(broker, url):
    assert told("R5", broker, **stock.r5(url))["silent"] == 100


@pytest.mark.on("memory")
def test_r6_what_is_given_back_to_kombus_memory_reaches_every_subscriber_again(broker, url):
    assert told("R6", broker, **stock.r6(url))["double_applied"] > 0


@pytest.mark.on("memory", "amqp")
def test_r7_one_malformed_message_ends_kombus_loop(broker, url):
    assert told("R7", broker, **stock.r7(url))["not_applied"] > 900


@pytest.mark.on("memory")
def test_r10_a_bound_is_ignored_by_kombus_memory(broker, url):
    assert told("R10", broker, **stock.r10(url))["backlog"] == 1000


@pytest.mark.on("memory")
def test_r17_kombus_memory_keeps_the_queues_of_a_program_that_has_ended(broker, url):
    assert told("R17", broker, **stock.r17(url))["queues"] == 10


@pytest.mark.on("memory", "amqp")
def test_s1_kombu_hands_over_what_claims_no_type(broker, url):
    assert told("S1", broker, **stock.s1(url))["handed_to_the_handler"] == 2


@pytest.mark.on("memory", "amqp")
def test_s2_kombu_unpacks_a_bomb(broker, url):
    assert told("S2", broker, **stock.s2(url, BOMB))["peak_mb"] > 60


@pytest.mark.on("kafka")
def test_r2_an_ack_on_kombus_kafka_is_an_ack_of_all_that_was_fetched(broker, url):
    assert stock.r2(url, acks=0)["lost"] == 0, "without any ack all come again"
    assert told("R2", broker, **stock.r2(url))["lost"] > 0
