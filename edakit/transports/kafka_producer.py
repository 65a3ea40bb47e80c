"""Publishing to Kafka: every record has its delivery report looked at."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from edakit.errors import BrokerError
from edakit.transports.kafka_cluster import PATIENCE, Cluster
from edakit.transports.kafka_errors import WRITE
from edakit.transports.kafka_wire import Headers

__all__ = ["Publisher", "Report"]

_LOOK = 0.1  # at the latest after so long a thread looks whether somebody wants to interrupt it [s]


class Report:
    """What the cluster says about one record; librdkafka calls it."""

    __slots__ = ("asleep", "done", "error", "producer", "topic")

    def __init__(self, topic: str, producer: Any) -> None:
        self.topic, self.producer, self.done = topic, producer, False
        self.error: KafkaError | None = None
        self.asleep: Any = None

    def __call__(self, error: KafkaError | None, record: Any) -> None:
        """Take note of it."""
        self.error, self.done = error, True
        if self.asleep is not None:
            self.asleep.set()


class Publisher:
    """One idempotent producer with acks=all. Any thread may call any method.

    Args:
        cluster: Where it publishes.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._polling = threading.Lock()
        self._waiting: deque[Report] = deque()
        self._producer: Producer | None = None

    @property
    def producer(self) -> Any:
        """The producer, made when it is first used: who only consumes needs no right to write."""
        with self._lock:
            if self._producer is None:
                self._producer = self._make()
            return self._producer

    def _make(self) -> Producer:
        settings = {
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "partitioner": "murmur2_random",  # as Java's clients: the same key goes to the same partition, whoever publishes
            "message.timeout.ms": int(PATIENCE * 1000),
            "retry.backoff.ms": 50,
            "queue.buffering.max.kbytes": 32 * 1024,
            "message.max.bytes": 1_000_000_000,  # the most that can be set: how large a message may be is the topic's matter
            "batch.size": 64 * 1024,  # a topic refuses a batch as if it were one message; larger ones are no faster
            "statistics.interval.ms": 0,
        }
        return self._cluster.producer(settings)

    def send(self, topic: str, key: bytes | None, body: bytes, headers: Headers) -> Report:
        """Hand a record to the producer; whether it has arrived, `confirm` tells.

        Raises:
            BrokerError: there is no room for it, or it is too large.
        """
        deadline = 0.0
        while True:
            producer = self._producer or self.producer
            report = Report(topic, producer)
            try:
                producer.produce(topic, body, key, on_delivery=report, headers=headers)
            except BufferError:
                _poll(producer)
                deadline = deadline or time.monotonic() + PATIENCE
                if time.monotonic() > deadline:
                    raise BrokerError(self._cluster.shown, "it takes no more records", "publish slower, or look at its log") from None
            except KafkaException as error:
                if not self._renewed(error.args[0], producer):
                    raise self._cluster.error(error.args[0], WRITE, topic) from None
            else:
                return report

    def confirm(self, report: Report) -> None:
        """Return when the cluster has the record.

        Raises:
            BrokerError: it has not; UncertainError where that is not known.
        """
        producer = report.producer
        while not report.done and producer.fatal is None:
            if self._polling.acquire(blocking=False):
                try:
                    while not report.done and producer.fatal is None:
                        _poll(producer)
                finally:
                    self._polling.release()
                    self._wake_another()
            else:
                self._sleep(report)
        error = report.error if report.done else producer.fatal
        if error is not None:
            self._renewed(error, producer)
            raise self._cluster.error(error, WRITE, report.topic)

    def _sleep(self, report: Report) -> None:
        # One thread polls for all; the others are woken by their report, or when it is their turn to poll.
        report.asleep = threading.Event()
        self._waiting.append(report)
        if not report.done:
            report.asleep.wait(_LOOK)

    def _wake_another(self) -> None:
        while self._waiting:
            other = self._waiting.popleft()
            if not other.done:
                other.asleep.set()
                return

    def _renewed(self, error: KafkaError, broken: Producer) -> bool:
        """Take a new producer where this one can do no more; return whether that was so.

        The sequence of an idempotent one was broken; or a record timed out: librdkafka 2.16 may then never send again, though the cluster answers.
        """
        if error.code() not in {KafkaError._FATAL, KafkaError._MSG_TIMED_OUT} and not error.fatal():
            return False
        with self._lock:
            if self._producer is broken:
                self._producer = None
        return True

    def close(self) -> None:
        """Send what waits to be sent; each record of it was waited for already, or its call has raised."""
        if self._producer is not None:
            with suppress(KafkaException):
                self._producer.flush(1)


def _poll(producer: Any) -> None:
    """Have reports delivered, waiting for one; take note where the producer can do no more."""
    try:
        producer.poll(_LOOK)
    except KafkaException as error:
        producer.fatal = error.args[0]
