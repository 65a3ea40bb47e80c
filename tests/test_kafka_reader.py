"""Reading a Kafka log in one order, without Kafka: numbers hold whatever the broker's clock does, and wherever a replay begins."""

from __future__ import annotations

from types import SimpleNamespace

from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from edakit.transports.kafka_reader import numbered


class Log:
    """A cluster with one topic, as far as a reader asks it.

    Args:
        partitions: The times [ms] of each one's records, as the broker wrote them; None is a control record, which nobody gets.
    """

    def __init__(self, partitions):
        self.partitions = partitions

    @property
    def places(self):
        return [("log", number) for number in range(len(self.partitions))]

    def starts(self, places):
        return dict.fromkeys(places, 0)

    def ends(self, places):
        return {place: len(self.partitions[place[1]]) for place in places}

    def since(self, places, time_ms):
        return {
            place: next((offset for offset, at in enumerate(self.partitions[place[1]]) if at is not None and at >= time_ms), -1)  # as Kafka does
            for place in places
        }

    def consumer(self, settings):
        assert settings["enable.partition.eof"]
        return Reading(self.partitions)


class Reading:
    """A consumer of one partition."""

    def __init__(self, partitions):
        self.partitions = partitions

    def assign(self, wanted):
        (each,) = wanted
        times = self.partitions[each.partition]
        there = [self.record(each.partition, offset, at) for offset, at in enumerate(times) if at is not None and offset >= each.offset]
        self.left = [*there, self.record(each.partition, len(times), -1, KafkaError(KafkaError._PARTITION_EOF))]

    @staticmethod
    def record(partition, offset, at, error=None):
        return SimpleNamespace(partition=lambda: partition, offset=lambda: offset, timestamp=lambda: (2, at), error=lambda: error)

    def poll(self, seconds):
        return self.left.pop(0) if self.left else None

    def consume(self, count, seconds):
        there, self.left = self.left[:count], self.left[count:]
        return there

    def close(self):
        """Do nothing."""


LOGS = st.lists(st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=8), min_size=1, max_size=3)
"""Few times, so that many are equal, and in any order: a clock that is set back is among them."""


@given(LOGS)
def test_every_record_has_a_number_of_its_own_and_those_of_a_partition_keep_their_order(partitions):
    log = Log(partitions)
    found = [(number, record.partition(), record.offset()) for number, record in numbered(log, log.places, 0)]

    numbers = [number for number, _, _ in found]
    assert numbers == sorted(set(numbers))
    for partition, times in enumerate(partitions):
        assert [offset for _, at, offset in found if at == partition] == [offset for offset, at in enumerate(times) if at is not None]


@given(LOGS)
def test_a_replay_from_any_number_is_the_rest_of_the_whole_one(partitions):
    log = Log(partitions)
    whole = [(number, record.partition(), record.offset()) for number, record in numbered(log, log.places, 0)]

    for begin in range(len(whole)):
        for number in (whole[begin][0], whole[begin - 1][0] + 1 if begin else 0):
            assert [(each, record.partition(), record.offset()) for each, record in numbered(log, log.places, number)] == whole[begin:]


def test_events_of_several_partitions_are_merged_by_the_brokers_time():
    log = Log([[1, 4, 4], [2, 3, 5]])

    assert [record.timestamp()[1] for _, record in numbered(log, log.places, 0)] == [1, 2, 3, 4, 4, 5]
