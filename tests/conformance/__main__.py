"""python -m tests.conformance: ask kombu's own transports what ours promise, and save the answers as data/conformance.csv. Needs a RabbitMQ."""

from __future__ import annotations

from edakit.brokers import running
from tests.conformance.stock import ROOT, table

with running("rabbitmq", private=True) as url:
    answers = table(url)
(ROOT / "data" / "conformance.csv").write_text(answers, encoding="utf-8")
