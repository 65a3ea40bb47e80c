"""Who gets what: events of many carts, shared among consumers event by event from a queue, or partition by partition from a log."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np
from numpy.typing import NDArray

from edakit.checks import expect, whole
from edakit.clock import NS
from edakit.distributions import Exponential
from edakit.errors import InvalidValueError
from edakit.measuring.errors import NothingMeasuredError
from edakit.measuring.lindley import Nanoseconds, lindley
from edakit.measuring.statistics import mean
from edakit.measuring.workload import Poisson
from edakit.table import Table

__all__ = ["CARTS", "Sharing", "consumer_of", "partition_of", "share_out"]

CARTS = tuple(f"c-{number}" for number in range(1, 13))
"""Whose events they are."""

_MASK = 0xFFFFFFFF


def partition_of(key: str, partitions: int) -> int:
    """Return the partition to which the key of an event leads, from 0, as Kafka's own Java client and edakit compute it.

    Raises:
        InvalidValueError: *partitions* is not 1 or more, or *key* is no text.

    Source:
        MurmurHash2 by Austin Appleby; `org.apache.kafka.common.utils.Utils.murmur2` and `toPositive`.
    """
    whole("partitions", partitions)
    expect("key", key, str, "a text, such as the id of a cart")
    return (_murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    value = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for start in range(0, whole, 4):
        part = int.from_bytes(data[start : start + 4], "little") * 0x5BD1E995 & _MASK
        value = (value * 0x5BD1E995 & _MASK) ^ ((part ^ part >> 24) * 0x5BD1E995 & _MASK)
    if rest := data[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & _MASK
    value = (value ^ value >> 13) * 0x5BD1E995 & _MASK
    return value ^ value >> 15


def consumer_of(partition: int, partitions: int, consumers: int) -> int:
    """Return which consumer of a group reads a *partition*, both from 0: neighbouring partitions in blocks, the first blocks one larger if need be.

    Raises:
        InvalidValueError: there is no such partition, or *partitions* or *consumers* is not 1 or more.

    Source:
        `org.apache.kafka.clients.consumer.RangeAssignor`, for one topic.
    """
    whole("partitions", partitions)
    whole("consumers", consumers)
    whole("partition", partition, 0)
    if not 0 <= partition < partitions:
        raise InvalidValueError("partition", partition, f"a number from 0 to {partitions - 1}")
    least, larger = divmod(partitions, consumers)
    border = larger * (least + 1)
    return partition // (least + 1) if partition < border else larger + (partition - border) // least


@dataclass(frozen=True)
class Sharing:
    """What became of the events.

    Attributes:
        partitions: How many partitions the log has; 0 for one queue that all consumers share.
        consumers: How many there are.
        cart: Shape (n,), whose event it is, a place in `CARTS`.
        consumer: Shape (n,), who handled it, from 0.
        wait_ns: Shape (n,), how long it waited [ns].
        done_ns: Shape (n,), when it was handled [ns]; events stand in the order of publication.
    """

    partitions: int
    consumers: int
    cart: NDArray[np.int64]
    consumer: NDArray[np.int64]
    wait_ns: Nanoseconds
    done_ns: Nanoseconds

    @property
    def waited(self) -> list[str]:
        """How long the events of each consumer waited on average, for people [ms]; "" where it got none."""
        shares = [self.wait_ns[self.consumer == number] / NS for number in range(self.consumers)]
        return [_milliseconds(mean(share)) if share.size else "" for share in shares]

    @cached_property
    def handled(self) -> list[int]:
        """How many events each consumer handled [events]."""
        counts: list[int] = np.bincount(self.consumer, minlength=self.consumers).tolist()
        return counts

    @property
    def idle(self) -> int:
        """How many consumers got nothing."""
        return self.handled.count(0)

    @property
    def wait(self) -> float:
        """The mean wait [s]."""
        return mean(self.wait_ns / NS)

    @property
    def overtaken(self) -> int:
        """How many events were done before one that was published earlier [events]."""
        return _overtaken(self.done_ns)

    @property
    def overtaken_in_carts(self) -> int:
        """How many events were done before an earlier one of the same cart [events]."""
        return sum(_overtaken(self.done_ns[self.cart == cart]) for cart in range(len(CARTS)))

    @property
    def split(self) -> int:
        """How many carts had events at more than one consumer [carts]."""
        return sum(np.unique(self.consumer[self.cart == cart]).size > 1 for cart in range(len(CARTS)))

    @property
    def says(self) -> str:
        """What is to be seen, in words."""
        place = f"a log of {_many(self.partitions, 'partition')}" if self.partitions else "one queue"
        idle = f"{_many(self.idle, 'consumer')} without work" if self.idle else "every consumer has work"
        order = f"{self.overtaken} of {self.cart.size} events were done out of order, {self.overtaken_in_carts} of them within a cart"
        return f"{_many(self.consumers, 'consumer')} on {place}: {idle}; an event waited {_milliseconds(self.wait)} ms on average; {order}."

    @property
    def table(self) -> Table:
        """What each consumer handled: carts and events."""
        rows = [(number + 1, len(set(self.cart[self.consumer == number].tolist())), count) for number, count in enumerate(self.handled)]
        return Table(("consumer", "carts", "events"), rows, says=self.says)


def share_out(*, partitions: int, consumers: int, rate: float = 200.0, takes: float = 0.008, duration: float = 5.0, seed: int = 7) -> Sharing:
    """Let events of twelve carts come to *consumers*, and return who handled what, when.

    Args:
        partitions: Of a log, whose consumers are one group; 0 for a queue from which the consumer that is free first takes the next event.
        consumers: How many there are; each handles one event at a time.
        rate: How many events come, at random [1/s].
        takes: How long one takes, on average, at random [s].
        duration: How long events come [s].
        seed: Of times and carts: they are the same whoever handles them.

    Raises:
        InvalidValueError: an argument is outside of what makes sense.
        NothingMeasuredError: no event came: the rate is very low, or the time very short.
    """
    whole("partitions", partitions, 0)
    whole("consumers", consumers)
    random, law = Random(f"{seed}/sharing"), Exponential(takes)
    came = np.array(list(Poisson(rate, duration).due(random)), dtype=np.int64)
    if not came.size:
        raise NothingMeasuredError(f"the sharing at {rate:g} events/s for {duration:g} s")
    cart = np.array([int(random.random() * len(CARTS)) for _ in came], dtype=np.int64)
    busy = np.array([law.draw(random) for _ in came], dtype=np.int64)
    if not partitions:
        wait = lindley(came, busy, consumers)
        return Sharing(0, consumers, cart, _first_free(came + wait, busy, consumers), wait, came + wait + busy)
    owner = np.array([consumer_of(partition_of(key, partitions), partitions, consumers) for key in CARTS], dtype=np.int64)[cart]
    wait = np.zeros_like(came)
    for number in range(consumers):
        mine = owner == number
        wait[mine] = lindley(came[mine], busy[mine])
    return Sharing(partitions, consumers, cart, owner, wait, came + wait + busy)


def _first_free(start: Nanoseconds, busy: Nanoseconds, consumers: int) -> NDArray[np.int64]:
    """Return who took each event: of those that are free, the one that has been free for longest."""
    free, taken = [0] * consumers, []
    for begin, takes in zip(start.tolist(), busy.tolist(), strict=True):
        taken.append(min(range(consumers), key=free.__getitem__))
        free[taken[-1]] = begin + takes
    return np.array(taken, dtype=np.int64)


def _overtaken(done: Nanoseconds) -> int:
    """Count the events that were done before an earlier one; *done* stands in the order of publication."""
    return int(np.count_nonzero(done < np.maximum.accumulate(done))) if done.size else 0


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}" if 1e3 * seconds >= 0.1 else "less than 0.1"  # noqa: PLR2004 (as it says)


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
