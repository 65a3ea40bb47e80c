"""The shop, wired: the one place where components get their state, their options and their broker.

    CheckOut --cart--> CheckoutStarted --orders--> OrderPlaced --stock--> StockReserved --payment--> PaymentAuthorized --orders--> OrderConfirmed
                                                                    |                           |
                                                                    |                           +--> PaymentFailed --orders--> OrderCancelled
                                                                    |                                              --stock---> StockReleased
                                                                    +--> StockRejected --orders--> OrderCancelled
    OrderReturned --payment--> PaymentRefunded; stock and orders take note

Nobody directs this: each component listens to the events before it and tells the next ones (a choreography).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from edakit.app import App
from edakit.component import Component
from edakit.distributions import Distribution, Exponential
from edakit.faults import Faults
from edakit.shop.cart import Carts, make_cart
from edakit.shop.catalogue import Catalogue, make_catalogue
from edakit.shop.errors import ShopOptionError
from edakit.shop.mail import Mailbox, make_mail
from edakit.shop.orders import Orders, make_orders
from edakit.shop.payment import Payments, make_payment
from edakit.shop.stock import Stock, make_stock
from edakit.shop.synthetic import catalogue as synthetic_catalogue
from edakit.shop.views import (
    Badge,
    BestSellers,
    CartView,
    ProductDetail,
    ProductList,
    make_badge,
    make_best_sellers,
    make_cart_view,
    make_product_detail,
    make_product_list,
)

__all__ = ["COMPONENTS", "TAKES", "Shop", "ShopState", "build_shop", "state_hash"]

COMPONENTS: Final = (
    "catalogue",
    "cart",
    "orders",
    "stock",
    "payment",
    "mail",
    "product_list",
    "product_detail",
    "cart_view",
    "badge",
    "best_sellers",
)
"""The names of the shop's components."""

TAKES: Final[Mapping[str, Distribution]] = MappingProxyType(
    {
        "cart": Exponential(0.0005),
        "orders": Exponential(0.001),
        "stock": Exponential(0.004),
        "payment": Exponential(0.002),
        "mail": Exponential(0.001),
        "product_list": Exponential(0.0002),
        "product_detail": Exponential(0.0002),
        "cart_view": Exponential(0.0003),
        "badge": Exponential(0.0001),
        "best_sellers": Exponential(0.0001),
    }
)
"""How long a worker is busy with one event, unless something else is asked for [s]. The stock is the slowest: it can do 250 orders a second."""


@dataclass(frozen=True)
class ShopState:
    """What each component keeps, under the component's name."""

    catalogue: Catalogue
    cart: Carts
    orders: Orders
    stock: Stock
    payment: Payments
    mail: Mailbox
    product_list: ProductList
    product_detail: ProductDetail
    cart_view: CartView
    badge: Badge
    best_sellers: BestSellers


class Shop(App):
    """An `App` whose components are those of the shop; what they keep can be looked at in *state*."""

    state: ShopState

    def configure(self, *, clock: Literal["wall", "virtual"] | None = None, seed: int | None = None, broker: str | None = None) -> None:
        """Choose clock, seed or broker, as long as the shop was not used; the seed also says whose payment fails. Raises as `App.configure`."""
        super().configure(clock=clock, seed=seed, broker=broker)
        if seed is not None:
            self.state.payment.seed = seed


def build_shop(  # noqa: PLR0913 (each is one choice that an experiment makes)
    *,
    components: Iterable[str] = COMPONENTS,
    takes: Mapping[str, Distribution] = TAKES,
    catalogue: Catalogue | None = None,
    stock: int | Mapping[str, int] = 1_000_000,
    payment_failure: float = 0.0,
    broker: str | None = None,
    clock: Literal["wall", "virtual"] = "wall",
    seed: int = 0,
    faults: Faults | None = None,
    **options: Any,
) -> Shop:
    """Build the shop.

    Args:
        components: Names of those that take part; the others are left out, and what is meant for them goes to nobody.
        takes: How long a worker of a component is busy with one event; components that are not named take no time. `takes={}`: none does.
        catalogue: The products; by default 500 made-up ones.
        stock: How many of each product there are at first, or how many by product id [pieces].
        payment_failure: Share of the orders that the bank declines [1].
        broker: As for `App`.
        clock: As for `App`.
        seed: As for `App`; also says which payments fail.
        faults: As for `App`.
        options: Any option of `Component` behind a component's name: `stock_takes=Exponential(0.004)`, `stock_concurrency=2`, `mail_bound=100`.

    Raises:
        ShopOptionError: there is no such component or option.
        InvalidValueError, BrokerURLError, CapabilityError: as for `App` and `Component`.
    """
    names = list(components)
    for name in (*names, *takes):
        if name not in COMPONENTS:
            raise ShopOptionError(name, COMPONENTS)
    given: dict[str, dict[str, Any]] = {name: {"takes": takes[name]} if name in takes else {} for name in COMPONENTS}
    for option, value in options.items():
        component, about = _split(option)
        given[component][about] = value
    state = _state(catalogue or synthetic_catalogue(), stock, payment_failure, seed)
    makers = _makers(state)
    shop = Shop(*(makers[name](**given[name]) for name in names), broker=broker, clock=clock, seed=seed, faults=faults)
    shop.name, shop.state = "shop", state
    return shop


def state_hash(shop: Shop) -> str:
    """Return a SHA-256 over all carts and orders: two shops with equal hashes have come to the same end, in whichever order."""
    state = shop.state
    carts = {cart_id: lines for cart_id, lines in state.cart.lines.items() if lines}
    return hashlib.sha256(msgspec.json.encode([carts, state.orders.orders], order="deterministic")).hexdigest()


_OPTIONS: Final = tuple(name for name in signature(Component).parameters if name != "name")


def _split(option: str) -> tuple[str, str]:
    for component in COMPONENTS:
        about = option.removeprefix(f"{component}_")
        if about in _OPTIONS:
            return component, about
    known = ("components", "takes", "catalogue", "stock", "payment_failure", "broker", "clock", "seed", "faults")
    raise ShopOptionError(option, (*known, f"a component's name, _ and one of {_OPTIONS}"))


def _state(catalogue: Catalogue, stock: int | Mapping[str, int], payment_failure: float, seed: int) -> ShopState:
    return ShopState(
        catalogue=Catalogue(catalogue.products.values()),  # a copy: the shop changes prices
        cart=Carts(),
        orders=Orders(),
        stock=Stock(stock),
        payment=Payments(payment_failure, seed),
        mail=Mailbox(),
        product_list=ProductList(catalogue),
        product_detail=ProductDetail(catalogue),
        cart_view=CartView(catalogue),
        badge=Badge(),
        best_sellers=BestSellers(),
    )


def _makers(state: ShopState) -> dict[str, Callable[..., Component]]:
    return {
        "catalogue": partial(make_catalogue, state.catalogue),
        "cart": partial(make_cart, state.cart, state.catalogue.prices()),
        "orders": partial(make_orders, state.orders),
        "stock": partial(make_stock, state.stock),
        "payment": partial(make_payment, state.payment),
        "mail": partial(make_mail, state.mail),
        "product_list": partial(make_product_list, state.product_list),
        "product_detail": partial(make_product_detail, state.product_detail),
        "cart_view": partial(make_cart_view, state.cart_view),
        "badge": partial(make_badge, state.badge),
        "best_sellers": partial(make_best_sellers, state.best_sellers),
    }
