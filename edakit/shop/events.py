"""The shop's language: three commands that a shopper sends, and the events that tell what came of them.

A button asks (a command in the imperative), a component decides, and says so (an event in the past tense).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from edakit.events import Command, Event

__all__ = [
    "AddItem",
    "CartItemAdded",
    "CartItemRemoved",
    "CartViewed",
    "CheckOut",
    "CheckoutStarted",
    "OrderCancelled",
    "OrderConfirmed",
    "OrderLine",
    "OrderPlaced",
    "OrderReturned",
    "PaymentAuthorized",
    "PaymentFailed",
    "PaymentRefunded",
    "ProductListViewed",
    "ProductPriceChanged",
    "ProductViewed",
    "RemoveItem",
    "StockRejected",
    "StockReleased",
    "StockReserved",
    "total_of",
]

CartId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""What a cart is known by, and with it its shopper: one visitor of the shop, signed in or not."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
"""What an order or a product is known by; an order's id holds that of its cart."""

Pieces = Annotated[int, msgspec.Meta(ge=1)]
"""How many of a product [pieces]."""

Wanted = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""How many of a product may be asked for at a time [pieces]."""

Pence = Annotated[int, msgspec.Meta(ge=0)]
"""Money [pence]: whole numbers add up without rounding."""


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """So many of one product at the price of one."""

    product_id: Name
    quantity: Pieces
    price: Pence


def total_of(lines: tuple[OrderLine, ...]) -> int:
    """Return what *lines* cost together [pence]."""
    return sum(line.quantity * line.price for line in lines)


# What a shopper asks for


class AddItem(Command, key="cart_id"):
    """Please put so many of a product into a cart."""

    cart_id: CartId
    product_id: Name
    quantity: Wanted = 1


class RemoveItem(Command, key="cart_id"):
    """Please take a product out of a cart, all of it."""

    cart_id: CartId
    product_id: Name


class CheckOut(Command, key="cart_id"):
    """Please order what is in a cart."""

    cart_id: CartId


# What a shopper's browser tells: a page was shown


class ProductListViewed(Event, key="cart_id"):
    """A shopper looked at the list of products."""

    cart_id: CartId


class ProductViewed(Event, key="cart_id"):
    """A shopper looked at one product."""

    cart_id: CartId
    product_id: Name


class CartViewed(Event, key="cart_id"):
    """A shopper looked at the cart."""

    cart_id: CartId


# What the cart decided


class CartItemAdded(Event, key="cart_id"):
    """A product was put into a cart."""

    cart_id: CartId
    product_id: Name
    quantity: Pieces


class CartItemRemoved(Event, key="cart_id"):
    """A product was taken out of a cart."""

    cart_id: CartId
    product_id: Name
    quantity: Pieces


class CheckoutStarted(Event, key="cart_id"):
    """A shopper wants to pay for what was in a cart; the cart is empty now."""

    cart_id: CartId
    order_id: Name
    lines: tuple[OrderLine, ...]


# What became of the order


class OrderPlaced(Event, key="order_id"):
    """An order was accepted."""

    order_id: Name
    cart_id: CartId
    lines: tuple[OrderLine, ...]
    total: Pence


class OrderConfirmed(Event, key="order_id"):
    """An order is in stock and paid for."""

    order_id: Name
    total: Pence


class OrderCancelled(Event, key="order_id"):
    """An order will not be delivered."""

    order_id: Name
    reason: str


class OrderReturned(Event, key="order_id"):
    """The goods of an order came back, worth *amount* [pence]."""

    order_id: Name
    lines: tuple[OrderLine, ...]
    amount: Pence


class StockReserved(Event, key="order_id"):
    """The goods of an order were put aside; *total* [pence] is handed on, so that payment need ask nobody."""

    order_id: Name
    total: Pence


class StockRejected(Event, key="order_id"):
    """Some products of an order are not there in this quantity; nothing was put aside."""

    order_id: Name
    missing: tuple[Name, ...]


class StockReleased(Event, key="order_id"):
    """What was put aside for an order is for sale again."""

    order_id: Name


class PaymentAuthorized(Event, key="order_id"):
    """An order was paid for, *amount* [pence]."""

    order_id: Name
    amount: Pence


class PaymentFailed(Event, key="order_id"):
    """The bank declined to pay *amount* [pence] for an order."""

    order_id: Name
    amount: Pence


class PaymentRefunded(Event, key="order_id"):
    """An *amount* [pence] was paid back for an order."""

    order_id: Name
    amount: Pence


# What the merchant changed


class ProductPriceChanged(Event, key="product_id"):
    """A product costs *price* [pence] from now on."""

    product_id: Name
    price: Pence
