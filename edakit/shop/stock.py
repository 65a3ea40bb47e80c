"""The stock: goods are put aside when an order is placed, and are for sale again when it is not paid or comes back.

OrderPlaced   -> StockReserved or StockRejected
PaymentFailed -> StockReleased
OrderReturned    (the goods go back onto the shelf)
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from edakit.component import Component
from edakit.errors import InvalidValueError
from edakit.events import Context, Event
from edakit.shop.events import OrderLine, OrderPlaced, OrderReturned, PaymentFailed, StockRejected, StockReleased, StockReserved

__all__ = ["Stock", "make_stock"]


class Stock:
    """How many of each product are for sale. Several workers may use it at the same time.

    Args:
        level: How many there are at first: of each product, or by product id [pieces].

    Attributes:
        sold: How many were put aside, by product id [pieces].
        reserved: What was put aside for each order and not released.
    """

    def __init__(self, level: int | Mapping[str, int] = 10_000) -> None:
        levels = level.values() if isinstance(level, Mapping) else [level]
        if any(not isinstance(pieces, int) or pieces < 0 for pieces in levels):
            raise InvalidValueError("stock", level, "how many pieces there are at first, zero or more, or a mapping from product id to that")
        self.level = level
        self.sold: Counter[str] = Counter()
        self.reserved: dict[str, tuple[OrderLine, ...]] = {}
        self._missing: dict[str, tuple[str, ...]] = {}
        self._asked: dict[str, tuple[OrderLine, ...]] = {}
        self._returned: set[str] = set()
        self._lock = threading.Lock()

    def left(self, product_id: str) -> int:
        """Return how many of a product are for sale [pieces]."""
        first = self.level.get(product_id, 0) if isinstance(self.level, Mapping) else self.level
        return first - self.sold[product_id]

    def reserve(self, order_id: str, lines: tuple[OrderLine, ...]) -> tuple[str, ...]:
        """Put the goods of an order aside, all or none; return the products that are missing. An order that is known gets the same answer again."""
        with self._lock:
            if order_id not in self._missing:
                asked: Counter[str] = Counter()  # a product may stand in several lines
                for line in lines:
                    asked[line.product_id] += line.quantity
                self._missing[order_id] = tuple(product for product, pieces in asked.items() if pieces > self.left(product))
                if not self._missing[order_id]:
                    self.reserved[order_id] = lines
                    self._move(lines, 1)
            return self._missing[order_id]

    def release(self, order_id: str) -> None:
        """Offer for sale again what was put aside for an order, once."""
        with self._lock:
            self._move(self.reserved.pop(order_id, ()), -1)

    def take_back(self, order_id: str, lines: tuple[OrderLine, ...]) -> None:
        """Put the goods of an order that came back onto the shelf, once."""
        with self._lock:
            if order_id not in self._returned:
                self._returned.add(order_id)
                self._move(lines, -1)

    def apply(self, event: Event) -> None:
        """Change the stock as *event* says, which was published before: what was decided is not decided again."""
        match event:
            case OrderPlaced() if event.order_id not in self._missing:
                self._asked[event.order_id] = event.lines
            case StockReserved() if event.order_id not in self._missing:
                lines = self._asked.pop(event.order_id, ())
                self._missing[event.order_id], self.reserved[event.order_id] = (), lines
                self._move(lines, 1)
            case StockRejected():
                self._asked.pop(event.order_id, None)
                self._missing[event.order_id] = event.missing
            case StockReleased():
                self.release(event.order_id)
            case OrderReturned():
                self.take_back(event.order_id, event.lines)
            case _:
                pass

    def _move(self, lines: tuple[OrderLine, ...], sign: int) -> None:
        for line in lines:
            self.sold[line.product_id] += sign * line.quantity


def make_stock(stock: Stock, **options: Any) -> Component:
    """Make the component that owns *stock*; *options* as for `Component`. Every handler may run twice for the same order."""
    component = Component("stock", **{"order": "per key", **options})

    @component.on(OrderPlaced)
    def reserve(event: OrderPlaced, context: Context) -> None:
        """Put the goods of an order aside."""
        missing = stock.reserve(event.order_id, event.lines)
        if missing:
            context.publish(StockRejected(order_id=event.order_id, missing=missing))
        else:
            context.publish(StockReserved(order_id=event.order_id, total=event.total))

    @component.on(PaymentFailed)
    def release(event: PaymentFailed, context: Context) -> None:
        """Offer for sale again what nobody pays for."""
        stock.release(event.order_id)
        context.publish(StockReleased(order_id=event.order_id))

    @component.on(OrderReturned)
    def take_back(event: OrderReturned, _context: Context) -> None:
        """Put what came back onto the shelf."""
        stock.take_back(event.order_id, event.lines)

    return component
