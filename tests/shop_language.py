"""A small shop for the tests of the core: two commands, two events."""

from __future__ import annotations

from edakit import Command, Component, Event


class AddItem(Command, key="cart_id"):
    """Please put a product into a cart."""

    cart_id: str
    product_id: str = "1001"
    quantity: int = 1


class CartItemAdded(Event, key="cart_id"):
    """A product was put into a cart."""

    cart_id: str
    product_id: str = "1001"
    quantity: int = 1


class OrderPlaced(Event, key="order_id"):
    """An order was placed."""

    order_id: str
    total: int = 1250


def recorder(name: str, event_type: type[Event] = CartItemAdded, **options: object) -> tuple[Component, list[Event]]:
    """Return a component that keeps what it handles, and the list in which it does."""
    component, seen = Component(name, **options), []

    @component.on(event_type)
    def record(event, context):
        seen.append(event)

    return component, seen


def cart_component() -> Component:
    """Return the cart: a command in, an event out."""
    cart = Component("cart")

    @cart.on(AddItem)
    def add(command, context):
        context.publish(CartItemAdded(cart_id=command.cart_id, product_id=command.product_id, quantity=command.quantity))

    return cart
