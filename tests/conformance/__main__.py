"""python -m tests.conformance: ask kombu's own transports what ours promise, and save the answers as data/conformance.csv. Needs RabbitMQ and Kafka."""

from __future__ import annotations

from edakit.brokers import running
from tests.conformance.stock import ROOT, table

with running("rabbitmq", private=True) as rabbitmq, running("kafka", private=True) as kafka:
    answers = table({"rabbitmq": rabbitmq, "kafka": kafka})
(ROOT / "data" / "conformance.csv").write_text(answers, encoding="utf-8")
