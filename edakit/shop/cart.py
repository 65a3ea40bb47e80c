"""The cart: it decides what a shopper's buttons do, and says so.

    AddItem    -> CartItemAdded
    RemoveItem -> CartItemRemoved      (nothing, if the product is not in the cart)
    CheckOut   -> CheckoutStarted      (nothing, if the cart is empty)

A cart is the sum of its events: `Carts.apply` is the only way to change one, so replaying the events rebuilds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Self

from edakit.component import Component
from edakit.delivery import Inbox
from edakit.events import Context, Event
from edakit.shop.errors import UnknownProductError
from edakit.shop.events import AddItem, CartItemAdded, CartItemRemoved, CheckOut, CheckoutStarted, OrderLine, ProductPriceChanged, RemoveItem

__all__ = ["Carts", "make_cart"]


class Carts:
    """What is in each cart.

    Attributes:
        lines: How many of each product, by cart and product [pieces].
        checkouts: How often each cart was checked out [orders].
    """

    def __init__(self) -> None:
        self.lines: dict[str, dict[str, int]] = {}
        self.checkouts: Counter[str] = Counter()

    @classmethod
    def replay(cls, events: Iterable[Event]) -> Self:
        """Rebuild the carts from their *events*, those of each cart in order."""
        carts = cls()
        for event in events:
            carts.apply(event)
        return carts

    def of(self, cart_id: str) -> dict[str, int]:
        """Return what is in one cart: how many of each product [pieces]."""
        return self.lines.get(cart_id, {})

    def apply(self, event: Event) -> None:
        """Change a cart as *event* says; events that are not about carts change nothing."""
        match event:
            case CartItemAdded():
                lines = self.lines.setdefault(event.cart_id, {})
                lines[event.product_id] = lines.get(event.product_id, 0) + event.quantity
            case CartItemRemoved():
                self.of(event.cart_id).pop(event.product_id, None)
            case CheckoutStarted():
                self.lines.pop(event.cart_id, None)
                self.checkouts[event.cart_id] += 1
            case _:
                pass

    def next_order(self, cart_id: str) -> str:
        """Return the id of the order that the cart's next check-out makes."""
        return f"o-{cart_id}-{self.checkouts[cart_id] + 1}"


def make_cart(carts: Carts, prices: dict[str, int], **options: Any) -> Component:
    """Make the component that owns *carts*.

    Args:
        carts: What is in each cart.
        prices: The cart's own price list, by product id [pence]; price changes reach it as events.
        options: As for `Component`. By default commands of one cart are handled in order, and a command that is delivered twice counts once.
    """
    component = Component("cart", **{"order": "per key", "inbox": Inbox(), **options})

    def decide(event: Event, context: Context) -> None:
        # The event first: where it cannot be published nothing has changed yet, and the command is tried again.
        context.publish(event)
        carts.apply(event)

    @component.on(AddItem)
    def add(command: AddItem, context: Context) -> None:
        """Put a product into a cart."""
        if command.product_id not in prices:
            raise UnknownProductError(command.product_id, prices)
        decide(CartItemAdded(cart_id=command.cart_id, product_id=command.product_id, quantity=command.quantity), context)

    @component.on(RemoveItem)
    def remove(command: RemoveItem, context: Context) -> None:
        """Take a product out of a cart."""
        quantity = carts.of(command.cart_id).get(command.product_id)
        if quantity is not None:
            decide(CartItemRemoved(cart_id=command.cart_id, product_id=command.product_id, quantity=quantity), context)

    @component.on(CheckOut)
    def check_out(command: CheckOut, context: Context) -> None:
        """Start the check-out of a cart, at today's prices."""
        lines = tuple(OrderLine(product_id=product, quantity=quantity, price=prices[product]) for product, quantity in carts.of(command.cart_id).items())
        if lines:
            decide(CheckoutStarted(cart_id=command.cart_id, order_id=carts.next_order(command.cart_id), lines=lines), context)

    @component.on(ProductPriceChanged)
    def change_price(event: ProductPriceChanged, _context: Context) -> None:
        """Write down what a product costs from now on."""
        prices[event.product_id] = event.price

    return component
