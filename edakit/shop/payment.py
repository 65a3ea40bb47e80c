"""The payment: an order is charged once its goods are put aside, and paid back when they return.

StockReserved -> PaymentAuthorized or PaymentFailed
OrderReturned -> PaymentRefunded
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from edakit.component import Component
from edakit.errors import InvalidValueError
from edakit.events import Context, Event
from edakit.shop.events import OrderReturned, PaymentAuthorized, PaymentFailed, PaymentRefunded, StockReserved

__all__ = ["Payments", "make_payment"]

_LARGEST: Final = 2**64


class Payments:
    """Who paid what: the books, and a bank that declines some.

    Args:
        failure: Share of the orders that the bank declines [1].
        seed: Which ones: it depends on the seed and the order, not on who comes first.

    Attributes:
        charged: What was charged, by order id [pence].
        refunded: What was paid back, by order id [pence].
    """

    def __init__(self, failure: float = 0.0, seed: int = 0) -> None:
        if not 0 <= failure <= 1:
            raise InvalidValueError("payment_failure", failure, "the share of payments that fail, from 0 to 1")
        self.failure, self.seed = failure, seed
        self.charged: dict[str, int] = {}
        self.refunded: dict[str, int] = {}

    def charge(self, order_id: str, amount: int) -> bool:
        """Charge *amount* [pence] for an order, once; return whether the bank agrees."""
        digest = hashlib.sha256(f"{self.seed}/{order_id}".encode()).digest()
        agrees = int.from_bytes(digest[:8], "big") >= self.failure * _LARGEST
        if agrees:
            self.charged.setdefault(order_id, amount)
        return agrees

    def refund(self, order_id: str, amount: int) -> int:
        """Pay back *amount* [pence] for an order, once; return what was paid back."""
        return self.refunded.setdefault(order_id, amount)

    def apply(self, event: Event) -> None:
        """Write down what *event* says, which was published before."""
        match event:
            case PaymentAuthorized():
                self.charged.setdefault(event.order_id, event.amount)
            case PaymentRefunded():
                self.refund(event.order_id, event.amount)
            case _:
                pass


def make_payment(payments: Payments, **options: Any) -> Component:
    """Make the component that owns *payments*; *options* as for `Component`. Every handler may run twice for the same order."""
    component = Component("payment", **{"order": "per key", **options})

    @component.on(StockReserved)
    def charge(event: StockReserved, context: Context) -> None:
        """Charge the customer of one order."""
        if payments.charge(event.order_id, event.total):
            context.publish(PaymentAuthorized(order_id=event.order_id, amount=event.total))
        else:
            context.publish(PaymentFailed(order_id=event.order_id, amount=event.total))

    @component.on(OrderReturned)
    def refund(event: OrderReturned, context: Context) -> None:
        """Pay back an order that came back."""
        context.publish(PaymentRefunded(order_id=event.order_id, amount=payments.refund(event.order_id, event.amount)))

    return component
