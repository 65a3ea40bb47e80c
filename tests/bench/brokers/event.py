"""What every peer publishes and consumes: the same 200 bytes of JSON, and the same account of what arrived. Imported in the peers' environment: no edakit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

SIZE = 200
"""Body of an event [bytes]."""
WINDOW = 500
"""How many publications may wait for their confirm, where they are pipelined; and the prefetch of every consumer [messages]."""
EXCHANGE, KEY = "bench", "order.placed"
QUORUM = {"x-queue-type": "quorum"}
"""Every queue on RabbitMQ is durable, and of the kind that edakit declares."""
PARTITIONS = 3

_FIRST = 100_000
"""Number of the first event: all numbers then have as many digits."""


class OrderPlaced(msgspec.Struct):
    """An order, with its number and the time at which it was meant to be published (`time.monotonic_ns`, which all processes of a machine share)."""

    order_id: str
    customer_id: str
    quantity: int
    total: int
    number: int
    due_ns: int
    note: str


_FIXED = {"order_id": "o-2011120500017", "customer_id": "c-17850", "quantity": 6, "total": 1530}
_NOTE = "leave it at the door, please. " * 4


def fields(number: int, due_ns: int = 0) -> dict[str, Any]:
    """Return the fields of one event."""
    return {**_FIXED, "number": _FIRST + number, "due_ns": 10**18 + due_ns, "note": _PADDING}


_PADDING = ""
_PADDING = _NOTE[: SIZE - len(msgspec.json.encode(fields(0)))]
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(OrderPlaced).decode


def orders(count: int, make: Callable[..., Any] = OrderPlaced) -> Iterator[Any]:
    """Yield *count* events, made as they are needed."""
    return (make(**fields(number)) for number in range(count))


def first(make: Callable[..., Any] = OrderPlaced) -> Any:
    """Return an event that is published before the clock starts, so that everybody is connected; no consumer counts it."""
    return make(**fields(-1))


def paced(rate: float, count: int, make: Callable[..., Any] = OrderPlaced) -> Iterator[Any]:
    """Yield *count* events, each when it is due [1/s]: whoever was held up gets the next ones at once, with the times at which they were meant."""
    start = time.monotonic_ns() + 50_000_000
    for number in range(count):
        due = start + int(number * 1e9 / rate)
        while (left := due - time.monotonic_ns()) > 0:
            time.sleep(left / 1e9)
        yield make(**fields(number, due))


class Tally:
    """What a consumer has got.

    Args:
        count: How many events there are.
    """

    def __init__(self, count: int) -> None:
        self.count, self.deliveries, self.first, self.last = count, 0, 0, 0
        self.numbers: set[int] = set()
        self.lags: list[int] = []
        self._cpu = 0.0
        self.done = threading.Event()
        self.on_done: Callable[[], object] = self.done.set

    def note(self, event: Any) -> bool:
        """Take note of one; return whether these are all."""
        if event.number < _FIRST:
            return False
        now = time.monotonic_ns()
        if not self.deliveries:
            self.first, self._cpu = now, -time.process_time()
        self.last = now
        self.deliveries += 1
        self.numbers.add(event.number)
        self.lags.append(now - (event.due_ns - 10**18))
        if len(self.numbers) < self.count:
            return False
        self._cpu += time.process_time()
        self.on_done()
        return True

    def answer(self) -> dict[str, Any]:
        """Return when the first and the last came [ns], the processor time between them [s], what is missing or came twice, and the latencies [ns]."""
        lost, twice = self.count - len(self.numbers), self.deliveries - len(self.numbers)
        return {"first": self.first, "last": self.last, "cpu": self._cpu, "lost": lost, "twice": twice, "lags": self.lags}
