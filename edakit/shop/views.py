"""Read models: what the shop's pages show, kept up to date by events. Each is a component of its own and asks nobody.

They count by amounts, so each has an inbox: an event that is delivered twice counts once.
"""

from __future__ import annotations

import threading
from collections import Counter
from numbers import Integral
from typing import Any

from edakit.component import Component
from edakit.delivery import Inbox
from edakit.errors import InvalidValueError
from edakit.events import Context, Event
from edakit.shop.cart import Carts
from edakit.shop.catalogue import Catalogue
from edakit.shop.errors import UnknownProductError
from edakit.shop.events import CartItemAdded, CartItemRemoved, CartViewed, CheckoutStarted, ProductListViewed, ProductPriceChanged, ProductViewed
from edakit.table import Table

__all__ = [
    "Badge",
    "BestSellers",
    "CartView",
    "ProductDetail",
    "ProductList",
    "Tally",
    "make_badge",
    "make_best_sellers",
    "make_cart_view",
    "make_product_detail",
    "make_product_list",
]


class Tally:
    """Counts by name, for several workers at a time."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, number: int = 1) -> None:
        """Count *number* more, or fewer if it is negative."""
        with self._lock:
            self._counts[name] += number

    def forget(self, name: str) -> None:
        """Set the count of *name* to zero."""
        with self._lock:
            self._counts.pop(name, None)

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def most(self, number: int) -> list[tuple[str, int]]:
        """Return the *number* highest counts above zero, highest first; equal ones in the order of their names.

        Raises:
            InvalidValueError: *number* is not a whole number of 0 or more.
        """
        if not isinstance(number, Integral) or number < 0:
            raise InvalidValueError("number", number, "a whole number of 0 or more: how many are shown")
        with self._lock:
            some = [(name, count) for name, count in self._counts.items() if count > 0]
        return sorted(some, key=lambda item: (-item[1], item[0]))[:number]


class ProductList:
    """The page with all products.

    Args:
        catalogue: The products at first; price changes come as events.

    Attributes:
        prices: What is shown, by product id [pence].
        shown: How often each cart's shopper looked at it.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.prices, self.shown = catalogue.prices(), Tally()


def make_product_list(view: ProductList, **options: Any) -> Component:
    """Make the component that keeps *view* up to date; *options* as for `Component`."""
    component = _reader("product_list", options)
    _follow_prices(component, view.prices)

    @component.on(ProductListViewed)
    def show(event: ProductListViewed, _context: Context) -> None:
        """Count a look at the list."""
        view.shown.add(event.cart_id)

    return component


class ProductDetail:
    """The pages of the single products.

    Args:
        catalogue: The products at first; price changes come as events.

    Attributes:
        prices: What is shown, by product id [pence].
        shown: How often each product was looked at.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.prices, self.shown = catalogue.prices(), Tally()


def make_product_detail(view: ProductDetail, **options: Any) -> Component:
    """Make the component that keeps *view* up to date; *options* as for `Component`."""
    component = _reader("product_detail", options)
    _follow_prices(component, view.prices)

    @component.on(ProductViewed)
    def show(event: ProductViewed, _context: Context) -> None:
        """Count a look at a product."""
        view.shown.add(event.product_id)

    return component


class CartView:
    """The page of a cart: what is in it, and what it would cost now.

    Args:
        catalogue: The prices at first; changes come as events.

    Attributes:
        carts: What is in each cart, as far as this view has heard.
        prices: By product id [pence].
        shown: How often each cart was looked at.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.carts, self.prices, self.shown = Carts(), catalogue.prices(), Tally()

    def total(self, cart_id: str) -> int:
        """Return what a cart would cost now [pence].

        Raises:
            UnknownProductError: the catalogue has no price of something in it.
        """
        return sum(quantity * self._price(product) for product, quantity in self.carts.of(cart_id).items())

    def _price(self, product_id: str) -> int:
        if product_id not in self.prices:
            raise UnknownProductError(product_id, self.prices)
        return self.prices[product_id]

    def table(self, cart_id: str) -> Table:
        """Return the page of one cart. Raises as `total`."""
        lines = self.carts.of(cart_id).items()
        rows = [(product, quantity, self._price(product), quantity * self._price(product)) for product, quantity in lines]
        return Table(("product", "pieces", "price [p]", "together [p]"), rows, title=f"Cart {cart_id}", says=f"£{self.total(cart_id) / 100:,.2f} in all")


def make_cart_view(view: CartView, **options: Any) -> Component:
    """Make the component that keeps *view* up to date; *options* as for `Component`."""
    component = _reader("cart_view", options)
    _follow_prices(component, view.prices)

    @component.on(CartItemAdded, CartItemRemoved, CheckoutStarted)
    def follow(event: Event, _context: Context) -> None:
        """Change the picture of a cart as the cart has changed."""
        view.carts.apply(event)

    @component.on(CartViewed)
    def show(event: CartViewed, _context: Context) -> None:
        """Count a look at a cart."""
        view.shown.add(event.cart_id)

    return component


class Badge:
    """The small number beside the cart's symbol.

    Attributes:
        pieces: How many pieces are in each cart [pieces].
    """

    def __init__(self) -> None:
        self.pieces = Tally()


def make_badge(badge: Badge, **options: Any) -> Component:
    """Make the component that keeps *badge* up to date; *options* as for `Component`."""
    component = _reader("badge", options)

    @component.on(CartItemAdded)
    def count_up(event: CartItemAdded, _context: Context) -> None:
        """Count what was put in."""
        badge.pieces.add(event.cart_id, event.quantity)

    @component.on(CartItemRemoved)
    def count_down(event: CartItemRemoved, _context: Context) -> None:
        """Take off what was taken out."""
        badge.pieces.add(event.cart_id, -event.quantity)

    @component.on(CheckoutStarted)
    def clear(event: CheckoutStarted, _context: Context) -> None:
        """Begin again: the cart is empty."""
        badge.pieces.forget(event.cart_id)

    return component


class BestSellers:
    """What shoppers put into their carts most.

    Attributes:
        pieces: How many of each product were put into carts and not taken out again [pieces].
    """

    def __init__(self) -> None:
        self.pieces = Tally()

    def table(self, number: int = 5) -> Table:
        """Return the *number* best sellers. Raises as `Tally.most`."""
        return Table(("product", "pieces"), self.pieces.most(number), title="Best sellers")


def make_best_sellers(sellers: BestSellers, **options: Any) -> Component:
    """Make the component that keeps *sellers* up to date; *options* as for `Component`."""
    component = _reader("best_sellers", options)

    @component.on(CartItemAdded)
    def count_up(event: CartItemAdded, _context: Context) -> None:
        """Count what was put in."""
        sellers.pieces.add(event.product_id, event.quantity)

    @component.on(CartItemRemoved)
    def count_down(event: CartItemRemoved, _context: Context) -> None:
        """Take off what was taken out."""
        sellers.pieces.add(event.product_id, -event.quantity)

    return component


def _reader(name: str, options: dict[str, Any]) -> Component:
    return Component(name, **{"order": "per key", "inbox": Inbox(), **options})


def _follow_prices(component: Component, prices: dict[str, int]) -> None:
    @component.on(ProductPriceChanged)
    def change_price(event: ProductPriceChanged, _context: Context) -> None:
        """Show what a product costs from now on."""
        prices[event.product_id] = event.price
