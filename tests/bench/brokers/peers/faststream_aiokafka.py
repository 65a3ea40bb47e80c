"""FastStream on aiokafka."""

from __future__ import annotations

from typing import Any

from faststream.kafka import KafkaBroker

from tests.bench.brokers.peers.faststream_kafka import FastStreamKafka


class Peer(FastStreamKafka):
    broker_class = KafkaBroker
    options = {"max_batch_size": 1024 * 1024}  # for publish_batch, which refuses what does not fit

    async def flush(self, broker: Any) -> None:
        await broker.config.producer.flush()
