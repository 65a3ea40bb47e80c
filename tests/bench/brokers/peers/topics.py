"""A topic, made before it is measured."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient, NewTopic

from tests.bench.brokers.event import PARTITIONS


def make_topic(servers: str, name: str) -> None:
    """Make it, with as many partitions as edakit's have."""
    admin = AdminClient({"bootstrap.servers": servers})
    for made in admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
        made.result()
