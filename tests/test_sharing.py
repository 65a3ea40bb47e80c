"""Who gets what: keys to partitions, partitions to consumers, and what becomes of order and waiting."""

from __future__ import annotations

from collections import Counter
from random import Random
from uuid import uuid4

import numpy as np
import pytest

from edakit.bus import Bus
from edakit.errors import InvalidValueError
from edakit.measuring import Poisson, consumer_of, lindley, partition_of, share_out
from edakit.measuring.sharing import CARTS, _murmur2
from edakit.shop import CartViewed
from tests.real_brokers import real_broker

# What Kafka's own tests expect: clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2.
KAFKAS = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize("text", KAFKAS)
def test_a_key_is_hashed_as_kafkas_own_tests_say(text):
    assert _murmur2(text.encode()) == KAFKAS[text] & 0xFFFFFFFF


@pytest.fixture(scope="module")
def kafka():
    with real_broker("kafka") as url:
        yield url


def test_a_real_kafka_puts_each_cart_into_the_partition_that_we_compute(kafka):
    from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415 (an optional extra)

    name, partitions = f"t{uuid4().hex[:12]}", 5
    bus = Bus(f"{kafka}?namespace={name}&partitions={partitions}")
    bus.publish_many(CartViewed(cart_id=key) for key in CARTS)
    topic = bus.link.log
    bus.close()
    reader = Consumer({"bootstrap.servers": kafka.partition("://")[2], "group.id": name})
    reader.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found = {record.key().decode(): record.partition() for record in reader.consume(len(CARTS), timeout=20)}
    reader.close()

    assert found == {key: partition_of(key, partitions) for key in CARTS}


@pytest.mark.parametrize(("partitions", "consumers"), [(1, 1), (3, 2), (8, 3), (3, 4), (12, 8)])
def test_partitions_are_dealt_out_in_blocks_and_nobody_has_two_more_than_another(partitions, consumers):
    owners = [consumer_of(partition, partitions, consumers) for partition in range(partitions)]

    assert owners == sorted(owners)
    counts = Counter(owners)
    assert len(counts) == min(partitions, consumers)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert owners[0] == 0
    assert counts[0] == max(counts.values())


def test_a_range_of_eight_for_three_is_that_of_kafkas_range_assignor():
    assert [consumer_of(partition, 8, 3) for partition in range(8)] == [0, 0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(("partitions", "consumers", "idle"), [(3, 4, 1), (1, 3, 2), (3, 3, 0), (0, 4, 0)])
def test_more_consumers_than_partitions_are_idle_and_a_queue_has_work_for_all(partitions, consumers, idle):
    assert share_out(partitions=partitions, consumers=consumers).idle == idle


def test_every_event_is_handled_once_and_the_same_events_come_to_every_design():
    queue, log = share_out(partitions=0, consumers=3), share_out(partitions=3, consumers=3)

    assert sum(queue.handled) == sum(log.handled) == queue.cart.size
    assert np.array_equal(queue.cart, log.cart)
    assert np.array_equal(queue.done_ns - queue.wait_ns, log.done_ns - log.wait_ns)


def test_a_queue_waits_as_lindley_says_and_nobody_handles_two_events_at_a_time():
    queue = share_out(partitions=0, consumers=3)
    came = np.array(list(Poisson(200.0, 5.0).due(Random("7/sharing"))), dtype=np.int64)
    busy = queue.done_ns - queue.wait_ns - came

    assert np.array_equal(queue.wait_ns, lindley(came, busy, 3))
    for consumer in range(3):
        mine = queue.consumer == consumer
        assert np.all((came + queue.wait_ns)[mine][1:] >= queue.done_ns[mine][:-1])


@pytest.mark.parametrize("consumers", [1, 2, 3, 5])
@pytest.mark.parametrize("partitions", [1, 3, 8])
def test_within_a_cart_partitions_keep_the_order_and_one_consumer_keeps_all_of_it(partitions, consumers):
    log = share_out(partitions=partitions, consumers=consumers)

    assert log.overtaken_in_carts == 0
    assert log.split == 0
    assert (log.overtaken == 0) == (min(partitions, consumers) == 1)


def test_several_consumers_of_a_queue_overtake_each_other_within_a_cart():
    queue = share_out(partitions=0, consumers=3)

    assert queue.overtaken > queue.overtaken_in_carts > 0
    assert queue.split == len(CARTS)


def test_overtaking_is_counted_event_by_event():
    queue = share_out(partitions=0, consumers=3)

    expected = sum(any(queue.done_ns[earlier] > queue.done_ns[event] for earlier in range(event)) for event in range(200))

    assert int(np.count_nonzero(queue.done_ns[:200] < np.maximum.accumulate(queue.done_ns[:200]))) == expected


def test_the_sentence_and_the_table_say_the_same():
    log = share_out(partitions=3, consumers=4)

    assert log.says.startswith("4 consumers on a log of 3 partitions: 1 consumer without work; ")
    assert [row[2] for row in log.table.rows] == log.handled
    assert [row[1] for row in log.table.rows][3] == 0


@pytest.mark.parametrize(
    "wrong", [{"partitions": -1, "consumers": 1}, {"partitions": 3, "consumers": 0}, {"partitions": 3, "consumers": 2.5}, {"partitions": 2.5, "consumers": 1}]
)
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InvalidValueError):
        share_out(**wrong)


def test_a_partition_that_is_not_there_is_refused():
    with pytest.raises(InvalidValueError, match="0 to 2"):
        consumer_of(3, 3, 2)
    with pytest.raises(InvalidValueError):
        partition_of("c-1", 0)


def test_waits_are_told_in_tenths_of_a_millisecond_and_none_is_told_as_zero():
    log, queue = share_out(partitions=3, consumers=4), share_out(partitions=0, consumers=8)

    assert log.waited == ["13.3", "20.6", "3.0", ""]
    assert queue.waited == ["less than 0.1"] * 8
    assert "an event waited less than 0.1 ms on average" in queue.says
