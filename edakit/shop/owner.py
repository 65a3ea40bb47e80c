"""Of a component of the shop one process serves at a time; the others stand by.

Who serves is seen by its consumers on the component's queue, which the broker takes away when it dies. Between the look whether a queue is free and the
first consumer on it, only one process at a time may be: an exclusive queue on RabbitMQ, on Kafka the only partition of a topic, a locked file beside
sqlite://.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from edakit.brokers.processes import exclusively
from edakit.bus import Bus
from edakit.errors import BrokerError

if TYPE_CHECKING:
    from edakit.transports.kafka_link import KafkaLink

__all__ = ["one_at_a_time", "served", "wait_until", "wait_until_free"]

LOOK: Final = 0.25
"""Between two looks [s]."""

RESOURCE_LOCKED: Final = 405
"""What AMQP 0-9-1 says where another connection has an exclusive queue."""


def served(bus: Bus, names: Iterable[str]) -> list[str]:
    """Return which of the components with these *names* some process serves."""
    return [name for name in names if bus.link.consumers(name)]


def wait_until_free(bus: Bus, names: Sequence[str], tell: Callable[[list[str]], None]) -> None:
    """Wait until nobody serves the components with these *names*; *tell* is called once if somebody does."""
    if others := served(bus, names):
        tell(others)
    while served(bus, names):
        time.sleep(LOOK)
    if others:
        time.sleep(LOOK)  # what the other published last may still be on its way


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds."""
    while not condition():
        time.sleep(LOOK / 10)


@contextmanager
def one_at_a_time(bus: Bus, names: Iterable[str]) -> Iterator[None]:
    """Let one process at a time begin to serve the components with these *names*; the lock of one that dies is open."""
    with ExitStack() as locks:
        for name in sorted(names):  # in one order for all: none waits for one that waits for it
            if bus.address.scheme == "sqlite":
                locks.enter_context(exclusively(Path(".".join(filter(None, (bus.address.name, bus.address.namespace, name, "lock"))))))
            elif bus.address.scheme.startswith("amqp"):
                locks.enter_context(_locked(bus, f"edakit.{name}"))
            elif bus.address.scheme.startswith("kafka"):
                locks.enter_context(cast("KafkaLink", bus.link).alone(name))
        yield


@contextmanager
def _locked(bus: Bus, name: str) -> Iterator[None]:
    """Hold a queue that RabbitMQ gives to one connection at a time."""
    connection = bus.connect()
    try:
        wait_until(lambda: _declared(connection, name))
        yield
    finally:
        connection.release()


def _declared(connection: Any, name: str) -> bool:
    try:
        connection.channel().queue_declare(name, exclusive=True, durable=False)
    except connection.channel_errors as error:
        if error.reply_code == RESOURCE_LOCKED:
            return False
        raise BrokerError("RabbitMQ", f"queue {name!r} cannot be declared ({error})", "ask who runs it for the right to configure it") from error
    return True
