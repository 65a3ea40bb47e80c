"""What each broker can do, as one table: errors, documentation and tests are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from edakit.errors import BrokerURLError, CapabilityError

__all__ = ["BROKERS", "Address", "Capabilities", "parse_url", "require"]


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
    """

    name: str
    virtual_time: bool = False
    processes: bool = False
    durable: bool = False
    replay: bool = False
    delayed: bool = False
    drops: bool = False
    counts_queues: bool = False


BROKERS = {"memory": Capabilities("memory://", virtual_time=True, delayed=True, drops=True, counts_queues=True)}
"""What this version offers, by URL scheme."""

_LATER = {"sqlite": "SQLite", "amqp": "RabbitMQ", "amqps": "RabbitMQ", "kafka": "Kafka", "kafkas": "Kafka"}
_REFUSED = {
    "redis": "a consumer killed at the wrong moment loses its message, and one subscriber's ack makes another's unrecoverable",
    "rediss": "a consumer killed at the wrong moment loses its message, and one subscriber's ack makes another's unrecoverable",
    "filesystem": "torn reads lost 93 of 600 messages when it was measured",
    "sqla": "a killed consumer's message stays hidden for ever, and fanout is dropped",
    "sqlalchemy": "a killed consumer's message stays hidden for ever, and fanout is dropped",
    "confluentkafka": "acking one message commits all that were polled, and publishing to a dead broker looks like success",
    "pyamqp": "kombu's name for RabbitMQ: write amqp://",
}


@dataclass(frozen=True)
class Address:
    """A broker's URL, taken apart (kombu mangles several of them)."""

    scheme: str
    name: str

    @property
    def broker(self) -> Capabilities:
        """What it can do."""
        return BROKERS[self.scheme]


def parse_url(url: str) -> Address:
    """Take the address of a broker apart.

    Raises:
        BrokerURLError: it cannot be read, or the broker is not offered, with the reason.
    """
    known = ", ".join(f"{scheme}://" for scheme in BROKERS)
    if "://" not in url:
        raise BrokerURLError(url, f"this is no URL; known: {known}")
    parts = urlsplit(url)
    shown = url if "@" not in parts.netloc else url.replace(parts.netloc.rpartition("@")[0], "***")
    if "," in parts.netloc or ";" in url:
        raise BrokerURLError(shown, "it names more than one host; give one URL with one host")
    if parts.scheme in _LATER:
        raise BrokerURLError(shown, f"this version of edakit does not speak to {_LATER[parts.scheme]} yet; known: {known}")
    if parts.scheme in _REFUSED:
        raise BrokerURLError(shown, f"not offered, because {_REFUSED[parts.scheme]}; known: {known}")
    if parts.scheme not in BROKERS:
        raise BrokerURLError(shown, f"the scheme {parts.scheme!r} is unknown; known: {known}")
    if parts.scheme == "memory" and (parts.path.strip("/") or parts.query or "@" in parts.netloc):
        raise BrokerURLError(shown, "memory:// takes a name at most; write memory:// for a private bus, memory://name for a shared one")
    return Address(parts.scheme, parts.netloc)


def require(url: str, *, virtual: bool) -> Address:
    """Take the address apart, and make sure that the broker goes with the clock.

    Raises:
        CapabilityError: a virtual clock was asked for, and the broker lives in real time.
        BrokerURLError: as `parse_url`.
    """
    scheme = url.partition("://")[0]
    if virtual and scheme in _LATER:
        raise CapabilityError(f"{scheme}://", "run in virtual time", "use memory:// with clock='virtual', or clock='wall' with this broker")
    return parse_url(url)
