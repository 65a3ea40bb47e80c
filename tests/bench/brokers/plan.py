"""What is measured, of whom, how much of it, and what edakit is to reach."""

from __future__ import annotations

from typing import NamedTuple

OURS = "edakit"


class Peer(NamedTuple):
    """One of those that are compared.

    Attributes:
        name: As the table has it.
        module: Of `tests.bench.brokers.peers`.
        pipelined: Whether it can have many confirms under way.
        none: Whether it can publish without confirms.
        batches: Whether it can publish many as one, with the same headers and into one partition.
        rates: At which its latency is measured [1/s].
    """

    name: str
    module: str
    pipelined: bool = True
    none: bool = True
    batches: bool = False
    rates: tuple[int, ...] = (100, 500)


PEERS: dict[str, tuple[Peer, ...]] = {
    "RabbitMQ": (
        Peer(OURS, "ours", none=False),
        Peer("kombu", "kombu_raw"),
        Peer("pika", "pika_raw", rates=(500,)),
        Peer("aio-pika", "aio_pika_raw", rates=(500,)),
        Peer("FastStream", "faststream_rabbit"),
        Peer("Celery", "celery_app", pipelined=False, rates=(500,)),
        Peer("Dramatiq", "dramatiq_app", pipelined=False, rates=(500,)),
    ),
    "Kafka": (
        Peer(OURS, "ours", none=False),
        Peer("confluent-kafka", "confluent_raw"),
        Peer("FastStream (confluent)", "faststream_confluent"),
        Peer("FastStream (aiokafka)", "faststream_aiokafka", batches=True),
    ),
    "SQLite": (Peer(OURS, "ours", none=False), Peer("kombu (sqlalchemy)", "kombu_sqlalchemy", none=False)),
}

COUNTS = {"RabbitMQ": {"each": 400, "pipelined": 3000, "none": 2000}, "Kafka": {"each": 500, "pipelined": 10_000, "none": 10_000, "batches": 10_000}}
"""How many events a slice of a measurement has, by broker and guarantee [events]."""

RATES = {100: 2.0, 500: 2.5}
"""Open-loop rates at which latencies are measured [1/s], and how long each lasts [s]."""

SQLITE = {OURS: 1500, "kombu (sqlalchemy)": 150}
"""On SQLite, events through two processes [events]: the second takes about as long for its few."""


class Target(NamedTuple):
    """What a ratio is to be.

    Attributes:
        says: What is compared.
        broker, measure, peers: Whose value of what is divided by; of several peers the best one's.
        bound: At least this, or at most where it is a latency.
        base: The measure that is divided by, where it is another one of edakit's own.
    """

    says: str
    broker: str
    measure: str
    peers: tuple[str, ...]
    bound: float
    base: str = ""

    @property
    def at_most(self) -> bool:
        """Whether less is better."""
        return "latency" in self.measure


FASTSTREAM = ("FastStream (confluent)", "FastStream (aiokafka)")
TARGETS = (
    Target("publish, confirm each / FastStream", "RabbitMQ", "publish each [1/s]", ("FastStream",), 1.1),
    Target("publish, confirm each / kombu", "RabbitMQ", "publish each [1/s]", ("kombu",), 0.95),
    Target("publish, confirms pipelined / FastStream, same window", "RabbitMQ", "publish pipelined [1/s]", ("FastStream",), 2.0),
    Target("publish pipelined and consume with block acks / FastStream", "RabbitMQ", "through [1/s]", ("FastStream",), 3.0),
    Target("latency p50 at 500/s / FastStream", "RabbitMQ", "latency p50 at 500/s [ms]", ("FastStream",), 0.6),
    Target("latency p99 at 500/s / FastStream", "RabbitMQ", "latency p99 at 500/s [ms]", ("FastStream",), 0.5),
    Target("consume with block acks / without", "RabbitMQ", "consume, acks in blocks [1/s]", (OURS,), 1.4, "consume, acks one by one [1/s]"),
    Target("publish pipelined, acks=all / FastStream, the faster one", "Kafka", "publish pipelined [1/s]", FASTSTREAM, 2.0),
    Target("publish, confirm each / confluent-kafka", "Kafka", "publish each [1/s]", ("confluent-kafka",), 0.5),
    Target("two processes, confirm each / kombu (sqlalchemy)", "SQLite", "through [1/s]", ("kombu (sqlalchemy)",), 10.0),
)
