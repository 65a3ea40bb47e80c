"""Reading partitions from one offset to another, without a consumer group: to look at a queue, to move it, to replay a log."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from edakit.errors import BrokerError
from edakit.transports.kafka_cluster import Cluster
from edakit.transports.kafka_marks import Place

__all__ = ["merged", "numbered", "read"]

_BLOCK = 500
_MS_BITS = 21  # of a number in a log: so many events of one millisecond have a place of their own, 700,000 for each of three partitions

_SETTINGS = {
    "group.id": "edakit-reader",  # asked for, not used: nothing is committed
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "enable.partition.eof": True,
    "queued.max.messages.kbytes": 4 * 1024,
    "fetch.wait.max.ms": 50,
}


def read(cluster: Cluster, place: Place, start: int, end: int) -> Iterator[Any]:
    """Yield the records of one partition, from offset *start* up to before *end*.

    Raises:
        BrokerError: the cluster does not answer.
    """
    if start >= end:
        return
    consumer = cluster.consumer(_SETTINGS)
    try:
        consumer.assign([TopicPartition(*place, start)])
        for record in _records(cluster, consumer, place):
            at_end = record.error() is not None
            if not at_end and record.offset() < end:
                yield record
            if record.offset() >= end - (not at_end):
                return
    finally:
        consumer.close()


def _records(cluster: Cluster, consumer: Consumer, place: Place) -> Iterator[Any]:
    heard = time.monotonic()
    while True:
        first = consumer.poll(0.1)
        records = [] if first is None else [first, *consumer.consume(_BLOCK, 0)]
        for record in records:
            error = record.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:
                    raise cluster.error(error, "read", place[0])
                continue
            heard = time.monotonic()
            yield record
            heard = time.monotonic()  # whoever reads may take its time
        if time.monotonic() - heard > cluster.patience:
            raise BrokerError(cluster.shown, f"it sent nothing of {place[0]} within {cluster.patience:g} s", "look whether it runs, and at its log")


def merged(cluster: Cluster, starts: Mapping[Place, int], ends: Mapping[Place, int]) -> Iterator[Any]:
    """Yield the records of several partitions in the order of their times, those of one partition in its own order."""
    streams = [read(cluster, place, start, ends[place]) for place, start in sorted(starts.items())]
    try:
        yield from heapq.merge(*streams, key=lambda record: record.timestamp()[1])
    finally:
        for stream in streams:
            stream.close()  # type: ignore[attr-defined]  # a generator


def numbered(cluster: Cluster, places: Sequence[Place], number: int) -> Iterator[tuple[int, Any]]:
    """Yield the records of all partitions of a topic from *number* on, each with its number: its time [ms], and its place among those of one millisecond.

    Offsets count within one partition. These numbers order a whole topic, and fit into 63 bits until the year 2100; the topic's times are the broker's.
    """
    time_ms = number >> _MS_BITS
    ends, starts = cluster.ends(places), cluster.starts(places)
    if time_ms:
        found = cluster.since(places, time_ms)
        starts = {place: found[place] if found[place] >= 0 else ends[place] for place in places}
    streams = [_numbers(read(cluster, place, starts[place], ends[place]), place[1], len(places)) for place in places]
    try:
        yield from (each for each in heapq.merge(*streams, key=lambda pair: pair[0]) if each[0] >= number)
    finally:
        for stream in streams:
            stream.close()  # type: ignore[attr-defined]  # a generator


def _numbers(records: Iterator[Any], partition: int, partitions: int) -> Iterator[tuple[int, Any]]:
    now, first = -1, 0
    for record in records:
        time_ms = max(now, record.timestamp()[1])
        if time_ms != now:
            now, first = time_ms, record.offset()
        yield (time_ms << _MS_BITS) + (record.offset() - first) * partitions + partition, record
