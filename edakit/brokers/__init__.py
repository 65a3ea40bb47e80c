"""Find a real broker, or start one on this machine for as long as it is needed.

    with running("rabbitmq") as url: …          # in a test or a notebook
    with start("kafka") as node: node.kill()    # a node of one's own, to be ill-treated

The command `edakit brokers` keeps one of each for all programs of a user: `up`, `url`, `down`, `status`.
"""

from __future__ import annotations

from edakit.brokers.errors import BrokerCommandError, BrokerNotFoundError, BrokerNotRunningError, BrokerStartError, BrokerStopError
from edakit.brokers.folders import state_folder
from edakit.brokers.kafka import Kafka
from edakit.brokers.machine import answering, down, from_environment, redacted, running, start, status, up, url
from edakit.brokers.node import Node
from edakit.brokers.rabbitmq import RabbitMQ

__all__ = [
    "BrokerCommandError",
    "BrokerNotFoundError",
    "BrokerNotRunningError",
    "BrokerStartError",
    "BrokerStopError",
    "Kafka",
    "Node",
    "RabbitMQ",
    "answering",
    "down",
    "from_environment",
    "redacted",
    "running",
    "start",
    "state_folder",
    "status",
    "up",
    "url",
]
