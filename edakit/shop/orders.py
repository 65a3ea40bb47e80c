"""The orders: each is placed, then confirmed or cancelled; a confirmed one may come back.

CheckoutStarted             -> OrderPlaced
PaymentAuthorized           -> OrderConfirmed
PaymentFailed, StockRejected -> OrderCancelled
OrderReturned               (written down)
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edakit.component import Component
from edakit.events import Context, Event
from edakit.shop.events import (
    CheckoutStarted,
    OrderCancelled,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderReturned,
    PaymentAuthorized,
    PaymentFailed,
    StockRejected,
    total_of,
)

__all__ = ["Order", "Orders", "make_orders"]


class Order(msgspec.Struct):
    """One order, worth *total* [pence]."""

    order_id: str
    cart_id: str
    lines: tuple[OrderLine, ...]
    total: int
    status: Literal["placed", "confirmed", "cancelled", "returned"] = "placed"


class Orders:
    """All orders.

    Attributes:
        orders: By order id.
    """

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}

    def place(self, order: Order) -> None:
        """Keep a new order; one that is known stays as it is."""
        self.orders.setdefault(order.order_id, order)

    def settle(self, order_id: str, status: Literal["confirmed", "cancelled"]) -> Order:
        """Say what became of an order that was placed, and return it; what was settled before stays settled."""
        order = self.orders[order_id]
        if order.status == "placed":
            order.status = status
        return order

    def take_back(self, event: OrderReturned) -> None:
        """Write down that an order came back, also one from before this shop's records."""
        self.place(Order(order_id=event.order_id, cart_id="", lines=event.lines, total=event.amount))
        self.orders[event.order_id].status = "returned"

    def apply(self, event: Event) -> None:
        """Change an order as *event* says, which was published before; of an order whose beginning is not known, nothing."""
        match event:
            case OrderPlaced():
                self.place(Order(order_id=event.order_id, cart_id=event.cart_id, lines=event.lines, total=event.total))
            case OrderConfirmed() if event.order_id in self.orders:
                self.settle(event.order_id, "confirmed")
            case OrderCancelled() if event.order_id in self.orders:
                self.settle(event.order_id, "cancelled")
            case OrderReturned():
                self.take_back(event)
            case _:
                pass

    def counts(self) -> dict[str, int]:
        """Return how many orders have each status [orders]."""
        statuses = [order.status for order in self.orders.values()]
        return {status: statuses.count(status) for status in ("placed", "confirmed", "cancelled", "returned")}


def make_orders(orders: Orders, **options: Any) -> Component:
    """Make the component that owns *orders*; *options* as for `Component`.

    Every handler may run twice for the same order: the order does not change again, and the answer is published again.
    """
    component = Component("orders", **{"order": "per key", **options})

    @component.on(CheckoutStarted)
    def place(event: CheckoutStarted, context: Context) -> None:
        """Accept an order."""
        total = total_of(event.lines)
        orders.place(Order(order_id=event.order_id, cart_id=event.cart_id, lines=event.lines, total=total))
        context.publish(OrderPlaced(order_id=event.order_id, cart_id=event.cart_id, lines=event.lines, total=total))

    @component.on(PaymentAuthorized)
    def confirm(event: PaymentAuthorized, context: Context) -> None:
        """Confirm an order that is in stock and paid for."""
        context.publish(OrderConfirmed(order_id=event.order_id, total=orders.settle(event.order_id, "confirmed").total))

    @component.on(PaymentFailed)
    def cancel_unpaid(event: PaymentFailed, context: Context) -> None:
        """Cancel an order that the bank declined to pay."""
        orders.settle(event.order_id, "cancelled")
        context.publish(OrderCancelled(order_id=event.order_id, reason="the bank declined"))

    @component.on(StockRejected)
    def cancel_missing(event: StockRejected, context: Context) -> None:
        """Cancel an order of what is not there."""
        orders.settle(event.order_id, "cancelled")
        context.publish(OrderCancelled(order_id=event.order_id, reason=f"not in stock: {', '.join(event.missing)}"))

    @component.on(OrderReturned)
    def write_down(event: OrderReturned, _context: Context) -> None:
        """Write down that an order came back."""
        orders.take_back(event)

    return component
