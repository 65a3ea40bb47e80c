"""What each broker can do, as one table: errors, documentation and tests are made from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edakit.errors import CapabilityError

__all__ = ["BROKERS", "Capabilities", "able"]


@dataclass(frozen=True)
class Capabilities:
    """What one broker can do.

    Attributes:
        name: As people call it.
        virtual_time: Whether it can run on a virtual clock.
        processes: Whether several processes can share it.
        durable: Whether it survives the end of the process.
        replay: Whether events can be read again from an offset.
        delayed: Whether it holds a message back until it is due.
        drops: Whether a full queue can drop.
        counts_queues: Whether a receipt tells how many queues took the event.
        must_route: Whether an event that nobody is bound to can be refused.
        bounds: Whether a queue can have a bound.
        shares_events: Whether consumers share a queue event by event; otherwise partition by partition, and all events of one key go to one of them.
    """

    name: str
    virtual_time: bool = False
    processes: bool = False
    durable: bool = False
    replay: bool = False
    delayed: bool = False
    drops: bool = False
    counts_queues: bool = False
    must_route: bool = False
    bounds: bool = False
    shares_events: bool = True

    def need(self, capability: str, asked: str) -> None:
        """Make sure that the broker has a *capability*, named as the attribute is.

        Raises:
            CapabilityError: it has not; *asked* says what was wanted, and the error who can.
        """
        if not getattr(self, capability):
            others = " or ".join(able(capability))
            raise CapabilityError(self.name, asked, f"use {others}" if others else "no broker of this version can")


def able(capability: str) -> list[str]:
    """Return the names of the brokers that have a *capability*, named as the attribute is."""
    return [broker.name for broker in BROKERS.values() if getattr(broker, capability)]


_RABBITMQ = Capabilities("amqp://", processes=True, durable=True, delayed=True, drops=True, must_route=True, bounds=True)
_KAFKA = Capabilities("kafka://", processes=True, durable=True, replay=True, delayed=True, shares_events=False)
BROKERS = {
    "memory": Capabilities("memory://", virtual_time=True, delayed=True, drops=True, counts_queues=True, must_route=True, bounds=True),
    "sqlite": Capabilities("sqlite://", processes=True, durable=True, replay=True, delayed=True, drops=True, counts_queues=True, must_route=True, bounds=True),
    "amqp": _RABBITMQ,
    "amqps": replace(_RABBITMQ, name="amqps://"),
    "kafka": _KAFKA,
    "kafkas": replace(_KAFKA, name="kafkas://"),
}
"""What this version offers, by URL scheme."""
