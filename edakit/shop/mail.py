"""The mail: it listens, writes to the shopper, and nobody waits for it."""

from __future__ import annotations

from typing import Any, NamedTuple

from edakit.component import Component
from edakit.events import Context
from edakit.shop.events import CartItemAdded, OrderCancelled, OrderConfirmed, PaymentRefunded

__all__ = ["Letter", "Mailbox", "make_mail"]


class Letter(NamedTuple):
    """What was written, about which cart or order."""

    about: str
    text: str


class Mailbox:
    """What was sent, each letter once.

    Attributes:
        letters: By what they answer to, in the order of sending.
    """

    def __init__(self) -> None:
        self.letters: dict[str, Letter] = {}

    def send(self, occasion: str, letter: Letter) -> None:
        """Send *letter*, unless there was one on this *occasion*."""
        self.letters.setdefault(occasion, letter)


def make_mail(mailbox: Mailbox, **options: Any) -> Component:
    """Make the component that writes letters into *mailbox*; *options* as for `Component`."""
    component = Component("mail", **options)

    @component.on(CartItemAdded)
    def remind(event: CartItemAdded, context: Context) -> None:
        """Tell the shopper what waits in the cart."""
        # Twice the same product is two occasions; only the event's id tells a second click from a second delivery.
        mailbox.send(context.id, Letter(event.cart_id, f"In your cart: {event.quantity} of {event.product_id}."))

    @component.on(OrderConfirmed)
    def confirm(event: OrderConfirmed, _context: Context) -> None:
        """Tell the customer that the order is on its way."""
        mailbox.send(f"{event.order_id} confirmed", Letter(event.order_id, f"Thank you: your order of £{event.total / 100:,.2f} is on its way."))

    @component.on(OrderCancelled)
    def apologise(event: OrderCancelled, _context: Context) -> None:
        """Tell the customer that there will be no order."""
        mailbox.send(f"{event.order_id} cancelled", Letter(event.order_id, f"We are sorry: your order was cancelled ({event.reason})."))

    @component.on(PaymentRefunded)
    def announce(event: PaymentRefunded, _context: Context) -> None:
        """Tell the customer what is paid back."""
        mailbox.send(f"{event.order_id} refunded", Letter(event.order_id, f"We have paid back £{event.amount / 100:,.2f}."))

    return component
