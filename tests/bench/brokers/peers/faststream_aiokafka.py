"""FastStream on aiokafka."""

from __future__ import annotations

from typing import Any

from faststream.kafka import KafkaBroker

from tests.bench.brokers.peers.faststream_kafka import FastStreamKafka


class Peer(FastStreamKafka):
    broker_class = KafkaBroker

    async def flush(self, broker: Any) -> None:
        await broker.config.producer.flush()
