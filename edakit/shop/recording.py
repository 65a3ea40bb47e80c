"""A real shop's day as a workload: an invoice is one shopper's journey, a line a product put into the cart, then one order at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from random import Random
from typing import Final

from edakit.clock import NS, real
from edakit.errors import InvalidValueError
from edakit.events import Command, Event
from edakit.measuring.recording import LONGEST
from edakit.shop.catalogue import Catalogue, Product
from edakit.shop.events import AddItem, CheckOut, OrderLine, OrderReturned, total_of
from edakit.shop.retail import Line

__all__ = ["RecordedDay"]

_MINUTE: Final = 60 * NS

SLOWEST: Final = 0.001
"""A day in three years [1]."""


class RecordedDay:
    """A workload: the lines of Online Retail in the order of time, as what shoppers did.

    The invoices give the minute only. Within it, the lines of an invoice and the order after them come at random times, ascending. An invoice
    that is a cancellation is an order that comes back.

    Args:
        lines: At least one that can be read; refused ones are passed over.
        speedup: How many times as fast as it was [1].
        seed: Where in their minute the lines lie; the same whatever else a run draws.

    Raises:
        InvalidValueError: *speedup* is below a thousandth, or there is no line, or it all takes more than thirty years.
    """

    def __init__(self, lines: Iterable[Line], *, speedup: float = 1.0, seed: int = 0) -> None:
        if not SLOWEST <= real(speedup) < float("inf"):
            raise InvalidValueError("speedup", speedup, f"a number of {SLOWEST:g} or more: 600 plays ten hours back in a minute")
        self.lines = sorted((line for line in lines if not line.problem), key=lambda line: line.time)
        if not self.lines:
            raise InvalidValueError("lines", [], "the lines of a day")
        self.speedup, self.seed = speedup, seed
        if self.duration > LONGEST:
            raise InvalidValueError("the time from first to last line", f"{self.duration:.3g} s", f"lines of a day, or a speedup: {LONGEST:,} s at most")
        self.accepted = [line for line in self.lines if not line.refusals]

    @property
    def kinds(self) -> Counter[str]:
        """How many lines were added, returned, or refused for which reason [lines]."""
        return Counter(line.kind for line in self.lines)

    @property
    def duration(self) -> float:
        """From the first minute to the end of the last one, played back [s]."""
        return ((self.lines[-1].time - self.lines[0].time).total_seconds() + 60) / self.speedup

    def catalogue(self) -> Catalogue:
        """Return the products of the day, each at the price that most of its lines have.

        The shop in the recording sold one product at several prices (to dealers and to guests); ours has one price a product.
        """
        prices: dict[str, Counter[int]] = {}
        for line in self.accepted:
            prices.setdefault(line.product_id, Counter())[line.price] += 1
        names = {line.product_id: line.name for line in self.accepted}
        return Catalogue(
            Product(product_id=product, name=names[product], price=found.most_common(1)[0][0], popularity=float(found.total()))
            for product, found in prices.items()
        )

    def messages(self, random: Random) -> Iterator[tuple[int, Event | Command]]:  # noqa: ARG002 (a recording is what it is)
        """Yield what shoppers did, each with its due time from the first minute on [ns], ascending."""
        invoices: dict[str, list[Line]] = {}
        for line in self.accepted:
            invoices.setdefault(line.invoice, []).append(line)
        steps = [step for invoice, lines in invoices.items() for step in self._journey(invoice, lines)]
        steps.sort(key=lambda step: step[0])
        for time, message in steps:
            yield round(time / self.speedup), message

    def _journey(self, invoice: str, lines: Sequence[Line]) -> Iterator[tuple[int, Event | Command]]:
        random = Random(f"{self.seed}/{invoice}")
        minutes = [(self._since_start(time), list(group)) for time, group in groupby(lines, key=lambda line: line.time)]
        last = minutes[-1][0]
        for minute, group in minutes:
            # One more in the last minute, for the order at the end.
            times = sorted(minute + int(random.random() * _MINUTE) for _ in range(len(group) + (minute == last)))
            if not lines[0].cancelled:
                for time, line in zip(times, group, strict=False):
                    yield time, AddItem(cart_id=invoice, product_id=line.product_id, quantity=line.quantity)
        yield times[-1], _returned(invoice, lines) if lines[0].cancelled else CheckOut(cart_id=invoice)

    def _since_start(self, time: datetime) -> int:
        return int((time - self.lines[0].time).total_seconds()) * NS


def _returned(invoice: str, lines: Sequence[Line]) -> OrderReturned:
    back = tuple(OrderLine(product_id=line.product_id, quantity=-line.quantity, price=line.price) for line in lines)
    return OrderReturned(order_id=invoice, lines=back, amount=total_of(back))
