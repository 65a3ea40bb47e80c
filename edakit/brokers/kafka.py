"""Apache Kafka as one node that is broker and controller (KRaft), made to start fast and to stay small."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import struct
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from edakit.brokers.errors import BrokerNotFoundError
from edakit.brokers.folders import state_folder
from edakit.brokers.node import Node
from edakit.brokers.processes import HOST

__all__ = ["Kafka", "class_path", "find_java"]

USUAL = ("/opt/homebrew/opt/kafka/libexec", "/usr/local/opt/kafka/libexec", "/opt/kafka", "/usr/share/kafka")
USUAL_JAVA = ("/opt/homebrew/opt/openjdk", "/usr/local/opt/openjdk")  # before the PATH, where macOS has a java that only asks to be installed
BROKER = "kafka_2.1*.jar"  # the jar that a class path must hold
# Measured on 2 busy cores, Kafka 4.4, Java 17, from launch to the first answer: 6.9 s and 4.7 s of processor time with Java's defaults, 4.2 s (2.7) with
# these, 2.0 s (1.4) with the classes of an earlier run, which Java keeps in an archive (JEP 350).
FLAGS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-XX:-UsePerfData",  # its file in the temporary folder would outlive kill -9
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
# One partition for each of Kafka's own topics, where it would make 50. The timeout: after kill -9 the controller first waits for the dead broker's session to
# end, 9 s unless told otherwise.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL",
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 3000,
    "group.initial.rebalance.delay.ms": 0,
    "log.cleaner.dedupe.buffer.size": 4 << 20,
    **{f"{topic}.replication.factor": 1 for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")},
    **{f"{topic}.num.partitions": 1 for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")},
    **{f"{topic}.min.isr": 1 for topic in ("transaction.state.log", "share.coordinator.state.topic")},
}
# A Metadata request of version 4 that asks for no topic: key, version, correlation id, no client id, no topics, no creation. A broker lists itself in the
# answer when the controller has let it in; it answers ApiVersions before that.
QUESTION = struct.pack(">hhihiB", 3, 4, 1, -1, 0, 0)


def class_path(environ: Mapping[str, str], usual: Iterable[str]) -> list[Path]:
    """Return the jars of an installed Kafka; none where it was not found.

    Args:
        environ: With $EDAKIT_KAFKA_CLASSPATH (jars, folders of jars) or $KAFKA_HOME (an unpacked Kafka), in this order.
        usual: Where packages unpack it.
    """
    given = [list(_jars(environ.get("EDAKIT_KAFKA_CLASSPATH", "").split(os.pathsep)))]
    homes = [list(_jars([f"{home}/libs"])) for home in (environ.get("KAFKA_HOME"), *usual) if home]
    return next((jars for jars in given + homes if any(jar.match(BROKER) for jar in jars)), [])


def _jars(entries: Iterable[str]) -> Iterator[Path]:
    for entry in filter(None, entries):
        path = Path(entry.removesuffix("*")).absolute()  # the server runs in a folder of its own
        yield from [path] if path.suffix == ".jar" else sorted(path.glob("*.jar"))


def find_java(environ: Mapping[str, str], usual: Iterable[str] = USUAL_JAVA) -> str | None:
    """Return Java's command: of $JAVA_HOME, of Homebrew, or on the PATH."""
    homes = [home for home in (environ.get("JAVA_HOME"), *usual) if home]
    found = (shutil.which("java", path=str(Path(home) / "bin")) for home in homes)
    return next(filter(None, found), None) or shutil.which("java", path=environ.get("PATH", ""))


class Kafka(Node):
    """One Kafka of this machine. $EDAKIT_KAFKA_JVM holds further flags for Java, such as `-Xmx1g -XX:TieredStopAtLevel=4` for long measurements."""

    name = "Kafka"
    purposes: ClassVar = ("kafka", "controller")
    usual: ClassVar = USUAL

    @property
    def url(self) -> str:
        """Its address."""
        return f"kafka://{HOST}:{self.port}"

    @classmethod
    def find(cls) -> Path:
        """Return the jar of the broker.

        Raises:
            BrokerNotFoundError: neither $EDAKIT_KAFKA_CLASSPATH nor $KAFKA_HOME nor the usual places hold one, or there is no Java.
        """
        jar = next((jar for jar in cls._class_path() if jar.match(BROKER)), None)
        if jar is None:
            raise BrokerNotFoundError(cls.name)
        if find_java(os.environ) is None:
            raise BrokerNotFoundError(cls.name, "Java")
        return jar

    @classmethod
    def answers(cls, host: str, port: int) -> bool:
        """Return whether a broker there serves clients."""
        try:
            with socket.create_connection((host, port), timeout=2) as connection, connection.makefile("rb") as answer:
                connection.sendall(struct.pack(">i", len(QUESTION)) + QUESTION)
                return _brokers(answer.read(16)) > 0
        except OSError:
            return False

    def command(self) -> list[str]:
        """Write the configuration and the identity that `kafka-storage format` would write; return the words that start the server."""
        address = f"PLAINTEXT://{HOST}:{self.state.ports['kafka']}"
        controller = f"{HOST}:{self.state.ports['controller']}"
        lines = {
            **SETTINGS,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"{address},CONTROLLER://{controller}",
            "advertised.listeners": address,
            "log.dirs": (self.folder / "data").as_posix(),
            **self.settings(),
        }
        (self.folder / "server.properties").write_text("".join(f"{key}={value}\n" for key, value in lines.items()), encoding="utf-8")
        self._format()
        jars = self._class_path()
        more = os.environ.get("EDAKIT_KAFKA_JVM", "").split()
        return [
            self._java(),
            *FLAGS,
            *self._classes(jars),
            *more,
            "-cp",
            os.pathsep.join(map(str, jars)),
            "kafka.Kafka",
            str(self.folder / "server.properties"),
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment of this process: Java is told by arguments."""
        return dict(os.environ)

    def stop(self) -> None:
        """Let the server end in good order; the first time on a machine Java then writes its archive of classes, which takes some seconds."""
        super().stop()
        written = self.folder / "classes.jsa"
        if written.exists():
            for old in state_folder().glob("classes-*.jsa"):  # of another Java or another Kafka, 50 MB each
                old.unlink(missing_ok=True)
            written.replace(self._archive(self._class_path()))

    @classmethod
    def _class_path(cls) -> list[Path]:
        return class_path(os.environ, cls.usual)

    def _java(self) -> str:
        java = find_java(os.environ)
        if java is None:
            raise BrokerNotFoundError(self.name, "Java")
        return java

    def _format(self) -> None:
        """Do what `kafka-storage format` does, which takes a Java of its own for a second or two."""
        identity = self.folder / "data" / "meta.properties"
        if not identity.exists():
            identity.parent.mkdir(exist_ok=True)
            identity.write_text(f"version=1\ncluster.id={_new_id()}\nnode.id=1\ndirectory.id={_new_id()}\n", encoding="utf-8")

    def _classes(self, jars: Iterable[Path]) -> list[str]:
        """Let Java read its classes from an archive, or write one when it ends; it ignores an archive that does not fit."""
        archive = self._archive(jars)
        return [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else [f"-XX:ArchiveClassesAtExit={self.folder / 'classes.jsa'}"]

    def _archive(self, jars: Iterable[Path]) -> Path:
        seen = [self._java(), *map(str, jars)]
        parts = [f"{path} {Path(path).stat().st_mtime_ns}" for path in seen]
        return state_folder() / f"classes-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}.jsa"


def _new_id() -> str:
    """Return 16 random bytes as Kafka writes them; a first character of - would look like an option to its tools."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def _brokers(answer: bytes) -> int:
    """Return how many brokers an answer to the question lists; its head is size, correlation id, throttle time, number of brokers."""
    return int(struct.unpack(">iiii", answer)[3]) if len(answer) == struct.calcsize(">iiii") else 0
