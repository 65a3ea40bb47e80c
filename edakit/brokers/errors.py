"""What can go wrong between this machine and a broker that is to run on it."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from edakit.errors import EdakitError

__all__ = ["BrokerCommandError", "BrokerNotFoundError", "BrokerNotRunningError", "BrokerStartError", "BrokerStopError"]

# What to do per system, as platform.system() names it; "" is for all others.
INSTALL = {
    "RabbitMQ": {
        "Linux": "install it (Debian, Ubuntu: sudo apt install rabbitmq-server; Fedora: sudo dnf install rabbitmq-server)",
        "Darwin": "install it (brew install rabbitmq)",
        "Windows": "install Erlang, then RabbitMQ (both have installers; with Chocolatey: choco install rabbitmq)",
        "": "install RabbitMQ 3.10 or newer",
    },
    "Kafka": {
        "Linux": "unpack Apache Kafka 4 from kafka.apache.org and set KAFKA_HOME to its folder",
        "Darwin": "install it (brew install kafka)",
        "Windows": "unpack Apache Kafka 4 from kafka.apache.org and set KAFKA_HOME to its folder",
        "": "unpack Apache Kafka 4 from kafka.apache.org and set KAFKA_HOME to its folder",
    },
    "Java": {
        "Linux": "install Java 17 or newer (Debian, Ubuntu: sudo apt install default-jre-headless; Fedora: sudo dnf install java-21-openjdk-headless)",
        "Darwin": "install Java 17 or newer (brew install openjdk)",
        "Windows": "install Java 17 or newer (winget install EclipseAdoptium.Temurin.21.JRE)",
        "": "install Java 17 or newer",
    },
}
EXAMPLES = {"RabbitMQ": "EDAKIT_RABBITMQ=amqp://guest:guest@127.0.0.1:5672/%2F", "Kafka": "EDAKIT_KAFKA=kafka://127.0.0.1:9092"}


class BrokerNotFoundError(EdakitError):
    """No server of this kind is installed here, and no address of one was given.

    Args:
        broker: RabbitMQ or Kafka.
        missing: What is missing for it: the broker itself, or Java.
        system: As `platform.system()` names it.
    """

    def __init__(self, broker: str, missing: str = "", system: str = "") -> None:
        self.broker, self.missing, self.system = broker, missing or broker, system or platform.system()
        super().__init__(broker, self.missing, self.system)

    def __str__(self) -> str:
        install = INSTALL[self.missing].get(self.system, INSTALL[self.missing][""])
        found = "is not on this machine" if self.missing == self.broker else f"is here, but {self.missing} is not"
        return (
            f"{self.broker} {found}; {install}, then try again. With Docker instead: docker compose up -d --wait {self.broker.lower()} "
            f"in the folder that you cloned or unpacked, then set {EXAMPLES[self.broker]}"
        )


class BrokerNotRunningError(EdakitError):
    """An address was asked for, and nothing has been started that could have one."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        super().__init__(broker)

    def __str__(self) -> str:
        return f"{self.broker} does not run here and EDAKIT_{self.broker.upper()} is not set; start it: edakit brokers up {self.broker.lower()}"


class BrokerStartError(EdakitError):
    """A server was started and ended again, or did not answer in time.

    Args:
        broker: RabbitMQ or Kafka.
        happened: What it did instead.
        said: What it wrote about it.
    """

    def __init__(self, broker: str, happened: str, said: str) -> None:
        self.broker, self.happened, self.said = broker, happened, said
        super().__init__(broker, happened, said)

    def __str__(self) -> str:
        too_old = " It needs Java 17 or newer." if "UnsupportedClassVersionError" in self.said else ""
        return f"{self.broker} {self.happened}.{too_old} It said:\n{self.said or '(nothing)'}"


class BrokerStopError(EdakitError):
    """The system did not end processes that were killed."""

    def __init__(self, pids: Iterable[int]) -> None:
        self.pids = tuple(pids)
        super().__init__(self.pids)

    def __str__(self) -> str:
        return f"process {', '.join(map(str, self.pids))} was killed and did not end; end it yourself, or restart the machine"


class BrokerCommandError(EdakitError):
    """A command to a broker failed."""

    def __init__(self, command: str, said: str) -> None:
        self.command, self.said = command, said
        super().__init__(command, said)

    def __str__(self) -> str:
        return f"{self.command} failed: {self.said or 'it said nothing'}"
